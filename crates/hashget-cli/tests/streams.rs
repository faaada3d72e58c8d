//! Files of an archive that lie in no folder: standard input, and what commands give.
//!
//! Invariant: a command that fails makes no archive.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use support::{Ended, Machine, files_below};

/// Runs hashget with this on its standard input.
fn with_input(machine: &Machine, arguments: &[&str], input: &[u8]) -> Ended {
    Ended::of(machine.bare().args(arguments).write_stdin(input))
}

fn machine() -> Machine {
    let machine = Machine::new();
    machine.write("tree/etc/motd", "hello\n");
    machine.write("tree/var/old.sql", "of yesterday\n");
    machine
}

#[test]
fn standard_input_becomes_a_file_and_needs_no_folder() {
    let machine = machine();
    let dump: Vec<u8> = (0..6_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let line = ["pack", "--stdin", "var/pg.sql", "-f", "a.tar.zst", "--detect", "none"];
    with_input(&machine, &line, &dump).expect(0);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
    assert_eq!(files_below(&machine.path("back")), ["var/pg.sql"]);
    assert!(fs_err::read(machine.path("back/var/pg.sql")).unwrap() == dump);
    // An input without anything in it is an empty file.
    with_input(&machine, &["pack", "--stdin", "none", "-f", "b.tar"], b"").expect(0);
    machine.hashget(&["unpack", "b.tar", "-C", "none"]).expect(0);
    assert_eq!(files_below(&machine.path("none")), ["none"]);
    assert_eq!(
        files_below(&machine.path("")).iter().filter(|name| name.starts_with("a.")).count(),
        1
    );
}

#[test]
fn what_commands_give_lies_among_what_folders_have() {
    let machine = machine();
    let streams = ["--stream", "var/new/pg.sql=echo dump", "--stream", "var/old.sql=echo of today"];
    let line = [&["pack", "tree", "-f", "a.tar.zst", "--detect", "none"], &streams[..]].concat();
    machine.hashget(&line).expect(0);
    machine.hashget(&["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
    assert_eq!(files_below(&machine.path("back")), ["etc/motd", "var/new/pg.sql", "var/old.sql"]);
    let read = |name: &str| fs_err::read_to_string(machine.path("back").join(name)).unwrap();
    assert_eq!(
        (read("var/old.sql"), read("var/new/pg.sql")),
        ("of today\n".into(), "dump\n".into())
    );
    // The folder itself is as it was.
    let old = fs_err::read_to_string(machine.path("tree/var/old.sql")).unwrap();
    assert_eq!((old.as_str(), files_below(&machine.path("tree")).len()), ("of yesterday\n", 2));
}

#[test]
fn a_command_that_fails_makes_no_archive_and_leaves_the_old_one() {
    let machine = machine();
    machine.write("a.tar.zst", "the old one");
    let failing = "pg.sql=echo half; echo the database is away >&2; exit 4";
    let line = ["pack", "tree", "-f", "a.tar.zst", "--stream", failing];
    machine.hashget(&line).expect(1).says(&["pg.sql", "the database is away", "exit status: 4"]);
    assert_eq!(fs_err::read_to_string(machine.path("a.tar.zst")).unwrap(), "the old one");
    for (stream, expected) in [("etc/motd/x=true", "is no folder"), ("a=true", "has this path")] {
        let twice = ["--stream", "a=true", "--stream", stream];
        let line = [&["pack", "tree", "-f", "b.tar"], &twice[..]].concat();
        machine.hashget(&line).expect(1).says(&[expected]);
    }
    machine.hashget(&["pack", "tree", "-f", "b.tar", "--stream", "/a=true"]).expect(2);
    assert!(!machine.path("b.tar").exists());
}

#[test]
fn a_job_has_streams_and_fails_with_them() {
    let machine = machine();
    fs_err::create_dir(machine.path("out")).unwrap();
    let job = |command: &str| {
        let lines = "[backup.web]\nsources = [\"tree\"]\nto = [\"out\"]\noptions = [\"--detect\", \"none\"]\n";
        machine
            .write("own-config.toml", format!("{lines}streams = {{ \"pg.sql\" = '{command}' }}\n"));
    };
    job("echo dump");
    machine.hashget(&["backup"]).expect(0);
    job("echo no space left >&2; false");
    machine.hashget(&["backup"]).expect(1).says(&["no archive was made", "no space left"]);
    machine.hashget(&["backup", "status"]).expect(1).says(&["no space left"]);
    job("sleep 1000");
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    machine.write("own-config.toml", format!("{config}hook_time = \"1s\"\n"));
    machine.hashget(&["backup"]).expect(1).says(&["was ended after 1 seconds"]);
    machine.hashget(&["backup", "restore", "web", "-C", "back"]).expect(0);
    assert_eq!(fs_err::read_to_string(machine.path("back/pg.sql")).unwrap(), "dump\n");
}
