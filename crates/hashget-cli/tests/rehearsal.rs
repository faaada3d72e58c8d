//! `verify --deep`: a restore that is rehearsed comes to the same end as one that is done, and writes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{differences, snapshot};
use serde_json::Value;
use support::{Ended, Machine};

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Bytes that do not compress, the same for each `seed`.
fn noise(seed: u32, length: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_769) | 1;
    let byte = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..length).map(byte).collect()
}

/// A machine with an archive that needs three packages of two files each, and one of which it needs a single large file.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for (seed, name) in (0..).step_by(10).zip(NAMES) {
        let (a, b) = (noise(seed + 1, 20_000), noise(seed + 2, 30_000));
        let tar = TarBuilder::new().file("x/a", &a).file("x/b", &b).finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}/a"), a);
        machine.write(&format!("tree/{name}/b"), b);
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    let (large, other) = (noise(77, 200_000), noise(78, 50_000));
    let tar = TarBuilder::new().file("y/large", &large).file("y/other", &other).finish();
    origin.serve("/single.tar", tar);
    machine.write("tree/elsewhere/copy", large);
    machine.hashget(&["index", &origin.url("/single.tar")]).expect(0);
    for number in 0..40 {
        machine.write(&format!("tree/own/{number:02}"), noise(1000 + number, 60_000));
    }
    std::fs::hard_link(machine.path("tree/own/01"), machine.path("tree/own/link")).unwrap();
    std::fs::hard_link(machine.path("tree/one/a"), machine.path("tree/own/link of one")).unwrap();
    std::os::unix::fs::symlink("00", machine.path("tree/own/symlink")).unwrap();
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--hashes", "none"]).expect(0);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
}

/// Another machine with this archive only.
fn away(archive: &[u8], name: &str) -> Machine {
    let away = Machine::new();
    away.write(name, archive);
    away
}

/// The paths that a command says are missing.
fn missing(ended: &Ended) -> BTreeSet<String> {
    let records = ended.records();
    let missing = records.iter().filter(|record| record["type"] == "missing");
    missing.map(|record| record["path"].to_string()).collect()
}

/// Rehearses and unpacks an archive, each on a machine of its own; both come to the same end.
#[track_caller]
fn judge(archive: &[u8], name: &str, case: &str, code: i32, unpack_code: i32) -> Value {
    let rehearsed = away(archive, name).hashget(&["verify", "--deep", "--json", name]);
    let rehearsed = rehearsed.expect(code);
    let there = away(archive, name);
    let unpacked = there.hashget(&["unpack", name, "-C", "back", "--json"]).expect(unpack_code);
    let (one, other) = (rehearsed.last_record(), unpacked.last_record());
    let figures = &one["rehearsed"];
    for field in ["proven", "entries", "files", "bytes", "files_from_packages", "missing"] {
        assert_eq!(figures[field], other[field], "{case}: {field}\n{one}\n{other}");
    }
    assert_eq!(missing(&rehearsed), missing(&unpacked), "{case}");
    assert_eq!(figures["everything"], true, "{case}");
    one
}

#[test]
fn the_rehearsal_of_a_whole_archive_is_a_proof() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for name in ["a.tar.zst", "a.tar"] {
        let archive = fs_err::read(machine.path(name)).unwrap();
        let record = judge(&archive, name, name, 0, 0);
        assert_eq!(record["rehearsed"]["proven"], true);
        let ended = away(&archive, name).hashget(&["verify", "--deep", name]).expect(0);
        ended.says(&["Proven: a restore would give back exactly what was packed: 56 entries"]);
    }
    // From a server, and from standard input.
    origin.serve("/a.tar.zst", fs_err::read(machine.path("a.tar.zst")).unwrap());
    let url = origin.url("/a.tar.zst");
    machine.hashget(&["verify", "--deep", &url]).expect(0).says(&["Proven: a restore"]);
    let mut command = machine.bare();
    command.envs(machine.variables()).args(["verify", "--deep", "-"]);
    command.write_stdin(fs_err::read(machine.path("a.tar")).unwrap());
    Ended::of(&mut command).expect(0).says(&["Proven: a restore"]);
}

