//! Everything that a file system keeps comes back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hashget::model::manifest::{
    Assignment, EntryTable, MANIFEST_NAME, MtimeAssignment, OneOrMany, Renamed,
};
use hashget::model::{Digest, Entry, Kind, RelPath};
use hashget::monitor::Recorder;
use hashget_testkit::packages::{self, TarBuilder};

use crate::support::*;

fn write(folder: &Path, name: &str, content: &[u8], mode: u32) {
    let file = folder.join(name);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(&file, content).unwrap();
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn set_xattr(file: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(file, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

fn set_mtime(file: &Path, seconds: i64, nanoseconds: u32) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, file, &times, flags).unwrap();
}

/// A tree with everything in it; what is below `usr` goes into a package.
fn rich_tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for side in ["usr", "own"] {
        fill_rich(&tree.join(side));
    }
    let name = std::os::unix::ffi::OsStrExt::from_bytes(&b"not utf-8 \xff\xfe\n"[..]);
    fs_err::write(tree.join::<&std::ffi::OsStr>(name), "odd").unwrap();
    let sparse = fs_err::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(sparse.file(), b"data", 5 << 20).unwrap();
    fs_err::hard_link(tree.join("usr/big"), tree.join("own/big-of-the-package")).unwrap();
    fs_err::set_permissions(&tree, PermissionsExt::from_mode(0o1751)).unwrap();
    set_mtime(&tree, 1_111_111_111, 111_111_111);
    folder
}

/// One of everything.
fn fill_rich(top: &Path) {
    write(top, "plain", b"plain contents\n", 0o644);
    write(top, "empty", b"", 0o600);
    write(top, "big", &vec![7; 300_000], 0o755);
    write(top, "set-id", b"#!/bin/sh\n", 0o6755);
    write(top, "locked/inside", b"in a folder that nobody may write to", 0o400);
    write(top, "deep/er/and/deeper/file", b"x", 0o644);
    write(top, &"n".repeat(255), b"a long name", 0o644);
    fs_err::create_dir(top.join("void")).unwrap();
    fs_err::set_permissions(top.join("void"), PermissionsExt::from_mode(0o2771)).unwrap();
    fs_err::hard_link(top.join("plain"), top.join("zz-second-name")).unwrap();
    fs_err::hard_link(top.join("plain"), top.join("deep/er/third-name")).unwrap();
    fs_err::os::unix::fs::symlink("/nowhere/../\u{fc}", top.join("symlink")).unwrap();
    let name = std::ffi::OsStr::new("link-2");
    fs_err::hard_link(top.join("symlink"), top.join(name)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    set_xattr(&top.join("big"), "user.note", b"\0\xff");
    set_xattr(&top.join("void"), "user.folder", b"f");
    if is_root() {
        add_what_only_root_may(top);
    }
    set_mtime(&top.join("symlink"), 1_000_000_000, 123_456_789);
    set_mtime(&top.join("empty"), -86_400, 250_000_000);
    set_mtime(&top.join("fifo"), 5, 1);
    let locked = top.join("locked");
    fs_err::set_permissions(&locked, PermissionsExt::from_mode(0o555)).unwrap();
    set_mtime(&locked, 1_234_567_890, 1);
    set_mtime(&top.join("deep/er"), 77, 0);
    set_mtime(top, 99, 99);
}

/// Owners, capabilities, access lists and devices.
fn add_what_only_root_may(top: &Path) {
    let (file, owner) = (top.join("set-id"), Some(rustix::fs::Uid::from_raw(12_345)));
    let group = Some(rustix::fs::Gid::from_raw(54_321));
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(rustix::fs::CWD, &file, owner, group, flags).unwrap();
    rustix::fs::chownat(rustix::fs::CWD, top.join("symlink"), owner, group, flags).unwrap();
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o6755)).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set_xattr(&top.join("big"), "security.capability", &capability);
    set_xattr(&top.join("link-2"), "trusted.on-a-link", b"t");
    let acl = [
        &[2_u8, 0, 0, 0][..],
        &[1, 0, 7, 0, 0xff, 0xff, 0xff, 0xff],
        &[2, 0, 4, 0, 0xe8, 3, 0, 0],
        &[4, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x10, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
        &[0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff],
    ]
    .concat();
    set_xattr(&top.join("deep"), "system.posix_acl_default", &acl);
    set_xattr(&top.join("deep/er/and"), "system.posix_acl_access", &acl);
    let device = rustix::fs::makedev(1, 7);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        top.join("device"),
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        device,
    )
    .unwrap();
}

