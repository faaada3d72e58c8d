//! The file systems whose times the scan cache believes: each change of a file must change its ctime.
//!
//! Invariant: every type of `TRUSTED_FILE_SYSTEMS` (in `tree/scan_cache.rs`) is mounted and tried.

use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hashget_testkit::trees;

/// A change of a file that leaves its size as it is.
type Change = fn(&Path);

/// Makes a file system with `program`, mounts it and tries every change on it.
fn tried(program: &str, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let (image, mounted) = (folder.path().join("image"), folder.path().join("mounted"));
    fs_err::File::create(&image).unwrap().set_len(400 << 20).unwrap();
    fs_err::create_dir(&mounted).unwrap();
    let image = image.to_str().unwrap();
    let at = mounted.to_str().unwrap();
    run(program, &[options, &[image]].concat());
    run("mount", &["-o", "loop", image, at]);
    let result = std::panic::catch_unwind(|| every_change_is_seen(&mounted));
    run("umount", &["--lazy", at]);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

fn every_change_is_seen(folder: &Path) {
    let changes: [(&str, Change); 7] = [
        ("write", |path| writable(path).write_all_at(b"X", 5).unwrap()),
        ("write, and the mtime as before", |path| {
            let file = writable(path);
            let before = file.metadata().unwrap().modified().unwrap();
            file.write_all_at(b"Y", 5).unwrap();
            file.set_modified(before).unwrap();
        }),
        ("shorter and longer again", |path| {
            let file = writable(path);
            file.set_len(100).unwrap();
            file.set_len(9000).unwrap();
        }),
        ("mode", |path| {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("attribute", |path| assert!(trees::xattr(path, "user.note", b"one"))),
        ("another value of the attribute", |path| assert!(trees::xattr(path, "user.note", b"two"))),
        ("owner", |path| std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap()),
    ];
    let path = trees::file(folder, "file", vec![b'x'; 9000]);
    for (name, change) in changes {
        let before = fs_err::metadata(&path).unwrap();
        // More than a tick of the clock.
        std::thread::sleep(Duration::from_millis(20));
        change(&path);
        let after = fs_err::metadata(&path).unwrap();
        let times = |of: &std::fs::Metadata| (of.ctime(), of.ctime_nsec());
        assert_ne!(times(&before), times(&after), "{name}");
        assert_eq!(before.size(), after.size(), "{name}");
    }
}

fn writable(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open(path).unwrap()
}

pub(crate) fn ext4_sets_the_ctime_at_every_change() {
    tried("mkfs.ext4", &["-q", "-F"]);
}

pub(crate) fn xfs_sets_the_ctime_at_every_change() {
    tried("mkfs.xfs", &["-q"]);
}

pub(crate) fn btrfs_sets_the_ctime_at_every_change() {
    tried("mkfs.btrfs", &["-q"]);
}
