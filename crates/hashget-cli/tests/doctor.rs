//! `hashget doctor`: set-ups that are well, and what is found where they are not.
//!
//! Invariant: it leaves nothing behind, and everything that it finds says what to do.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use serde_json::Value;
use support::{Machine, files_below};

fn machine(more: &str) -> Machine {
    let machine = Machine::new();
    machine.write("tree/data", "data\n");
    fs_err::create_dir(machine.path("out")).unwrap();
    let table =
        "[backup.web]\nsources = [\"tree\"]\nhost = \"h\"\noptions = [\"--detect\", \"none\"]\n";
    machine.write("own-config.toml", format!("{table}{more}"));
    machine
}

/// The findings of `doctor --json`, by what was looked at.
fn findings(machine: &Machine, code: i32) -> Vec<(String, String, String)> {
    let ended = machine.hashget(&["doctor", "--json"]).expect(code);
    let text = |record: &Value, key: &str| record[key].as_str().unwrap_or("").to_owned();
    let found = ended.records().into_iter().filter(|record| record["type"] == "finding");
    found.map(|it| (text(&it, "what"), text(&it, "severity"), text(&it, "found"))).collect()
}

/// The severity of what was found out about something.
#[track_caller]
fn severity<'f>(findings: &'f [(String, String, String)], what: &str) -> &'f str {
    let found = findings.iter().find(|(name, ..)| name.contains(what));
    &found.unwrap_or_else(|| panic!("{what}: {findings:?}")).1
}

#[test]
fn a_set_up_that_is_well() {
    let machine = machine("to = [\"out\"]\n");
    machine.hashget(&["backup"]).expect(0);
    let ended = machine.hashget(&["doctor"]).expect(0).says(&["0 failures, 0 warnings"]);
    assert!(
        ended.stdout.contains("data of h_web_") && ended.stdout.contains("cleared"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains(&format!("program: hashget {} ", env!("CARGO_PKG_VERSION"))));
    assert!(ended.stdout.contains(std::env::consts::ARCH), "{}", ended.stdout);
    let mut files = files_below(&machine.path("out"));
    files.retain(|name| !name.starts_with("h_web_"));
    assert_eq!(files, [""; 0]);
}

#[test]
fn what_is_not_well_is_found() {
    let machine =
        machine("to = [\"out\", \"disk\"]\nschedule = \"02:30\"\nmetrics = \"nowhere\"\n");
    let found = findings(&machine, 1);
    assert_eq!(severity(&found, "disk"), "failure");
    assert_eq!(severity(&found, "/out"), "well");
    assert_eq!(severity(&found, "newest archive"), "warning");
    assert_eq!(severity(&found, "metrics"), "warning");
    assert_eq!(severity(&found, "schedule"), "warning");
    let config = fs_err::read_to_string(machine.path("own-config.toml")).unwrap();
    let config =
        config.replace("\"none\"]", "\"none\", \"--parity\", \"5%\"]").replace("tree", "gone");
    machine.write("own-config.toml", config);
    let found = findings(&machine, 1);
    assert_eq!((severity(&found, "options"), severity(&found, "gone")), ("failure", "failure"));
}

#[test]
fn an_archive_whose_files_do_not_come_back_is_a_failure() {
    let (machine, origin) = (machine("to = [\"out\"]\n"), Origin::start());
    let text = "a file of the package\n".repeat(9000);
    origin.serve("/tool.tar", TarBuilder::new().file("text", text.as_bytes()).finish());
    machine.hashget(&["index", &origin.url("/tool.tar")]).expect(0);
    machine.write("tree/text", &text);
    fs_err::remove_file(machine.path("tree/data")).unwrap();
    machine.hashget(&["backup"]).expect(0);
    let found = findings(&machine, 0);
    assert_eq!((severity(&found, "newest archive"), severity(&found, "clock")), ("well", "well"));
    origin.always("/tool.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    let found = findings(&machine, 1);
    assert_eq!(severity(&found, "newest archive"), "failure");
}
