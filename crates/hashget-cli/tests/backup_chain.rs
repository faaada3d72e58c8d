//! `hashget backup` with nights that share: what hangs on what, and that every archive comes back from any one destination.
//!
//! Invariant: a base that is missing or damaged is said, and the next archive needs none.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::path::Path;

use hashget_testkit::object_store::{BUCKET, ObjectStore};
use hashget_testkit::origin::Origin;
use serde_json::Value;
use support::{Ended, Machine, files_below};

/// A file that no package has, and that does not compress: the same for the same `seed`.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(count);
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(state.to_le_bytes()[3]);
    }
    bytes
}

/// A machine with a job `web` that packs twenty files of 20 KB in `tree`, and with more lines in its table.
fn machine(more: &str) -> Machine {
    let machine = Machine::new();
    for number in 0..20 {
        machine.write(&format!("tree/{number}"), noise(number + 1, 20_000));
    }
    fs_err::create_dir(machine.path("out")).unwrap();
    configure(&machine, &format!("to = [\"out\"]\nshare = \"chain\"\n{more}"));
    machine
}

fn configure(machine: &Machine, lines: &str) {
    let table =
        "[backup.web]\nsources = [\"tree\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", format!("{table}{lines}"));
}

/// The archives in a folder, by name, each with its size in bytes and the one that it needs.
fn archives(folder: &Path) -> Vec<(String, u64, Option<String>)> {
    let mut files = files_below(folder);
    files.retain(|name| name.ends_with(".tar.zst"));
    let with_base = |name: String| {
        let record = fs_err::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let record: Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
        let base = record["base"].as_str().map(str::to_owned);
        let size = fs_err::metadata(folder.join(&name)).unwrap().len();
        (name, size, base)
    };
    files.into_iter().map(with_base).collect()
}

/// Runs the job after a file has changed; what is in the tree then.
fn night(machine: &Machine, number: u64) {
    machine.write(&format!("tree/{number}"), noise(100 + number, 20_000));
    machine.hashget(&["backup"]).expect(0);
}

/// Damages a file in its middle, without changing its size.
fn damage(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn nights_hang_on_the_full_archive_and_come_back_from_its_folder() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0).says(&["knows no full archive"]);
    night(&machine, 1);
    machine.write("tree/2", noise(102, 20_000));
    machine.hashget(&["backup"]).expect(0).says(&["Needs       h_web_"]);
    let made = archives(&machine.path("out"));
    let [(base, full, None), (_, second, needs), (third, last, also)] = &made[..] else {
        panic!("{made:?}")
    };
    assert_eq!((needs.as_deref(), also.as_deref()), (Some(&**base), Some(&**base)));
    // One file of twenty, and two.
    assert!(*second < full / 8 && *last < full / 5, "{made:?}");
    // Without anything of this machine, also where both were carried to.
    fs_err::remove_file(machine.path("own-config.toml")).unwrap();
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    fs_err::rename(machine.path("out"), machine.path("stick")).unwrap();
    let ended = machine.hashget(&["backup", "restore", "h_web", "-C", "back", "--from", "stick"]);
    ended.expect(0).says(&["Proven"]);
    machine.hashget(&["diff", "tree", "back"]).expect(0);
    let archive = format!("stick/{third}");
    machine.hashget(&["unpack", &archive, "-C", "again"]).expect(0).says(&["Proven"]);
    machine.hashget(&["verify", &archive]).expect(0).says(&["1 package available"]);
    machine.hashget(&["verify", "--deep", &archive]).expect(0).says(&["Proven"]);
    machine.hashget(&["info", &archive]).expect(0).prints(&["Needs beside it", base]);
    let part = ["backup", "restore", "web@latest", "./7", "-C", "part", "--from", "stick"];
    machine.hashget(&part).expect(0);
    assert_eq!(fs_err::read(machine.path("part/7")).unwrap(), noise(8, 20_000));
    let listed = machine.hashget(&["backup", "list", "./stick"]).expect(0);
    assert!(listed.stdout.contains("whole, needs 20"), "{}", listed.stdout);
    // Alone it says what it lacks.
    fs_err::rename(machine.path(&archive), machine.path("alone.tar.zst")).unwrap();
    let ended = machine.hashget(&["unpack", "alone.tar.zst", "-C", "lacking"]);
    ended.expect(5).says(&[base, "does not have"]);
    let ended = machine.hashget(&["unpack", "alone.tar.zst", "-C", "pooled", "--pool", "stick"]);
    ended.expect(0).says(&["Proven"]);
}

#[test]
fn an_archive_of_a_url_has_what_it_needs_beside_it() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0);
    night(&machine, 1);
    let made = archives(&machine.path("out"));
    let origin = Origin::start();
    for (name, ..) in &made {
        origin
            .serve(&format!("/web/{name}"), fs_err::read(machine.path("out").join(name)).unwrap());
    }
    let url = origin.url(&format!("/web/{}", made[1].0));
    machine.hashget(&["unpack", &url, "-C", "back"]).expect(0).says(&["Proven"]);
    machine.hashget(&["verify", &url]).expect(0).says(&["1 package available"]);
}

