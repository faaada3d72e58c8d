//! A HashDB on a disk that is read-only or full.
//!
//! Invariant: what can be read is used, and there is always a backup.

use std::path::Path;
use std::process::Command;

use hashget_testkit::origin::Origin;
use hashget_testkit::small_disk::SmallDisk;

use crate::support::Machine;

fn remount(at: &Path, how: &str) {
    let options = format!("remount,{how}");
    let mounted = Command::new("mount").args(["-o", &options]).arg(at).status();
    assert!(mounted.unwrap().success());
}

/// A machine whose HashDB, on a disk of its own, knows a package of one file of the tree.
fn scene() -> (Machine, SmallDisk) {
    let machine = Machine::new();
    machine.write("tree/given", "given by a package ".repeat(2000));
    fs_err::create_dir(machine.path("disk")).unwrap();
    let disk = SmallDisk::mount(&machine.path("disk"), 1 << 20).unwrap();
    let url = "http://127.0.0.1:9/given.bin";
    machine.hashget(&["index", "--db", "disk/db", "--file", "tree/given", url]).expect(0);
    (machine, disk)
}

/// Packs with what this HashDB knows.
fn left_out(machine: &Machine, more: &[&str], code: i32) -> u64 {
    let pack = ["pack", "tree", "-f", "a.tar", "--db", "disk/db", "--json"];
    let ended = machine.hashget(&[&pack, more].concat()).expect(code);
    assert!(machine.path("a.tar").exists());
    ended.last_record()["left_out_files"].as_u64().unwrap()
}

pub(crate) fn on_a_read_only_disk_it_can_be_read() {
    let (machine, _disk) = scene();
    remount(&machine.path("disk"), "ro");
    let db = ["--db", "disk/db"];
    for command in [
        &["db", "status"][..],
        &["db", "list"],
        &["db", "verify"],
        &["explain", "tree/given"],
        &["pack", "tree", "--dry-run", "--no-index"],
    ] {
        machine.hashget(&[command, &db].concat()).expect(0);
    }
    // Nothing was to be written: nothing is missing.
    assert_eq!(left_out(&machine, &["--no-index"], 0), 1);
    let pack = ["pack", "tree", "-f", "b.tar", "-q"];
    let told = machine.hashget(&[&pack[..], &db].concat()).expect(5).stderr;
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("HashDB") && told.contains("not indexed"), "{told}");
    let remove = ["db", "remove", "--package", "given.bin"];
    machine.hashget(&[&remove[..], &db].concat()).expect(1).says(&["HashDB"]);
}

pub(crate) fn on_a_full_disk_it_can_be_read_and_what_it_cannot_keep_is_archived() {
    let (machine, _disk) = scene();
    fs_err::write(machine.path("disk/filler"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(left_out(&machine, &["--no-index"], 0), 1);
    // A package that a detector finds, and that there is no room for.
    let origin = Origin::start();
    let names: Vec<String> = (0..20_000).map(|number| format!("member {number}")).collect();
    let mut package = hashget_testkit::packages::TarBuilder::new();
    for name in &names {
        package = package.file(name, name.as_bytes());
    }
    origin.serve("/app-1.0.tar", package.finish());
    machine.write("tree/VERSION", "1.0\n");
    machine.write("tree/member", "member 7");
    let url = origin.url("/app-{version}.tar");
    let rule = format!(
        "[[rule]]\nname = \"app\"\npath = \"**/VERSION\"\npatterns = ['^(?<version>[0-9.]+)$']\nurl = \"{url}\"\n"
    );
    machine.write("rules.toml", rule);
    assert_eq!(left_out(&machine, &["--config", "rules.toml"], 5), 1);
    machine.hashget(&["db", "verify", "--db", "disk/db"]).expect(0);
}
