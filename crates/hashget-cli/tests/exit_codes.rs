//! What the exit code of a backup says: what is true of the archive.
//!
//! Invariant: with a code of 0, 3 or 5 the archive is whole; with any other there is none.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, compress};
use hashget_testkit::trees::{differences, snapshot};
use support::Machine;

#[test]
fn a_package_that_its_server_gives_damaged_leaves_a_whole_archive_and_code_5() {
    let (machine, origin) = (Machine::new(), Origin::start());
    machine.write("tree/app/VERSION", "1.0\n");
    machine.write("tree/app/data", "data of the application ".repeat(1000));
    // Bytes that do not compress: the package is recognised, and ends in the middle.
    let noise: Vec<u8> =
        (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let tar = TarBuilder::new().file("app/data", &noise).finish();
    let mut package = compress("gzip", &tar);
    package.truncate(package.len() / 2);
    origin.serve("/app-1.0.tgz", package);
    let url = origin.url("/app-{version}.tgz");
    let rule = format!(
        "[[rule]]\nname = \"app\"\npath = \"**/VERSION\"\npatterns = ['^(?<version>[0-9.]+)$']\nurl = \"{url}\"\n"
    );
    machine.write("rules.toml", rule);
    let pack = ["pack", "tree", "-f", "a.tar", "--config", "rules.toml"];
    machine.hashget(&pack).expect(5).says(&["app-1.0.tgz", "damaged"]);
    machine.hashget(&["unpack", "a.tar", "-C", "back", "--offline"]).expect(0);
    let (before, after) = (snapshot(&machine.path("tree")), snapshot(&machine.path("back")));
    assert_eq!(differences(&before, &after), [""; 0]);
    let prepare = ["prepare", "tree", "-X", "list", "--for", "tar", "--config", "rules.toml"];
    machine.hashget(&prepare).expect(5);
    assert!(machine.path("list").exists());
}

#[test]
fn a_path_of_any_length_is_reported() {
    let machine = Machine::new();
    let name = "n".repeat(250);
    fs_err::create_dir(machine.path("tree")).unwrap();
    let mut folder = rustix::fs::open(
        machine.path("tree"),
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..263 {
        rustix::fs::mkdirat(&folder, &name, 0o755.into()).unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        folder = rustix::fs::openat(&folder, &name, flags, rustix::fs::Mode::empty()).unwrap();
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    let leaf = rustix::fs::openat(&folder, "leaf", flags, 0o644.into()).unwrap();
    rustix::io::write(&leaf, b"x").unwrap();
    machine.write("tree/other", "other");
    let pack = ["pack", "tree", "--detect", "none", "--no-index"];
    machine.hashget(&[&pack[..], &["-f", "a.tar", "-v"]].concat()).expect(0).says(&["n/nnn"]);
    // A folder far above stands for the file.
    let plan = machine.hashget(&[&pack[..], &["--dry-run"]].concat()).expect(0).stdout;
    assert!(plan.contains("n/nnn"), "the plan has {} bytes", plan.len());
}

#[test]
fn a_hint_that_is_out_of_date_is_no_failure() {
    let (machine, origin) = (Machine::new(), Origin::start());
    machine.write("tree/data", "data of another version ".repeat(1000));
    let (url, digest) = (origin.url("/app.tar"), "1".repeat(64));
    machine.write("tree/hashget-hint.json", format!(r#"{{"url": "{url}", "sha256": "{digest}"}}"#));
    origin.serve("/app.tar", TarBuilder::new().file("app/data", b"replaced").finish());
    machine.write("config.toml", "[host.\"127.0.0.1\"]\npublic = true\n");
    let pack = ["pack", "tree", "-f", "a.tar", "--config", "config.toml"];
    let ended = machine.hashget(&pack).expect(0);
    ended.says(&["note:", "hashget-hint.json is out of date", &digest]);
    // It costs one download, and not one each night.
    let asked = origin.requests().len();
    machine.hashget(&pack).expect(0);
    assert_eq!(origin.requests().len(), asked);
    machine.hashget(&["unpack", "a.tar", "-C", "back", "--offline"]).expect(0);
    let (before, after) = (snapshot(&machine.path("tree")), snapshot(&machine.path("back")));
    assert_eq!(differences(&before, &after), [""; 0]);
}
