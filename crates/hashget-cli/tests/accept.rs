//! `--accept` of `restore` and `unpack`: packages and files that a person found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::symlink;
use std::time::SystemTime;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Machine, files_below};

fn large() -> Vec<u8> {
    b"a large file\n".repeat(20_000)
}

fn small() -> Vec<u8> {
    b"a small file\n".repeat(200)
}

fn package() -> Vec<u8> {
    let tar = TarBuilder::new().directory("x").file("x/large", &large());
    let tar = tar.file("x/small", &small()).file("x/nothing", b"").symlink("x/link", "small");
    tar.hard_link("x/hard", "x/small").finish()
}

/// A machine with an archive of which the only package is gone.
fn machine(origin: &Origin, how: &[&str]) -> Machine {
    let machine = Machine::new();
    origin.serve("/lib.tar", package());
    origin.heal("/lib.tar");
    machine.write("tree/lib/large", large());
    machine.write("tree/lib/small", small());
    for file in ["large", "small"] {
        let file = machine.path(&format!("tree/lib/{file}"));
        fs_err::File::open(file).unwrap().file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    symlink("small", machine.path("tree/lib/link")).unwrap();
    if !how.contains(&"1") {
        fs_err::hard_link(machine.path("tree/lib/small"), machine.path("tree/lib/hard")).unwrap();
    }
    machine.write("tree/lib/nothing", "");
    machine.write("tree/own", "mine");
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&[&["pack", "tree", "-f", "a.tar.zst"], how].concat()).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.always("/lib.tar", Fault::Status(404));
    machine
}

/// A machine that has nothing but the archive.
fn away(machine: &Machine) -> Machine {
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away
}

fn has_manifest(machine: &Machine) -> bool {
    machine.path("back/.hashget-restore.json").exists()
}

const PROVEN: &str = "Proven: the folder is exactly what was packed";

#[test]
fn a_package_is_taken_whatever_its_name_also_without_a_hashdb() {
    let origin = Origin::start();
    for hashes in ["anchors", "all", "none"] {
        let away = away(&machine(&origin, &["--hashes", hashes]));
        away.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(5);
        away.write("found/deep/down/x (1).bin", package());
        let ended = away.hashget(&["restore", "back", "--accept", "found"]).expect(0);
        ended.says(&["Accepted: 0 files, 1 package", PROVEN]);
        assert!(!has_manifest(&away) && away.path("found/deep/down/x (1).bin").exists());
        let unpack =
            ["unpack", "a.tar.zst", "-C", "again", "--accept", "found/deep/down/x (1).bin"];
        let record = away.hashget(&[&unpack[..], &["--json"]].concat()).expect(0).last_record();
        assert_eq!(
            (&record["accepted_files"], &record["accepted_packages"]),
            (&0.into(), &1.into())
        );
        assert_eq!(record["proven"], true);
    }
}

#[test]
fn single_files_are_taken_one_after_the_other_until_the_tree_is_whole() {
    let origin = Origin::start();
    for hashes in ["anchors", "all", "none"] {
        let machine = machine(&origin, &["--hashes", hashes]);
        machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(5);
        assert!(has_manifest(&machine));
        machine.write("found/old disk/1.tmp", large());
        let mut wrong = small();
        wrong[77] ^= 1;
        machine.write("found/wrong", &wrong);
        let ended = machine.hashget(&["restore", "back", "--accept", "found"]).expect(5).says(&[
            "Accepted: 1 file, 0 packages",
            "1 of 2 files match nothing that was missing: found/wrong",
            "lib/small",
            "nothing that was offered is this file",
        ]);
        assert!(!ended.stderr.contains("Proven"), "{}", ended.stderr);
        assert!(has_manifest(&machine) && machine.path("back/lib/large").exists(), "{hashes}");
        // What was taken before is needed no more.
        fs_err::remove_dir_all(machine.path("found")).unwrap();
        machine.write("other", small());
        let ended = machine.hashget(&["restore", "back", "--accept", "other", "--json"]).expect(0);
        let record = ended.last_record();
        assert_eq!((&record["accepted_files"], &record["proven"]), (&1.into(), &true.into()));
        assert_eq!(record["problems"]["unreachable"], 0, "{}", ended.stdout);
        assert!(!has_manifest(&machine) && machine.path("other").exists());
        assert_eq!(
            files_below(&machine.path("back")),
            ["lib/hard", "lib/large", "lib/link", "lib/nothing", "lib/small", "own"]
        );
    }
}

#[test]
fn files_come_with_the_archive_and_for_a_part_of_it() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    machine.write("a", large());
    machine.write("b", small());
    let accept = ["--accept", "a", "--accept", "b"];
    let dry = ["unpack", "a.tar.zst", "-C", "back", "-n"];
    machine.hashget(&[&dry[..], &accept].concat()).expect(0).prints(&["make     lib/small"]);
    let whole = ["unpack", "a.tar.zst", "-C", "back"];
    let ended = machine.hashget(&[&whole[..], &accept].concat()).expect(0);
    ended.says(&["Accepted: 2 files, 0 packages", PROVEN, "note:", "lib.tar"]);
    let part = ["unpack", "a.tar.zst", "-C", "part", "./lib/hard", "./lib/large"];
    machine.hashget(&[&part[..], &accept].concat()).expect(0);
    assert_eq!(files_below(&machine.path("part")), ["lib/hard", "lib/large"]);
    assert_eq!(fs_err::read(machine.path("part/lib/hard")).unwrap(), small());
    machine.hashget(&["unpack", "a.tar.zst", "--to-stdout", "--accept", "a"]).expect(2);
}

