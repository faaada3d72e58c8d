//! `info`: what an archive needs, told from its manifest alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::Command;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use support::{Ended, Machine};

/// A machine with a tree of a package's file, twice, and two files of its own with two names.
fn machine(origin: &Origin) -> Machine {
    let text = "a file of the package\n".repeat(9000);
    let tool = TarBuilder::new().file("tool/text", text.as_bytes()).finish();
    origin.serve("/tool.tar.gz", compress("gzip", &tool));
    let machine = Machine::new();
    let index = ["index", "--expires", "2031-05-01", "--signature", "tool:1.0"];
    machine.hashget(&[&index[..], &[&origin.url("/tool.tar.gz")]].concat()).expect(0);
    machine.write("tree/text", &text);
    machine.write("tree/own", "mine");
    machine.write("tree/large", noise());
    fs_err::hard_link(machine.path("tree/own"), machine.path("tree/own.2")).unwrap();
    machine
}

/// Bytes that no compression makes small.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..300_000).map(step).collect()
}

#[test]
fn an_archive_of_any_compression_a_folder_and_a_pipe_say_the_same() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let mut told = Vec::new();
    for archive in ["a.tar", "a.tar.gz", "a.tar.zst", "a.tar.xz"] {
        machine.hashget(&["pack", "tree", "-f", archive]).expect(0);
        told.push(machine.hashget(&["info", archive]).expect(0).stdout);
    }
    let asked = origin.requests().len();
    fs_err::create_dir(machine.path("back")).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-xf", "a.tar", "-C", "back"]);
    assert!(tar.current_dir(machine.path("")).status().unwrap().success());
    told.push(machine.hashget(&["info", "back"]).expect(0).stdout);
    told.push(machine.hashget(&["info", "back/.hashget-restore.json"]).expect(0).stdout);
    let mut pipe = machine.bare();
    pipe.envs(machine.variables())
        .args(["info", "-"])
        .write_stdin(fs_err::read(machine.path("a.tar.xz")).unwrap());
    told.push(Ended::of(&mut pipe).expect(0).stdout);
    assert!(told.iter().all(|text| *text == told[0]), "{told:#?}");
    for line in [
        "Manifest     version 2, written by hashget",
        "Tree         4 files, 486.3",
        "Archived     3 files, 292.97 KiB",
        "Left out     1 file, 193.36 KiB",
        "To download  1 package, ",
        "Evidence     1 downloaded",
        "Expires      2031-05-01",
        "127.0.0.1",
    ] {
        assert!(told[0].contains(line), "no {line:?} in {}", told[0]);
    }
    assert_eq!(origin.requests().len(), asked, "nothing is asked of the network");
}

#[test]
fn a_list_is_urls_and_records_say_everything() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    let url = origin.url("/tool.tar.gz");
    let listed = machine.hashget(&["info", "--list", "a.tar.zst"]).expect(0);
    assert_eq!((listed.stdout, listed.stderr), (format!("{url}\n"), String::new()));
    let records = machine.hashget(&["info", "a.tar.zst", "--json"]).expect(0).records();
    let kinds: Vec<&str> = records.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["package", "host", "summary"]);
    assert_eq!((&records[0]["url"], &records[0]["evidence"]), (&url.into(), &"downloaded".into()));
    assert_eq!(records[0]["signatures"][0], "tool:1.0");
    let summary = &records[2];
    assert_eq!((&summary["version"], &summary["archived"]["files"]), (&2.into(), &3.into()));
    assert_eq!((&summary["left_out"]["files"], &summary["hosts"]), (&1.into(), &1.into()));
    assert_eq!(summary["first_expiry"], "2031-05-01");
    // The HashDB and the cache are not for this.
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away.hashget(&["info", "a.tar.zst"]).expect(0);
    assert!(!away.path("db").exists() && !away.path("cache").exists());
}

#[test]
fn no_more_is_read_than_the_manifest() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for archive in ["a.tar", "a.tar.zst"] {
        machine.hashget(&["pack", "tree", "-f", archive]).expect(0);
        let whole = fs_err::read(machine.path(archive)).unwrap();
        machine.write(archive, &whole[..whole.len() - 100_000]);
        machine.hashget(&["info", archive]).expect(0);
    }
}

#[test]
fn an_archive_of_the_python_tool_is_understood() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen/v1.tar.gz");
    let frozen = frozen.to_str().unwrap();
    let machine = Machine::new();
    let told = machine.hashget(&["info", frozen]).expect(0).stdout;
    for part in [
        "version 1, written by the Python tool",
        "1 package; a manifest of version 1 does not state their sizes",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let listed = machine.hashget(&["info", "--list", frozen]).expect(0).stdout;
    assert!(listed.ends_with("/tool-1.0.tar.gz\n") && listed.lines().count() == 1, "{listed}");
    let summary = machine.hashget(&["info", "--json", frozen]).expect(0).last_record();
    assert_eq!((&summary["tree"], &summary["version"]), (&serde_json::Value::Null, &1.into()));
}

#[test]
fn what_has_no_manifest_is_told() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("empty")).unwrap();
    machine.write("plain.tar", TarBuilder::new().file("a", b"b").finish());
    machine.write("text", "no archive");
    machine.write("future.json", r#"{"format": "hashget-restore", "version": 3}"#);
    for (archive, expected) in [
        ("empty", "no .hashget-restore.json"),
        ("plain.tar", "it is a plain tar"),
        ("text", "not an archive"),
        ("nowhere", "nowhere"),
        ("future.json", "a newer hashget"),
    ] {
        machine.hashget(&["info", archive]).expect(1).says(&["error:", expected, "hint:"]);
    }
}
