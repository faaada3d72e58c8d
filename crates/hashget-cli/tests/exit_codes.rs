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
    ended.says(&["note:", "hashget-hint.json says of it is wrong or out of date", &digest]);
    // It costs one download, and not one each night.
    let asked = origin.requests().len();
    machine.hashget(&pack).expect(0);
    assert_eq!(origin.requests().len(), asked);
    machine.hashget(&["unpack", "a.tar", "-C", "back", "--offline"]).expect(0);
    let (before, after) = (snapshot(&machine.path("tree")), snapshot(&machine.path("back")));
    assert_eq!(differences(&before, &after), [""; 0]);
}

#[test]
fn what_our_own_rules_refuse_is_no_failure_and_is_not_asked_for() {
    let (machine, origin) = (Machine::new(), Origin::start());
    machine.write("tree/data", "data ".repeat(1000));
    origin.serve("/app.tar", TarBuilder::new().file("app/data", b"data").finish());
    machine.write("tree/hashget-hint.json", format!(r#"{{"url": "{}"}}"#, origin.url("/app.tar")));
    // Neither of two places may be asked, and a pool that has nothing makes no difference.
    machine.write("pool/other", "other");
    let also = r#"{"url": "http://10.0.0.1/app.tar"}"#;
    machine.write("tree/more/.hashget-hint.json", also);
    for options in [&[][..], &["--pool", "pool"], &["--offline"]] {
        let pack = [options, &["pack", "tree", "-f", "a.tar"]].concat();
        machine
            .hashget(&pack)
            .expect(0)
            .says(&["Skipped", "app.tar: not relied on: will not fetch"]);
    }
    assert_eq!(origin.requests().len(), 0);
    // Whoever asks for one package is told that it cannot be had.
    machine.hashget(&["--offline", "index", &origin.url("/app.tar")]).expect(5);
}

#[test]
fn a_wrong_checksum_in_a_lock_file_is_no_failure() {
    let (machine, origin) = (Machine::new().with_public_loopback(), Origin::start());
    let package = compress("gzip", &TarBuilder::new().file("package/i.js", b"code").finish());
    origin.serve("/a/-/a-1.0.0.tgz", package);
    machine.write("tree/node_modules/a/i.js", "code");
    machine.write("tree/node_modules/a/package.json", r#"{"name": "a", "version": "1.0.0"}"#);
    let (url, wrong) = (origin.url("/a/-/a-1.0.0.tgz"), "0".repeat(40));
    let lock = format!("a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"{url}#{wrong}\"\n");
    machine.write("tree/yarn.lock", lock);
    for registry in [None, Some(origin.url("/"))] {
        if let Some(registry) = &registry {
            machine.write("tree/.npmrc", format!("registry={registry}\n"));
        }
        let pack =
            ["pack", "tree", "-f", "a.tar", "--db", if registry.is_some() { "1" } else { "2" }];
        machine.hashget(&pack).expect(0).says(&["note:", "yarn.lock says of it is wrong", &wrong]);
        let list = machine.hashget(&["db", "list", "--db", pack[5]]).expect(0);
        list.says(&["0 packages"]);
    }
}
