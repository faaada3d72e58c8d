//! `changed`: what of packages is not as they have it, in a folder and in an archive, and what of that is wanted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "support/system.rs"]
mod system;

use std::os::unix::fs::symlink;

use serde_json::Value;
use support::{Ended, Machine};
use system::{install, set_mode};

/// What the records say of each path: `path: aspects`, sorted.
fn told(ended: &Ended) -> Vec<String> {
    let records = ended.records();
    let changed = records.iter().filter(|record| record["type"] == "changed");
    let mut told: Vec<String> = changed
        .map(|record| {
            let aspects =
                record["aspects"].as_array().unwrap().iter().map(|one| one.as_str().unwrap());
            let what = match record["change"].as_str().unwrap() {
                "missing" => "missing".to_owned(),
                _ => aspects.collect::<Vec<_>>().join(" "),
            };
            format!("{}: {what}", record["path"].as_str().unwrap())
        })
        .collect();
    told.sort();
    told
}

fn machine() -> Machine {
    let machine = Machine::new();
    install(&machine, &["one", "two"]);
    machine
}

fn summary(ended: &Ended) -> Value {
    ended.last_record()
}

#[test]
fn a_system_as_it_was_installed_differs_in_nothing() {
    let machine = machine();
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(0);
    assert_eq!(told(&ended), [""; 0]);
    let summary = summary(&ended);
    assert_eq!((&summary["packages"], &summary["wanted"]["by_script"]), (&2.into(), &2.into()));
    assert_eq!(summary["unowned"], 2, "the list of packages and os-release");
    machine
        .hashget(&["changed", "root"])
        .expect(0)
        .says(&["of 2 packages compared", "2 files of no package"]);
}

#[test]
fn every_kind_of_change_is_told_and_contents_decide_the_exit_code() {
    let machine = machine();
    set_mode(&machine, "root/usr/lib/one/tool", 0o4755);
    fs_err::remove_file(machine.path("root/usr/lib/one/doc")).unwrap();
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(3);
    assert_eq!(told(&ended), ["usr/lib/one/doc: missing", "usr/lib/one/tool: mode"]);
    machine.write("root/usr/lib/two/data", "other");
    fs_err::remove_file(machine.path("root/usr/lib/two/link")).unwrap();
    symlink("data", machine.path("root/usr/lib/two/link")).unwrap();
    fs_err::remove_file(machine.path("root/usr/lib/two/doc")).unwrap();
    symlink("tool", machine.path("root/usr/lib/two/doc")).unwrap();
    machine.write("root/var/lib/dpkg/info/one.postinst", "chmod 4755 /usr/lib/one/tool\n");
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(4);
    let expected = [
        "usr/lib/one/doc: missing",
        "usr/lib/one/own: mode",
        "usr/lib/one/tool: mode",
        "usr/lib/two/data: contents",
        "usr/lib/two/doc: type",
        "usr/lib/two/link: target",
        "var/lib/dpkg/info/one.postinst: contents",
    ];
    assert_eq!(told(&ended), expected, "a script that was changed explains nothing");
    let records = ended.records();
    let data = records.iter().find(|record| record["path"] == "usr/lib/two/data").unwrap();
    assert_eq!(
        data["purl"],
        "pkg:deb/debian/two@1:1.0?arch=none&distro=debian-12&upstream=all%402.0"
    );
    assert_ne!(data["expected"]["sha256"], data["found"]["sha256"]);
    let ended = machine.hashget(&["changed", "root"]).expect(4);
    ended.prints(&[
        "two_1:1.0_none\n",
        "  contents                   usr/lib/two/data\n",
        "mode 755 (is 4755)",
    ]);
}

#[test]
fn configuration_is_told_apart_and_is_no_failure() {
    let machine = machine();
    machine.write("root/etc/one.conf", "mine = yes\n");
    fs_err::remove_file(machine.path("root/etc/two.conf")).unwrap();
    let ended = machine.hashget(&["--json", "changed", "root"]).expect(0);
    assert_eq!(told(&ended), ["etc/one.conf: contents", "etc/two.conf: missing"]);
    assert_eq!(summary(&ended)["configuration"], 2);
    machine.hashget(&["changed", "root"]).expect(0).prints(&["Configuration of one_1:1.0_none"]);
}

