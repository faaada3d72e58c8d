//! `list`: every entry of an archive by its name, from wherever the names are known.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine};

/// A machine with an archive of two own files and a package of two files.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    let (a, b) = ("first\n".repeat(4000), "second\n".repeat(4000));
    let tar = TarBuilder::new().file("x/a", a.as_bytes()).file("x/b", b.as_bytes()).finish();
    origin.serve("/lib.tar", tar);
    machine.write("tree/lib/a", &a);
    machine.write("tree/lib/b", &b);
    machine.write("tree/own/note", "mine");
    machine.write("tree/own/list.conf", "mine, too");
    std::fs::hard_link(machine.path("tree/own/note"), machine.path("tree/own/same")).unwrap();
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

/// A machine that has nothing but the archive.
fn away(machine: &Machine) -> Machine {
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away
}

/// The paths that were listed, each with who has it.
fn listed(ended: &Ended) -> Vec<(String, String)> {
    let records = ended.records();
    let entries = records.iter().filter(|record| record["type"] == "entry");
    // A name that is not UTF-8 is an object.
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    entries.map(|entry| (text(&entry["path"]), text(&entry["holder"]))).collect()
}

const ALL: [(&str, &str); 8] = [
    ("", "archive"),
    ("lib", "archive"),
    ("lib/a", "package"),
    ("lib/b", "package"),
    ("own", "archive"),
    ("own/list.conf", "archive"),
    ("own/note", "archive"),
    ("own/same", "archive"),
];

fn expected(paths: &[(&str, &str)]) -> Vec<(String, String)> {
    paths.iter().map(|(path, holder)| ((*path).to_owned(), (*holder).to_owned())).collect()
}

#[test]
fn all_entries_are_listed_sorted_and_nothing_is_fetched() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let asked = origin.requests().len();
    let ended = machine.hashget(&["list", "--json", "a.tar.zst"]).expect(0);
    assert_eq!(listed(&ended), expected(&ALL));
    let link = ended.records().into_iter().find(|record| record["path"] == "own/same").unwrap();
    assert_eq!((&link["kind"], &link["target"]), (&"hard_link".into(), &"own/note".into()));
    assert_eq!(ended.last_record()["left_out"]["files"], 2);
    assert_eq!(origin.requests().len(), asked);
}

#[test]
fn patterns_choose_with_all_below_and_one_without_a_match_is_named() {
    let machine = machine(&Origin::start());
    let paths = |words: &[&str], code: i32| -> Vec<String> {
        let ended = machine.hashget(&[&["list", "--json", "a.tar.zst"], words].concat());
        listed(&ended.expect(code)).into_iter().map(|(path, _)| path).collect()
    };
    assert_eq!(paths(&["./lib"], 0), ["lib", "lib/a", "lib/b"]);
    assert_eq!(paths(&["/own/*.conf", "a"], 0), ["lib/a", "own/list.conf"]);
    assert_eq!(paths(&["./a", "b"], 3), ["lib/b"]);
    machine
        .hashget(&["list", "a.tar.zst", "./a"])
        .expect(3)
        .says(&["./a: nothing in the archive matches"]);
    machine.hashget(&["list", "a.tar.zst", "a["]).expect(2);
}