#[test]
fn without_a_hashdb_single_files_are_taken_where_the_manifest_says_what_they_are() {
    let origin = Origin::start();
    let machine = Machine::new();
    origin.serve("/lib.tar", package());
    machine.write("tree/elsewhere/any", large());
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    origin.always("/lib.tar", Fault::Status(404));
    let other = away(&machine);
    other.write("found", large());
    other
        .hashget(&["unpack", "a.tar.zst", "-C", "back", "--accept", "found"])
        .expect(0)
        .says(&["Accepted: 1 file, 0 packages", PROVEN]);
}

#[test]
fn without_a_hashdb_what_cannot_be_taken_is_said() {
    let origin = Origin::start();
    let away = away(&machine(&origin, &["--hashes", "all"]));
    away.write("found/a", large());
    away.write("found/b", small());
    let ended = away.hashget(&["unpack", "a.tar.zst", "-C", "back", "--accept", "found"]).expect(5);
    ended.says(&[
        "nothing here knows which files are in it: only the package itself can be taken",
        "2 of 2 files match nothing that was missing: found/a, found/b",
        "Accepted: 0 files, 0 packages",
    ]);
    assert!(has_manifest(&away));
}

#[test]
fn files_of_an_archive_of_version_one_are_taken_by_their_digests() {
    let origin = Origin::start();
    let away = away(&machine(&origin, &["--manifest-version", "1"]));
    away.write("found/a", large());
    away.hashget(&["unpack", "a.tar.zst", "-C", "back", "--accept", "found"]).expect(5);
    assert!(has_manifest(&away) && away.path("back/lib/large").exists());
    away.write("found/b", small());
    let ended = away.hashget(&["restore", "back", "--accept", "found"]).expect(0);
    ended.says(&["Accepted: 1 file, 0 packages"]);
    assert!(!has_manifest(&away) && away.path("back/lib/small").exists());
    away.write("whole", package());
    let unpack = ["unpack", "a.tar.zst", "-C", "again", "--accept", "whole"];
    away.hashget(&unpack).expect(0).says(&["Accepted: 0 files, 1 package"]);
}

#[test]
fn other_bytes_give_what_is_right_in_them_and_found_files_the_rest() {
    let origin = Origin::start();
    let machine = machine(&origin, &["--hashes", "all"]);
    origin.heal("/lib.tar");
    let mut other = small();
    other[0] ^= 1;
    let tar = TarBuilder::new().directory("x").file("x/large", &large());
    let tar = tar.file("x/small", &other).symlink("x/link", "small").hard_link("x/hard", "x/small");
    origin.serve("/lib.tar", tar.finish());
    machine.write("found", small());
    let unpack = ["unpack", "a.tar.zst", "-C", "back", "--accept", "found"];
    let ended = machine.hashget(&unpack).expect(4);
    ended.says(&["gives sha256", "Accepted: 1 file, 0 packages", PROVEN]);
    assert!(!has_manifest(&machine));
}

#[test]
fn what_cannot_be_accepted_is_an_error_before_the_work_or_a_note() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    let unpack =
        |accept: &str| machine.hashget(&["unpack", "a.tar.zst", "-C", "back", "--accept", accept]);
    unpack("nowhere").expect(2).says(&["--accept nowhere: ", "no such file or directory"]);
    unpack("/dev/null").expect(2).says(&["neither a file nor a folder"]);
    assert!(!machine.path("back").exists());
    fs_err::create_dir(machine.path("empty")).unwrap();
    unpack("empty").expect(5).says(&["empty: no file is there"]);
    machine.write("unfit", "of no size that is missing");
    unpack("unfit").expect(5).says(&["unfit: it matches nothing that was missing"]);
    // Links in a folder lead elsewhere: nobody named that.
    machine.write("elsewhere", package());
    fs_err::create_dir(machine.path("links")).unwrap();
    symlink("../elsewhere", machine.path("links/lib.tar")).unwrap();
    unpack("links").expect(5).says(&["links: no file is there"]);
    // A link that is named itself is what was meant.
    unpack("links/lib.tar").expect(0).says(&["Accepted: 0 files, 1 package"]);
}

#[test]
fn files_without_a_digest_are_proven_by_the_tree_digest_where_they_lie() {
    let origin = Origin::start();
    let machine = machine(&origin, &["--hashes", "none"]);
    let away = away(&machine);
    away.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(5);
    let copied = away
        .bare_program("/bin/cp")
        .args(["-a", "--", machine.path("tree/.").to_str().unwrap(), "back"])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let asked = origin.requests().len();
    away.hashget(&["restore", "back"]).expect(0).says(&[PROVEN]);
    assert!(!has_manifest(&away) && origin.requests().len() == asked);
}
