//! What helps to find the cause of something: requests with `-vv`, the log file, plain lines of progress.
//!
//! Invariant: nothing secret is written down, and what is printed does not depend on whether it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use rustix::process::Signal;
use support::{Machine, signal};

fn origin() -> Origin {
    let origin = Origin::start();
    origin.serve("/a.tar", TarBuilder::new().file("a", b"of a package").finish());
    origin
}

#[test]
fn each_request_is_one_line() {
    let (machine, origin) = (Machine::new(), origin());
    let size = TarBuilder::new().file("a", b"of a package").finish().len();
    let (there, gone) = (origin.url("/a.tar"), origin.url("/b.tar"));
    let ended = machine.hashget(&["index", "-vv", &there]).expect(0);
    ended.says(&[&format!("GET {there}: 200, {size} bytes, "), " ms"]);
    machine.hashget(&["index", "-vv", &gone]).expect(5).says(&[&format!("GET {gone}: 404")]);
    // Only on request.
    let ended = machine.hashget(&["index", "-v", "--again", &there]);
    assert!(!ended.stderr.contains("GET "), "{}", ended.stderr);
}

#[test]
fn no_query_is_written_down() {
    let (machine, origin) = (Machine::new(), origin());
    origin.serve("/a.tar?token=hidden", TarBuilder::new().file("a", b"b").finish());
    let url = origin.url("/a.tar?token=hidden");
    let ended = machine.hashget(&["index", "-vv", "--log-file", "log", &url]);
    let log = fs_err::read_to_string(machine.path("log")).unwrap();
    let requests = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("GET ")).map(str::to_owned).collect()
    };
    let written = [requests(&ended.stderr), requests(&log)].concat();
    assert!(written.len() >= 2, "{}\n{log}", ended.stderr);
    for line in written {
        assert!(line.contains("/a.tar?...") && !line.contains("hidden"), "{line}");
    }
    // Nor by what is said of it.
    let gone = origin.url("/gone.tar?token=hidden");
    machine.hashget(&["index", "--log-file", "log", &gone]).expect(5);
    let log = fs_err::read_to_string(machine.path("log")).unwrap();
    assert!(log.contains("/gone.tar?...") && !log.contains("hidden"), "{log}");
}

#[test]
fn a_log_has_everything_and_changes_nothing() {
    let (machine, origin) = (Machine::new(), origin());
    let (url, gone) = (origin.url("/a.tar"), origin.url("/gone.tar"));
    // One after the other: what is said first does not depend on which thread is quicker.
    let plain = machine.hashget(&["--jobs", "1", "index", &url, &gone]);
    let other = Machine::new();
    let logged = other.hashget(&["--jobs", "1", "--log-file", "log", "index", &url, &gone]);
    assert_eq!(
        (plain.code, &plain.stdout, &plain.stderr),
        (logged.code, &logged.stdout, &logged.stderr)
    );
    let log = fs_err::read_to_string(other.path("log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.iter().any(|line| line.contains(&format!("GET {url}: 200"))), "{log}");
    assert!(lines.iter().any(|line| line.contains(&format!("warning: {gone}"))), "{log}");
    for line in &lines {
        let (time, _) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
    let mode = fs_err::metadata(other.path("log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next command writes at its end.
    let mut command = other.bare();
    command.envs(other.variables()).env("HASHGET_LOG", "log").args(["db", "list"]);
    assert!(command.output().unwrap().status.success());
    assert!(fs_err::read_to_string(other.path("log")).unwrap().starts_with(&log));
    // One that cannot be written is told before anything is done.
    let before = origin.requests().len();
    machine
        .hashget(&["--log-file", "none/log", "index", &url])
        .expect(1)
        .says(&["cannot write the log", "none/log"]);
    assert_eq!(origin.requests().len(), before);
}

#[test]
fn plain_lines_tell_progress_without_a_terminal() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve("/a.tar", TarBuilder::new().file("a", &vec![b'a'; 200_000]).finish());
    origin.always("/a.tar", Fault::Stall(30_000));
    let url = origin.url("/a.tar");
    let mut child = machine.start(&["index", "--progress", "plain", &url], |command| {
        command.stderr(Stdio::piped());
    });
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.into_iter().find(|line| line.starts_with("Downloading")).unwrap();
    assert!(line.contains(&url) && line.contains(" of "), "{line}");
    assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line}");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
