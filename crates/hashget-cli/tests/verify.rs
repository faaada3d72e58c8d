//! `verify`: packages that are gone, changed, or out of reach, and the files that need them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget::hashdb::{Check, Checks as _, LocalHashDb};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::Machine;

const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

/// A machine with an archive that needs four packages of two files each.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in NAMES {
        let (a, b) = (format!("{name} a").repeat(2000), format!("{name} b").repeat(2000));
        let tar = TarBuilder::new().file("x/a", a.as_bytes()).file("x/b", b.as_bytes()).finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}/a"), a);
        machine.write(&format!("tree/{name}/b"), b);
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

fn away(machine: &Machine) -> Machine {
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away
}

fn states(records: &[Value]) -> Vec<(String, String)> {
    let package = |record: &Value| {
        let url = record["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        (url, record["state"].as_str().unwrap().to_owned())
    };
    records.iter().filter(|record| record["type"] == "package").map(package).collect()
}

#[test]
fn what_is_there_costs_a_few_bytes_each_and_is_remembered() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let asked = origin.requests().len();
    let ended = machine.hashget(&["verify", "a.tar.zst"]).expect(0);
    ended.says(&["4 packages available (size checked)"]);
    let requests = origin.requests();
    assert_eq!(requests.len(), asked + 4);
    assert!(requests[asked..].iter().all(|request| request.bytes == 256), "{requests:?}");
    machine
        .hashget(&["verify", "--deep", "a.tar.zst"])
        .expect(0)
        .says(&["4 packages available (contents verified)"]);
}

#[test]
fn a_lost_package_is_named_with_its_files_and_others_are_not() {
    let origin = Origin::start();
    let machine = machine(&origin);
    origin.always("/second.tar", Fault::Status(404));
    // The cache has it still: a note.
    let ended = machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(0);
    assert_eq!(ended.last_record()["problems"]["notes"], 1);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let ended = machine.hashget(&["verify", "a.tar.zst"]).expect(5);
    let ended = ended.says(&[
        "second.tar",
        "lost: found nowhere",
        "needed for second/a, second/b",
        "1 package LOST: files that need it",
    ]);
    assert!(!ended.stderr.contains("first") && !ended.stderr.contains("third"), "{}", ended.stderr);
    let records = machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(5).records();
    let expected =
        [("first", "present"), ("fourth", "present"), ("second", "lost"), ("third", "present")];
    let expected = expected.map(|(name, state)| (format!("{name}.tar"), state.to_owned()));
    assert_eq!(states(&records), expected);
    // Without a HashDB that knows the package: where its files are.
    let ended = away(&machine).hashget(&["verify", "a.tar.zst"]).expect(5);
    ended.says(&["second.tar", "everything that it gives below \"second/\""]);
    // A pool has it: a note again.
    let whole = TarBuilder::new()
        .file("x/a", "second a".repeat(2000).as_bytes())
        .file("x/b", "second b".repeat(2000).as_bytes());
    machine.write("pool/anything", whole.finish());
    machine.hashget(&["--pool", "pool", "verify", "a.tar.zst"]).expect(0).says(&["pool/anything"]);
}

#[test]
fn what_was_found_lost_is_archived_by_the_next_backup() {
    let origin = Origin::start();
    origin.serve("/lib.tar", TarBuilder::new().file("lib/a", "a".repeat(9000).as_bytes()).finish());
    let machine = Machine::new();
    machine.write("tree/lib/a", "a".repeat(9000));
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    let left_out = |archive: &str| {
        let packed = machine.hashget(&["pack", "tree", "-f", archive, "--json"]).expect(0);
        packed.last_record()["left_out_files"].clone()
    };
    assert_eq!(left_out("a.tar"), 1);
    origin.always("/lib.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["verify", "a.tar"]).expect(5);
    assert_eq!(left_out("b.tar"), 0);
    let explained = machine.hashget(&["explain", "tree/lib/a"]).expect(0);
    assert!(explained.stdout.contains("index --again"), "{}", explained.stdout);
    machine.hashget(&["unpack", "b.tar", "-C", "back"]).expect(0);
    origin.heal("/lib.tar");
    machine.hashget(&["index", &origin.url("/lib.tar")]).expect(0);
    assert_eq!(left_out("c.tar"), 1);
}

#[test]
fn changed_damaged_and_silent_places_are_told_apart() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.serve("/first.tar", "short");
    origin.always("/third.tar", Fault::Status(501));
    // Stores of objects answer so for what is gone.
    origin.always("/second.tar", Fault::Status(403));
    let found = states(&machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(5).records());
    assert!(found.contains(&("second.tar".to_owned(), "lost".to_owned())), "{found:?}");
    origin.heal("/second.tar");
    let ended = machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(5);
    let found = states(&ended.records());
    let state =
        |name: &str| found.iter().find(|(url, _)| *url == format!("{name}.tar")).unwrap().1.clone();
    assert_eq!(NAMES.map(state), ["lost", "present", "unreachable", "present"]);
    // Same size, other bytes: only a deep look sees it.
    origin.always("/fourth.tar", Fault::Corrupt(3000));
    let state = |record: &[Value]| {
        states(record).into_iter().find(|(url, _)| url == "fourth.tar").unwrap().1
    };
    assert_eq!(
        state(&machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(5).records()),
        "present"
    );
    // Bytes that came and are wrong count more than a host that gave none.
    let deep = machine.hashget(&["verify", "a.tar.zst", "--json", "--deep"]).expect(4).records();
    assert_eq!(state(&deep), "lost");
    assert!(!machine.path("cache/sha256").exists(), "nothing is kept");
    origin.serve("/first.tar", "");
    origin.always("/first.tar", Fault::Status(501));
    for name in ["second", "third", "fourth"] {
        origin.heal(&format!("/{name}.tar"));
    }
    machine.hashget(&["verify", "a.tar.zst"]).expect(5).says(&["1 package could not be checked"]);
}