fn rich_fixture() -> Fixture {
    let folder = rich_tree();
    let tree_folder = folder.path().join("tree");
    let arguments = [
        "--create",
        "--file=../package.tar.gz",
        "--gzip",
        "--format=posix",
        "--xattrs",
        "--xattrs-include=*",
        "--sort=name",
        "--transform=flags=rSH;s,^usr,package-1.0,",
        "--transform=flags=h;s,^usr,package-1.0,",
        "--numeric-owner",
        "usr",
    ];
    run("tar", &arguments, &tree_folder);
    let bytes = fs_err::read(folder.path().join("package.tar.gz")).unwrap();
    let url = "http://packages.example/package-1.0.tar.gz";
    let mut top = tree("package-1.0", "usr");
    top.except = Vec::new();
    let package = package(url, &bytes, "tar", vec![top]);
    Fixture::new(folder, vec![(package, bytes)])
}

#[test]
fn a_rich_tree_comes_back_exactly() {
    let fixture = rich_fixture();
    assert!(fixture.manifest.archived.len() > 15, "half of it is archived");
    assert!(fixture.manifest.archived.paths().all(|path| !path.starts_with(b"usr/")));
    let (summary, recorder) = fixture.unpack();
    fixture.assert_restored(&summary, &recorder);
    assert_eq!(summary.entries, fixture.manifest.tree.entries);
    assert_eq!(summary.bytes, fixture.manifest.tree.bytes);
}

#[test]
fn a_plain_tar_is_filled_in_and_a_second_time_nothing_is_done() {
    let fixture = rich_fixture();
    fixture.archive();
    fs_err::create_dir(fixture.target()).unwrap();
    let arguments = ["--extract", "--file=../archive.tar", "-p", "--xattrs", "--xattrs-include=*"];
    run("tar", &arguments, &fixture.target());
    let manifest = fs_err::read(fixture.target().join(MANIFEST_NAME)).unwrap();

    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &fixture.target(), &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);

    fs_err::write(fixture.target().join(MANIFEST_NAME), manifest).unwrap();
    set_mtime(&fixture.target(), 1_111_111_111, 111_111_111);
    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &fixture.target(), &recorder).unwrap();
    assert_eq!(recorder.recorded().downloads, 0);
    assert_eq!(summary.packages_used, 0);
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn what_was_changed_meanwhile_is_mended_and_the_rest_is_kept() {
    let fixture = rich_fixture();
    let archive = fixture.archive();
    fixture.unpack();
    let target = fixture.target();
    fs_err::write(target.join(MANIFEST_NAME), fixture.manifest.to_json()).unwrap();
    let locked = target.join("usr/locked");
    let mode = fs_err::metadata(&locked).unwrap().permissions();
    fs_err::set_permissions(&locked, PermissionsExt::from_mode(0o755)).unwrap();
    fs_err::remove_file(locked.join("inside")).unwrap();
    fs_err::set_permissions(&locked, mode).unwrap();
    fs_err::write(target.join("usr/empty"), "no longer empty").unwrap();
    let mut big = vec![7; 300_000];
    big[200_000] = 8;
    fs_err::write(target.join("usr/set-id"), b"#!/bin/sb\n").unwrap();
    fs_err::remove_file(target.join("usr/deep/er/third-name")).unwrap();
    fs_err::write(target.join("usr/deep/er/third-name"), b"plain contents\n").unwrap();
    fs_err::remove_file(target.join("own/symlink")).unwrap();
    fs_err::remove_dir(target.join("usr/void")).unwrap();
    // Two files that should be their own, as one; and a leftover of a killed run.
    fs_err::remove_file(target.join("usr/deep/er/and/deeper/file")).unwrap();
    fs_err::hard_link(
        target.join("own/deep/er/and/deeper/file"),
        target.join("usr/deep/er/and/deeper/file"),
    )
    .unwrap();
    fs_err::write(target.join("usr/deep/.hashget-0123456789abcdef.part"), "half").unwrap();
    drop(big);

    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &target, &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
    assert!(summary.kept_files > 5, "{summary:?}");
    drop(archive);
}

