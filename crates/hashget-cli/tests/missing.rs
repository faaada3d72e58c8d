//! `missing`: what of an archive cannot be had, and what it can be found by.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::symlink;
use std::time::SystemTime;

use hashget::model::Digest;
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::{Ended, Machine};

/// Contents that are larger than those of which a manifest has the digest.
fn large(name: &str) -> Vec<u8> {
    format!("{name} large").repeat(20_000).into_bytes()
}

fn small(name: &str) -> Vec<u8> {
    format!("{name} small").repeat(200).into_bytes()
}

fn package(name: &str) -> Vec<u8> {
    let tar = TarBuilder::new().directory("x").file("x/large", &large(name));
    tar.file("x/small", &small(name)).symlink("x/link", "small").finish()
}

/// A machine with the archive `a.tar.zst` of two packages.
fn machine(origin: &Origin, how: &[&str]) -> Machine {
    let machine = Machine::new();
    for name in ["first", "second"] {
        origin.serve(&format!("/{name}.tar"), package(name));
        machine.write(&format!("tree/{name}/large"), large(name));
        machine.write(&format!("tree/{name}/small"), small(name));
        symlink("small", machine.path(&format!("tree/{name}/link"))).unwrap();
        // Version 1 has whole seconds only.
        for file in ["large", "small"] {
            let file = machine.path(&format!("tree/{name}/{file}"));
            fs_err::File::open(file).unwrap().file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.write("tree/own", "mine");
    let pack = ["pack", "tree", "-f", "a.tar.zst"];
    machine.hashget(&[&pack[..], how].concat()).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
}

/// A machine that has nothing but the archive.
fn away(machine: &Machine) -> Machine {
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away
}

fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Path, size and digest of each file.
fn files(ended: &Ended) -> Vec<(String, u64, Option<String>)> {
    let file = |record: &Value| {
        let text = |name: &str| record[name].as_str().map(str::to_owned);
        (text("path").unwrap_or_default(), record["size"].as_u64().unwrap_or(0), text("sha256"))
    };
    ended.records().iter().filter(|record| record["type"] == "missing").map(file).collect()
}

fn file(path: &str, contents: &[u8]) -> (String, u64, Option<String>) {
    (path.to_owned(), contents.len() as u64, Some(digest(contents)))
}

#[test]
fn nothing_is_missing_while_places_a_pool_or_the_cache_have_it() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    let ended = machine.hashget(&["missing", "a.tar.zst"]).expect(0);
    assert_eq!(ended.stdout, "");
    ended.says(&["Nothing is missing: 2 packages available"]);
    origin.always("/first.tar", Fault::Status(404));
    machine.write("pool/any name", package("first"));
    machine.hashget(&["--pool", "pool", "missing", "a.tar.zst"]).expect(0).says(&["only"]);
    let offline = ["--offline", "--pool", "pool", "missing", "--json", "a.tar.zst"];
    let ended = machine.hashget(&offline).expect(5);
    assert_eq!(
        files(&ended),
        [file("second/large", &large("second")), file("second/small", &small("second"))]
    );
    assert_eq!(ended.last_record()["unreachable"], 1);
    // That nobody was asked says nothing of the places.
    machine.hashget(&["missing", "--json", "a.tar.zst"]).expect(5);
    origin.heal("/first.tar");
    machine.hashget(&["missing", "a.tar.zst"]).expect(0);
}

#[test]
fn the_files_of_a_package_that_is_gone_are_listed_with_their_digests() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    origin.always("/second.tar", Fault::Status(404));
    let (large, small) = (large("second"), small("second"));
    let ended = machine.hashget(&["missing", "a.tar.zst"]).expect(5);
    let ended = ended.prints(&[
        "second.tar: lost; ",
        &digest(&package("second")),
        &format!("  {}   234.38 KiB  second/large\n", digest(&large)),
        &format!("  {}     2.34 KiB  second/small\n", digest(&small)),
    ]);
    assert!(!ended.stdout.contains("first") && !ended.stdout.contains("own"), "{}", ended.stdout);
    ended.says(&[
        "lost: found nowhere",
        "Missing: 2 files, 236.72 KiB, of 1 package LOST",
        "--accept",
    ]);

    let ended = machine.hashget(&["missing", "a.tar.zst", "--json"]).expect(5);
    assert_eq!(files(&ended), [file("second/large", &large), file("second/small", &small)]);
    let records = ended.records();
    let lost = records.iter().find(|record| record["type"] == "package").unwrap();
    assert_eq!(
        (lost["state"].as_str(), lost["url"].as_str()),
        (Some("lost"), Some(&*origin.url("/second.tar")),)
    );
    let summary = ended.last_record();
    assert_eq!((&summary["lost"], &summary["files"]), (&1.into(), &2.into()));

    let ended = machine.hashget(&["missing", "--format", "sha256sum", "a.tar.zst"]).expect(5);
    let lines = [(digest(&large), "second/large"), (digest(&small), "second/small")];
    let lines = lines.map(|(sha256, path)| format!("{sha256}  {path}\n"));
    assert_eq!(ended.stdout, lines.concat());

    let ended = machine.hashget(&["missing", "--format", "digests", "a.tar.zst"]).expect(5);
    let mut expected = [digest(&large), digest(&small), digest(&package("second"))];
    expected.sort();
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
    machine.hashget(&["missing", "--json", "--format", "digests", "a.tar.zst"]).expect(2);
}

