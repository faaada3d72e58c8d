//! `pool`: with all that an archive needs in it, no server is needed any more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Machine, files_below};

/// A machine with an archive that needs two packages.
fn machine(origin: &Origin) -> Machine {
    let machine = Machine::new();
    for name in ["first", "second"] {
        let text = name.repeat(3000);
        let tar = TarBuilder::new().file(name, text.as_bytes()).finish();
        origin.serve(&format!("/{name}.tar"), tar);
        machine.write(&format!("tree/{name}"), text);
        machine.hashget(&["index", &origin.url(&format!("/{name}.tar"))]).expect(0);
    }
    machine.write("tree/own", "mine");
    machine.hashget(&["pack", "tree", "-f", "a.tar.zst"]).expect(0);
    machine
}

#[test]
fn an_archive_is_restored_from_the_pool_when_its_server_is_gone() {
    let origin = Origin::start();
    let machine = machine(&origin);
    let add = ["pool", "add", "--pool", "pool", "a.tar.zst"];
    machine.hashget(&add).expect(0).says(&["2 packages added to the pool"]);
    machine.hashget(&add).expect(0).says(&["0 packages added", "2 packages there already"]);
    drop(origin);
    let files = files_below(&machine.path("pool"));
    assert_eq!(files.len(), 2);
    assert!(
        files.iter().all(|name| name.starts_with("sha256/") && name.len() == 7 + 64 + 3),
        "{files:?}"
    );

    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    let pool = machine.path("pool");
    let pool = pool.to_str().unwrap();
    away.hashget(&["--offline", "--pool", pool, "unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(files_below(&away.path("back")), ["first", "own", "second"]);
    // Any web server serves it.
    let server = Origin::start();
    for file in files {
        server
            .serve(&format!("/p/{file}"), fs_err::read(machine.path("pool").join(&file)).unwrap());
    }
    let away = Machine::new();
    fs_err::copy(machine.path("a.tar.zst"), away.path("a.tar.zst")).unwrap();
    away.hashget(&["--pool", &server.url("/p/"), "unpack", "a.tar.zst", "-C", "back"]).expect(0);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn packages_of_this_machine_are_listed_and_removed() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.write("mine.deb", "any bytes");
    machine.write("other.tar", TarBuilder::new().file("a", b"b").finish());
    let ended =
        machine.hashget(&["pool", "add", "--pool", "p", "mine.deb", "other.tar", "a.tar.zst"]);
    ended.expect(0).says(&["4 packages added"]);
    let listed = machine.hashget(&["pool", "list", "--pool", "p"]).expect(0);
    assert_eq!(listed.stdout.lines().count(), 5);
    assert!(listed.stdout.contains(&origin.url("/first.tar")), "{}", listed.stdout);
    let records = machine.hashget(&["pool", "list", "--pool", "p", "--json"]).expect(0).records();
    let unnamed = records.iter().filter(|record| record["urls"] == serde_json::json!([]));
    assert_eq!(unnamed.count(), 2);
    let nobody = format!("sha256:{}", "0".repeat(64));
    machine.hashget(&["pool", "remove", "--pool", "p", &nobody]).expect(1).says(&["pool list"]);
    let digest = format!("sha256:{}", records[0]["sha256"].as_str().unwrap());
    machine.hashget(&["pool", "remove", "--pool", "p", &digest]).expect(0);
    machine.hashget(&["pool", "remove", "--pool", "p", "second.tar", "first.tar"]).expect(0);
    let left = machine.hashget(&["pool", "list", "--pool", "p", "--json"]).expect(0).last_record();
    assert!(left["packages"].as_u64().unwrap() <= 2, "{left}");
    machine.hashget(&["pool", "remove", "--pool", "p", "all"]).expect(0);
    assert_eq!(fs_err::read_dir(machine.path("p/sha256")).unwrap().count(), 0, "empty folders go");
    machine.hashget(&["pool", "list"]).expect(2).says(&["--pool DIR"]);
    machine.hashget(&["pool", "list", "--pool", "nowhere"]).expect(1).says(&["nowhere"]);
}

#[test]
fn damage_is_named_and_mended_by_adding_again() {
    let origin = Origin::start();
    let machine = machine(&origin);
    machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(0);
    machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(0).says(&["2 packages proven"]);
    let files = files_below(&machine.path("pool"));
    let bad = machine.path("pool").join(&files[0]);
    let mut bytes = fs_err::read(&bad).unwrap();
    bytes[1000] ^= 1;
    fs_err::write(&bad, &bytes).unwrap();
    let ended = machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(4);
    ended.says(&[&files[0], "damaged", "1 package DAMAGED"]);
    let digest = files[0].strip_prefix("sha256/").unwrap().replace('/', "");
    machine.hashget(&["pool", "remove", "--pool", "pool", &format!("sha256:{digest}")]).expect(0);
    machine
        .hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"])
        .expect(0)
        .says(&["1 package added"]);
    machine.hashget(&["pool", "verify", "--pool", "pool"]).expect(0);
}

#[test]
fn what_cannot_be_had_is_told_and_the_rest_is_added() {
    let origin = Origin::start();
    let machine = machine(&origin);
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    origin.always("/first.tar", Fault::Status(404));
    let ended = machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(5);
    ended.says(&["first.tar", "1 package added", "1 package could not be had"]);
    assert_eq!(files_below(&machine.path("pool")).len(), 1);
    origin.heal("/first.tar");
    origin.always("/first.tar", Fault::Corrupt(700));
    machine.hashget(&["pool", "add", "--pool", "pool", "a.tar.zst"]).expect(4);
    assert_eq!(files_below(&machine.path("pool")).len(), 1, "nothing unproven is in the pool");
}
