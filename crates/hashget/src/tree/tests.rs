//! Scans of real folders.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::monitor::{ProblemKind, Recorder, Silent};

fn paths(scan: &Scan) -> Vec<String> {
    scan.entries.iter().map(|entry| entry.path.to_string()).collect()
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn entries_are_sorted_by_bytes_and_complete() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a/b", b"one");
    write(root, "a.b", b"");
    symlink("nowhere", root.join("link")).unwrap();
    fs_err::hard_link(root.join("a/b"), root.join("z")).unwrap();
    fs_err::set_permissions(root.join("a.b"), std::fs::Permissions::from_mode(0o4711)).unwrap();

    let scan = scan(root, &ScanOptions::default(), &Silent).unwrap();
    assert_eq!(paths(&scan), [".", "a", "a.b", "a/b", "link", "z"]);
    let get = |name: &str| scan.get(&RelPath::new(name).unwrap()).unwrap();
    assert_eq!(get("a/b").sha256, Some(Digest::of(b"one")));
    assert_eq!(get("a/b").kind, Kind::File { size: 3 });
    assert_eq!(get("z").kind, Kind::HardLink { target: RelPath::new("a/b").unwrap() });
    assert_eq!(get("link").kind, Kind::Symlink { target: b"nowhere"[..].into() });
    assert_eq!(get("a.b").metadata.mode, 0o4711);
    let stat = fs_err::metadata(root.join("a/b")).unwrap();
    assert_eq!(get("a/b").metadata.mtime.seconds, stat.mtime());
    assert_eq!(i64::from(get("a/b").metadata.mtime.nanoseconds), stat.mtime_nsec());
}

#[test]
fn the_tree_digest_sees_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "a", b"one");
    let digest = || scan(root, &ScanOptions::default(), &Silent).unwrap().tree_digest();
    let before = digest();
    assert_eq!(before, digest());
    fs_err::set_permissions(root.join("a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let after = digest();
    assert_ne!(before, after);
    fs_err::hard_link(root.join("a"), root.join("b")).unwrap();
    assert_ne!(after, digest());
}

#[test]
fn excluded_folders_and_caches_are_not_entered() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "keep/x", b"");
    write(root, "drop/x", b"");
    write(root, "cache/CACHEDIR.TAG", CACHE_TAG_FOR_TESTS);
    write(root, "cache/big", b"");
    let options = ScanOptions {
        exclude: Globs::new(&["drop"]).unwrap(),
        exclude_caches: true,
        ..ScanOptions::default()
    };
    let scan = scan(root, &options, &Silent).unwrap();
    assert_eq!(paths(&scan), [".", "cache", "cache/CACHEDIR.TAG", "keep", "keep/x"]);
}

const CACHE_TAG_FOR_TESTS: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n";

#[test]
fn holes_are_found_and_do_not_count_as_contents() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs_err::File::create(folder.path().join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_at(file.file(), b"data", 1 << 30).unwrap();
    let scan = scan(folder.path(), &ScanOptions::default(), &Silent).unwrap();
    let entry = &scan.entries[1];
    assert_eq!(entry.kind, Kind::File { size: 1 << 40 });
    let extents = entry.extents.as_ref().unwrap();
    assert_eq!(extents.len(), 1);
    assert!(extents[0].offset <= 1 << 30 && extents[0].length < 1 << 20);
}

#[test]
fn sockets_are_skipped_with_a_word_and_fifos_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let recorder = Recorder::default();
    let scan = scan(folder.path(), &ScanOptions::default(), &recorder).unwrap();
    assert_eq!(paths(&scan), [".", "fifo"]);
    assert_eq!(recorder.recorded().skipped[0].0, "socket");
}

#[test]
fn a_tree_deeper_than_any_path_is_walked() {
    let folder = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let mut parent =
        TreeRoot::open(folder.path()).unwrap().open_directory(&RelPath::root()).unwrap();
    for _ in 0..300 {
        rustix::fs::mkdirat(&parent, &*name, rustix::fs::Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        parent = rustix::fs::openat(&parent, &*name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let file = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    rustix::fs::openat(&parent, "file", file, rustix::fs::Mode::RUSR).unwrap();
    let recorder = Recorder::default();
    let scan = scan(folder.path(), &ScanOptions::default(), &recorder).unwrap();
    assert_eq!(scan.entries.len(), 302);
    assert_eq!(recorder.recorded().problems, []);
    assert!(scan.root.open_file(&scan.entries[301].path).is_ok());
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_found() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root can read everything");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "secret", b"x");
    write(folder.path(), "open", b"x");
    let closed = std::fs::Permissions::from_mode(0o000);
    fs_err::set_permissions(folder.path().join("secret"), closed).unwrap();
    let recorder = Recorder::default();
    let scan = scan(folder.path(), &ScanOptions::default(), &recorder).unwrap();
    assert_eq!(paths(&scan), [".", "open"]);
    assert_eq!(recorder.recorded().problems[0].0, ProblemKind::Incomplete);
}

#[test]
fn a_missing_root_is_an_error() {
    let error = scan(Path::new("/nowhere/at/all"), &ScanOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"));
}

#[test]
fn what_has_not_changed_is_not_read_again_and_what_has_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    for number in 0..5 {
        write(&root, &format!("d/{number}"), format!("file {number}").as_bytes());
    }
    let options =
        ScanOptions { cache: Some(folder.path().join("cache")), ..ScanOptions::default() };
    let scan_bytes = |expected: &Scan| {
        let recorder = Recorder::default();
        let found = scan(&root, &options, &recorder).unwrap();
        assert_eq!(found.tree_digest(), expected.tree_digest());
        recorder.recorded().scanned_bytes
    };
    let fresh = || scan(&root, &ScanOptions::default(), &Silent).unwrap();
    assert_eq!(scan_bytes(&fresh()), 30);
    // The files are new: a change within the same clock tick would go unnoticed, so they are read again.
    assert_eq!(scan_bytes(&fresh()), 30);
    // An old mtime alone proves nothing, since anybody can set it; only the kernel sets ctime.
    for number in 0..5 {
        let file =
            fs_err::File::options().write(true).open(root.join(format!("d/{number}"))).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(scan_bytes(&fresh()), 30);
}
