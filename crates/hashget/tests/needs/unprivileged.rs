//! Without root, everything comes back but what only root may do; that is counted.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use hashget::fetch::Offline;
use hashget::limits::Limits;
use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::{ProblemKind, Recorder, Silent};
use hashget::restore::{Affected, RestoreOptions, Restorer};
use hashget_testkit::packages::{TarBuilder, TarEntry};
use hashget_testkit::programs::run_test_as_nobody;

use crate::support::*;

fn entry<'a>(name: &'a [u8], kind: u8, mode: u32) -> TarEntry<'a> {
    TarEntry { name, kind, mode, uid: 0, gid: 0, ..TarEntry::default() }
}

/// Restores as a user who is not root: in this process if it is none, else in one of its own.
pub(crate) fn everything_but_owners_and_devices_comes_back() {
    if is_root() {
        let folder = tempfile::tempdir().unwrap();
        let test = "unprivileged::everything_but_owners_and_devices_comes_back";
        run_test_as_nobody(test, folder.path(), &[]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let url = "http://packages.example/p.tar";
    let bytes = TarBuilder::new()
        .entry(&entry(b"locked/", b'5', 0o555))
        .entry(&TarEntry { content: b"1", ..entry(b"locked/one", b'0', 0o444) })
        .entry(&TarEntry { content: b"2", ..entry(b"locked/two", b'0', 0o4755) })
        .entry(&TarEntry { device: (1, 7), ..entry(b"full", b'3', 0o666) })
        .entry(&TarEntry { mtime: 5, ..entry(b"fifo", b'6', 0o600) })
        .finish();
    let package = package(url, &bytes, "tar", vec![tree("", "")]);
    let json = serde_json::json!({
        "format": "hashget-restore", "version": 2, "tool": "test", "packages": [package],
        "tree": {"sha256": "0".repeat(64), "entries": 6, "files": 2, "bytes": 2},
        "archived": {"path": [""], "type": "d", "mode": [0o755], "uid": [0], "gid": [0],
            "seconds": [1], "nanoseconds": [0]},
    });
    let archive = TarBuilder::new()
        .file(MANIFEST_NAME, json.to_string().as_bytes())
        .entry(&entry(b"./", b'5', 0o755))
        .finish();
    let source = MemorySource::default().with(url, &bytes);
    let recorder = Recorder::default();
    let summary = unpack(&source, &archive, &target, &recorder).unwrap();
    let entries = |found: Option<&Affected>| found.map_or(0, |found| found.entries);
    let not_asked_for = |what: &str| entries(summary.not_asked_for.get(what));
    assert!(not_asked_for("owner") >= 5, "{summary:?}");
    assert_eq!(not_asked_for("set-user-id or set-group-id bit"), 1);
    assert_eq!(entries(summary.not_applied.get("device")), 1);
    assert_eq!(summary.not_applied.len(), 1, "{summary:?}");
    assert_ne!(summary.proven, Some(true));
    let mode = |name: &str| target.join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("locked"), mode("locked/one"), mode("locked/two")], [0o555, 0o444, 0o755]);
    assert_eq!(target.join("fifo").symlink_metadata().unwrap().mtime(), 5);
    assert_eq!(target.metadata().unwrap().mtime(), 1);

    // Again, into folders that may not be written to any more.
    let writable = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(target.join("locked"), writable).unwrap();
    fs_err::remove_file(target.join("locked/one")).unwrap();
    fs_err::set_permissions(target.join("locked"), std::fs::Permissions::from_mode(0o555)).unwrap();
    restore(&source, &target, &Silent).unwrap();
    assert_eq!(fs_err::read(target.join("locked/one")).unwrap(), b"1");
    assert_eq!(mode("locked"), 0o555);
    fs_err::set_permissions(target.join("locked"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn owners_that_were_asked_for_and_cannot_be_given_are_a_loss() {
    if is_root() {
        let folder = tempfile::tempdir().unwrap();
        let test = "unprivileged::owners_that_were_asked_for_and_cannot_be_given_are_a_loss";
        run_test_as_nobody(test, folder.path(), &[]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = serde_json::json!({
        "format": "hashget-restore", "version": 2, "tool": "test", "packages": [],
        "tree": {"sha256": "0".repeat(64), "entries": 2, "files": 1, "bytes": 1},
        "archived": {"path": ["", "a"], "type": "df", "mode": [0o755, 0o644], "uid": [0, 0],
            "gid": [0, 0], "seconds": [1, 0], "nanoseconds": [0, 0], "size": [null, 1]},
    });
    let archive = TarBuilder::new()
        .file(MANIFEST_NAME, json.to_string().as_bytes())
        .entry(&entry(b"./", b'5', 0o755))
        .entry(&TarEntry { content: b"1", ..entry(b"a", b'0', 0o644) })
        .finish();
    let (source, limits, told) = (MemorySource::default(), Limits::default(), Recorder::default());
    let restorer =
        Restorer { source: &source, web: &Offline, limits: &limits, jobs: 1, accepting: None };
    let options = RestoreOptions { same_owner: true, ..RestoreOptions::default() };
    let target = folder.path().join("target");
    let summary = restorer.unpack(&mut &archive[..], &target, &options, &told).unwrap();
    assert_eq!(summary.not_applied["owner"].entries, 2, "{summary:?}");
    assert_ne!(summary.proven, Some(true));
    let is_said = |(kind, _, message): &(ProblemKind, String, String)| {
        *kind == ProblemKind::Incomplete && message == "owner not restored for 2 entries: a and ."
    };
    assert!(told.recorded().problems.iter().any(is_said), "{}", problems(&told));
    assert!(target.join(MANIFEST_NAME).exists());
}
