//! The nightly job that the Debian package brings, with the program in `PATH` and a configuration of its own.
//!
//! Invariant: no archive holds another archive of the job, wherever ARCHIVES is, was, or leads to.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use assert_cmd::Command;
use hashget_testkit::origin::Origin;
use support::{Ended, Machine, files_below};

/// A machine with the job, and a `date` that says whatever the test wants.
fn machine() -> Machine {
    let machine = Machine::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/hashget-nightly");
    let script = fs_err::read_to_string(script).unwrap();
    let conf = machine.path("nightly.conf");
    machine.write("nightly", script.replace("/etc/hashget/nightly.conf", conf.to_str().unwrap()));
    let date = machine.write("bin/date", "#!/bin/sh\ncat \"$DAY\"\n");
    fs_err::set_permissions(date, std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink(env!("CARGO_BIN_EXE_hashget"), machine.path("bin/hashget")).unwrap();
    machine.write("tree/data", "data");
    machine
}

fn configure(machine: &Machine, archives: &str, more: &str) {
    let path = |name: &str| machine.path(name).to_str().unwrap().to_owned();
    let (tree, archives) = (path("tree"), path(archives));
    machine.write("nightly.conf", format!("TREE='{tree}'\nARCHIVES='{archives}'\n{more}\n"));
}

/// Runs the job on a day of October.
fn run(machine: &Machine, day: u32) -> Ended {
    run_with(machine, day, &["--detect", "none"])
}

/// Runs the job on a day of October with more options.
fn run_with(machine: &Machine, day: u32, options: &[&str]) -> Ended {
    let today = machine.write("today", format!("2026-10-{day:02}\n"));
    let mut command = Command::new("sh");
    let path = format!("{}:{}", machine.path("bin").display(), std::env::var("PATH").unwrap());
    command.current_dir(machine.path("")).env_clear().env("HOME", machine.path("home"));
    command.env("PATH", path).env("DAY", today).env("HASHGET_CONFIG", "/dev/null");
    command.env("HASHGET_DB", machine.path("db")).env("HASHGET_CACHE", machine.path("cache"));
    Ended::of(command.arg(machine.path("nightly")).args(options))
}

/// The files in the archive of a day, which lies in this folder.
fn packed(machine: &Machine, archives: &str, day: u32) -> Vec<String> {
    let ending = format!("-2026-10-{day:02}.tar.zst");
    let files = files_below(&machine.path(archives));
    let name = files.iter().find(|name| name.ends_with(&ending)).unwrap();
    machine.hashget(&["unpack", &format!("{archives}/{name}"), "-C", "back"]).expect(0);
    let files = files_below(&machine.path("back"));
    fs_err::remove_dir_all(machine.path("back")).unwrap();
    files
}

#[test]
fn its_own_archives_are_in_none_of_them() {
    let machine = machine();
    fs_err::create_dir_all(machine.path("tree/home/back[ups]")).unwrap();
    fs_err::create_dir_all(machine.path("tree/var")).unwrap();
    symlink("../home/back[ups]", machine.path("tree/var/backups")).unwrap();
    let places = ["tree/var/backups/hashget", "tree/home/new", "outside"];
    for (place, days) in places.into_iter().zip([1..3, 3..5, 5..7]) {
        configure(&machine, place, "");
        for day in days {
            let ended = run(&machine, day).expect(0);
            assert!(!ended.stderr.contains("note:"), "{}", ended.stderr);
            assert_eq!(packed(&machine, place, day), ["data"], "{place} {day}");
        }
    }
}

#[test]
fn options_are_words_as_a_shell_reads_them() {
    let machine = machine();
    for file in ["my files/x", "x.log", "y.log"] {
        machine.write(&format!("tree/{file}"), "");
    }
    configure(&machine, "out", "OPTIONS=\"--exclude 'my files' --exclude *.log\n -q\"");
    let ended = run(&machine, 1).expect(0);
    assert_eq!(ended.stderr, "");
    assert_eq!(packed(&machine, "out", 1), ["data"]);
}

#[test]
fn only_the_oldest_archives_of_this_host_are_removed_and_only_after_a_backup() {
    let machine = machine();
    let host = std::process::Command::new("uname").arg("-n").output().unwrap().stdout;
    let host = String::from_utf8(host).unwrap().trim_end().to_owned();
    for name in [&*format!("{host}-2026-09-01.tar.zst"), "other-2026-09-01.tar.zst", "notes"] {
        machine.write(&format!("out/{name}"), "");
    }
    configure(&machine, "out", "KEEP=1\nOPTIONS=--expires=never");
    run(&machine, 1).expect(2);
    assert_eq!(files_below(&machine.path("out")).len(), 3);
    configure(&machine, "out", "KEEP=1");
    run(&machine, 1).expect(0);
    let mut left =
        [format!("{host}-2026-10-01.tar.zst"), "notes".into(), "other-2026-09-01.tar.zst".into()];
    left.sort();
    assert_eq!(files_below(&machine.path("out")), left);
}

#[test]
fn parity_goes_with_its_archive_and_into_none() {
    let machine = machine();
    configure(&machine, "tree/backups", "KEEP=2\nOPTIONS='--parity 5%'");
    let place = machine.path("tree/backups");
    for (day, files) in [(1, 2), (2, 4), (3, 4)] {
        run(&machine, day).expect(0);
        assert_eq!(files_below(&place).len(), files, "{day}");
        assert_eq!(packed(&machine, "tree/backups", day), ["data"]);
    }
    let is_first = |name: &String| name.contains("-2026-10-01");
    assert!(!files_below(&place).iter().any(is_first));
    fs_err::rename(&place, machine.path("tree/elsewhere")).unwrap();
    run(&machine, 4).expect(0);
    assert_eq!(packed(&machine, "tree/backups", 4), ["data"]);
}

#[test]
fn an_answer_that_makes_no_sense_does_not_keep_old_archives() {
    let machine = machine();
    let origin = Origin::start();
    origin.serve("/p.tgz", "<html>portal</html>");
    let lock = format!(
        r#"{{"packages": {{"node_modules/p": {{"version": "1.0.0", "resolved": "{}", "integrity": "sha1-{}"}}}}}}"#,
        origin.url("/p.tgz"),
        "A".repeat(27) + "="
    );
    machine.write("tree/node_modules/.package-lock.json", lock);
    machine.write("tree/node_modules/p/package.json", "{}");
    configure(&machine, "out", "KEEP=1\nOPTIONS=--detect=npm");
    for day in 1..3 {
        let ended = run_with(&machine, day, &[]);
        // The archive is whole; at most, it has more in it than necessary.
        assert!(matches!(ended.code, 0 | 5), "{}: {}", ended.code, ended.stderr);
        assert_eq!(files_below(&machine.path("out")).len(), 1);
    }
}

#[test]
fn what_would_make_no_backup_is_refused() {
    let machine = machine();
    symlink("tree", machine.path("link")).unwrap();
    configure(&machine, "link", "");
    run(&machine, 1).expect(2).says(&["ARCHIVES", "another folder"]);
    configure(&machine, "out", "KEEP=none");
    run(&machine, 1).expect(2).says(&["KEEP=none"]);
}
