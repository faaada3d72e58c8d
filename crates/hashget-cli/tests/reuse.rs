//! `pack` with an earlier archive at hand: which one it takes, and what it says of it.
//!
//! Invariant: whatever is copied, the archive is the one that would have been made without it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use serde_json::Value;
use support::{Ended, Machine};

fn machine() -> Machine {
    let machine = Machine::new();
    for number in 0..9_u32 {
        let text: String =
            (0..200_000).map(|at| format!("{:x}", at * 7919 % (number + 9))).collect();
        machine.write(&format!("tree/{number}"), text);
    }
    machine
}

fn pack(machine: &Machine, file: &str, options: &[&str]) -> Ended {
    let pack = ["pack", "tree", "-f", file, "--detect", "none", "--no-index"];
    machine.hashget(&[&pack, options].concat())
}

/// Bytes that were copied.
fn copied(machine: &Machine, file: &str, options: &[&str]) -> u64 {
    let record = pack(machine, file, &[&["--json"], options].concat()).expect(0).last_record();
    record["reused_bytes"].as_u64().unwrap()
}

#[test]
fn the_last_archive_of_a_series_is_taken_by_itself() {
    let machine = machine();
    let bytes = |file: &str| fs_err::read(machine.path(file)).unwrap();
    assert_eq!(copied(&machine, "a-2026-11-28.tar.zst", &[]), 0);
    assert_eq!(copied(&machine, "b-2026-11-28.tar.zst", &[]), 0);
    assert!(copied(&machine, "a-2026-11-29.tar.zst", &[]) > 0);
    assert!(copied(&machine, "a-2026-11-29.tar.zst", &[]) > 0);
    assert_eq!(copied(&machine, "a-2026-11-29.tar.zst", &["--no-reuse"]), 0);
    assert_eq!(copied(&machine, "a-2026-11-29.tar.gz", &[]), 0);
    assert!(bytes("a-2026-11-29.tar.zst") == bytes("b-2026-11-28.tar.zst"));
    // Another name, and one that is named.
    assert!(copied(&machine, "other.tar.zst", &["--reuse", "b-2026-11-28.tar.zst"]) > 0);
    pack(&machine, "other.tar.zst", &[]).expect(0).says(&["copied from an earlier archive"]);
    machine.hashget(&["unpack", "other.tar.zst", "-C", "back"]).expect(0);
}

#[test]
fn what_was_named_and_cannot_be_taken_is_an_error() {
    let machine = machine();
    pack(&machine, "a.tar.zst", &["--reuse", "none.tar.zst"])
        .expect(1)
        .says(&["none.tar.zst", "--reuse: expected an archive that can be read"]);
    // A pipe to which nobody writes: opening it would never end.
    let made = std::process::Command::new("mkfifo").arg(machine.path("pipe")).status().unwrap();
    assert!(made.success());
    for file in ["pipe", "tree"] {
        let ended = pack(&machine, "a.tar.zst", &["--reuse", file]).expect(2);
        ended.says(&[file, "is no regular file"]);
    }
    machine.write("first.tar.zst", "");
    pack(&machine, "a.tar.gz", &["--reuse", "first.tar.zst"])
        .expect(2)
        .says(&["a.tar.gz is no .tar.zst"]);
    pack(&machine, "a.tar.zst", &["--reuse", "first.tar.zst", "--no-reuse"]).expect(2);
    assert!(!machine.path("a.tar.zst").exists() && !machine.path("a.tar.gz").exists());
}

#[test]
fn a_damaged_earlier_archive_is_named_and_the_new_one_is_whole() {
    let machine = machine();
    pack(&machine, "a-1.tar.zst", &[]).expect(0);
    let mut bytes = fs_err::read(machine.path("a-1.tar.zst")).unwrap();
    let whole = bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    machine.write("a-1.tar.zst", &bytes);
    let ended = pack(&machine, "a-2.tar.zst", &["--json"]).expect(0);
    let told = |record: &Value| record.to_string().contains("this earlier archive is damaged");
    assert!(ended.records().iter().any(told), "{}", ended.stdout);
    assert!(fs_err::read(machine.path("a-2.tar.zst")).unwrap() == whole);
}
