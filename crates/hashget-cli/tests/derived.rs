//! `--derive`, and what commands say of derived files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::packages::{TarBuilder, deb};
use serde_json::json;
use support::Machine;

const LIST: &str = "var/lib/dpkg/info/tool.list";
const URL: &str = "https://packages.example.org/tool_1.0_all.deb";

/// A machine with a package that is known, and a tree into which dpkg has unpacked it.
fn machine() -> (Machine, String) {
    let machine = Machine::new();
    let (mut tar, mut list) = (TarBuilder::new().directory("./usr/"), "/.\n/usr\n".to_owned());
    for number in 0..40 {
        let (name, content) =
            (format!("usr/a file {number:02}"), format!("{number}\n").repeat(100));
        tar = tar.file(&format!("./{name}"), content.as_bytes());
        machine.write(&format!("tree/{name}"), content);
        list += &format!("/{name}\n");
    }
    let sums = "0123456789abcdef  usr/x\n".repeat(30);
    let control =
        [("md5sums", sums.as_bytes()), ("postinst", b"#!/bin/sh\n"), ("prerm", b"#!/x\n")];
    machine.write("pool/tool_1.0_all.deb", deb(&control, &tar.finish(), "gzip"));
    for (name, content) in control {
        machine.write(&format!("tree/var/lib/dpkg/info/tool.{name}"), content);
    }
    machine.write(&format!("tree/{LIST}"), &list);
    machine.hashget(&["index", URL, "--file", "pool/tool_1.0_all.deb"]).expect(0);
    (machine, list)
}

fn pack(machine: &Machine, options: &[&str]) -> support::Ended {
    let pack = ["--offline", "pack", "tree", "-f", "a.tar.zst", "--unasked", "--no-index"];
    let ratio = ["--max-fetch-ratio", "1000000"];
    machine.hashget(&[&pack[..], &ratio, options].concat()).expect(0)
}

fn offline(machine: &Machine, arguments: &[&str]) -> support::Ended {
    machine.hashget(&[&["--offline", "--pool", "pool"], arguments].concat())
}

#[test]
fn what_is_derived_is_said_wherever_somebody_asks() {
    let (machine, list) = machine();
    pack(&machine, &[]).says(&["Derived", "1 file", "1 by dpkg-list"]);
    let archive = "a.tar.zst";
    offline(&machine, &["info", archive]).expect(0).prints(&["Derived", "1 by dpkg-list"]);
    let record = offline(&machine, &["--json", "info", archive]).expect(0).records();
    let derived = json!({ "dpkg-list": { "files": 1, "bytes": list.len() } });
    assert_eq!(record.last().unwrap()["derived"], derived);
    let why = "the recipe dpkg-list makes it out of";
    let ratio = ["--max-fetch-ratio", "1000000", "--unasked"];
    let tree_list = format!("tree/{LIST}");
    let explain = [&["explain", "--tree", "tree", &tree_list][..], &ratio].concat();
    offline(&machine, &explain).expect(0).prints(&["left out: derived: ", why]);
    let explain = ["explain", "--archive", archive, LIST];
    offline(&machine, &explain).expect(0).prints(&["left out: ", why]);
    offline(&machine, &["cat", archive, LIST]).expect(0).prints(&[&list]);
    offline(&machine, &["list", archive]).expect(0).prints(&[LIST]);
    offline(&machine, &["report", archive, "-o", "report.html"]).expect(0);
    let page = fs_err::read_to_string(machine.path("report.html")).unwrap();
    assert!(page.contains("1 by dpkg-list"));
    offline(&machine, &["unpack", archive, "-C", "part", LIST]).expect(0);
    assert_eq!(fs_err::read_to_string(machine.path("part").join(LIST)).unwrap(), list);
}

#[test]
fn without_recipes_they_are_named_and_restore_completes() {
    let (machine, list) = machine();
    pack(&machine, &[]);
    let not_made = "derived, not made: `hashget restore --derive pure DIR` makes it";
    let verify = ["verify", "--deep", "a.tar.zst"];
    offline(&machine, &verify).expect(0);
    offline(&machine, &[&verify[..], &["--derive", "none"]].concat()).expect(3);
    let unpack = ["unpack", "a.tar.zst", "-C", "back", "--derive", "none"];
    offline(&machine, &unpack).expect(3).says(&[not_made, LIST]);
    assert!(!machine.path("back").join(LIST).exists());
    offline(&machine, &["restore", "back", "--derive", "none"]).expect(3);
    offline(&machine, &["restore", "back", "--derive", "pure"]).expect(0);
    assert_eq!(fs_err::read_to_string(machine.path("back").join(LIST)).unwrap(), list);
    assert!(!machine.path("back/.hashget-restore.json").exists());
}

#[test]
fn pack_without_recipes_archives_them() {
    let (machine, list) = machine();
    pack(&machine, &["--derive", "none"]);
    let said = offline(&machine, &["info", "a.tar.zst"]).expect(0).stdout;
    assert!(!said.contains("Derived"), "{said}");
    offline(&machine, &["unpack", "a.tar.zst", "-C", "back", "--derive", "none"]).expect(0);
    assert_eq!(fs_err::read_to_string(machine.path("back").join(LIST)).unwrap(), list);
    machine.hashget(&["pack", "tree", "-f", "b.tar", "--derive", "some"]).expect(2);
}
