//! `diff`, `find` and `verify --against`: how archives and folders differ, and which archives have what.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::{Ended, Machine};

/// A machine with the archive `a.tar.zst` of a tree, whose second version is in `b.tar.zst`.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (a, b) = ("first\n".repeat(4000), "second\n".repeat(4000));
    // The file is not the first of its names.
    let tar = TarBuilder::new()
        .file("x/a", a.as_bytes())
        .file("x/z", b.as_bytes())
        .hard_link("x/b", "x/z")
        .finish();
    origin.serve("/lib.tar", tar);
    machine.write("tree/lib/a", &a);
    machine.write("tree/lib/b", &b);
    std::fs::hard_link(machine.path("tree/lib/b"), machine.path("tree/lib/z")).unwrap();
    for name in ["changes", "goes", "mode", "stays"] {
        machine.write(&format!("tree/own/{name}"), name);
    }
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

fn change(machine: &Machine) {
    machine.write("tree/own/changes", "other words");
    machine.write("tree/own/comes", "a new file");
    fs_err::remove_file(machine.path("tree/own/goes")).unwrap();
    let mode = machine.path("tree/own/mode");
    fs_err::set_permissions(mode, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Paths with their change and aspects, without folders' times.
fn differences(ended: &Ended) -> Vec<(String, String, Vec<String>)> {
    let records = ended.records();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = records
        .iter()
        .filter(|record| record["type"] == "difference" && record["path"] != "own")
        .map(|record| {
            let aspects = record["aspects"].as_array().unwrap().iter().map(text).collect();
            (text(&record["path"]), text(&record["change"]), aspects)
        })
        .collect();
    all.sort();
    all
}

fn expected() -> Vec<(String, String, Vec<String>)> {
    [
        ("own/changes", "changed", &["contents", "mtime"][..]),
        ("own/comes", "added", &[]),
        ("own/goes", "removed", &[]),
        ("own/mode", "changed", &["mode"]),
    ]
    .map(|(path, change, aspects)| {
        (path.to_owned(), change.to_owned(), aspects.iter().map(|&one| one.to_owned()).collect())
    })
    .into()
}

#[test]
fn archives_and_folders_are_compared_in_any_pairing() {
    let machine = machine(&Origin::start());
    for pair in [["a.tar.zst", "a.tar.zst"], ["a.tar.zst", "tree"], ["tree", "a.tar.zst"]] {
        let ended = machine.hashget(&["diff", "--json", pair[0], pair[1]]).expect(0);
        assert_eq!(ended.records().len(), 1, "{}", ended.stdout);
    }
    change(&machine);
    machine.hashget(&["pack", "tree", "-f", "b.tar.zst"]).expect(0);
    for second in ["b.tar.zst", "tree"] {
        let ended = machine.hashget(&["diff", "--json", "a.tar.zst", second]).expect(0);
        assert_eq!(differences(&ended), expected(), "{second}");
    }
    let ended = machine.hashget(&["diff", "a.tar.zst", "b.tar.zst"]).expect(0);
    let first = ended.stdout.lines().next().unwrap();
    assert!(first.contains("own/changes (contents, mtime; was 7 B)"), "{first}");
}

#[test]
fn packages_in_the_same_place_need_not_be_known() {
    let origin = Origin::start();
    let machine = machine(&origin);
    change(&machine);
    machine.hashget(&["pack", "tree", "-f", "b.tar.zst"]).expect(0);
    let away = Machine::new();
    for name in ["a.tar.zst", "b.tar.zst"] {
        fs_err::copy(machine.path(name), away.path(name)).unwrap();
    }
    let asked = origin.requests().len();
    let ended = away.hashget(&["diff", "--json", "a.tar.zst", "b.tar.zst"]).expect(0);
    assert_eq!(differences(&ended), expected());
    assert_eq!(origin.requests().len(), asked);
    // Of a folder, what lies in the place of an unknown package is neither added nor removed.
    fs_err::create_dir(away.path("folder")).unwrap();
    let ended = away.hashget(&["diff", "a.tar.zst", "folder"]).expect(3);
    assert!(!ended.stdout.contains("lib/"), "{}", ended.stdout);
    ended.says(&["lib/: not compared"]);
    let ended = away.hashget(&["diff", "--fetch", "a.tar.zst", "folder"]).expect(0);
    assert!(ended.stdout.contains("lib/a"), "{}", ended.stdout);
}

#[test]
fn an_entry_is_found_by_path_glob_and_digest_in_a_series() {
    let machine = machine(&Origin::start());
    change(&machine);
    machine.hashget(&["pack", "tree", "-f", "b.tar.zst"]).expect(0);
    for name in ["a.tar.zst", "b.tar.zst"] {
        fs_err::create_dir_all(machine.path("series")).unwrap();
        fs_err::rename(machine.path(name), machine.path("series").join(name)).unwrap();
    }
    machine.write("series/readme.txt", "no archive");
    let found = |what: &str, code: i32| -> Vec<(String, String)> {
        let ended = machine.hashget(&["find", "--json", "series", what]).expect(code);
        let records = ended.records();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let found = records.iter().filter(|record| record["type"] == "found");
        found.map(|record| (text(&record["archive"]), text(&record["path"]))).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| (format!("series/{a}.tar.zst"), (*b).to_owned())).collect()
    };
    assert_eq!(found("./own/goes", 0), pairs(&[("a", "own/goes")]));
    assert_eq!(
        found("own/c*", 0),
        pairs(&[("a", "own/changes"), ("b", "own/changes"), ("b", "own/comes")])
    );
    let digest = hashget::model::Digest::of(b"other words");
    assert_eq!(found(&format!("sha256:{digest}"), 0), pairs(&[("b", "own/changes")]));
    let digest = hashget::model::Digest::of("first\n".repeat(4000).as_bytes());
    let in_both = pairs(&[("a", "lib/a"), ("b", "lib/a")]);
    assert_eq!(found(&format!("sha256:{digest}"), 0), in_both);
    // Without the HashDB, from the package itself.
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    assert_eq!(found(&format!("sha256:{digest}"), 0), in_both);
    assert_eq!(found("./nothing", 3), []);
    machine.hashget(&["find", "series", "sha256:12"]).expect(2);
    machine.hashget(&["find", "tree", "x"]).expect(2).says(&["no archive lies in"]);
}

#[test]
fn a_folder_is_still_what_was_packed_or_it_is_said_what_is_not() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let verify = |words: &[&str]| machine.hashget(&[&["verify", "a.tar.zst"], words].concat());
    let asked = origin.requests().len();
    verify(&["--against", "tree"]).expect(0).says(&["tree is exactly what was packed", "is whole"]);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0);
    verify(&["--against", "back"]).expect(0).says(&["exactly"]);
    // No package is needed to know it.
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    verify(&["--against", "back"]).expect(0).says(&["exactly"]);
    assert_eq!(origin.requests().len(), asked);
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    change(&machine);
    verify(&["--against", "tree"]).expect(4).says(&[
        "own/changes (contents, mtime)",
        "own/mode (mode)",
        "1 entry of the archive not there: own/goes",
        "1 entry there that the archive does not have: own/comes",
        "NOT what was packed",
    ]);
    // Something more is no loss.
    let mtime = fs_err::metadata(machine.path("back/own")).unwrap().modified().unwrap();
    machine.write("back/own/more", "more");
    fs_err::File::open(machine.path("back/own")).unwrap().file().set_modified(mtime).unwrap();
    verify(&["--against", "back"]).expect(0).says(&["besides 1 entry of its own"]);
    verify(&["--against", "back", "--deep"]).expect(2);
    verify(&["--against", "nowhere"]).expect(1);
}

#[test]
fn frozen_archives_of_both_versions_are_compared() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/any name")).unwrap();
    let (one, two) = (frozen.join("v1.tar.gz"), frozen.join("v2.tar.gz"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let run = |words: &[&str]| machine.hashget(&[&["--offline", "--pool", "pool"], words].concat());
    // The manifest of this one has no digests of what the archive holds.
    let unknown = |ended: Ended| ended.expect(0).stdout.lines().all(|line| line.starts_with('?'));
    assert!(unknown(run(&["diff", two, two])));
    let ended = run(&["diff", "--json", one, two]).expect(0);
    let summary = ended.last_record();
    assert_eq!(
        (&summary["added"], &summary["removed"]),
        (&0.into(), &0.into()),
        "{}",
        ended.stdout
    );
    run(&["unpack", two, "-C", "back"]).expect(0);
    assert!(unknown(run(&["diff", two, "back"])));
    let exactly = ["back is exactly what was packed"];
    run(&["verify", two, "--against", "back"]).expect(0).says(&exactly);
    run(&["find", one, two, "copy.c"]).expect(0);
    run(&["verify", one, "--against", "back"]);
}
