//! The policy of a user: how many independent places a package must have, and how old it must be.
//!
//! Invariant: what falls short of it is archived, or lies in the pool before the archive relies on it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use support::{Ended, Machine, files_below};

fn text() -> Vec<u8> {
    b"of a package\n".repeat(1000)
}

/// A machine with a folder whose file a package with this signature gives.
fn machine(origin: &Origin, signature: &str) -> Machine {
    let machine = Machine::new();
    origin.serve("/a.tar", TarBuilder::new().file("a", &text()).finish());
    machine.write("tree/a", text());
    machine.hashget(&["index", "--signature", signature, &origin.url("/a.tar")]).expect(0);
    machine
}

fn pack(machine: &Machine, options: &[&str]) -> Ended {
    let pack = ["pack", "tree", "-f", "a.tar", "--detect", "none", "--json"];
    machine.hashget(&[&pack[..], options].concat())
}

fn left_out(ended: &Ended) -> u64 {
    ended.last_record()["left_out_bytes"].as_u64().unwrap()
}

const ALL: u64 = 13_000;

#[test]
fn a_file_with_fewer_places_than_wanted_is_archived() {
    let origin = Origin::start();
    let machine = machine(&origin, "deb:a_1_all");
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    assert_eq!(left_out(&pack(&machine, &["--sources", "2"]).expect(0)), 0);
    let explained =
        machine.hashget(&["explain", "--tree", "tree", "tree/a", "--sources", "2"]).expect(0);
    explained.prints(&["2 independent places are wanted, and 1 of it is certain"]);
    // The ecosystem, and the host, say something else.
    for (rules, expected) in [
        ("[policy]\nsources = 2\n", 0),
        ("[policy]\nsources = 2\necosystem.deb.sources = 1\n", ALL),
        ("[policy]\necosystem.deb.sources = 2\n", 0),
        ("[host.\"127.0.0.1\"]\nsources = 2\n", 0),
        ("[policy]\necosystem.npm.sources = 2\n", ALL),
    ] {
        machine.write("own-config.toml", rules);
        assert_eq!(left_out(&pack(&machine, &[]).expect(0)), expected, "{rules}");
    }
}

#[test]
fn what_has_too_few_places_is_put_into_the_pool() {
    let origin = Origin::start();
    let machine = machine(&origin, "deb:a_1_all");
    let policy = "pool = [\"pool\"]\n[policy]\nsources = 2\nkeep_in = \"pool\"\n";
    machine.write("own-config.toml", policy);
    fs_err::create_dir(machine.path("pool")).unwrap();
    // What explains writes nothing.
    machine.hashget(&["explain", "--tree", "tree", "tree/a"]).expect(0).prints(&["keep_in"]);
    assert_eq!(files_below(&machine.path("pool")), Vec::<String>::new());
    let ended = pack(&machine, &[]).expect(0).prints(&["1 package put there"]);
    assert_eq!(left_out(&ended), ALL);
    assert_eq!(files_below(&machine.path("pool")).len(), 1);
    // The next night needs nothing, and the archive comes back when the host is gone.
    let asked = origin.requests().len();
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    assert_eq!(origin.requests().len(), asked);
    origin.always("/a.tar", Fault::Status(404));
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine.hashget(&["unpack", "a.tar", "-C", "back"]).expect(0);
    assert_eq!(fs_err::read(machine.path("back/a")).unwrap(), text());
}

#[test]
fn what_cannot_be_put_into_the_pool_is_archived() {
    let origin = Origin::start();
    let machine = machine(&origin, "deb:a_1_all");
    fs_err::remove_dir_all(machine.path("cache")).unwrap();
    machine
        .write("own-config.toml", "pool = [\"pool\"]\n[policy]\nsources = 2\nkeep_in = \"pool\"\n");
    fs_err::create_dir(machine.path("pool")).unwrap();
    origin.always("/a.tar", Fault::Corrupt(600));
    let ended = pack(&machine, &[]).expect(3).prints(&["could not be put there"]);
    assert_eq!(left_out(&ended), 0);
    machine.write("own-config.toml", "[policy]\nkeep_in = \"pool\"\n");
    pack(&machine, &[]).expect(2).says(&["keep_in = \"pool\"", "no pool is named"]);
}

/// A date for `Last-Modified`, so many hours ago.
fn hours_ago(hours: i64) -> String {
    let at =
        jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() - hours * 3600).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn what_its_owner_can_still_take_back_is_archived() {
    for (signature, hours, expected) in [
        ("npm:a@1.0.0", 71, 0),
        ("npm:a@1.0.0", 73, ALL),
        ("crate:a-1.0.0", 1, 0),
        ("gem:a-1.0.0", 24 * 29, 0),
        ("gem:a-1.0.0", 24 * 31, ALL),
        ("deb:a_1_all", 1, ALL),
    ] {
        let origin = Origin::start();
        let machine = machine(&origin, signature);
        origin.always("/a.tar", Fault::PublishedAt(hours_ago(hours)));
        let ended = pack(&machine, &[]).expect(0);
        assert_eq!(left_out(&ended), expected, "{signature}, {hours} hours ago");
        // It was asked once, and is known now.
        let asked = origin.requests().len();
        pack(&machine, &[]).expect(0);
        assert_eq!(origin.requests().len(), asked, "{signature}");
    }
}

#[test]
fn what_is_young_is_relied_on_if_the_pool_has_it_or_the_user_says_so() {
    let origin = Origin::start();
    let machine = machine(&origin, "npm:a@1.0.0");
    origin.always("/a.tar", Fault::PublishedAt(hours_ago(1)));
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), 0);
    machine.write("own-config.toml", "[policy]\nmin_age = { npm = \"30min\" }\n");
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    machine.write("own-config.toml", "pool = [\"pool\"]\n[policy]\nkeep_in = \"pool\"\n");
    fs_err::create_dir(machine.path("pool")).unwrap();
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    machine.write("own-config.toml", "");
    assert_eq!(left_out(&pack(&machine, &["--pool", "pool"]).expect(0)), ALL);
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), 0);
    // A server that does not say when it got it is not asked for ever.
    origin.always("/a.tar", Fault::NoEtag);
    fs_err::remove_dir_all(machine.path("db")).unwrap();
    machine.hashget(&["index", "--signature", "npm:a@1.0.0", &origin.url("/a.tar")]).expect(0);
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    let asked = origin.requests().len();
    assert_eq!(left_out(&pack(&machine, &[]).expect(0)), ALL);
    assert_eq!(origin.requests().len(), asked);
}