#[test]
fn assignments_and_single_files_and_nested_packages_come_back() {
    let inner = TarBuilder::new().file("src/main.c", b"int main;").finish();
    let outer = TarBuilder::new()
        .directory("top")
        .file("top/a", b"aaa")
        .file("top/b", b"bbb")
        .file("top/inner.tar.xz", &packages::compress("xz", &inner))
        .finish();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("tree");
    for (name, content) in
        [("laid/a", &b"aaa"[..]), ("laid/b", b"bbb"), ("code/main.c", b"int main;")]
    {
        write(&at, name, content, 0o640);
        set_mtime(&at.join(name), 1_700_003_600, 0);
    }
    for copy in ["copy 1", "laid/copy 2"] {
        write(&at, copy, b"bbb", 0o604);
        set_mtime(&at.join(copy), 1, 2);
    }
    write(&at, "package.tar", &outer, 0o644);
    set_mtime(&at.join("laid/b"), 1_000_000_000, 77);
    set_mtime(&at.join("laid"), 1_700_000_000, 0);
    fs_err::set_permissions(at.join("laid"), PermissionsExt::from_mode(0o755)).unwrap();

    let scan = scan_of(&at);
    let find = |name: &str| scan.get(&path(name)).unwrap().clone();
    let files: Vec<Entry> = ["copy 1", "laid/copy 2", "package.tar"].map(find).into();
    let from = vec![Some(path("top/b")), Some(path("top/b")), None];
    let owner = |id: u32| vec![Assignment { at: None, is: OneOrMany::One(id) }];
    let (uid, gid) = (files[0].metadata.uid, files[0].metadata.gid);
    let mode = vec![Assignment { at: Some(vec![0, 1]), is: OneOrMany::Many(vec![0o640, 0o640]) }];
    let shift = MtimeAssignment { at: Some(vec![0]), shift: Some(3600), ..Default::default() };
    let absolute = MtimeAssignment {
        at: Some(vec![1]),
        seconds: Some(vec![1_000_000_000]),
        nanoseconds: Some(vec![77]),
        ..Default::default()
    };
    let mut laid = tree("top", "laid");
    laid.except = vec![prefix("/inner.tar.xz")];
    (laid.mode, laid.uid, laid.gid) = (mode, owner(uid), owner(gid));
    laid.mtime = vec![shift.clone(), absolute];
    let mut code = tree("top/inner.tar.xz!/src/", "code/");
    code.mode = vec![Assignment { at: None, is: OneOrMany::One(0o640) }];
    (code.uid, code.gid) = (owner(uid), owner(gid));
    code.mtime = vec![MtimeAssignment { at: None, ..shift }];
    let url = "http://packages.example/outer.tar";
    let mut package = package(url, &outer, "tar", vec![laid, code]);
    package.files = EntryTable::new(&files).with_from(from);
    let fixture = Fixture::new(folder, vec![(package, outer)]);
    assert!(
        !fixture
            .in_tar
            .iter()
            .any(|path| path.as_bytes().contains(&b'a') && path.as_bytes() != b"laid")
    );

    let (summary, recorder) = fixture.unpack();
    fixture.assert_restored(&summary, &recorder);
    assert_eq!(summary.files_from_packages, 6);
}

