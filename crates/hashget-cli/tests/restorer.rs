//! `pack --with-restorer`: a program that restores the archive travels in it, and is never part of the tree.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Read as _;
use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::{Machine, files_below};

const RESTORER: &str = ".hashget-restore.py";

fn program() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/restore.py");
    fs_err::read_to_string(path).unwrap()
}

/// A machine with a tree of which a package has a part.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let text = "a file of the package\n".repeat(9000);
    let tar = TarBuilder::new().directory("x").file("x/text", text.as_bytes()).finish();
    origin.serve("/lib.tar", tar);
    machine.write("tree/lib/text", &text);
    machine.write("tree/own/notes", "mine");
    machine.write("tree/own/large", "large\n".repeat(400_000));
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine
}

fn pack(machine: &Machine, archive: &str, more: &[&str]) -> Vec<u8> {
    let words = ["pack", "tree", "-f", archive, "--with-restorer"];
    machine.hashget(&[&words[..], more].concat()).expect(0);
    fs_err::read(machine.path(archive)).unwrap()
}

/// Unpacks as any tar program does.
fn untar(machine: &Machine, archive: &str, folder: &str) {
    let file = fs_err::File::open(machine.path(archive)).unwrap();
    let mut archive = tar::Archive::new(file);
    archive.set_preserve_mtime(true);
    archive.set_preserve_permissions(true);
    archive.unpack(machine.path(folder)).unwrap();
}

const PROVEN: &str = "Proven: the folder is exactly what was packed";

#[test]
fn it_is_the_second_entry_and_no_command_shows_it() {
    let origin = Origin::start();
    let machine = machine(&origin);
    pack(&machine, "a.tar", &[]);
    let mut archive = tar::Archive::new(fs_err::File::open(machine.path("a.tar")).unwrap());
    let mut second = archive.entries().unwrap().nth(1).unwrap().unwrap();
    assert_eq!(second.path().unwrap(), Path::new(RESTORER));
    let mut text = String::new();
    second.read_to_string(&mut text).unwrap();
    assert_eq!(text, program());

    let tree = files_below(&machine.path("tree"));
    for archive in ["a.tar", "a.tar.gz", "a.tar.zst"] {
        pack(&machine, archive, &["--names", "all"]);
        let target = format!("back of {archive}");
        machine.hashget(&["unpack", archive, "-C", &target]).expect(0).says(&[PROVEN]);
        assert_eq!(files_below(&machine.path(&target)), tree);
        for words in [&["list", archive][..], &["diff", archive, "tree"]] {
            let ended = machine.hashget(words).expect(0);
            assert!(!ended.stdout.contains(RESTORER), "{words:?}: {}", ended.stdout);
        }
        machine.hashget(&["find", archive, RESTORER]).expect(3);
        machine.hashget(&["verify", "--deep", archive]).expect(0).says(&["Proven: "]);
        machine.hashget(&["verify", archive, "--against", "tree"]).expect(0);
        machine.hashget(&["unpack", archive, "-C", "part", RESTORER]).expect(3);
        let part = ["unpack", archive, "-C", "part", "./own"];
        machine.hashget(&part).expect(0);
        assert_eq!(files_below(&machine.path("part")), ["own/large", "own/notes"]);
        assert_eq!(machine.hashget(&["cat", archive, "own/notes"]).expect(0).stdout, "mine");
    }
}

#[test]
fn after_a_plain_tar_restoring_removes_it() {
    let origin = Origin::start();
    let machine = machine(&origin);
    pack(&machine, "a.tar", &[]);
    untar(&machine, "a.tar", "back");
    assert!(machine.path("back").join(RESTORER).exists());
    machine.hashget(&["restore", "back", "-n"]).expect(0);
    assert!(machine.path("back").join(RESTORER).exists());
    machine.hashget(&["restore", "back"]).expect(0).says(&[PROVEN]);
    assert_eq!(files_below(&machine.path("back")), files_below(&machine.path("tree")));
}

#[test]
fn an_own_file_or_folder_of_its_name_comes_back() {
    let origin = Origin::start();
    for own in [RESTORER.to_owned(), format!("{RESTORER}/inside")] {
        let machine = machine(&origin);
        machine.write(&format!("tree/{own}"), "mine too");
        let tree = files_below(&machine.path("tree"));
        for (archive, more) in [("a.tar", true), ("a.tar.zst", true), ("b.tar.zst", false)] {
            match more {
                true => drop(pack(&machine, archive, &[])),
                false => drop(machine.hashget(&["pack", "tree", "-f", archive]).expect(0)),
            }
            let target = format!("back of {archive}");
            machine.hashget(&["unpack", archive, "-C", &target]).expect(0).says(&[PROVEN]);
            assert_eq!(files_below(&machine.path(&target)), tree);
            machine.hashget(&["list", archive, &format!("./{own}")]).expect(0).prints(&[&own]);
            let cat = machine.hashget(&["cat", archive, &own]).expect(0);
            assert_eq!(cat.stdout, "mine too");
            machine.hashget(&["verify", "--deep", archive]).expect(0);
        }
        untar(&machine, "a.tar", "back");
        let keeping = ["restore", "back", "--keep-manifest"];
        machine.hashget(&keeping).expect(0).says(&[PROVEN]);
        // It has its own name by now, and is not taken for the restorer.
        machine.hashget(&["restore", "back"]).expect(0).says(&[PROVEN]);
        assert_eq!(files_below(&machine.path("back")), tree);
        let version_one = ["pack", "tree", "-f", "c.tar", "--manifest-version", "1"];
        machine.hashget(&version_one).expect(1).says(&["its own top-level .hashget-restore.py"]);
    }
}

#[test]
fn what_is_copied_from_an_earlier_archive_is_the_same() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let first = pack(&machine, "a1.tar.zst", &[]);
    let copied = pack(&machine, "a2.tar.zst", &["--reuse", "a1.tar.zst"]);
    let fresh = pack(&machine, "a3.tar.zst", &["--no-reuse"]);
    assert!(first == copied && copied == fresh);
    let words = ["pack", "tree", "-f", "a4.tar.zst", "--with-restorer", "--reuse", "a1.tar.zst"];
    let record = machine.hashget(&[&words[..], &["--json"]].concat()).expect(0).last_record();
    assert!(record["reused_bytes"].as_u64().unwrap() > 0, "{record}");
    // What it costs.
    machine.hashget(&["pack", "tree", "-f", "plain.tar.zst", "--no-reuse"]).expect(0);
    let plain = fs_err::metadata(machine.path("plain.tar.zst")).unwrap().len();
    let more = first.len() as u64 - plain;
    assert!((20_000..40_000).contains(&more), "{more}");
}

#[test]
fn it_takes_a_manifest_of_version_2() {
    let machine = Machine::new();
    machine.write("tree/a", "a");
    let words = ["pack", "tree", "-f", "a.tar", "--with-restorer", "--manifest-version", "1"];
    machine.hashget(&words).expect(2).says(&["--with-restorer needs a manifest of version 2"]);
    assert!(!machine.path("a.tar").exists());
}
