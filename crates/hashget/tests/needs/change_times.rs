//! The file systems whose times the scan cache believes: each change must change the ctime.
//!
//! Invariant: every type of `TRUSTED_FILE_SYSTEMS` (in `tree/scan_cache.rs`) is mounted and tried.

use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use hashget_testkit::trees;

use crate::images::on_image;

/// A change; of a file, one that leaves its size as it is.
type Change = fn(&Path);

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
        let before = fs_err::metadata(&path).unwrap().size();
        is_seen(name, &path, change);
        assert_eq!(fs_err::metadata(&path).unwrap().size(), before, "{name}");
    }
    // Of folders and links is remembered that they have no attributes.
    let (inner, link) = (folder.join("folder"), folder.join("link"));
    fs_err::create_dir(&inner).unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    is_seen("attribute of a folder", &inner, |path| assert!(trees::xattr(path, "user.note", b"")));
    is_seen("attribute of a link", &link, |path| assert!(trees::xattr(path, "trusted.note", b"")));
}

/// Makes the change, which must change the ctime.
fn is_seen(name: &str, path: &Path, change: Change) {
    let times = || {
        let found = fs_err::symlink_metadata(path).unwrap();
        (found.ctime(), found.ctime_nsec())
    };
    let before = times();
    // More than a tick of the clock.
    std::thread::sleep(Duration::from_millis(20));
    change(path);
    assert_ne!(before, times(), "{name}");
}

fn writable(path: &Path) -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open(path).unwrap()
}

pub(crate) fn ext4_sets_the_ctime_at_every_change() {
    on_image("mkfs.ext4", &["-q", "-F"], every_change_is_seen);
}

pub(crate) fn xfs_sets_the_ctime_at_every_change() {
    on_image("mkfs.xfs", &["-q"], every_change_is_seen);
}

pub(crate) fn btrfs_sets_the_ctime_at_every_change() {
    on_image("mkfs.btrfs", &["-q"], every_change_is_seen);
}
