//! `mount`: what is refused before anything is mounted. (Real mounts: `needs/mount.rs`.)

mod support;

use hashget_testkit::origin::Origin;
use support::Machine;

fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/note", "mine");
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    machine.write("full/file", "in the way");
    machine.write("empty/inside/file", "");
    fs_err::remove_dir_all(machine.path("empty/inside")).expect("it was just made");
    machine
}

#[test]
fn a_mount_point_is_an_empty_folder() {
    let machine = machine();
    for (at, why) in [
        ("nowhere", "nowhere does not exist: give an empty folder"),
        ("a.tar.zst", "a.tar.zst is not a folder: give an empty folder"),
        ("full", "full is not empty"),
    ] {
        machine.hashget(&["mount", "a.tar.zst", at]).expect(2).says(&[why]);
    }
}

#[test]
fn what_cannot_be_mounted_is_said() {
    let machine = machine();
    machine.write("notes/a.txt", "no archive");
    machine.hashget(&["mount", "-", "empty"]).expect(2).says(&["give a file or a URL"]);
    let url = Origin::start().url("/gone.tar.zst");
    machine.hashget(&["mount", &url, "empty"]).expect(5).says(&["cannot mount", "gone.tar.zst"]);
    machine.hashget(&["mount", "notes", "empty"]).expect(2).says(&["no archive lies in notes"]);
    machine.hashget(&["mount", "gone.tar", "empty"]).expect(1).says(&["gone.tar"]);
    machine.write("broken.tar", "no tar");
    machine
        .hashget(&["mount", "broken.tar", "empty"])
        .expect(1)
        .says(&["cannot mount broken.tar", "this is not an archive"]);
}
