//! Trees on a file system with odd habits: what is packed comes back, and what cannot be packed is named, with code 3.
//!
//! Invariant: pack ends, its archive unpacks, and its exit code says whether something is missing.

use hashget_testkit::odd_folder::{OddEntry, OddFolder, TIME, file, folder};

use crate::support::{Ended, Machine, files_below};

/// Packs a tree with these entries, and unpacks the archive into `back`; how packing ended.
fn packed(entries: &[OddEntry], code: i32) -> (Machine, Ended) {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("odd")).unwrap();
    let odd = OddFolder::mount(&machine.path("odd"), entries).unwrap();
    let pack = ["pack", "odd", "-f", "a.tar.zst", "--detect", "none", "--no-scan-cache"];
    let ended = machine.hashget(&pack).expect(code);
    drop(odd);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
    (machine, ended)
}

fn text(machine: &Machine, name: &str) -> String {
    fs_err::read_to_string(machine.path("back").join(name)).unwrap()
}

pub(crate) fn a_name_that_is_listed_twice_is_one_entry() {
    let entries =
        [file("a", b"a"), file("b", b"b").listed(2), file("c", b"c"), folder("d").listed(3)];
    let (machine, _) = packed(&entries, 0);
    assert_eq!(files_below(&machine.path("back")), ["a", "b", "c"]);
    assert!(machine.path("back/d").is_dir());
}

pub(crate) fn contents_are_read_to_their_end_whatever_the_size_says() {
    const LONG: &[u8] = &[b'x'; 300_000];
    let entries = [
        file("empty", b"").of_size(0),
        file("none", b"important text").of_size(0),
        file("less", LONG).of_size(1 << 17),
        file("more", b"twelve bytes").of_size(4096),
    ];
    let (machine, _) = packed(&entries, 0);
    assert_eq!(text(&machine, "none"), "important text");
    assert_eq!(text(&machine, "more"), "twelve bytes");
    assert_eq!(text(&machine, "empty"), "");
    assert_eq!(fs_err::read(machine.path("back/less")).unwrap(), LONG);
}

pub(crate) fn what_is_listed_and_not_found_is_missing() {
    let entries = [
        file("a", b"a"),
        file("precious", b"p").not_found(),
        folder("folder").not_found(),
        folder("kept"),
        file("inside", b"i").within(3),
    ];
    let (machine, ended) = packed(&entries, 3);
    ended.says(&["precious: cannot be read", "folder: cannot be read"]);
    assert_eq!(files_below(&machine.path("back")), ["a", "kept/inside"]);
}

pub(crate) fn a_folder_whose_attributes_cannot_be_read_is_kept_with_all_in_it() {
    let entries = [
        folder("folder").without_attributes(),
        file("inside", b"i").within(0),
        folder("further").within(0),
        file("deep", b"d").within(2).without_attributes(),
    ];
    let (machine, ended) = packed(&entries, 3);
    ended.says(&["folder: kept without some of its attributes", "deep: kept without"]);
    assert_eq!(files_below(&machine.path("back")), ["folder/further/deep", "folder/inside"]);
}

pub(crate) fn files_that_share_an_inode_number_by_mistake_stay_apart() {
    let entries = [
        file("one", b"the contents of one").of_inode(77, 0),
        file("one-too", b"the contents of one").of_inode(77, 0),
        file("two", b"something else").of_inode(77, 5),
        file("two-too", b"something else").of_inode(77, 5),
    ];
    let (machine, _) = packed(&entries, 0);
    for name in ["one", "one-too"] {
        assert_eq!(text(&machine, name), "the contents of one");
    }
    for name in ["two", "two-too"] {
        assert_eq!(text(&machine, name), "something else");
        let modified =
            fs_err::metadata(machine.path("back").join(name)).unwrap().modified().unwrap();
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(i64::try_from(seconds).unwrap(), TIME + 5);
    }
}
