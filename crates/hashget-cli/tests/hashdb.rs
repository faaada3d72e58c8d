//! `index`, `db` and `get` on real packages from a server on loopback.

mod support;

use hashget_testkit::origin::{Fault, Origin};
use support::{Machine, files_below};

#[test]
fn a_package_is_indexed_listed_shown_fetched_and_removed() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.serve("/tool-1.0.bin", "the tool");
    let url = origin.url("/tool-1.0.bin");

    let indexed = machine.hashget(&["index", "--project", "web", "--signature", "tool:1.0", &url]);
    assert_eq!(indexed.expect(0).says(&["Indexed", "1 package indexed"]).stdout, "");
    let again = machine.hashget(&["index", "--json", &url]).expect(0).last_record();
    assert_eq!((&again["known"], &again["new"]), (&1.into(), &0.into()));
    assert_eq!(origin.requests_of("/tool-1.0.bin").len(), 1);

    let listed = machine.hashget(&["db", "list"]).expect(0);
    assert!(listed.stdout.lines().nth(1).unwrap().ends_with(&url), "{}", listed.stdout);
    let shown = machine.hashget(&["db", "show", "--package", "tool-1.0.bin"]).expect(0);
    assert!(shown.stdout.contains("tool:1.0") && shown.stdout.contains("web"), "{}", shown.stdout);
    let status = machine.hashget(&["db", "status", "--json"]).expect(0).last_record();
    assert_eq!(status["packages"], 1);

    fs_err::create_dir(machine.path("output")).unwrap();
    machine.hashget(&["get", "tool:1.0", "-o", "output"]).expect(0);
    assert_eq!(fs_err::read(machine.path("output/tool-1.0.bin")).unwrap(), b"the tool");

    let none = machine.hashget(&["db", "remove", "--package", "other.bin"]).expect(1);
    none.says(&["no package matches other.bin"]);
    machine.hashget(&["db", "remove", "--project", "mail"]).expect(1).says(&["project mail"]);
    let removed = machine.hashget(&["db", "remove", "--package", "sig:tool:1.0"]).expect(0);
    removed.says(&["1 package removed"]);
    let listed = machine.hashget(&["db", "list", "--json"]).expect(0).last_record();
    assert_eq!(listed["packages"], 0);
}

#[test]
fn each_record_says_what_it_is_and_the_last_one_is_the_summary() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.serve("/a", "a");
    origin.serve("/b", "b");
    let (a, b, gone) = (origin.url("/a"), origin.url("/b"), origin.url("/gone"));
    let ended = machine.hashget(&["index", "--json", "--jobs", "1", &a, &gone, &b]).expect(5);
    let kinds: Vec<String> =
        ended.records().iter().map(|record| record["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds.last().map(String::as_str), Some("summary"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "package").count(), 2);
    assert!(kinds.contains(&"problem".to_owned()), "{kinds:?}");
    let summary = ended.last_record();
    assert_eq!((&summary["command"], &summary["new"]), (&"index".into(), &2.into()));
    assert_eq!((&summary["failed"], &summary["problems"]["unreachable"]), (&1.into(), &1.into()));
}

#[test]
fn a_package_that_cannot_be_had_is_an_error_with_a_hint_and_code_5() {
    let machine = Machine::new();
    let origin = Origin::start();
    let url = origin.url("/gone.deb");
    let ended = machine.hashget(&["index", &url]).expect(5).says(&["gone.deb", "hint:", "--pool"]);
    assert_eq!(ended.stdout, "");
    let ended = machine.hashget(&["index", "--offline", &url]).expect(5);
    ended.says(&["--offline"]);
    let record = machine.hashget(&["index", "--json", &url]).expect(5).last_record();
    assert_eq!((&record["type"], &record["exit_code"]), (&"error".into(), &5.into()));
    assert!(record["hint"].is_string() && record["causes"].is_array(), "{record}");
}

#[test]
fn what_changed_at_its_url_is_code_4_and_leaves_nothing() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.serve("/a.bin", "as it was");
    let url = origin.url("/a.bin");
    machine.hashget(&["index", "--signature", "a:1", &url]).expect(0);
    origin.serve("/a.bin", "otherwise");
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    fs_err::create_dir(machine.path("output")).unwrap();
    machine.hashget(&["get", "a:1", "-o", "output"]).expect(4).says(&["a.bin", "hint:"]);
    assert!(files_below(&machine.path("output")).is_empty());
}

#[test]
fn names_from_outside_do_not_move_the_terminal() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.serve("/a", "a");
    let url = origin.url("/a");
    machine.hashget(&["index", "--project", "x\u{1b}[2Jy\u{202e}", &url]).expect(0);
    let listed = machine.hashget(&["db", "list"]).expect(0);
    assert!(!listed.stdout.contains('\u{1b}') && listed.stdout.contains("\\u{1b}[2Jy\\u{202e}"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let machine = Machine::new();
    let program = env!("CARGO_BIN_EXE_hashget");
    let script =
        format!("{program} completions bash --db db | head -c 1; echo \"${{PIPESTATUS[0]}}\"");
    let mut shell = assert_cmd::Command::new("bash");
    let ended = support::Ended::of(shell.current_dir(machine.path("")).args(["-c", &script]));
    let ended = ended.expect(0);
    assert!(ended.stdout.ends_with("0\n"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
}

#[test]
fn quiet_prints_nothing_and_verbose_prints_more() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.serve("/a", "a");
    let url = origin.url("/a");
    let ended = machine.hashget(&["index", "-q", &url]).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let ended = machine.hashget(&["db", "remove", "-v", "--package", "all"]).expect(0);
    ended.says(&["Forgot", "1 package removed"]);
}

#[test]
fn colours_come_when_they_are_asked_for() {
    let machine = Machine::new();
    let plain = machine.hashget(&["restore", "nowhere"]).expect(1);
    assert!(!plain.stderr.contains('\u{1b}'));
    let coloured = machine.hashget(&["restore", "nowhere", "--color", "always"]).expect(1);
    assert!(coloured.stderr.contains('\u{1b}'));
}

#[test]
fn a_hashdb_that_is_none_is_named_with_what_to_do() {
    let machine = Machine::new();
    machine.write(
        "db/hashdb.sqlite",
        "this is not a database at all, but it is long enough".repeat(40),
    );
    machine.hashget(&["db", "status"]).expect(1).says(&["hashdb.sqlite", "hint:", "index again"]);
}

#[test]
fn a_slow_server_is_left_when_asked_to_stop() {
    let machine = Machine::new();
    let origin = Origin::start();
    origin.always("/slow", Fault::Status(503));
    let url = origin.url("/slow");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_hashget"))
        .args(["index", "--db", "db", "--cache", "cache", "--config", "/dev/null", &url])
        .current_dir(machine.path(""))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It waits between tries of a server that is busy: now it is at work.
    while origin.requests_of("/slow").is_empty() {
        std::thread::yield_now();
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_url_that_moves_is_indexed_with_a_note() {
    let (machine, origin) = (Machine::new(), Origin::start());
    for path in ["/latest/tool.bin", "/1.2/tool.bin"] {
        origin.serve(path, path.repeat(100));
    }
    let moving = machine.hashget(&["index", &origin.url("/latest/tool.bin")]).expect(0);
    moving
        .says(&["note:", "/latest/tool.bin: URLs of this form give other bytes from time to time"]);
    let fixed = machine.hashget(&["index", &origin.url("/1.2/tool.bin")]).expect(0);
    assert!(!fixed.stderr.contains("note:"), "{}", fixed.stderr);
}
