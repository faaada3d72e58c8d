//! What the older Python tool asks, without the tool.

use hashget::hashdb::{HashDbWriter as _, LocalHashDb, PackageId};
use hashget::model::{Digest, PackageRecord};
use serde_json::json;

use crate::support::{TestServer, member, record, settings};

fn by_digest(server: &TestServer, digest: &Digest) -> crate::support::Answer {
    let hex = digest.to_string();
    server.client.get(&format!("/a/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..]))
}

/// Makes the lists of these packages unreadable.
fn damage(server: &TestServer, packages: &[PackageId]) {
    let connection = rusqlite::Connection::open(server.path().join("hashdb.sqlite")).unwrap();
    for package in packages {
        let cut = "UPDATE members SET list = substr(list, 1, length(list) / 2) WHERE package = ?1";
        assert_eq!(connection.execute(cut, [package.to_raw()]).unwrap(), 1);
    }
}

#[test]
fn a_package_is_found_by_its_digest_without_the_lists_of_those_that_hold_it() {
    let server = TestServer::start(settings(""));
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    let holder = hashdb.put(&record("all", 1), &[member("vim.deb", "vim 2", 1 << 20)]).unwrap();
    hashdb.put(&record("vim", 2), &[member("a", "a", 1 << 20)]).unwrap();
    damage(&server, &[holder]);
    let found = by_digest(&server, &Digest::of(b"vim 2"));
    assert_eq!(
        (found.status, found.json()["url"].clone()),
        (200, json!("https://a.example/vim_2.deb"))
    );
}

#[test]
fn the_lists_of_some_packages_that_hold_a_file_are_read_and_no_more() {
    let server = TestServer::start(settings(""));
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    let (small, large) = (Digest::of(b"small"), Digest::of(b"large"));
    // Nobody vouches for the first ones, and the next ones have expired.
    let package = |number: u64| PackageRecord {
        vouched: number >= 20,
        expires: (number < 40).then(|| "2020-01-01".to_owned()),
        ..record("p", number)
    };
    let members = [member("a", "small", 100), member("b", "large", 1 << 20)];
    let ids: Vec<_> =
        (0..80).map(|number| hashdb.put(&package(number), &members).unwrap()).collect();
    damage(&server, &ids[..40]);
    damage(&server, &ids[56..]);
    let found = by_digest(&server, &large);
    assert_eq!(
        (found.status, found.json()["url"].clone()),
        (200, json!("https://a.example/p_40.deb"))
    );
    // Too small for the tool: it is in none of the sixteen lists, and the damaged ones after them are not read.
    assert_eq!(by_digest(&server, &small).status, 404);
}
