//! Entries at the ends of what file systems hold: what is packed comes back.
//!
//! Invariant: an archive that was written without a word unpacks without one.

use std::path::Path;

use hashget_testkit::small_disk::SmallDisk;
use hashget_testkit::trees::{self, differences, snapshot};

use crate::support::Machine;

/// Packs the tree `disk/tree` that `make` made on a file system, and restores it beside itself.
fn there_and_back(machine: &Machine, make: impl FnOnce(&Path)) {
    let tree = machine.path("disk/tree");
    fs_err::create_dir(&tree).unwrap();
    make(&tree);
    trees::file(&tree, "zz behind it", "nothing behind it is lost");
    machine.hashget(&["pack", "disk/tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    let unpack = ["unpack", "a.tar.zst", "-C", "disk/back"];
    machine.hashget(&unpack).expect(0).says(&["Proven: the folder is exactly what was packed"]);
}

fn on_memory() -> (Machine, SmallDisk) {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("disk")).unwrap();
    let disk = SmallDisk::mount(&machine.path("disk"), 64 << 20).unwrap();
    (machine, disk)
}

pub(crate) fn files_of_any_size_come_back_and_so_do_sums_beyond_64_bits() {
    let (machine, _disk) = on_memory();
    let sizes = [5 << 40, (1 << 63) - 4096, (1 << 63) - 4096, (1 << 63) - 8192];
    there_and_back(&machine, |tree| {
        for (number, size) in (0..).zip(sizes) {
            trees::sparse(
                tree,
                format!("{number}"),
                size,
                &[(size / 4096 * 2048, b"in the middle")],
            );
        }
    });
    for (number, size) in (0..).zip(sizes) {
        let back = machine.path(&format!("disk/back/{number}"));
        assert_eq!(fs_err::metadata(back).unwrap().len(), size);
    }
}

pub(crate) fn times_at_both_ends_come_back() {
    let (machine, _disk) = on_memory();
    there_and_back(&machine, |tree| {
        for (name, seconds) in [("first", i64::MIN), ("early", -1), ("last", i64::MAX)] {
            trees::mtime(&trees::file(tree, name, name), seconds, 999_999_999);
        }
    });
    let (tree, back) = (machine.path("disk/tree"), machine.path("disk/back"));
    assert_eq!(differences(&snapshot(&tree), &snapshot(&back)), Vec::<String>::new());
}

pub(crate) fn megabytes_of_attributes_come_back() {
    let machine = Machine::new();
    let disk = machine.path("disk");
    fs_err::create_dir(&disk).unwrap();
    let kind = ("mkfs.xfs", &["-q"][..]);
    let _disk = SmallDisk::image(&disk, &machine.path("image"), 400 << 20, kind);
    there_and_back(&machine, |tree| {
        for entry in [trees::file(tree, "file", "text"), trees::folder(tree, "folder")] {
            for number in 0..40_u8 {
                assert!(trees::xattr(&entry, &format!("user.{number}"), &[number; 65_536]));
            }
        }
    });
    let (tree, back) = (machine.path("disk/tree"), machine.path("disk/back"));
    assert_eq!(differences(&snapshot(&tree), &snapshot(&back)), Vec::<String>::new());
}
