//! Archives that GNU tar, dpkg-deb and zip make of a real tree, compared with what is on disk.
//!
//! Invariant: every entry on disk is compared, and there are no other members.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use hashget::model::{Kind, Member};
use tempfile::TempDir;

use crate::collect::{Collected, noise, read};

/// Makes a tree; with names and times that only pax holds if `rich`.
fn tree(rich: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("sub/deeper")).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    fs::write(root.join("sub/empty"), "").unwrap();
    fs::write(root.join("sub/large"), noise(123_457)).unwrap();
    fs::hard_link(root.join("file"), root.join("sub/same")).unwrap();
    symlink("../file", root.join("sub/link")).unwrap();
    symlink("/nowhere at all", root.join("dangling")).unwrap();
    fs::set_permissions(root.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(root.join("sub/deeper"), fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    set_mtime(&root.join("sub/empty"), 1_234_567_890, if rich { 123_456_789 } else { 0 });
    if rich {
        fs::write(root.join(OsStr::from_bytes(b"latin-\xe9\xff")), "latin").unwrap();
        fs::write(root.join("new\nline = 5"), "odd").unwrap();
        let long = root.join("l".repeat(120)).join("m".repeat(200));
        fs::create_dir_all(&long).unwrap();
        fs::write(long.join("n".repeat(255)), "deep").unwrap();
        symlink("t".repeat(300), root.join("long link")).unwrap();
        fs::hard_link(long.join("n".repeat(255)), root.join("to deep")).unwrap();
        let early = root.join("early");
        fs::write(&early, "before 1970").unwrap();
        let time = UNIX_EPOCH - Duration::new(100, 250_000_000);
        File::options()
            .write(true)
            .open(&early)
            .unwrap()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
    }
    folder
}

fn set_mtime(path: &Path, seconds: u64, nanoseconds: u32) {
    let time = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let file = File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Packs the tree by GNU tar.
fn gnu_tar(root: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(arguments).args(["-c", "-C"]).arg(root).arg(".").output();
    let output = output.expect("GNU tar is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn walk(root: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            walk(&path, found);
        }
        found.push(path);
    }
}

/// Compares every entry on disk with its member below `prefix`.
#[track_caller]
fn assert_same(root: &Path, collected: &Collected, prefix: &str, nanoseconds: bool) {
    let mut paths = Vec::new();
    walk(root, &mut paths);
    assert_eq!(collected.members.len(), paths.len());
    for path in paths {
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes();
        let (member, content) = collected.find(&[prefix.as_bytes(), name].concat());
        assert_metadata(&path, member, nanoseconds);
        let on_disk = path.symlink_metadata().unwrap();
        match &member.kind {
            Kind::File { size } => {
                assert!(on_disk.is_file());
                assert_eq!(*size, on_disk.len());
                assert!(*content == fs::read(&path).unwrap(), "{path:?}");
            }
            Kind::HardLink { target } => {
                let target = target.as_bytes().strip_prefix(prefix.as_bytes()).unwrap();
                let target = root.join(OsStr::from_bytes(target)).metadata().unwrap();
                assert_eq!(target.ino(), on_disk.ino());
            }
            Kind::Symlink { target } => {
                assert_eq!(fs::read_link(&path).unwrap().as_os_str().as_bytes(), &**target);
            }
            Kind::Directory => assert!(on_disk.is_dir()),
            Kind::Fifo => assert!(on_disk.file_type().is_fifo()),
            other => panic!("{path:?} is {other:?}"),
        }
    }
}

#[track_caller]
fn assert_metadata(path: &Path, member: &Member, nanoseconds: bool) {
    let on_disk = path.symlink_metadata().unwrap();
    let metadata = &member.metadata;
    assert_eq!(metadata.mode, Some(on_disk.mode() & 0o7777), "{path:?}");
    assert_eq!(metadata.uid, Some(on_disk.uid()), "{path:?}");
    assert_eq!(metadata.gid, Some(on_disk.gid()), "{path:?}");
    let mtime = member.mtime();
    assert_eq!(mtime.seconds, on_disk.mtime(), "{path:?}");
    let expected = if nanoseconds { on_disk.mtime_nsec() } else { 0 };
    assert_eq!(i64::from(mtime.nanoseconds), expected, "{path:?}");
}

pub(crate) fn every_format_of_gnu_tar() {
    let plain = tree(false);
    let rich = tree(true);
    for (format, tree, nanoseconds) in [
        ("v7", &plain, false),
        ("ustar", &plain, false),
        ("oldgnu", &rich, false),
        ("gnu", &rich, false),
        ("pax", &rich, true),
    ] {
        let mut arguments = vec![format!("--format={format}")];
        if format == "v7" {
            // It has no type for them.
            arguments.push("--exclude=./pipe".into());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (name, mut collected) = read(&gnu_tar(tree.path(), &arguments));
        assert_eq!(name, "tar", "{format}");
        assert_eq!(collected.bad, []);
        if format == "v7" {
            fs::remove_file(tree.path().join("pipe")).unwrap();
        }
        assert_same(tree.path(), &collected, "", nanoseconds);
        if format == "v7" {
            assert!(
                Command::new("mkfifo").arg(tree.path().join("pipe")).status().unwrap().success()
            );
        }
        collected.members.clear();
    }
}

fn compressed_by(option: &str) {
    let tree = tree(true);
    let (_, collected) = read(&gnu_tar(tree.path(), &["--format=pax", option]));
    assert_same(tree.path(), &collected, "", true);
}

pub(crate) fn compressed_by_gzip() {
    compressed_by("--gzip");
}

pub(crate) fn compressed_by_xz() {
    compressed_by("--xz");
}

pub(crate) fn compressed_by_zstd() {
    compressed_by("--zstd");
}

pub(crate) fn compressed_by_bzip2() {
    compressed_by("--bzip2");
}

pub(crate) fn compressed_by_lz4() {
    compressed_by("--use-compress-program=lz4");
}

pub(crate) fn extended_attributes_of_gnu_tar() {
    let tree = tree(false);
    let file = tree.path().join("file");
    let value = b"a\0=\nb";
    rustix::fs::setxattr(&file, "user.note", value, rustix::fs::XattrFlags::empty()).unwrap();
    let archive = gnu_tar(tree.path(), &["--format=pax", "--xattrs"]);
    let (_, collected) = read(&archive);
    assert_same(tree.path(), &collected, "", true);
    let with: Vec<_> =
        collected.members.iter().filter(|(member, _)| !member.metadata.xattrs.is_empty()).collect();
    assert!(!with.is_empty());
    for (member, _) in with {
        assert_eq!(member.metadata.xattrs[&b"user.note"[..]].as_ref(), value);
    }
}

pub(crate) fn incremental_and_labelled_archives_of_gnu_tar() {
    let tree = tree(false);
    let snapshot = tempfile::NamedTempFile::new().unwrap();
    let snapshot = format!("--listed-incremental={}", snapshot.path().display());
    let archive = gnu_tar(tree.path(), &["--format=gnu", "--label=Backup", &snapshot]);
    let (_, collected) = read(&archive);
    assert_same(tree.path(), &collected, "", false);
}

pub(crate) fn packages_of_dpkg_deb() {
    let tree = tree(true);
    fs::remove_file(tree.path().join("new\nline = 5")).unwrap();
    let debian = tree.path().join("DEBIAN");
    fs::create_dir(&debian).unwrap();
    let control = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: X <x@example.org>\nDescription: x\n";
    fs::write(debian.join("control"), control).unwrap();
    let target = tempfile::tempdir().unwrap();
    let mut packages = Vec::new();
    for compression in ["gzip", "xz", "zstd", "none"] {
        let package = target.path().join(format!("{compression}.deb"));
        let built = Command::new("dpkg-deb")
            .args(["--build", "--uniform-compression", "-Z", compression])
            .arg(tree.path())
            .arg(&package)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        // Debian's own dpkg learned zstd only in version 12.
        if compression == "zstd" && said.contains("unknown compression") {
            continue;
        }
        assert!(built.status.success(), "{compression}: {said}");
        packages.push(fs::read(package).unwrap());
    }
    fs::remove_dir_all(&debian).unwrap();
    assert!(packages.len() >= 3);
    for package in packages {
        let (name, mut collected) = read(&package);
        assert_eq!(name, "deb");
        assert_eq!(collected.content("control/control"), control.as_bytes());
        collected.members.retain(|(member, _)| member.path.as_bytes().starts_with(b"data/"));
        assert_same(tree.path(), &collected, "data/", false);
    }
}

pub(crate) fn archives_of_the_zip_program() {
    let tree = tree(false);
    let archive = tempfile::tempdir().unwrap();
    let archive = archive.path().join("x.zip");
    let output = Command::new("zip")
        .args(["-q", "-r", "-y"])
        .arg(&archive)
        .args([".", "-x", "pipe"])
        .current_dir(tree.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(tree.path().join("pipe")).unwrap();
    let (name, collected) = read(&fs::read(&archive).unwrap());
    assert_eq!(name, "zip");
    let mut paths = Vec::new();
    walk(tree.path(), &mut paths);
    assert_eq!(collected.members.len(), paths.len());
    for path in paths {
        let name = path.strip_prefix(tree.path()).unwrap();
        let (member, content) = collected.find(name.as_os_str().as_bytes());
        let on_disk = path.symlink_metadata().unwrap();
        assert_eq!(member.metadata.mode, Some(on_disk.mode() & 0o7777), "{path:?}");
        assert_eq!(member.mtime().seconds, on_disk.mtime(), "{path:?}: in UTC");
        if on_disk.is_file() {
            assert!(*content == fs::read(&path).unwrap(), "{path:?}");
        }
    }
}