#[test]
fn lying_and_missing_servers_cost_a_rehearsal_what_they_cost_a_restore() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let archive = fs_err::read(machine.path("a.tar.zst")).unwrap();
    for (path, fault, code, unpack_code, proven) in [
        ("/two.tar", Fault::Status(404), 5, 5, Value::Null),
        ("/two.tar", Fault::Status(501), 5, 5, Value::Null),
        ("/two.tar", Fault::Corrupt(5000), 4, 4, Value::Null),
        ("/two.tar", Fault::Short(5000), 4, 4, Value::Null),
        ("/single.tar", Fault::Corrupt(5000), 4, 4, Value::Null),
        // The file that is needed has its digest in the manifest, and lies before this byte.
        ("/single.tar", Fault::Corrupt(220_000), 0, 0, Value::from(true)),
        ("/single.tar", Fault::Status(404), 5, 5, Value::Null),
    ] {
        origin.always(path, fault.clone());
        let case = format!("{path} {fault:?}");
        let record = judge(&archive, "a.tar.zst", &case, code, unpack_code);
        assert_eq!(record["rehearsed"]["proven"], proven, "{case}");
        origin.heal(path);
    }
}

#[test]
fn a_damaged_archive_costs_a_rehearsal_what_it_costs_a_restore() {
    let origin = Origin::start();
    let machine = machine(&origin);
    for (name, parts) in [("a.tar.zst", 20), ("a.tar", 7)] {
        let whole = fs_err::read(machine.path(name)).unwrap();
        // Behind the manifest: without one, nothing is known.
        for part in 1..parts {
            let at = whole.len() * part / parts;
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            let there = away(&flipped, name);
            let unpacked = there.hashget(&["unpack", name, "-C", "back", "--json"]);
            let rehearsed = there.hashget(&["verify", "--deep", "--json", name]).expect(4);
            assert!(unpacked.code == 3 || unpacked.code == 4, "{name} {at}: {}", unpacked.stderr);
            let (one, other) = (rehearsed.last_record(), unpacked.last_record());
            assert_ne!(one["rehearsed"]["proven"], true, "{name} {at}");
            assert_eq!(one["rehearsed"]["proven"], other["proven"], "{name} {at}");
            assert_eq!(missing(&rehearsed), missing(&unpacked), "{name} {at}");
        }
    }
}

#[test]
fn nothing_is_written_but_the_answers() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::create_dir(machine.path("temporary")).unwrap();
    let archive = fs_err::read(machine.path("a.tar.zst")).unwrap();
    let there = away(&archive, "a.tar.zst");
    fs_err::create_dir(there.path("temporary")).unwrap();
    let before = snapshot(&there.path("."));
    let mut command = there.bare();
    command.envs(there.variables()).env("TMPDIR", there.path("temporary"));
    Ended::of(command.args(["verify", "--deep", "a.tar.zst"])).expect(0).says(&["Proven: "]);
    fs_err::remove_dir_all(there.path("db")).unwrap();
    let after = snapshot(&there.path("."));
    let of_the_top = |line: &&String| !line.starts_with(". ") && !line.starts_with(": ");
    let differences = differences(&before, &after);
    let left: Vec<&String> = differences.iter().filter(of_the_top).collect();
    assert!(left.len() <= 1, "only the time of the top folder: {left:?}");
    assert!(!there.path("cache").exists());
    assert_eq!(fs_err::read_dir(there.path("temporary")).unwrap().count(), 0);
}