/// A store is named by the user: what lies beside an archive there is asked for like the archive itself.
#[test]
fn offline_a_store_is_used_whole_and_a_url_not_at_all() {
    let (machine, server, origin) = (machine(""), ObjectStore::start(), Origin::start());
    machine.hashget(&["backup"]).expect(0);
    night(&machine, 1);
    let made = archives(&machine.path("out"));
    for (name, ..) in &made {
        let bytes = fs_err::read(machine.path("out").join(name)).unwrap();
        server.put(&format!("h/{name}"), &bytes);
        origin.serve(&format!("/h/{name}"), bytes);
    }
    let offline = |arguments: &[&str]| {
        let mut command = machine.bare();
        command.args(arguments).arg("--offline");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden");
        Ended::of(command.env("AWS_ENDPOINT_URL", server.endpoint()))
    };
    let archive = format!("s3://{BUCKET}/h/{}", made[1].0);
    offline(&["unpack", &archive, "-C", "back"]).expect(0).says(&["Proven"]);
    let url = origin.url(&format!("/h/{}", made[1].0));
    offline(&["unpack", &url, "-C", "again"]).expect(5).says(&["offline", "--offline"]);
    assert_eq!(origin.requests(), []);
}

#[test]
fn a_damaged_or_missing_base_is_said_and_the_next_archive_is_full() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0);
    night(&machine, 1);
    let base = archives(&machine.path("out")).remove(0).0;
    damage(&machine.path("out").join(&base));
    machine.hashget(&["backup", "check", "--read"]).expect(4).says(&["2 not as recorded", "needs"]);
    machine.hashget(&["backup"]).expect(3).says(&[&base, "damaged", "is full"]);
    let made = archives(&machine.path("out"));
    assert_eq!((made.len(), &made[2].2), (3, &None));
    night(&machine, 2);
    let made = archives(&machine.path("out"));
    assert_eq!(made[3].2.as_ref(), Some(&made[2].0));
    // The new one is gone: what needs it is not whole any more, and is not what a restore should begin with.
    fs_err::remove_file(machine.path("out").join(&made[2].0)).unwrap();
    machine.hashget(&["backup", "check"]).expect(4).says(&["which is not there"]);
    machine.hashget(&["backup", "status"]).expect(3).says(&["which is not there"]);
    machine.hashget(&["backup"]).expect(3).says(&["does not have", &made[2].0]);
    machine.hashget(&["backup", "status"]).expect(3);
    assert_eq!(archives(&machine.path("out")).pop().unwrap().2, None);
}

#[test]
fn the_state_can_be_lost_and_a_new_destination_begins_with_a_full_archive() {
    let machine = machine("");
    machine.hashget(&["backup"]).expect(0);
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    machine.hashget(&["backup"]).expect(0).says(&["knows no full archive"]);
    fs_err::create_dir(machine.path("disk")).unwrap();
    configure(&machine, "to = [\"out\", \"disk\"]\nshare = \"chain\"\n");
    machine.hashget(&["backup"]).expect(0).says(&["disk does not have", "is full"]);
    night(&machine, 1);
    // Of those in `out`, only that of the last night hangs on another.
    let out = archives(&machine.path("out"));
    assert_eq!(out.iter().filter(|(.., base)| base.is_some()).count(), 1, "{out:?}");
    for folder in ["out", "disk"] {
        let made = archives(&machine.path(folder));
        assert!(made.last().unwrap().2.is_some(), "{made:?}");
        let back = format!("back-{folder}");
        let from = format!("./{folder}");
        let ended = machine.hashget(&["backup", "restore", "web", "-C", &back, "--from", &from]);
        ended.expect(0).says(&["Proven"]);
        machine.hashget(&["diff", "tree", &back]).expect(0);
    }
}

#[test]
fn what_is_needed_stays_and_a_full_archive_comes_after_its_time() {
    let machine = machine("keep = { last = 1 }\n");
    machine.hashget(&["backup"]).expect(0);
    night(&machine, 1);
    night(&machine, 2);
    let made = archives(&machine.path("out"));
    let [(base, ..), (_, _, Some(needs))] = &made[..] else { panic!("{made:?}") };
    assert_eq!(base, needs);
    let ended = machine.hashget(&["backup", "prune", "-n"]).expect(0);
    assert!(ended.stdout.contains("needed by h_web_"), "{}", ended.stdout);
    machine.hashget(&["backup", "status"]).expect(0).prints(&["Needs", base]);
    machine
        .hashget(&["backup", "status", "--json"])
        .expect(0)
        .prints(&[&format!("\"base\":\"{base}\"")]);
    // A job that does not chain any more makes full ones, and what nobody needs goes.
    configure(&machine, "to = [\"out\"]\nshare = \"full\"\nkeep = { last = 1 }\n");
    machine.hashget(&["backup"]).expect(0);
    let made = archives(&machine.path("out"));
    assert!(matches!(&made[..], [(_, _, None)]), "{made:?}");
}
