//! `prepare` never replaces the only thing that says what a restore has still to bring.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::Machine;

const MANIFEST: &str = ".hashget-restore.json";

fn contents(number: u32) -> Vec<u8> {
    format!("file {number} of the package\n").repeat(300).into_bytes()
}

/// A machine with a package, and a tree with its files and one of the user's.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let mut package = TarBuilder::new();
    for number in 0..3 {
        machine.write(&format!("tree/{number}"), contents(number));
        package = package.file(&number.to_string(), &contents(number));
    }
    machine.write("tree/own", "my own");
    origin.serve("/p.tar", package.finish());
    machine.hashget(&["index", &origin.url("/p.tar")]).expect(0);
    machine
}

fn prepare(machine: &Machine, tree: &str) -> support::Ended {
    let list = ["-X", "list", "--for", "tar", "--detect", "none", "--no-index"];
    machine.hashget(&[&["prepare", tree][..], &list].concat())
}

#[track_caller]
fn assert_refused(machine: &Machine, tree: &str) {
    let manifest = machine.path(tree).join(MANIFEST);
    let before = fs_err::read(&manifest).unwrap();
    let ended = prepare(machine, tree).expect(1);
    ended.says(&[MANIFEST, "run `hashget restore` there first"]);
    assert_eq!(fs_err::read(&manifest).unwrap(), before);
}

fn gnu_tar(arguments: &[&str], folder: &Path) {
    let status = std::process::Command::new("tar").args(arguments).current_dir(folder).status();
    assert!(status.unwrap().success());
}

#[test]
fn the_manifest_of_a_restore_that_is_not_complete_stays() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    // Without its package, by our own unpacking and by tar.
    let away = ["--cache", "none", "--offline", "unpack", "a.tar", "-C", "back"];
    machine.hashget(&away).expect(5);
    assert_refused(&machine, "back");
    fs_err::create_dir(machine.path("plain")).unwrap();
    gnu_tar(&["-xpf", "../a.tar"], &machine.path("plain"));
    assert_refused(&machine, "plain");
    for tree in ["back", "plain"] {
        machine.hashget(&["restore", tree]).expect(0).says(&["Proven"]);
        prepare(&machine, tree).expect(0);
        // Again, also when the tree has changed meanwhile.
        fs_err::remove_file(machine.path(tree).join("1")).unwrap();
        prepare(&machine, tree).expect(0);
    }
}

#[test]
fn so_does_that_of_a_prepared_backup_that_is_not_complete() {
    let origin = Origin::start();
    let machine = machine(&origin);
    prepare(&machine, "tree").expect(0);
    gnu_tar(&["-X", "../list", "-cf", "../b.tar", "."], &machine.path("tree"));
    fs_err::create_dir(machine.path("back")).unwrap();
    gnu_tar(&["-xpf", "../b.tar"], &machine.path("back"));
    assert_refused(&machine, "back");
    machine.hashget(&["--cache", "none", "--offline", "restore", "back"]).expect(5);
    assert_refused(&machine, "back");
    machine.hashget(&["restore", "back", "--keep-manifest"]).expect(0);
    // Complete, it is a tree like any other.
    prepare(&machine, "back").expect(0);
    prepare(&machine, "tree").expect(0);
}