#[test]
fn without_a_hashdb_a_package_is_one_line_unless_it_is_at_hand_or_fetched() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let other = away(&machine);
    let asked = origin.requests().len();
    let ended = other.hashget(&["list", "--json", "a.tar.zst"]).expect(0);
    assert_eq!(listed(&ended).len(), 6);
    let records = ended.records();
    let unnamed = records.iter().find(|record| record["type"] == "unnamed").unwrap();
    assert_eq!((&unnamed["below"], &unnamed["files"]), (&"lib/".into(), &2.into()));
    assert_eq!(unnamed["bytes"], "first\nsecond\n".len() * 4000);
    assert_eq!(origin.requests().len(), asked, "nothing was fetched");
    // Nothing is claimed that was not looked at.
    other.hashget(&["list", "a.tar.zst", "./lib/z"]).expect(3).says(&["that is known by name"]);
    // What no such pattern can need is not missed.
    let own = other.hashget(&["list", "a.tar.zst", "./own"]).expect(0);
    assert!(!own.stderr.contains("--fetch") && !own.stdout.contains("lib"), "{}", own.stdout);
    let fetched = other.hashget(&["list", "--fetch", "--json", "a.tar.zst"]).expect(0);
    assert_eq!(listed(&fetched), expected(&ALL));
    // From now on the cache has it.
    let offline = other.hashget(&["list", "--offline", "--json", "a.tar.zst"]).expect(0);
    assert_eq!(listed(&offline), expected(&ALL));
}

#[test]
fn a_package_that_cannot_be_fetched_is_a_problem_only_if_it_was_to_be() {
    let machine = machine(&Origin::start());
    let other = away(&machine);
    other.hashget(&["list", "--fetch", "--offline", "a.tar.zst"]).expect(5).says(&["lib.tar"]);
}

#[test]
fn an_archive_is_read_from_standard_input_and_from_a_server() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let mut command = machine.bare();
    command.envs(machine.variables()).args(["list", "--json", "-"]);
    command.write_stdin(fs_err::read(machine.path("a.tar.zst")).unwrap());
    assert_eq!(listed(&Ended::of(&mut command).expect(0)), expected(&ALL));

    machine.write("tree/own/noise", noise(6 << 20));
    machine.hashget(&["pack", "tree", "-f", "b.tar.zst"]).expect(0);
    origin.serve("/b.tar.zst", fs_err::read(machine.path("b.tar.zst")).unwrap());
    let asked = origin.requests().len();
    let ended = machine.hashget(&["list", "--json", &origin.url("/b.tar.zst")]).expect(0);
    assert_eq!(listed(&ended).len(), 9);
    let bytes: u64 = origin.requests()[asked..].iter().map(|request| request.bytes).sum();
    assert!(bytes < 3 << 20, "{bytes} bytes of 6 MiB were read to list what the manifest names");
    let gone = origin.url("/gone.tar.zst");
    machine.hashget(&["list", &gone]).expect(5).says(&["cannot read", "gone.tar.zst"]);
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn listing_takes_as_many_requests_however_many_frames_there_are() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let requests = |name: &str, length: usize| {
        machine.write("tree/own/noise", noise(length));
        machine.hashget(&["pack", "tree", "-f", name, "--names", "all"]).expect(0);
        origin.serve(&format!("/{name}"), fs_err::read(machine.path(name)).unwrap());
        let asked = origin.requests().len();
        let ended = machine.hashget(&["list", "--json", &origin.url(&format!("/{name}"))]);
        assert_eq!(listed(&ended.expect(0)).len(), 9);
        origin.requests().len() - asked
    };
    let (few, many) = (requests("few.tar.zst", 6 << 20), requests("many.tar.zst", 30 << 20));
    assert_eq!(few, many);
}

#[test]
fn frozen_archives_of_both_versions_are_listed() {
    let machine = Machine::new();
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/any name")).unwrap();
    for archive in ["v1.tar.gz", "v2.tar.gz", "v2.tar.zst"] {
        let archive = frozen.join(archive);
        let words = ["--offline", "--pool", "pool", "list", "--json", archive.to_str().unwrap()];
        let ended = machine.hashget(&words).expect(0);
        let holder = |path: &str| {
            let found = listed(&ended).into_iter().find(|(name, _)| name == path);
            found.unwrap_or_else(|| panic!("{path} is not in {}", ended.stdout)).1
        };
        assert_eq!(holder("tool-1.0/own.conf"), "archive");
        assert_eq!(holder("tool-1.0/src/1.c"), "package");
        assert_eq!(holder("copy.c"), "package");
    }
}
