//! Progress: on a terminal, as records for a program, and none.
//!
//! Invariant: no test waits for a time, only for what is shown; a silent server holds the program where it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Child;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::terminal::Terminal;
use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Machine, signal, wait_until};

/// Bytes that the server sends of a package before it falls silent.
const COME: u64 = 30_000;

/// A server that begins to send some packages and never ends.
fn silent_origin() -> Origin {
    let origin = Origin::start();
    for name in ["/one.tar", "/two.tar"] {
        let tar = TarBuilder::new().file("a", &vec![b'a'; 200_000]).finish();
        origin.serve(name, tar);
        origin.always(name, Fault::Stall(COME));
    }
    origin
}

fn index(machine: &Machine, origin: &Origin, options: &[&str]) -> Child {
    let urls = [origin.url("/one.tar"), origin.url("/two.tar")];
    let words: Vec<&str> = options.iter().copied().chain(urls.iter().map(String::as_str)).collect();
    let words = [&["index", "--jobs", "2"], &*words].concat();
    machine.start(&words, |_| ())
}

/// The same on a terminal, interrupted once the terminal shows what is wanted.
fn on_terminal(columns: u16, wanted: impl Fn(&[String]) -> bool) -> (Vec<String>, Vec<String>) {
    let (machine, origin, mut terminal) = (Machine::new(), silent_origin(), Terminal::new(columns));
    let urls = [origin.url("/one.tar"), origin.url("/two.tar")];
    let mut child = machine.start(&["index", "--jobs", "2", &urls[0], &urls[1]], |command| {
        command.env("TERM", "xterm").stderr(terminal.end());
    });
    wait_until("the lines on the terminal", || wanted(&terminal.lines()));
    let shown = terminal.lines();
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    (shown, terminal.last_lines())
}

#[test]
fn a_terminal_shows_each_download_and_nothing_is_left_at_the_end() {
    let downloads = |lines: &[String]| {
        let is_one = |line: &&String| line.contains("Downloading") && line.contains("29.30 KiB of");
        lines.iter().filter(is_one).count()
    };
    let (shown, left) = on_terminal(100, |lines| downloads(lines) == 2);
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(shown[0].contains("Indexing") && shown[0].contains("0 of 2 packages"), "{shown:?}");
    let left = left.join("\n");
    assert!(
        left.contains("stopped: ") && left.contains("hint: packages that were indexed"),
        "{left}"
    );
    assert!(!left.contains("Downloading") && !left.contains("Indexing"), "{left}");
}

#[test]
fn a_narrow_terminal_has_one_line() {
    let (shown, left) = on_terminal(40, |lines| lines.iter().any(|line| line.contains("Indexing")));
    assert_eq!(shown, ["Indexing  0%"]);
    assert!(!left.join("\n").contains("Indexing  0%"), "{left:?}");
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_messages_alone() {
    let (machine, origin, mut terminal) = (Machine::new(), silent_origin(), Terminal::new(100));
    let mut child = machine.start(&["index", &origin.url("/one.tar")], |command| {
        command.env("TERM", "dumb").stderr(terminal.end());
    });
    wait_until("the request", || !origin.requests().is_empty());
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let left = terminal.last_lines();
    assert!(left[0].starts_with("Stopping cleanly"), "{left:?}");
    assert!(left.iter().all(|line| !line.contains("Downloading")), "{left:?}");
}

#[test]
fn a_program_gets_records_of_progress_and_the_error_last() {
    let (machine, origin) = (Machine::new(), silent_origin());
    let mut child = index(&machine, &origin, &["--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Option<Value> {
        let line = lines.next()?.unwrap();
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    };
    let come = loop {
        let record = next().expect("it goes on until it is stopped");
        assert_eq!((&record["type"], &record["state"]), (&"progress".into(), &"running".into()));
        if record["step"] == "downloading" && record["bytes"] == COME {
            break record;
        }
    };
    let total = u64::try_from(TarBuilder::new().file("a", &vec![b'a'; 200_000]).finish().len());
    assert_eq!(come["total_bytes"], total.unwrap());
    assert!(come["name"].as_str().unwrap().starts_with(&origin.url("/")), "{come}");
    assert_eq!((&come["files"], &come["total_files"]), (&0.into(), &Value::Null));
    for field in ["bytes_per_second", "seconds_left"] {
        assert!(come[field].is_null() || come[field].is_u64(), "{come}");
    }
    signal(&child, Signal::INT);
    let rest: Vec<Value> = std::iter::from_fn(next).collect();
    let (last, others) = rest.split_last().unwrap();
    assert_eq!((&last["type"], &last["exit_code"]), (&"error".into(), &130.into()));
    assert!(others.iter().all(|record| record["type"] == "progress"), "{others:?}");
    let over = |record: &&Value| record["step"] == "downloading" && record["state"] == "finished";
    assert!(others.iter().any(|record| over(&record)), "{others:?}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn with_verbose_every_step_begins_and_ends() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve("/p.tar", TarBuilder::new().file("a", b"a").finish());
    let ended = machine.hashget(&["index", "--json", "-v", &origin.url("/p.tar")]).expect(0);
    let steps = |state: &str| -> Vec<String> {
        let records = ended.records().into_iter().filter(|record| record["state"] == state);
        records.map(|record| record["step"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(steps("started"), ["indexing", "downloading", "reading"]);
    assert_eq!(steps("finished"), ["downloading", "reading", "indexing"]);
    assert_eq!(ended.last_record()["type"], "summary");
}

#[test]
fn a_package_is_shown_by_its_name() {
    let (machine, origin) = (Machine::new(), Origin::start());
    origin.serve("/file/0a1b", TarBuilder::new().file("a", b"a").finish());
    let url = origin.url("/file/0a1b");
    let words = ["index", "--json", "-v", "--signature", "deb:p_1.0_all", &url];
    for record in machine.hashget(&words).expect(0).records() {
        if record["step"] == "downloading" || record["step"] == "reading" {
            assert_eq!(record["name"], "p_1.0_all", "{record}");
        }
    }
}

#[test]
fn without_a_terminal_and_with_quiet_there_is_no_progress() {
    let stopped = |options: &[&str]| {
        let (machine, origin) = (Machine::new(), silent_origin());
        let child = index(&machine, &origin, options);
        wait_until("both requests", || origin.requests().len() == 2);
        signal(&child, Signal::INT);
        Ended::wait(child).expect(130)
    };
    let ended = stopped(&[]);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    let beginnings = ["Stopping cleanly", "stopped: ", "  cause: ", "hint: "];
    assert!(
        lines.iter().all(|line| beginnings.iter().any(|begin| line.starts_with(begin))),
        "{lines:?}"
    );
    assert_eq!((ended.stdout.as_str(), ended.stderr.contains('\x1b')), ("", false));
    let ended = stopped(&["--quiet", "--json"]);
    assert_eq!(ended.records().len(), 1, "{}", ended.stdout);
}
