//! `hashget backup status`: what could not be restored today, and nights that were missed.
//!
//! Invariant: status asks no place of a package; what is known is said.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine, files_below};

fn configure(machine: &Machine, lines: &str) {
    fs_err::create_dir_all(machine.path("out")).unwrap();
    let table = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", format!("{table}{lines}"));
}

#[test]
fn what_is_known_to_be_gone_is_said_and_nothing_is_asked() {
    let (machine, origin) = (Machine::new(), Origin::start());
    let text = "of a package\n".repeat(1000);
    origin.serve("/tool-1.0.tar", TarBuilder::new().file("tool", text.as_bytes()).finish());
    machine.write("tree/tool", &text);
    machine.hashget(&["index", &origin.url("/tool-1.0.tar")]).expect(0);
    configure(&machine, "");
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup", "status"]).expect(0);
    origin.always("/tool-1.0.tar", Fault::Status(404));
    let asked = origin.requests().len();
    // Nobody knows that it is gone.
    machine.hashget(&["backup", "status"]).expect(0);
    assert_eq!(origin.requests().len(), asked);
    let archive = files_below(&machine.path("out")).remove(0);
    machine.hashget(&["verify", "--cache", "none", &format!("out/{archive}")]).expect(5);
    let asked = origin.requests().len();
    let ended = machine.hashget(&["backup", "status"]).expect(3);
    ended.says(&["could be restored today", "tool-1.0.tar is gone", "hashget backup web"]);
    assert_eq!(origin.requests().len(), asked);
    // The next archive has the file itself.
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup", "status"]).expect(0);
}

#[test]
fn a_night_of_a_calendar_is_missed_when_systemd_says_that_one_was_due() {
    let machine = Machine::new();
    machine.write("tree/data", "data\n");
    configure(&machine, "schedule = \"Mon..Fri 02:30\"\n");
    machine.hashget(&["backup"]).expect(0);
    // The only archive is of long ago, and nothing is remembered.
    fs_err::remove_dir_all(machine.path("state")).unwrap();
    let [archive, record] = &files_below(&machine.path("out"))[..] else { panic!() };
    let old = "h_web_2025-03-01T023000Z.tar.zst";
    let time = &archive["h_web_".len()..archive.len() - ".tar.zst".len()];
    let text = fs_err::read_to_string(machine.path("out").join(record)).unwrap();
    let started = format!("{}:{}:{}Z", &time[..13], &time[13..15], &time[15..17]);
    let text = text.replace(&started, "2025-03-01T02:30:00Z");
    machine.write(&format!("out/{old}.json"), text);
    fs_err::rename(machine.path("out").join(archive), machine.path("out").join(old)).unwrap();
    fs_err::remove_file(machine.path("out").join(record)).unwrap();
    let status = |script: Option<&str>| {
        let programs = machine.path("programs");
        fs_err::create_dir_all(&programs).unwrap();
        let path = programs.join("systemd-analyze");
        let text = format!("#!/bin/sh\n{}\n", script.unwrap_or("exit 1"));
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = machine.bare();
        command.envs(machine.variables()).env("PATH", programs).args(["backup", "status"]);
        Ended::of(&mut command)
    };
    let missed = "echo '    Next elapse: Mon 2025-03-03 02:30:00 UTC'";
    status(Some(missed)).expect(1).says(&["the last night was missed"]);
    // The next one is not due yet.
    let later = "echo '    Next elapse: Mon 2099-03-02 02:30:00 CET'; echo '       (in UTC): Mon 2099-03-02 01:30:00 UTC'";
    status(Some(later)).expect(0).prints(&["2099-03-02"]);
    status(None).expect(0).prints(&["by the schedule Mon..Fri 02:30", "is not seen"]);
}

#[test]
fn an_archive_that_is_lost_is_missed_until_its_record_is_removed() {
    let machine = Machine::new();
    machine.write("tree/data", "data\n");
    configure(&machine, "parity = \"10%\"\nkeep = { last = 7 }\n");
    machine.hashget(&["backup"]).expect(0);
    machine.hashget(&["backup"]).expect(0);
    let newest = files_below(&machine.path("out")).into_iter().rfind(|name| name.ends_with(".zst"));
    let newest = newest.unwrap();
    let path = machine.path("out").join(&newest);
    fs_err::remove_file(&path).unwrap();
    let ended = machine.hashget(&["backup", "check", "--read"]).expect(4);
    ended.says(&["the archive is lost", &newest, "2 archives checked", "1 not as recorded"]);
    machine.hashget(&["backup", "status"]).expect(1).says(&["the archive is lost", &newest]);
    // Neither prune nor the next run removes what proves it.
    machine.hashget(&["backup", "prune"]).says(&["the archive is lost"]);
    machine.hashget(&["backup"]).says(&["the archive is lost"]);
    assert!(path.with_extension("zst.json").exists() && path.with_extension("zst.par2").exists());
    machine.hashget(&["backup", "check"]).expect(4);
    machine.hashget(&["backup", "status"]).expect(3).says(&["the archive is lost"]);
    fs_err::remove_file(path.with_extension("zst.json")).unwrap();
    machine.hashget(&["backup", "check"]).expect(0);
    machine.hashget(&["backup", "status"]).expect(0);
    // What was sent last is missed without a record, too.
    for name in
        files_below(&machine.path("out")).iter().filter(|name| name.contains("web_")).skip(3)
    {
        fs_err::remove_file(machine.path("out").join(name)).unwrap();
    }
    machine.hashget(&["backup", "status"]).expect(1).says(&["has lost h_web_"]);
}
