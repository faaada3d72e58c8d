//! Every way in which a server misbehaves, on `index` and on `unpack`: the exit code, what is said, and that
//! all is well once the server is. The table stands in `docs/guarantees.md`.
//!
//! Invariant: whatever a server does, what the archive itself holds is restored, and nothing wrong has a
//! file's name.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{TarBuilder, compress};
use support::Machine;

struct Case {
    name: &'static str,
    fault: Fault,
    /// Only the first request meets it.
    once: bool,
    /// Exit code of `index`, and words that it says.
    index: (i32, &'static [&'static str]),
    /// The same of `unpack`.
    unpack: (i32, &'static [&'static str]),
}

fn noise() -> Vec<u8> {
    (0..200_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn package() -> Vec<u8> {
    compress("gzip", &TarBuilder::new().file("tool/noise", &noise()).finish())
}

const PROVEN: (i32, &[&str]) = (0, &["Proven"]);
const INDEXED: (i32, &[&str]) = (0, &["1 package indexed"]);

fn cases() -> Vec<Case> {
    let half = package().len() as u64 / 2;
    let fails = |name, fault, index, unpack| Case { name, fault, once: false, index, unpack };
    let once = |name, fault| Case { name, fault, once: true, index: INDEXED, unpack: PROVEN };
    let well = |name, fault| Case { name, fault, once: false, index: INDEXED, unpack: PROVEN };
    let both = |name, fault, code, words| fails(name, fault, (code, words), (code, words));
    vec![
        both("404", Fault::Status(404), 5, &["does not have"]),
        both("500", Fault::Status(500), 5, &["500 Internal Server Error", "tried 5 times"]),
        both("503", Fault::Status(503), 5, &["503 Service Unavailable", "tried 5 times"]),
        both("truncate", Fault::Truncate(0), 5, &["closed too early", "tried 5 times"]),
        both("drop", Fault::Drop, 5, &["closed too early", "tried 5 times"]),
        both("loop", Fault::RedirectLoop, 5, &["redirects in a circle"]),
        fails(
            "short",
            Fault::Short(half),
            (4, &["ends too early", "hint:"]),
            (4, &["gave other bytes", "expected", "found"]),
        ),
        fails(
            "corrupt",
            Fault::Corrupt(half),
            (4, &["damaged gzip data", "hint:"]),
            (4, &["gave other bytes", "expected", "found"]),
        ),
        fails(
            "other",
            Fault::Other,
            (0, &["no package that can be read"]),
            (4, &["gave other bytes", "expected", "found"]),
        ),
        once("503 once", Fault::Status(503)),
        once("truncate once", Fault::Truncate(half)),
        once("drop once", Fault::Drop),
        // A half of what is left each time: it comes in the end.
        well("truncate to a half", Fault::Truncate(half)),
        well("norange", Fault::NoRange),
        well("noetag", Fault::NoEtag),
        well("slow", Fault::Slow),
    ]
}

fn meet(origin: &Origin, case: &Case) {
    if case.once {
        origin.script("/tool.tar.gz", [case.fault.clone()]);
    } else {
        origin.always("/tool.tar.gz", case.fault.clone());
    }
}

fn on_index(case: &Case) {
    let (origin, machine) = (Origin::start(), Machine::new());
    origin.serve("/tool.tar.gz", package());
    let url = origin.url("/tool.tar.gz");
    meet(&origin, case);
    let (code, words) = case.index;
    machine.hashget(&["index", &url]).expect(code).says(&["tool.tar.gz"]).says(words);
    origin.heal("/tool.tar.gz");
    if case.name == "other" {
        // It is what is there: nobody could know better.
        machine.hashget(&["db", "remove", "--package", &url]).expect(0);
    }
    machine.hashget(&["index", &url]).expect(0);
    let record = machine.hashget(&["db", "show", "--package", &url]).expect(0);
    assert!(record.stdout.contains("tool/noise"), "{}: {}", case.name, record.stdout);
}

fn on_unpack(case: &Case) {
    let (origin, machine) = (Origin::start(), Machine::new());
    origin.serve("/tool.tar.gz", package());
    machine.hashget(&["index", &origin.url("/tool.tar.gz")]).expect(0);
    machine.write("tree/own", "my own words");
    machine.write("tree/noise", noise());
    let pack = ["pack", "tree", "-f", "a.tar.zst", "--max-fetch-ratio", "1000"];
    machine.hashget(&pack).expect(0);
    meet(&origin, case);
    let (code, words) = case.unpack;
    let away = ["--cache", "other", "unpack", "a.tar.zst", "-C", "back"];
    let said = machine.hashget(&away).expect(code).says(words);
    assert_eq!(fs_err::read(machine.path("back/own")).unwrap(), b"my own words");
    if code != 0 {
        assert!(!machine.path("back/noise").exists(), "{}", case.name);
        let again = ["tool.tar.gz", "The manifest was kept; run `hashget restore "];
        let said = said.says(&again);
        assert!(!said.stderr.contains("Proven"), "{}: {}", case.name, said.stderr);
        origin.heal("/tool.tar.gz");
        machine.hashget(&["--cache", "other", "restore", "back"]).expect(0).says(&["Proven"]);
    }
    assert_eq!(fs_err::read(machine.path("back/noise")).unwrap(), noise());
}

#[test]
fn every_fault_of_a_server_has_its_exit_code_and_its_words() {
    std::thread::scope(|scope| {
        for case in cases() {
            let case = std::sync::Arc::new(case);
            let other = std::sync::Arc::clone(&case);
            scope.spawn(move || on_index(&case));
            scope.spawn(move || on_unpack(&other));
        }
    });
}