/// A machine with an archive of `count` packages, each with a second URL on the other origin.
fn machine_with_second_urls(origin: &Origin, other: &Origin, count: usize) -> Machine {
    let machine = Machine::new();
    for number in 0..count {
        let text = format!("text {number}").repeat(2000);
        let tar = TarBuilder::new().file("x/a", text.as_bytes()).finish();
        let path = format!("/p{number}.tar");
        other.serve(&path, tar.clone());
        origin.serve(&path, tar);
        machine.write(&format!("tree/{number}"), text);
        machine.hashget(&["index", &origin.url(&path)]).expect(0);
    }
    // A HashDB knows further URLs from lock files, or from another HashDB, as here.
    machine.hashget(&["db", "export", "-o", "known.jsonl"]).expect(0);
    let known = fs_err::read_to_string(machine.path("known.jsonl")).unwrap();
    let both = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if let Some(url) = line["record"]["url"].as_str() {
            let also = url.replace(&origin.url(""), &other.url(""));
            line["record"]["also"] = Value::from(vec![also]);
        }
        format!("{line}\n")
    };
    machine.write("known.jsonl", known.lines().map(both).collect::<String>());
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    machine.hashget(&["db", "import", "--trust", "known.jsonl"]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
}

#[test]
fn many_packages_of_one_host_are_told_together() {
    let (origin, other) = (Origin::start(), Origin::start());
    let machine = machine_with_second_urls(&origin, &other, 5);
    for number in 0..4 {
        other.always(&format!("/p{number}.tar"), Fault::Status(404));
    }
    let ended = machine.hashget(&["verify", "a.tar.zst"]).expect(0);
    assert_eq!(ended.stderr.matches("note:").count(), 1, "{}", ended.stderr);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    ended
        .says(&["4 packages gone: other URLs still have them; the first:", "5 packages available"]);
    // One by one on request, and to programs.
    let ended = machine.hashget(&["verify", "a.tar.zst", "-v"]).expect(0);
    for number in 0..4 {
        let line = format!("{}: gone: ", other.url(&format!("/p{number}.tar")));
        assert!(ended.stdout.contains(&line), "no {line:?} in {}", ended.stdout);
    }
    let records = machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(0).records();
    assert_eq!(states(&records).len(), 5);
    // What nobody can be asked for is told together too; what is lost never is.
    for number in 0..5 {
        let path = format!("/p{number}.tar");
        for server in [&origin, &other] {
            server.heal(&path);
            server.always(&path, Fault::Status(501));
        }
    }
    let ended = machine.hashget(&["verify", "a.tar.zst"]).expect(5);
    assert_eq!(ended.stderr.matches("warning:").count(), 1, "{}", ended.stderr);
    ended.says(&["5 packages unreachable: none of their URLs could be checked"]);
    for number in 0..5 {
        let path = format!("/p{number}.tar");
        for server in [&origin, &other] {
            server.heal(&path);
            server.always(&path, Fault::Status(404));
        }
    }
    let ended = machine.hashget(&["verify", "a.tar.zst"]).expect(5);
    assert_eq!(ended.stderr.matches("lost: found nowhere").count(), 5, "{}", ended.stderr);
}

/// A machine with an archive of `count` small packages, made by one run of `index`.
fn machine_with_many(origin: &Origin, count: usize) -> Machine {
    let machine = Machine::new();
    let mut urls = Vec::new();
    for number in 0..count {
        let text = format!("text {number}").repeat(2000);
        let path = format!("/p{number}.tar");
        let tar = TarBuilder::new().file("x/a", text.as_bytes()).finish();
        if number == 0 {
            machine.write("first.tar", &tar);
        }
        origin.serve(&path, tar);
        machine.write(&format!("tree/{number}"), text);
        urls.push(origin.url(&path));
    }
    let index: Vec<&str> = ["index"].into_iter().chain(urls.iter().map(String::as_str)).collect();
    machine.hashget(&index).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
}