#[test]
fn a_tree_that_holds_a_manifest_of_its_own_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("tree"), MANIFEST_NAME, b"{\"not\": \"ours\"}", 0o600);
    set_mtime(&folder.path().join("tree"), 44, 44);
    let mut fixture = Fixture::new(folder, vec![]);
    let stored = path("stored-under-this-name");
    fs_err::rename(fixture.tree().join(MANIFEST_NAME), fixture.tree().join(stored.as_path()))
        .unwrap();
    let archived =
        fixture.in_tar.iter_mut().find(|path| path.as_bytes() == MANIFEST_NAME.as_bytes());
    *archived.unwrap() = stored.clone();
    fixture.manifest.renamed = vec![Renamed { stored: stored.clone(), name: path(MANIFEST_NAME) }];
    let archive = fixture.archive();
    fs_err::rename(fixture.tree().join(stored.as_path()), fixture.tree().join(MANIFEST_NAME))
        .unwrap();
    set_mtime(&fixture.tree(), 44, 44);

    let recorder = Recorder::default();
    let summary = unpack(&fixture.source(), &archive, &fixture.target(), &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn paths_longer_than_the_system_takes_at_once_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let tree_folder = folder.path().join("tree");
    fs_err::create_dir(&tree_folder).unwrap();
    let mut at: std::os::fd::OwnedFd = std::fs::File::open(&tree_folder).unwrap().into();
    let component = "d".repeat(250);
    let flags = rustix::fs::OFlags::DIRECTORY;
    for _ in 0..20 {
        rustix::fs::mkdirat(&at, &*component, rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &*component, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let create = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file = rustix::fs::openat(&at, "leaf", create, rustix::fs::Mode::RUSR).unwrap();
    rustix::io::write(&file, b"far down").unwrap();

    let scan = scan_of(&tree_folder);
    let leaf = scan.entries.last().unwrap().clone();
    assert!(leaf.path.as_bytes().len() > 5000 && matches!(leaf.kind, Kind::File { size: 8 }));
    let package_bytes = TarBuilder::new().file("leaf", b"far down").finish();
    let mut package =
        package("http://packages.example/leaf.tar", &package_bytes, "tar", Vec::new());
    package.files = EntryTable::new([&leaf]).with_from(vec![Some(path("leaf"))]);
    let mut fixture = Fixture::new(folder, vec![(package, package_bytes)]);
    // GNU tar cannot name them: the folders come from the manifest alone.
    fixture.in_tar = vec![RelPath::root()];
    let (summary, recorder) = fixture.unpack();
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn a_file_with_its_digest_and_nothing_else_to_fetch_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let tree_folder = folder.path().join("tree");
    write(&tree_folder, "one", b"1", 0o644);
    write(&tree_folder, "two", b"22", 0o644);
    let scan = scan_of(&tree_folder);
    let mut packages = Vec::new();
    for (name, content) in [("one", &b"1"[..]), ("two", b"22")] {
        let url = format!("http://packages.example/{name}");
        let mut package = package(&url, content, "file", Vec::new());
        let entry = scan.get(&path(name)).unwrap();
        assert_eq!(entry.sha256, Some(Digest::of(content)));
        package.files = EntryTable::new([entry]).with_from(vec![None]);
        packages.push((package, content.to_vec()));
    }
    let fixture = Fixture::new(folder, packages);
    fixture.unpack();
    fs_err::write(fixture.target().join(MANIFEST_NAME), fixture.manifest.to_json()).unwrap();
    fs_err::remove_file(fixture.target().join("two")).unwrap();
    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &fixture.target(), &recorder).unwrap();
    assert_eq!((recorder.recorded().downloads, summary.kept_files), (1, 1));
    fixture.assert_restored(&summary, &recorder);
}