#[test]
fn what_the_system_was_told_is_wanted() {
    let machine = machine();
    let overridden = "root root 0750 /usr/lib/one/tool\n";
    machine.write("root/var/lib/dpkg/statoverride", overridden);
    set_mode(&machine, "root/usr/lib/one/tool", 0o750);
    machine
        .write("root/var/lib/dpkg/diversions", "/usr/lib/one/data\n/usr/lib/one/data.distrib\n:\n");
    let data = machine.path("root/usr/lib/one/data");
    fs_err::rename(&data, machine.path("root/usr/lib/one/data.distrib")).unwrap();
    machine.write("root/usr/lib/one/data", "of the administrator");
    machine.write("root/etc/dpkg/dpkg.cfg.d/slim", "path-exclude=/usr/lib/*/doc\n");
    fs_err::remove_file(machine.path("root/usr/lib/one/doc")).unwrap();
    // A folder that lies elsewhere now, behind a link.
    fs_err::create_dir_all(machine.path("root/srv")).unwrap();
    fs_err::rename(machine.path("root/usr/lib/two"), machine.path("root/srv/two")).unwrap();
    symlink("/srv/two", machine.path("root/usr/lib/two")).unwrap();
    let ended = machine.hashget(&["--json", "changed", "--unowned", "root"]);
    let ended = if rustix::process::geteuid().is_root() { ended.expect(0) } else { ended };
    let unwanted = &summary(&ended)["wanted"]["unwanted"];
    assert_eq!(*unwanted, 1);
    if rustix::process::geteuid().is_root() {
        assert_eq!(told(&ended), [""; 0]);
    }
    let records = ended.records();
    let is_unowned = |path: &str| {
        records.iter().any(|record| record["type"] == "unowned" && record["path"] == path)
    };
    assert!(is_unowned("usr/lib/one/data") && !is_unowned("usr/lib/one/data.distrib"));
}

#[test]
fn packages_that_are_not_known_are_not_compared_and_told() {
    let machine = machine();
    let ended = machine.hashget(&[
        "db",
        "remove",
        "--package",
        "https://packages.example/two_1.0_none.deb",
    ]);
    ended.expect(0);
    let ended = machine.hashget(&["changed", "root"]).expect(3);
    ended.says(&["1 package not compared", "two_1:1.0_none", "hashget index --tree root"]);
    let missing = machine.path("nowhere").display().to_string();
    machine.hashget(&["changed", &missing]).expect(1);
    machine.hashget(&["changed", "-"]).expect(2).says(&["standard input"]);
}

#[test]
fn an_archive_tells_what_its_tree_was_like() {
    let machine = machine();
    machine.write("root/usr/lib/two/data", text_of_other_contents());
    set_mode(&machine, "root/usr/lib/two/data", 0o755);
    set_mode(&machine, "root/usr/lib/one/tool", 0o4755);
    fs_err::remove_file(machine.path("root/usr/lib/one/doc")).unwrap();
    machine.hashget(&["pack", "root", "-f", "a.tar.zst", "--no-index"]).expect(0);
    fs_err::remove_dir_all(machine.path("root")).unwrap();
    let ended = machine.hashget(&["--json", "changed", "a.tar.zst"]).expect(4);
    let told = told(&ended);
    for expected in
        ["usr/lib/one/doc: missing", "usr/lib/one/tool: mode", "usr/lib/two/data: contents"]
    {
        assert!(told.contains(&expected.to_owned()), "{told:?}");
    }
    machine.hashget(&["changed", "a.tar.zst", "--exclude", "x"]).expect(2);
}

/// As many bytes as the package's file has: only a digest tells.
fn text_of_other_contents() -> String {
    "DATA of two\n".repeat(50)
}