#[test]
fn an_unreachable_package_is_missing_and_not_lost() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    origin.always("/first.tar", Fault::Status(501));
    let ended = machine.hashget(&["missing", "a.tar.zst"]).expect(5);
    let ended = ended.prints(&["first.tar: could not be checked; ", "first/small"]);
    assert!(!ended.stdout.contains("second/"), "{}", ended.stdout);
    ended.says(&["of 1 package could not be checked"]);
}

#[test]
fn without_a_hashdb_the_archive_says_what_it_knows() {
    let origin = Origin::start();
    for (how, has_names, digests) in [
        (&["--names", "all"][..], true, 1),
        (&["--names", "all", "--hashes", "all"], true, 2),
        (&["--names", "none"], false, 1),
        (&["--names", "none", "--hashes", "none"], false, 0),
    ] {
        let away = away(&machine(&origin, how));
        origin.always("/second.tar", Fault::Status(404));
        let ended = away.hashget(&["missing", "a.tar.zst", "--json"]).expect(5);
        let (named, nameless): (Vec<_>, Vec<_>) =
            files(&ended).into_iter().partition(|(path, ..)| !path.is_empty());
        let unnamed = ended.records().iter().filter(|record| record["type"] == "unnamed").count();
        let expected = [("second/large", large("second")), ("second/small", small("second"))]
            .map(|(path, contents)| (path.to_owned(), contents.len() as u64, None));
        assert_eq!(named, if has_names { &expected[..] } else { &[] }, "{how:?}");
        assert_eq!((unnamed, nameless.len()), (usize::from(!has_names), digests), "{how:?}");
        let all = [digest(&large("second")), digest(&small("second"))];
        for (_, _, sha256) in nameless {
            assert!(all.contains(&sha256.unwrap()), "{how:?}");
        }
        if has_names {
            let ended = away.hashget(&["missing", "a.tar.zst"]).expect(5);
            let unknown = format!("  {:64}     2.34 KiB  second/small\n", "unknown");
            ended.prints(&[&unknown]).says(&["The SHA-256 of 2 files is unknown"]);
        } else {
            let ended = away.hashget(&["missing", "a.tar.zst"]).expect(5);
            ended.prints(&["all that it gives below \"second/\""]);
        }
        let ended = away.hashget(&["missing", "--format", "sha256sum", "a.tar.zst"]).expect(5);
        assert_eq!(ended.stdout, "");
        origin.heal("/second.tar");
    }
}

#[test]
fn single_files_links_and_packages_that_are_files_have_their_digests_in_the_manifest() {
    let origin = Origin::start();
    let machine = Machine::new();
    origin.serve("/lib.tar", package("lib"));
    machine.write("tree/elsewhere/any", large("lib"));
    fs_err::hard_link(machine.path("tree/elsewhere/any"), machine.path("tree/other")).unwrap();
    machine.write("tree/downloads/lib.tar", package("lib"));
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    origin.always("/lib.tar", Fault::Status(404));
    let ended = away(&machine).hashget(&["missing", "a.tar.zst", "--json"]).expect(5);
    let expected = [
        file("downloads/lib.tar", &package("lib")),
        file("elsewhere/any", &large("lib")),
        file("other", &large("lib")),
    ];
    assert_eq!(files(&ended), expected);
}

#[test]
fn of_version_one_a_file_is_missing_unless_a_package_has_it() {
    let origin = Origin::start();
    let machine = machine(&origin, &["--manifest-version", "1"]);
    origin.always("/second.tar", Fault::Status(404));
    let expected = [file("second/large", &large("second")), file("second/small", &small("second"))];
    let ended = machine.hashget(&["missing", "a.tar.zst", "--json"]).expect(5);
    assert_eq!(files(&ended), expected);
    // Nothing says which package has which file: any may be missing.
    let ended = away(&machine).hashget(&["missing", "a.tar.zst", "--json"]).expect(5);
    assert_eq!(files(&ended).len(), 4);
}

#[test]
fn of_a_folder_what_is_there_is_not_missing() {
    let origin = Origin::start();
    let machine = machine(&origin, &[]);
    origin.always("/second.tar", Fault::Status(404));
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(5);
    let list = || files(&machine.hashget(&["missing", "back", "--json"]).expect(5));
    let (large, small) = (large("second"), small("second"));
    assert_eq!(list(), [file("second/large", &large), file("second/small", &small)]);
    machine.write("back/second/large", &large);
    let mut wrong = small.clone();
    wrong[7] ^= 1;
    machine.write("back/second/small", wrong);
    assert_eq!(list(), [file("second/small", &small)]);
}

#[test]
fn what_is_no_archive_is_an_error() {
    let machine = Machine::new();
    machine.write("text", "no archive");
    fs_err::create_dir(machine.path("empty")).unwrap();
    machine.hashget(&["missing", "nowhere"]).expect(1).says(&["nowhere"]);
    machine.hashget(&["missing", "text"]).expect(1).says(&["text"]);
    machine.hashget(&["missing", "empty"]).expect(1).says(&[".hashget-restore.json"]);
}
