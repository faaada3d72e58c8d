//! A user's restore of root's tree: rehearsed, and in place over what is there.
//!
//! Invariant: no file of a user's gets a set-user-ID or set-group-ID bit that was packed for another owner, and what belongs to others
//! in the target stays as it is, or is named.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use hashget_testkit::trees::{self, snapshot};

use crate::support::{Ended, Machine};

/// The user's number, and that of the user's group.
const USER: u32 = 65_534;

/// A machine with an archive of a tree of several owners, and a folder `home` of the user's.
fn machine() -> Machine {
    let machine = Machine::new();
    trees::mode(&machine.path("."), 0o755);
    let tree = machine.path("tree");
    for (name, owner, mode) in [
        ("a/of root", 0, 0o4755),
        ("a/of others", 5, 0o2755),
        ("b/plain", 1000, 0o644),
        ("b/own", USER, 0o4711),
    ] {
        let file = trees::file(&tree, name, name);
        trees::owner(&file, owner, owner);
        trees::mode(&file, mode);
    }
    trees::mode(&trees::folder(&tree, "b/closed"), 0o500);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"]).expect(0);
    trees::mode(&machine.path("a.tar.zst"), 0o644);
    trees::owner(&trees::folder(&machine.path("."), "home"), USER, USER);
    machine
}

/// The program, run by the user.
fn of_user(machine: &Machine, arguments: &[&str]) -> Ended {
    let home = machine.path("home");
    let child = machine.start(arguments, |command| {
        command.env("HASHGET_DB", home.join("db")).env("HASHGET_CACHE", home.join("cache"));
        command.env("TMPDIR", &home).uid(USER).gid(USER);
    });
    Ended::wait(child)
}

const IN_PLACE: [&str; 7] =
    ["unpack", "a.tar.zst", "-C", "home/back", "--overwrite", "changed", "--delete"];

fn back(machine: &Machine, name: &str) -> PathBuf {
    machine.path("home/back").join(name)
}

/// Contents, mode and owner.
fn found(machine: &Machine, name: &str) -> (String, u32, u32) {
    let metadata = fs_err::metadata(back(machine, name)).unwrap();
    let text = fs_err::read_to_string(back(machine, name)).unwrap();
    (text, metadata.permissions().mode() & 0o7777, metadata.uid())
}

#[track_caller]
fn assert_as_a_user_gets_it(machine: &Machine) {
    for (name, mode) in
        [("a/of root", 0o755), ("a/of others", 0o755), ("b/plain", 0o644), ("b/own", 0o4711)]
    {
        assert_eq!(found(machine, name), (name.to_owned(), mode, USER));
    }
    assert_eq!(fs_err::metadata(back(machine, "b/closed")).unwrap().mode() & 0o7777, 0o500);
}

pub(crate) fn a_user_rehearses_and_restores_in_place_without_other_owners() {
    let machine = machine();
    of_user(&machine, &["verify", "--deep", "a.tar.zst"]).expect(0).says(&["Proven"]);
    assert!(!machine.path("home/back").exists());
    let except = ["Proven, except what was not to be restored", "owner", "set-user-id"];
    of_user(&machine, &IN_PLACE).expect(0).says(&except);
    assert_as_a_user_gets_it(&machine);
    // As it is used: changed, with bits of the user's own, closed, and with something more in it.
    for (name, mode) in [("a/of root", 0o4777), ("a/stray", 0o600), ("b/closed/stray", 0o4000)] {
        trees::mode(&back(&machine, "b/closed"), 0o700);
        let file = trees::file(&machine.path("home/back"), name, "old");
        trees::owner(&file, USER, USER);
        trees::mode(&file, mode);
    }
    trees::mode(&back(&machine, "b/closed"), 0o000);
    of_user(&machine, &IN_PLACE).expect(0).says(&except);
    assert_as_a_user_gets_it(&machine);
    assert!(!back(&machine, "a/stray").exists() && !back(&machine, "b/closed/stray").exists());
}

pub(crate) fn what_belongs_to_others_in_place_stays_and_is_named() {
    let machine = machine();
    of_user(&machine, &IN_PLACE).expect(0);
    let folder = back(&machine, "b");
    fs_err::write(folder.join("plain"), "of root").unwrap();
    trees::file(&folder, "stray", "of root");
    for path in [folder.join("plain"), folder.join("stray"), folder.clone()] {
        trees::owner(&path, 0, 0);
    }
    let before = snapshot(&folder);
    let ended = of_user(&machine, &IN_PLACE).expect(3);
    assert!(!ended.stderr.contains("Proven"), "{}", ended.stderr);
    let ended = ended.says(&["b/plain: ", "nothing is removed, since not everything is restored"]);
    assert_eq!(snapshot(&folder), before, "{}", ended.stderr);
    assert_eq!(found(&machine, "a/of root").1, 0o755);
}
