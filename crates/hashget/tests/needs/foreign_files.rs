//! Files of other users in the target, with the right contents: they are not kept.
//!
//! Invariant: whoever had something open before cannot write into what is restored.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::Recorder;
use hashget_testkit::trees;

use crate::support::*;

const USER: u32 = 1000;

/// Copies a file to where it is to be restored, and keeps it open for writing.
fn lay(fixture: &Fixture, name: &str, (owner, mode): (u32, u32)) -> File {
    let text = fs_err::read(fixture.tree().join(name)).unwrap();
    let file = trees::file(&fixture.target(), name, text);
    trees::owner(&file, owner, owner);
    trees::mode(&file, mode);
    File::options().write(true).open(file).unwrap()
}

#[track_caller]
fn assert_not_written(open: &File, restored: &Path) {
    let before = fs_err::read(restored).unwrap();
    assert_ne!(open.metadata().unwrap().ino(), fs_err::metadata(restored).unwrap().ino());
    open.write_all_at(b"#!/bin/sh", 0).unwrap();
    assert_eq!(fs_err::read(restored).unwrap(), before);
}

pub(crate) fn a_file_that_another_user_may_still_write_to_is_made_anew() {
    let fixture = two_packages();
    // Of another user; of ours, but writable by all or by a group.
    let laid = [
        ("one/00", (USER, 0o644)),
        ("one/01", (0, 0o666)),
        ("two/02", (0, 0o664)),
        ("two/03", (USER, 0o600)),
    ]
    .map(|(name, as_it_was)| (name, lay(&fixture, name, as_it_was)));
    let kept = lay(&fixture, "one/49", (0, 0o600));
    let told = Recorder::default();
    let target = fixture.target();
    let summary = unpack(&fixture.source(), &fixture.archive(), &target, &told).unwrap();
    fixture.assert_restored(&summary, &told);
    for (name, open) in &laid {
        assert_not_written(open, &target.join(name));
    }
    // One that nobody else could write to stays.
    let inode = fs_err::metadata(target.join("one/49")).unwrap().ino();
    assert_eq!(inode, kept.metadata().unwrap().ino());
}

pub(crate) fn what_a_plain_tar_of_a_user_left_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    trees::file(&tree, "job", "echo job of root");
    trees::sparse(&tree, "sparse", 1 << 20, &[(1 << 19, b"in the middle")]);
    trees::fifo(&tree, "pipe");
    trees::symlink(&tree, "link", "job");
    let of_user = trees::file(&tree, "own", "of the user");
    trees::owner(&of_user, USER, USER);
    let fixture = Fixture::new(folder, vec![]);
    let target = fixture.target();
    let names = ["job", "sparse", "own"];
    let laid = names.map(|name| (name, lay(&fixture, name, (USER, 0o644))));
    for path in [trees::fifo(&target, "pipe"), trees::symlink(&target, "link", "job")] {
        trees::owner(&path, USER, USER);
    }
    let inode = |name: &str| fs_err::symlink_metadata(target.join(name)).unwrap().ino();
    let before = ["pipe", "link"].map(inode);
    fs_err::write(target.join(MANIFEST_NAME), fixture.manifest.to_json()).unwrap();

    let told = Recorder::default();
    let summary = restore(&fixture.source(), &target, &told).unwrap();
    fixture.assert_restored(&summary, &told);
    for (name, open) in &laid[..2] {
        assert_not_written(open, &target.join(name));
    }
    // The user's own file may stay the user's.
    assert_eq!(inode("own"), laid[2].1.metadata().unwrap().ino());
    let after = ["pipe", "link"].map(inode);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));
}
