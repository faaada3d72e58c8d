//! Bad input of every kind: a message with the name of the thing and what to do, the right exit code,
//! and nothing half-written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::{TarBuilder, compress};
use rustix::process::Signal;
use support::{Ended, Machine, files_below, signal};

fn package() -> Vec<u8> {
    let noise: Vec<u8> =
        (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    compress(
        "gzip",
        &TarBuilder::new().file("tool/noise", &noise).file("tool/text", b"text").finish(),
    )
}

/// What the folders of a machine must never hold after a failure.
fn litter(machine: &Machine) -> Vec<String> {
    let final_names = files_below(&machine.path("cache"));
    final_names.into_iter().filter(|name| name.starts_with("sha256/")).collect()
}

#[test]
fn a_url_that_misbehaves_is_told_and_leaves_nothing() {
    let size = package().len() as u64;
    let cases: [(&str, Fault, i32, &[&str]); 8] = [
        ("missing", Fault::Status(404), 5, &["does not have", "hint:"]),
        ("forbidden", Fault::Status(403), 5, &["403", "hint:"]),
        ("broken", Fault::Status(500), 5, &["500", "hint:"]),
        ("truncated", Fault::Truncate(0), 5, &["hint:"]),
        ("redirects", Fault::RedirectLoop, 5, &["redirect", "hint:"]),
        ("dropped", Fault::Drop, 5, &["hint:"]),
        ("damaged", Fault::Corrupt(size / 2), 4, &["damaged", "hint:"]),
        ("short", Fault::Short(size / 2), 4, &["hint:"]),
    ];
    std::thread::scope(|scope| {
        for (name, fault, code, words) in cases {
            scope.spawn(move || {
                let origin = Origin::start();
                origin.serve("/tool.tar.gz", package());
                origin.always("/tool.tar.gz", fault);
                let machine = Machine::new();
                let ended = machine.hashget(&["index", &origin.url("/tool.tar.gz")]);
                let said = ended.expect(code).says(&["tool.tar.gz"]).says(words);
                assert_eq!(said.stdout, "", "{name}");
                let known = machine.hashget(&["db", "status", "--json"]).expect(0).last_record();
                assert_eq!(known["packages"], 0, "{name}");
            });
        }
    });
}

/// A machine with an archive that needs `noise` of the package.
fn machine_with_archive(origin: &Origin) -> Machine {
    origin.serve("/tool.tar.gz", package());
    let machine = Machine::new();
    machine.hashget(&["index", &origin.url("/tool.tar.gz")]).expect(0);
    machine.write("tree/own", "my own words");
    machine.write("tree/noise", noise());
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

#[test]
fn another_file_at_the_url_is_refused_and_the_rest_is_restored() {
    let origin = Origin::start();
    let machine = machine_with_archive(&origin);
    origin.always("/tool.tar.gz", Fault::Other);
    let away = ["--cache", "other", "unpack", "a.tar.zst", "-C", "back"];
    let ended = machine.hashget(&away).expect(4).says(&["tool.tar.gz", "Missing: noise"]);
    assert!(!ended.stderr.contains("roven"), "{}", ended.stderr);
    // What the archive itself holds is there, and so is the manifest to go on with.
    assert!(machine.path("back/own").exists());
    assert!(!machine.path("back/noise").exists());
    origin.heal("/tool.tar.gz");
    machine.hashget(&["--cache", "other", "restore", "back"]).expect(0).says(&["Proven"]);
    assert_eq!(fs_err::read(machine.path("back/noise")).unwrap(), noise());
    assert!(!machine.path("back/.hashget-restore.json").exists());
}

#[test]
fn a_package_with_other_bytes_serves_file_by_file_with_a_warning() {
    let origin = Origin::start();
    let machine = machine_with_archive(&origin);
    // An endless body that begins with the package: its size is known, so reading stops.
    origin.always("/tool.tar.gz", Fault::Endless);
    let away = ["--cache", "other", "unpack", "a.tar.zst", "-C", "back"];
    machine.hashget(&away).expect(0).says(&["/tool.tar.gz: gave other bytes", "Proven"]);
    assert_eq!(fs_err::read(machine.path("back/noise")).unwrap(), noise());
}

#[test]
fn few_descriptors_are_enough() {
    let machine = Machine::new();
    for number in 0..60 {
        machine.write(&format!("tree/{number}/further/file"), number.to_string());
    }
    let run = |arguments: &[&str]| {
        let mut shell = machine.bare_program("/bin/sh");
        shell.envs(machine.variables());
        shell.args(["-c", r#"ulimit -n 24; exec "$0" "$@""#, env!("CARGO_BIN_EXE_hashget")]);
        Ended::of(shell.args(arguments))
    };
    run(&["pack", "tree", "-f", "a.tar", "--no-scan-cache"]).expect(0);
    run(&["unpack", "a.tar", "-C", "back"]).expect(0).says(&["Proven"]);
}

fn noise() -> Vec<u8> {
    (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_ctrl_c_ends_at_once() {
    let origin = Origin::start();
    origin.serve("/tool.tar.gz", package());
    origin.always("/tool.tar.gz", Fault::Hang);
    let machine = Machine::new();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_hashget"))
        .env("HASHGET_DB", machine.path("db"))
        .env("HASHGET_CACHE", machine.path("cache"))
        .args(["index", &origin.url("/tool.tar.gz")])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while origin.requests_of("/tool.tar.gz").is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(litter(&machine), [""; 0]);
}

#[test]
fn what_is_no_archive_is_named() {
    let machine = Machine::new();
    let manifest =
        |json: &str| TarBuilder::new().file(".hashget-restore.json", json.as_bytes()).finish();
    let plain = TarBuilder::new().file("a", b"a").finish();
    let hostile = |path: &str| {
        manifest(&format!(
            r#"{{"format":"hashget-restore","version":2,"tool":"t","tree":{{"sha256":"{0}","entries":1,"files":1,"bytes":1}},
            "packages":[],"archived":{{"path":["{path}"],"type":"f","mode":[420],"uid":[0],"gid":[0],
            "seconds":[0],"nanoseconds":[0],"size":[1]}}}}"#,
            "0".repeat(64)
        ))
    };
    let cases: [(&str, Vec<u8>, &[&str]); 8] = [
        ("text", b"hello, I am no archive at all".to_vec(), &["hint:"]),
        ("empty", Vec::new(), &["hint:"]),
        ("plain tar", plain, &[".hashget-restore.json", "hint:"]),
        ("not json", manifest("{no json"), &["manifest", "hint:"]),
        ("version 3", manifest(r#"{"version": 3}"#), &["version 3", "newer", "hint:"]),
        ("absolute", hostile("/etc/passwd"), &["absolute"]),
        ("dots", hostile("../../etc/passwd"), &[".."]),
        ("cut", compress("gzip", &manifest("{}"))[..40].to_vec(), &["hint:"]),
    ];
    for (name, bytes, words) in cases {
        machine.write("bad.tar", bytes);
        let ended = machine.hashget(&["unpack", "bad.tar", "-C", name]);
        assert!(matches!(ended.code, 1 | 4), "{name}: {} {}", ended.code, ended.stderr);
        ended.says(&["bad.tar"]).says(words);
    }
    assert!(!std::path::Path::new("/etc/hashget-escaped").exists());
}

#[test]
fn what_is_not_there_is_named() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("tree")).unwrap();
    let cases: [(&[&str], &[&str]); 5] = [
        (&["pack", "nowhere", "-f", "a.tar.zst"], &["nowhere", "hint:"]),
        (&["unpack", "none.tar.zst", "-C", "back"], &["none.tar.zst", "hint:"]),
        (&["restore", "nowhere"], &["nowhere", "hint:"]),
        (&["restore", "tree"], &[".hashget-restore.json", "hint:"]),
        (&["pack", "tree", "-f", "no/such/folder/a.tar.zst"], &["no/such/folder", "hint:"]),
    ];
    for (arguments, words) in cases {
        machine.hashget(arguments).expect(1).says(words);
    }
}

#[test]
fn what_a_cut_archive_lacks_is_said_in_few_lines_and_with_advice_that_helps() {
    let machine = Machine::new();
    for number in 0..200 {
        machine.write(&format!("tree/{number:03}"), format!("file {number}\n").repeat(100));
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let bytes = fs_err::read(machine.path("a.tar")).unwrap();
    machine.write("cut.tar", &bytes[..bytes.len() / 2]);
    let ended = machine.hashget(&["unpack", "cut.tar", "-C", "back"]).expect(3);
    assert!(ended.stderr.lines().count() <= 6, "{}", ended.stderr);
    assert!(!ended.stderr.contains("hashget restore"), "{}", ended.stderr);
    ended.says(&["the archive is damaged", "that only the archive has: unpack another copy"]);
    // What was not looked at is not called right.
    let unread = "Only the manifest was read";
    let verified = machine.hashget(&["verify", "cut.tar"]).expect(4);
    verified.says(&[
        "the archive is damaged",
        "103 entries could not be read from it",
        "and 93 more",
    ]);
    let info = machine.hashget(&["info", "cut.tar", "--json"]).expect(0).last_record();
    assert_eq!(info["archive_read"], false);
    machine.hashget(&["info", "cut.tar"]).expect(0).says(&[unread]);
}

#[test]
fn what_lies_in_the_target_besides_is_said() {
    let machine = Machine::new();
    machine.write("tree/sub/a", "a");
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    machine.write("back/sub/stray", "s");
    machine.write("back/other/x", "x");
    machine.write("back/sub/a", "old");
    let ended = machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    assert!(!ended.stderr.contains("the folder is exactly"), "{}", ended.stderr);
    ended.says(&[
        "2 entries in it are not part of the archive: ",
        "other",
        "sub/stray",
        "Proven: everything that was packed is there exactly, besides 2 entries of the folder's own",
    ]);
    let ended = machine.hashget(&["unpack", "a.tar", "-C", "back", "--json"]).expect(0);
    assert_eq!(ended.last_record()["strays"], 2);
}

#[test]
fn permissions_are_the_umasks_where_that_is_asked_for() {
    let machine = Machine::new();
    let file = machine.write("tree/a", "a");
    hashget_testkit::trees::mode(&file, 0o4777);
    machine.hashget(&["pack", "tree", "-f", "a.tar", "--detect", "none"]).expect(0);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 027; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hashget")]);
    command.args(["unpack", "a.tar", "-C", "back", "--no-same-permissions"]);
    let ended = command.current_dir(machine.path(".")).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("Proven, except"), "{said}");
    let mode = std::os::unix::fs::PermissionsExt::mode;
    let found = fs_err::metadata(machine.path("back/a")).unwrap().permissions();
    assert_eq!(mode(&found) & 0o7777, 0o750);
}

#[test]
fn a_damaged_archive_gives_back_what_is_whole_and_says_what_is_not() {
    let machine = Machine::new();
    for number in 0..20 {
        machine.write(&format!("tree/{number:02}"), format!("file {number}\n").repeat(100));
    }
    machine.hashget(&["pack", "tree", "-f", "a.tar"]).expect(0);
    let mut bytes = fs_err::read(machine.path("a.tar")).unwrap();
    let at = bytes.windows(8).position(|window| window == b"file 13\n").unwrap();
    bytes[at] ^= 1;
    machine.write("a.tar", bytes);
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(4).says(&["13"]);
    let restored = files_below(&machine.path("back"));
    assert!((0..20).filter(|n| *n != 13).all(|n| restored.contains(&format!("{n:02}"))));
}