#[test]
fn a_sample_says_what_it_looked_at_and_the_next_ones_look_at_the_rest() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let mut seen = BTreeSet::new();
    for run in 1..=4 {
        let sample = ["verify", "--deep", "--sample", "20%", "--json", "a.tar.zst"];
        let ended = machine.hashget(&sample).expect(0);
        let record = ended.last_record();
        assert_eq!((&record["present"], &record["not_asked"]), (&1.into(), &3.into()), "run {run}");
        let rehearsed = &record["rehearsed"];
        assert_eq!((&rehearsed["everything"], &rehearsed["proven"]), (&false.into(), &Value::Null));
        let packages = ended.records().into_iter().filter(|record| record["type"] == "package");
        seen.extend(packages.map(|record| record["url"].to_string()));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    let sample = ["verify", "--deep", "--sample", "20", "a.tar.zst"];
    let ended = machine.hashget(&sample).expect(0).says(&[
        "Looked at 1 of 4 packages (",
        "what they give is right; nothing is said of the others, nor of the tree as a whole",
        "3 packages left for the next run (--sample)",
    ]);
    assert!(!ended.stderr.to_lowercase().contains("proven"), "{}", ended.stderr);
    // A fault in the sample is found.
    for name in ["one", "two", "three", "single"] {
        origin.always(&format!("/{name}.tar"), Fault::Corrupt(5000));
    }
    machine.hashget(&sample).expect(4).says(&["a restore would lack", "Looked at 1 of 4"]);
    machine.hashget(&["verify", "--sample", "0", "a.tar.zst"]).expect(2).says(&["such as 5%"]);
}

#[test]
fn no_more_is_downloaded_than_was_allowed() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let asked = origin.requests().len();
    let downloaded = |from: usize| -> u64 {
        origin.requests()[from..].iter().map(|request| request.bytes).sum()
    };
    // Not one of them is as small as this.
    let at_most = ["verify", "--deep", "--at-most", "10K", "a.tar.zst"];
    machine.hashget(&at_most).expect(0).says(&[
        "4 packages left for the next run (--at-most)",
        "Looked at none of 4 packages: nothing is said of them",
    ]);
    assert_eq!(downloaded(asked), 0);
    let ended = machine.hashget(&["verify", "--deep", "--at-most", "130000", "a.tar.zst"]);
    ended.expect(0).says(&["Looked at 2 of 4 packages"]);
    assert!(downloaded(asked) <= 130_000, "{}", downloaded(asked));
    // What is larger than all that is allowed does not keep the others from their turn.
    machine.hashget(&["verify", "--deep", "--at-most", "60000", "a.tar.zst"]).expect(0);
    machine
        .hashget(&["verify", "--deep", "--at-most", "1M", "a.tar.zst"])
        .expect(0)
        .says(&["Proven: a restore would give back exactly what was packed"]);
}

#[test]
fn a_manifest_alone_is_no_archive_and_is_not_called_whole() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::create_dir(machine.path("plain")).unwrap();
    let archive = machine.path("a.tar");
    let tar = ["-xf", archive.to_str().unwrap(), "-C", "plain"];
    let output =
        std::process::Command::new("tar").current_dir(machine.path(".")).args(tar).output();
    assert!(output.unwrap().status.success());
    let ended = machine.hashget(&["verify", "--deep", "plain"]).expect(0);
    ended.says(&["Looked at 4 of 4 packages", "nothing is said of the archive itself"]);
    let before = snapshot(&machine.path("plain"));
    machine.hashget(&["verify", "--deep", "plain"]).expect(0);
    assert_eq!(differences(&before, &snapshot(&machine.path("plain"))), Vec::<String>::new());
}

#[test]
fn archives_of_the_python_tool_are_rehearsed_file_by_file() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let machine = Machine::new();
    fs_err::create_dir(machine.path("pool")).unwrap();
    fs_err::copy(frozen.join("tool-1.0.tar.gz"), machine.path("pool/tool")).unwrap();
    let archive = frozen.join("v1.tar.gz");
    let archive = archive.to_str().unwrap();
    let verify = ["--offline", "--pool", "pool", "verify", "--deep", archive];
    machine.hashget(&verify).expect(0).says(&["has no proof of the tree as a whole"]);
    let ended = machine.hashget(&["--offline", "verify", "--deep", archive]);
    ended.expect(5).says(&["a restore would lack"]);
}