#[test]
fn a_dead_host_is_one_line_and_what_was_not_asked_comes_first_in_the_next_run() {
    const COUNT: usize = 14;
    let origin = Origin::start();
    let machine = machine_with_many(&origin, COUNT);
    machine.hashget(&["verify", "a.tar.zst"]).expect(0);
    let asked = origin.requests().len();
    for number in 0..COUNT {
        origin.always(&format!("/p{number}.tar"), Fault::Drop);
    }
    // Not enough for all packages; but those that are not asked take nothing of it.
    let size = fs_err::metadata(machine.path("first.tar")).unwrap().len();
    let most = (13 * size).to_string();
    let verify = ["verify", "a.tar.zst", "--jobs", "4", "--at-most", &most];
    let ended = machine.hashget(&verify).expect(5);
    assert_eq!(ended.stderr.matches("warning:").count(), 1, "{}", ended.stderr);
    let ended = ended.says(&["14 packages unreachable: none of their URLs could be checked"]);
    let requested = |from: usize| -> std::collections::BTreeSet<String> {
        origin.requests()[from..].iter().map(|request| request.path.clone()).collect()
    };
    let dead = requested(asked);
    // Five failures, and those that were in progress with the fifth.
    assert!((1..=8).contains(&(origin.requests().len() - asked)), "{dead:?}");
    ended.says(&["14 packages not checked, since"]);
    // None of them was recorded as checked: with the host back, the next runs ask for each. Those of one second have no
    // order, so the earlier ones are made older.
    let hashdb = LocalHashDb::open(&machine.path("db")).unwrap();
    for (_, record) in hashdb.list().unwrap() {
        for check in hashdb.checks(&[record.sha256]).unwrap().concat() {
            let checked_at = check.checked_at - 100;
            hashdb.put_check(&Check { checked_at, ..check }).unwrap();
        }
    }
    for number in 0..COUNT {
        origin.heal(&format!("/p{number}.tar"));
    }
    let asked = origin.requests().len();
    let one = ["verify", "a.tar.zst", "--at-most", "1", "--jobs", "1"];
    for _ in 0..2 * COUNT {
        machine.hashget(&one).expect(0);
    }
    assert_eq!(requested(asked).len(), COUNT);
}

#[test]
fn a_server_that_answers_is_asked_for_every_package() {
    let origin = Origin::start();
    let machine = machine_with_many(&origin, 8);
    for number in 0..7 {
        origin.always(&format!("/p{number}.tar"), Fault::Status(501));
    }
    let records = machine.hashget(&["verify", "a.tar.zst", "--json"]).expect(5).records();
    let found = states(&records);
    assert_eq!(found.iter().filter(|(_, state)| state == "unreachable").count(), 7, "{found:?}");
    assert_eq!(found.iter().filter(|(_, state)| state == "present").count(), 1, "{found:?}");
    // One that is gone is found among them.
    origin.heal("/p6.tar");
    origin.always("/p6.tar", Fault::Status(404));
    machine.hashget(&["verify", "a.tar.zst"]).expect(5).says(&["lost: found nowhere"]);
}

#[test]
fn several_small_runs_cover_everything_oldest_first() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let mut seen = Vec::new();
    for run in 1..=4 {
        let verify = ["verify", "a.tar.zst", "--at-most", "1", "--json", "--jobs", "1"];
        let ended = machine.hashget(&verify).expect(0);
        assert_eq!(ended.last_record()["not_asked"], 3, "run {run}");
        seen.extend(states(&ended.records()).into_iter().map(|(url, _)| url));
    }
    seen.sort();
    assert_eq!(seen, ["first.tar", "fourth.tar", "second.tar", "third.tar"]);
    machine.hashget(&["verify", "a.tar.zst", "--at-most", "1h"]).expect(0).says(&["4 packages"]);
    machine.hashget(&["verify", "a.tar.zst", "--at-most", "soon"]).expect(2).says(&["10min"]);
}

#[test]
fn offline_only_pools_and_the_cache_count() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["--offline", "verify", "a.tar.zst"]).expect(0);
    let asked = origin.requests().len();
    away(&machine).hashget(&["--offline", "verify", "a.tar.zst"]).expect(5);
    assert_eq!(origin.requests().len(), asked);
}

#[test]
fn the_python_tools_archives_too() {
    let frozen = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/tool")).unwrap();
    let archive = frozen.join("v1.tar.gz");
    let verify = ["--offline", "--pool", "pool", "verify", archive.to_str().unwrap()];
    machine.hashget(&verify).expect(0).says(&["1 package"]);
}
