//! Archives of the older Python tool.

use std::os::unix::fs::MetadataExt as _;

use hashget::model::Digest;
use hashget::model::manifest::{FileV1, MANIFEST_NAME, ManifestV1, PackageV1};
use hashget::monitor::Recorder;
use hashget_testkit::packages::{TarBuilder, TarEntry, compress, deb};

use crate::support::*;

const URL: &str = "http://packages.example/p.deb";

fn file(name: &[u8], content: &[u8]) -> FileV1 {
    FileV1 {
        file: hashget::model::RelPath::new(name).unwrap(),
        sha256: Digest::of(content),
        size: content.len() as u64,
        mode: 0o640,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        atime: 1,
        ctime: 1,
        mtime: 1_234_567_890,
    }
}

fn archive(files: Vec<FileV1>, package: &[u8]) -> Vec<u8> {
    let hash = Digest::of(package);
    let packages = vec![PackageV1 { url: URL.to_owned(), hash }];
    let manifest = ManifestV1 { packages, files, packagesize: 0, expires: None };
    // The manifest is the last entry, as the Python tool writes it.
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let own = TarEntry { uid: owner.0.into(), gid: owner.1.into(), ..TarEntry::default() };
    let tar = TarBuilder::new()
        .entry(&TarEntry { name: b"folder/", kind: b'5', mode: 0o755, ..own.clone() })
        .entry(&TarEntry { name: b"folder/private", content: b"mine", ..own })
        .file(MANIFEST_NAME, &manifest.to_json())
        .finish();
    compress("gzip", &tar)
}

/// An archive that needs one file of a package: with the package's URL and bytes.
pub(crate) fn small() -> (Vec<u8>, &'static str, Vec<u8>) {
    let package = TarBuilder::new().file("a", b"public").finish();
    (archive(vec![file(b"a", b"public")], &package), URL, package)
}

#[test]
fn files_are_found_by_digest_in_packages_within_packages() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let inner = TarBuilder::new().file("deep/source.c", b"int x;").finish();
    let data = TarBuilder::new()
        .file("./usr/a", b"public")
        .file("./usr/decoy", b"PUBLIC")
        .file("./usr/src.tar.xz", &compress("xz", &inner))
        .finish();
    let package = deb(&[("control", b"Package: p\n")], &data, "xz");
    let files = vec![
        file(b"folder/a", b"public"),
        file(b"folder/again \xff", b"public"),
        file(b"new/folder/source.c", b"int x;"),
    ];
    let archive = archive(files, &package);
    let source = MemorySource::default().with(URL, &package);
    let recorder = Recorder::default();
    let summary = unpack(&source, &archive, &target, &recorder).unwrap();
    assert_eq!(problems(&recorder), "");
    assert_eq!((summary.proven, &*summary.missing), (None, &[][..]));
    assert_eq!((summary.files, summary.files_from_packages), (4, 3));
    for (name, content) in [
        (&b"folder/a"[..], &b"public"[..]),
        (b"folder/again \xff", b"public"),
        (b"new/folder/source.c", b"int x;"),
    ] {
        let name = hashget::model::RelPath::new(name).unwrap().below(&target);
        assert_eq!(fs_err::read(&name).unwrap(), content);
        let found = name.metadata().unwrap();
        assert_eq!((found.mode() & 0o7777, found.mtime()), (0o640, 1_234_567_890));
    }
    assert_eq!(fs_err::read(target.join("folder/private")).unwrap(), b"mine");
    assert_eq!(target.join("folder").metadata().unwrap().mtime(), 1_700_000_000);
    assert_eq!(target.join("new").metadata().unwrap().mode() & 0o777, 0o755);
    assert!(!target.join(MANIFEST_NAME).exists());
}

#[test]
fn what_is_missing_is_named_and_found_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let package = TarBuilder::new().file("a", b"public").file("b", b"too").finish();
    let archive =
        archive(vec![file(b"a", b"public"), file(b"b", b"too"), file(b"c", b"lost")], &package);
    let recorder = Recorder::default();
    let nothing = MemorySource::default();
    let summary = unpack(&nothing, &archive, &target, &recorder).unwrap();
    assert_eq!(summary.missing.len(), 3);
    assert!(problems(&recorder).starts_with("Unreachable "), "{}", problems(&recorder));
    assert!(target.join(MANIFEST_NAME).exists());

    // Other bytes with the right files in them do as well.
    let other = MemorySource::default().with(URL, &compress("gzip", &package));
    let recorder = Recorder::default();
    let summary = restore(&other, &target, &recorder).unwrap();
    assert_eq!(summary.missing.len(), 1);
    assert_eq!(summary.missing[0].0, path("c"));
    assert_eq!(fs_err::read(target.join("b")).unwrap(), b"too");

    fs_err::write(target.join("c"), "lost").unwrap();
    let recorder = Recorder::default();
    let summary = restore(&nothing, &target, &recorder).unwrap();
    assert_eq!((summary.kept_files, recorder.recorded().downloads), (3, 0));
    assert_eq!(target.join("c").metadata().unwrap().mtime(), 1_234_567_890);
}
