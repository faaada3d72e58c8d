//! Archives of one series on a file system that can share blocks between files.
//!
//! Invariant: what is measured is the room that is left on the disk.

use std::path::Path;

use hashget::codec::Codec;
use hashget::fetch::Offline;
use hashget::hashdb::NoHashDb;
use hashget::limits::Limits;
use hashget::monitor::Silent;
use hashget::pack::{Output, PackOptions, Packer};
use hashget_testkit::trees;

use crate::images::on_image;

/// Bytes that do not compress, others for each `seed`.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).take(length / 8).flatten().collect()
}

fn nights_take_the_room_of_what_changed(disk: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs_err::create_dir(&tree).unwrap();
    for number in 0..10 {
        trees::file(&tree, format!("{number}"), noise(number, 5 << 20));
    }
    let limits = Limits::default();
    let packer = Packer {
        hashdb: &NoHashDb,
        source: &Offline,
        web: &Offline,
        shared: None,
        mirrors: &[],
        limits: &limits,
        jobs: 1,
    };
    let pack = |night: u64, earlier: Option<u64>| {
        let path = |night: u64| disk.join(format!("night-{night}.tar.zst"));
        let options =
            PackOptions { codec: Codec::Zstd, reuse: earlier.map(path), ..PackOptions::default() };
        packer.pack(&tree, Output::File(path(night)), &options, &Silent).unwrap();
        fs_err::read(path(night)).unwrap()
    };
    pack(1, None);
    let room = free_bytes(disk);
    for night in 2..8 {
        trees::file(&tree, "0", noise(100 + night, 1 << 20));
        assert!(pack(night, Some(night - 1)).len() > 45 << 20);
    }
    let taken = room - free_bytes(disk);
    // Six nights of 46 MiB each, of which 1 MiB is new.
    assert!(taken < 40 << 20, "{taken} bytes");
}

fn free_bytes(disk: &Path) -> u64 {
    rustix::fs::syncfs(fs_err::File::open(disk).unwrap()).unwrap();
    let found = rustix::fs::statvfs(disk).unwrap();
    found.f_bfree * found.f_frsize
}

pub(crate) fn nights_on_xfs_take_the_room_of_what_changed() {
    on_image("mkfs.xfs", &["-q", "-m", "reflink=1"], nights_take_the_room_of_what_changed);
}

pub(crate) fn nights_on_btrfs_take_the_room_of_what_changed() {
    on_image("mkfs.btrfs", &["-q"], nights_take_the_room_of_what_changed);
}
