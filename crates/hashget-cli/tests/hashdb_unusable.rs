//! A HashDB that is damaged, cannot be made, or cannot be written to: there is a backup all the same.
//!
//! Invariant: the archive is whole, one warning says what is wrong, and the exit code says that more is in the archive
//! than necessary.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::trees::{differences, snapshot};
use support::Machine;

/// A machine whose HashDB knows one of two files.
fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/given", "given by a package ".repeat(2000));
    machine.write("tree/own", "mine");
    let url = "http://127.0.0.1:9/given.bin";
    machine.hashget(&["index", "--file", "tree/given", url]).expect(0);
    machine
}

/// Packs, with more arguments, and restores without a network; returns the warnings.
#[track_caller]
fn packed(machine: &Machine, more: &[&str], code: i32) -> String {
    let arguments = [&["pack", "tree", "-f", "a.tar", "-q"], more].concat();
    let ended = machine.hashget(&arguments).expect(code);
    fs_err::create_dir_all(machine.path("pool")).unwrap();
    fs_err::copy(machine.path("tree/given"), machine.path("pool/given")).unwrap();
    let unpack = ["unpack", "a.tar", "-C", "back", "--offline", "--pool", "pool"];
    machine.hashget(&unpack).expect(0);
    let (before, after) = (snapshot(&machine.path("tree")), snapshot(&machine.path("back")));
    assert_eq!(differences(&before, &after), [""; 0]);
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    ended.stderr
}

fn archive_bytes(machine: &Machine) -> u64 {
    fs_err::metadata(machine.path("a.tar")).unwrap().len()
}

#[test]
fn a_hashdb_that_is_none_does_not_hinder_a_backup() {
    let machine = machine();
    assert_eq!(packed(&machine, &[], 0), "");
    let small = archive_bytes(&machine);
    let file = machine.path("db/hashdb.sqlite");
    fs_err::write(&file, "this is no database".repeat(1000)).unwrap();
    let told = packed(&machine, &[], 5);
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in ["warning: HashDB: ", "hashdb.sqlite", "move", "made without it"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    assert!(archive_bytes(&machine) > small);
    // A command that is about the HashDB fails as before.
    machine.hashget(&["explain", "tree"]).expect(1).says(&["not a whole HashDB", "hint:"]);
}

#[test]
fn damage_that_shows_while_packing_does_not_hinder_a_backup() {
    let machine = machine();
    let file = machine.path("db/hashdb.sqlite");
    let mut bytes = fs_err::read(&file).unwrap();
    bytes[4096..].fill(0xa5);
    fs_err::write(&file, bytes).unwrap();
    let told = packed(&machine, &[], 5);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("HashDB") && told.contains("made without it"), "{told}");
}

#[test]
fn a_hashdb_that_cannot_be_made_does_not_hinder_a_backup() {
    let machine = machine();
    machine.write("file", "");
    let told = packed(&machine, &["--db", "file/db"], 5);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("file/db") && told.contains("made without it"), "{told}");
}

#[test]
fn prepare_needs_no_hashdb_either() {
    let machine = machine();
    fs_err::write(machine.path("db/hashdb.sqlite"), "no database").unwrap();
    let ended = machine.hashget(&["prepare", "tree", "-X", "list", "--for", "tar"]).expect(5);
    ended.says(&["made without it"]);
    assert_eq!(fs_err::read(machine.path("list")).unwrap(), b"");
    assert!(machine.path("tree/.hashget-restore.json").exists());
}

#[test]
fn another_users_hashdb_is_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = machine();
    let only_read = |mode| std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(machine.path("db/hashdb.sqlite"), only_read(0o444)).unwrap();
    fs_err::set_permissions(machine.path("db"), only_read(0o555)).unwrap();
    let listed = machine.hashget(&["db", "list", "--json"]).expect(0).last_record();
    assert_eq!(listed["packages"], 1);
    let explained = machine.hashget(&["explain", "tree/given"]).expect(0).stdout;
    assert!(explained.contains("given.bin"), "{explained}");
    assert_eq!(packed(&machine, &["--no-index"], 0), "");
    // Root may write everywhere.
    let code = if hashget_testkit::trees::is_root() { 0 } else { 5 };
    packed(&machine, &[], code);
    fs_err::set_permissions(machine.path("db"), only_read(0o755)).unwrap();
}
