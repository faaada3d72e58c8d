//! What `pack` tells: the whole plan of a dry run, and where the bytes went.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::TarBuilder;
use support::{Machine, files_below};

/// A tree with a file of a package, one of a package that expires too early, and three unknown ones.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in ["good", "brief"] {
        let text = name.repeat(20_000);
        let tar = TarBuilder::new().file(name, text.as_bytes()).finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}"), text);
    }
    let (good, brief) = (origin.url("/good.tar"), origin.url("/brief.tar"));
    machine.hashget(&["index", &good]).expect(0);
    machine.hashget(&["index", &brief, "--expires", "2027-01-01"]).expect(0);
    machine.write("tree/var/db/large", "d".repeat(50_000));
    machine.write("tree/home/a", "a".repeat(600));
    machine.write("tree/home/b", "b".repeat(500));
    machine
}

#[test]
fn a_dry_run_tells_the_plan_and_writes_nothing() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let before = files_below(&machine.path(""));
    let pack = ["pack", "tree", "-n", "--expires", "2030-01-01", "--no-scan-cache"];
    let ended = machine.hashget(&pack).expect(0);
    let lines: Vec<&str> = ended.stdout.lines().map(str::trim_start).collect();
    let package = format!("1   78.12 KiB    80 KiB  good.tar  {}", origin.url("/good.tar"));
    assert!(lines[0].ends_with("DOWNLOAD  PACKAGE   URL"), "{}", ended.stdout);
    assert_eq!((lines[1], lines[2]), (&*package, ""));
    let archived: Vec<&str> =
        lines[4..].iter().map(|line| line.rsplit("  ").next().unwrap()).collect();
    assert_eq!(archived, ["brief", "var/db/large", "home/a", "home/b"]);
    let ended = ended.says(&["1 package, 80 KiB to download from 127.0.0.1"]);
    let ended = ended.says(&["3 files, 49.90 KiB in no known package", "not relied on", "dry run"]);
    drop(ended);
    let no_log = |files: Vec<String>| -> Vec<String> {
        files.into_iter().filter(|name| !name.starts_with("db/hashdb.sqlite-")).collect()
    };
    assert_eq!(no_log(files_below(&machine.path(""))), no_log(before));
}

#[test]
fn a_summary_says_where_the_bytes_went() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let packed = machine.hashget(&["pack", "tree", "-f", "a.tar", "--expires", "2030-01-01"]);
    let packed =
        packed.expect(0).says(&["Largest", "97.66 KiB in brief", "48.83 KiB in var/db/large"]);
    assert_eq!(packed.stdout, "");
    let packed = machine.hashget(&["pack", "tree", "-f", "a.tar", "--json"]).expect(0);
    let records = packed.records();
    let of_kind = |kind: &str| records.iter().filter(|record| record["type"] == kind).count();
    assert_eq!((of_kind("package"), of_kind("archived")), (2, 3));
    let summary = packed.last_record();
    assert_eq!((&summary["unknown_files"], &summary["unknown_bytes"]), (&3.into(), &51_100.into()));
    assert_eq!(
        (&summary["not_relied_files"], &summary["hosts"][0]),
        (&0.into(), &"127.0.0.1".into())
    );
}

#[test]
fn detectors_tell_what_they_did_and_a_package_that_is_not_there_is_no_failure() {
    let origin = Origin::start();
    let machine = Machine::new().with_public_loopback();
    let text = "found".repeat(20_000);
    let tar = TarBuilder::new().file("found", text.as_bytes()).finish();
    origin.serve("/found.tar", tar);
    machine.write("tree/found", text);
    for name in ["found", "gone"] {
        let hint = format!(r#"{{"url": "{}"}}"#, origin.url(&format!("/{name}.tar")));
        machine.write(&format!("tree/{name}-hint/hashget-hint.json"), hint);
    }
    let gone = origin.url("/gone.tar");
    let packed = machine.hashget(&["pack", "tree", "-f", "a.tar", "--json"]).expect(0);
    let records = packed.records();
    let detectors: Vec<_> = records.iter().filter(|record| record["type"] == "detector").collect();
    let hint = detectors.iter().find(|record| record["name"] == "hint").unwrap();
    assert_eq!((&hint["packages"], &hint["files"]), (&2.into(), &1.into()));
    assert_eq!(hint["bytes"], 100_000);
    assert!(hint["seconds"].as_f64().unwrap() > 0.0);
    let others = detectors.iter().filter(|record| record["name"] != "hint");
    assert!(others.clone().count() > 3 && others.clone().all(|record| record["packages"] == 0));
    let summary = packed.last_record();
    assert_eq!(summary["unreliable"], serde_json::json!([gone]));
    assert_eq!(
        (&summary["not_indexed"], &summary["problems"]["unreachable"]),
        (&0.into(), &0.into())
    );
    let packed = machine.hashget(&["pack", "tree", "-f", "a.tar", "-v"]).expect(0);
    packed.says(&[
        "DETECTOR  PACKAGES  FILES  GIVES BACK",
        "hint",
        "1 package not relied on",
        &gone,
    ]);
    // A place that cannot be reached is another matter.
    origin.always("/gone.tar", hashget_testkit::origin::Fault::Status(501));
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(5);
}
