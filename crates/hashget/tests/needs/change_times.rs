//! The file systems whose times the scan cache believes: each change of a file must change its ctime.
//!
//! Invariant: every type of `TRUSTED_FILE_SYSTEMS` (in `tree/scan_cache.rs`) is mounted and tried.

use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use hashget_testkit::trees;

use crate::images::on_image;

/// A change of a file that leaves its size as it is.
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
    on_image("mkfs.ext4", &["-q", "-F"], every_change_is_seen);
}

pub(crate) fn xfs_sets_the_ctime_at_every_change() {
    on_image("mkfs.xfs", &["-q"], every_change_is_seen);
}

pub(crate) fn btrfs_sets_the_ctime_at_every_change() {
    on_image("mkfs.btrfs", &["-q"], every_change_is_seen);
}
