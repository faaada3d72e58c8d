//! `sbom`: packages by names that other tools know, of an archive and of a folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;
#[path = "support/system.rs"]
mod system;

use hashget_testkit::origin::Origin;
use serde_json::Value;
use support::Machine;
use system::install;

const RECIPIENT: &str = "age1sxjgycssl3yeua6gztw4prp4t5xvwgvhptrdnej77ns0khll5qrqamxs7t";
const IDENTITY: &str = "AGE-SECRET-KEY-182FWFK6TFUTLMJ0LRYKRGNM7LEMGF2F23R7QLPGY2PPPAGQWPM0SG45ZHX";

const PURL: &str = "pkg:deb/debian/one@1:1.0?arch=none&distro=debian-12&upstream=all%402.0";

/// A machine with a system, an application with a lock file in it, and an archive of both, whose `root` is gone.
fn machine() -> Machine {
    let machine = Machine::new();
    install(&machine, &["one"]);
    let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/@a/b":{"version":"1.2.3","resolved":"https://packages.example/b-1.2.3.tgz"}}}"#;
    machine.write("root/srv/app/package-lock.json", lock);
    let own = r#"{"name":"@a/b","version":"1.2.3"}"#;
    machine.write("root/srv/app/node_modules/@a/b/package.json", own);
    machine.hashget(&["pack", "root", "-f", "a.tar.zst", "--no-index"]).expect(0);
    machine
}

fn document(machine: &Machine, arguments: &[&str]) -> Value {
    let printed = machine.hashget(&[&["sbom"], arguments].concat()).expect(0).stdout;
    serde_json::from_str(&printed).unwrap()
}

/// The component with this package URL.
fn component<'d>(document: &'d Value, purl: &str) -> &'d Value {
    let all = document["components"].as_array().unwrap();
    all.iter().find(|one| one["purl"] == purl).unwrap_or_else(|| panic!("no {purl} in {document}"))
}

#[test]
fn of_an_archive_without_a_network_and_without_its_tree() {
    let machine = machine();
    fs_err::remove_dir_all(machine.path("root")).unwrap();
    let bom = document(&machine, &["a.tar.zst"]);
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let one = component(&bom, PURL);
    assert_eq!(one["externalReferences"][0]["url"], "https://packages.example/one_1.0_none.deb");
    let sha256 =
        hashget::model::Digest::of(&fs_err::read(machine.path("one_1.0_none.deb")).unwrap());
    assert_eq!(one["hashes"][0]["content"], sha256.to_string());
    let identity = &one["evidence"]["identity"];
    assert_eq!(identity["methods"][0]["technique"], "hash-comparison");
    assert_eq!(one["properties"][0]["value"], "6", "four files, configuration and the script");
    let os = &bom["components"][0];
    assert_eq!(
        (&os["type"], &os["name"], &os["version"]),
        (&"operating-system".into(), &"debian".into(), &"12".into())
    );
}

#[test]
fn the_same_archive_gives_the_same_bytes() {
    let machine = machine();
    let print = |machine: &Machine| machine.hashget(&["sbom", "a.tar.zst"]).expect(0).stdout;
    let first = print(&machine);
    assert_eq!(first, print(&machine));
    machine
        .hashget(&["sbom", "a.tar.zst", "-o", "a.cdx.json"])
        .expect(0)
        .says(&["1 package: 1 deb"]);
    assert_eq!(fs_err::read_to_string(machine.path("a.cdx.json")).unwrap(), first);
    let mut command = machine.bare();
    command.envs(machine.variables()).env("SOURCE_DATE_EPOCH", "86400").args(["sbom", "a.tar.zst"]);
    let printed = support::Ended::of(&mut command).expect(0).stdout;
    assert!(printed.contains("1970-01-02T00:00:00Z"));
    let mut command = machine.bare();
    command.envs(machine.variables()).env("SOURCE_DATE_EPOCH", "x").args(["sbom", "a.tar.zst"]);
    support::Ended::of(&mut command).expect(2).says(&["SOURCE_DATE_EPOCH"]);
}

#[test]
fn of_a_folder_with_what_its_lock_files_name() {
    let machine = machine();
    let bom = document(&machine, &["root", "--spec", "1.5"]);
    assert_eq!(bom["specVersion"], "1.5");
    assert_eq!(component(&bom, PURL)["evidence"]["identity"]["confidence"], 1.0);
    let npm = component(&bom, "pkg:npm/%40a/b@1.2.3");
    assert_eq!((&npm["group"], &npm["name"]), (&"@a".into(), &"b".into()));
    assert_eq!(npm["evidence"]["identity"]["methods"][0]["technique"], "manifest-analysis");
    assert_eq!(npm["evidence"]["occurrences"][0]["location"], "srv/app/package-lock.json");
    let bom = document(&machine, &["root", "--exclude", "srv"]);
    assert!(!bom.to_string().contains("pkg:npm/"));
}

#[test]
fn spdx_names_the_same_packages() {
    let machine = machine();
    let spdx = document(&machine, &["root", "--format", "spdx"]);
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let packages = spdx["packages"].as_array().unwrap();
    let of = |name: &str| packages.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("one")["externalRefs"][0]["referenceLocator"], PURL);
    assert_eq!(of("debian")["primaryPackagePurpose"], "OPERATING-SYSTEM");
    assert_eq!(of("@a/b")["versionInfo"], "1.2.3");
    assert_eq!(spdx["relationships"].as_array().unwrap().len(), packages.len());
}

#[test]
fn of_an_encrypted_archive_and_of_one_at_a_url() {
    let machine = machine();
    let pack = ["pack", "root", "-f", "a.tar.zst.age", "--no-index", "--recipient", RECIPIENT];
    machine.hashget(&pack).expect(0);
    machine.write("identity", format!("{IDENTITY}\n"));
    machine.hashget(&["sbom", "a.tar.zst.age"]).expect(1).says(&["--identity"]);
    let bom = document(&machine, &["a.tar.zst.age", "--identity", "identity"]);
    component(&bom, PURL);
    let origin = Origin::start();
    origin.serve("/a.tar.zst", fs_err::read(machine.path("a.tar.zst")).unwrap());
    let bom = document(&machine, &[&origin.url("/a.tar.zst")]);
    assert_eq!(component(&bom, PURL)["properties"][0]["value"], "6");
}

#[test]
fn what_cannot_be_is_refused_before_the_work() {
    let machine = machine();
    machine.hashget(&["--json", "sbom", "a.tar.zst"]).expect(2).says(&["-o"]);
    machine.hashget(&["sbom", "a.tar.zst", "-o", "nowhere/x"]).expect(1);
    machine.hashget(&["sbom", "a.tar.zst", "--exclude", "x"]).expect(2);
    machine.hashget(&["sbom", "one_1.0_none.deb"]).expect(1);
    let ended = machine.hashget(&["--json", "sbom", "a.tar.zst", "-o", "x"]).expect(0);
    assert_eq!(ended.last_record()["kinds"]["deb"], 1);
}
