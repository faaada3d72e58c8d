//! Looking packages up: by keys, digests, names; what is in them.

use hashget::hashdb::{HashDbWriter as _, LocalHashDb};
use hashget::model::{Digest, Evidence, Member, PackageRecord};
use serde_json::{Value, json};

use crate::support::{ServerProcess, TestServer, member, record, settings};

fn key(content: &str) -> String {
    Digest::of(content.as_bytes()).to_string()[..12].to_owned()
}

fn server_with(packages: &[(PackageRecord, Vec<Member>)]) -> TestServer {
    let server = TestServer::start(settings(""));
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    for (record, members) in packages {
        hashdb.put(record, members).unwrap();
    }
    server
}

fn names(answer: &Value) -> Vec<&str> {
    answer["packages"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn keys_and_digests_find_the_packages_that_hold_them() {
    let (first, second) = (record("vim", 1), record("nano", 2));
    let server = server_with(&[
        (first.clone(), vec![member("a", "both", 10), member("b", "vim", 10)]),
        (second.clone(), vec![member("a", "both", 10)]),
    ]);
    let whole = Digest::of(b"vim").to_string();
    let asked = json!({
        "keys": [key("both"), key("nowhere"), key("vim 1")],
        "digests": [whole, Digest::of(b"nowhere").to_string()],
    });
    let answer = server.client.post("/v1/lookup", &asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let (first, second) = (first.sha256.to_string(), second.sha256.to_string());
    let expected = json!({
        "keys": { key("both"): [first, second], key("vim 1"): [first] },
        "digests": { whole: [first] },
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(
        server.client.post("/v1/lookup", &json!({})).json(),
        json!({"keys": {}, "digests": {}})
    );
}

#[test]
fn a_file_of_everywhere_is_answered_with_sixteen_packages() {
    let packages: Vec<_> =
        (0..20).map(|number| (record("p", number), vec![member("LICENSE", "free", 10)])).collect();
    let server = server_with(&packages);
    let whole = Digest::of(b"free").to_string();
    let asked = json!({ "keys": [key("free")], "digests": [whole] });
    let found = server.client.post("/v1/lookup", &asked).json();
    assert_eq!(found["keys"][key("free")].as_array().unwrap().len(), 16);
    assert_eq!(found["digests"][whole].as_array().unwrap().len(), 16);
}

/// A file that 2,000 packages hold, asked for 65,536 times, would be 130 million answers.
#[test]
fn a_file_of_everywhere_that_is_asked_for_again_and_again_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(LocalHashDb::open(&data).unwrap());
    let everywhere = Digest::of(b"everywhere");
    let mut connection = rusqlite::Connection::open(data.join("hashdb.sqlite")).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 1..=2_000 {
        let sha256 = Digest::of(format!("package {number}").as_bytes());
        let package = "INSERT INTO packages (id, url, sha256, size, format, indexed_at, evidence, vouched, recursive) \
                       VALUES (?1, 'https://a.example/' || ?1, ?2, 1, 'deb', 0, 'downloaded', 1, 0)";
        transaction.execute(package, rusqlite::params![number, sha256.as_bytes()]).unwrap();
        let file = "INSERT INTO files (prefix, package) VALUES (?1, ?2)";
        let prefix = &everywhere.as_bytes()[..16];
        transaction.execute(file, rusqlite::params![prefix, number]).unwrap();
    }
    transaction.commit().unwrap();
    let server = ServerProcess::start(&data, "");
    let asked = json!({ "digests": vec![everywhere.to_string(); 65_536] });
    let answer = server.client.post("/v1/lookup", &asked);
    assert_eq!(answer.status, 200);
    let found = answer.json();
    assert_eq!(found["digests"][everywhere.to_string()].as_array().unwrap().len(), 16);
    let status = format!("/proc/{}/status", server.child.id());
    let status = fs_err::read_to_string(status).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 300_000, "{kilobytes} KB");
}

#[test]
fn what_is_no_look_up_is_refused_with_a_reason() {
    let server = server_with(&[]);
    for (asked, reason) in [
        (json!({ "keys": ["xyz"] }), "12 hex digits"),
        (json!({ "keys": ["0123456789abcd"] }), "12 hex digits"),
        (json!({ "keys": ["'; DROP TABLE packages; --"] }), "12 hex digits"),
        (json!({ "digests": ["0123456789ab"] }), "64 hex digits"),
        (json!({ "hashes": [] }), "hashes"),
        (json!({ "keys": 1 }), "invalid type"),
        (json!(["0123456789ab"]), "no look-up"),
    ] {
        let answer = server.client.post("/v1/lookup", &asked);
        let told = answer.error();
        assert!(
            answer.status == 400 && (told.contains(reason) || reason == "no look-up"),
            "{told}"
        );
    }
    let many = vec!["0123456789ab"; 65_536];
    assert_eq!(server.client.post("/v1/lookup", &json!({ "keys": many })).status, 200);
    let more = json!({ "keys": many, "digests": [Digest::of(b"").to_string()] });
    assert_eq!(server.client.post("/v1/lookup", &more).status, 413);
    let answer = server.client.ask("POST", "/v1/lookup", &[], vec![b' '; 9 << 20]);
    assert_eq!(answer.status, 413);
    let deep = "[".repeat(100_000);
    assert_eq!(server.client.ask("POST", "/v1/lookup", &[], deep).status, 400);
    assert_eq!(server.client.get("/v1/lookup").status, 405);
}

#[test]
fn packages_are_described_and_their_lists_read_in_parts() {
    let one = record("vim", 1);
    let members: Vec<Member> =
        (0..25).map(|number| member(&format!("f{number:02}"), &format!("{number}"), 10)).collect();
    let server = server_with(&[(one.clone(), members)]);
    let described = server.client.get(&format!("/v1/packages/{}", one.sha256)).json();
    let expected = json!({
        "sha256": one.sha256.to_string(),
        "name": "vim_1:1_amd64",
        "size": 1001,
        "format": "deb",
        "url": "https://a.example/vim_1.deb",
        "published": true,
        "indexed_at": 1_700_000_000,
        "names": ["deb:vim_1:1_amd64"],
        "members": 25,
        "files": 25,
        "file_bytes": 250,
        "expires": null,
        "places": [{"url": "https://a.example/vim_1.deb", "published": true, "seen_at": null}],
        "pooled": false,
    });
    assert_eq!(described, expected);
    let list = format!("/v1/lists/{}", one.sha256);
    let (mut paths, mut after) = (Vec::new(), Some(0));
    while let Some(position) = after {
        let part = server.client.get(&format!("{list}?after={position}&most=10")).json();
        for member in part["members"].as_array().unwrap() {
            paths.push(member["path"].as_str().unwrap().to_owned());
        }
        after = part["next"].as_u64();
    }
    let expected: Vec<String> = (0..25).map(|number| format!("f{number:02}")).collect();
    assert_eq!(paths, expected);
    assert_eq!(server.client.get(&format!("{list}?after=25&most=10")).json()["next"], Value::Null);
    assert_eq!(
        server.client.get(&format!("{list}?after={}", u64::MAX)).json()["members"],
        json!([])
    );
    for wrong in ["?most=0", "?most=50001", "?most=-1", "?after=x"] {
        assert_eq!(server.client.get(&format!("{list}{wrong}")).status, 400, "{wrong}");
    }
    for wrong in ["xyz", "0", "..%2f..%2fetc", "'%20OR%201=1"] {
        assert_eq!(server.client.get(&format!("/v1/packages/{wrong}")).status, 400, "{wrong}");
        assert_eq!(server.client.get(&format!("/v1/lists/{wrong}")).status, 400, "{wrong}");
    }
    let unknown = Digest::of(b"unknown");
    assert_eq!(server.client.get(&format!("/v1/packages/{unknown}")).status, 404);
}

#[test]
fn a_list_that_is_not_whole_is_not_given() {
    let weak = PackageRecord { evidence: Evidence::Local, ..record("vim", 1) };
    let server = server_with(&[(weak.clone(), vec![member("a", "a", 1)])]);
    let list = format!("/v1/lists/{}", weak.sha256);
    assert_eq!(server.client.get(&list).status, 404);
    assert_eq!(server.client.get(&format!("/v1/packages/{}", weak.sha256)).status, 200);
    // Somebody has read it at another place, which nobody vouches for.
    let whole = PackageRecord {
        url: "https://b.example/vim.deb".to_owned(),
        vouched: false,
        ..record("vim", 1)
    };
    let members = [member("a", "a", 1), member("b", "b", 1)];
    LocalHashDb::open(server.path()).unwrap().put(&whole, &members).unwrap();
    let found = server.client.get(&list);
    assert_eq!((found.status, found.json()["members"].as_array().unwrap().len()), (200, 2));
}

#[test]
fn packages_are_searched_by_names_urls_and_digests() {
    let server = server_with(&[
        (record("vim", 1), vec![member("a", "text", 10)]),
        (record("vim-common", 2), Vec::new()),
        (record("a_b%c", 3), Vec::new()),
    ]);
    let search = |query: &str| server.client.get(&format!("/v1/search?q={query}")).json();
    assert_eq!(names(&search("VIM")), ["vim-common_1:2_amd64", "vim_1:1_amd64"]);
    assert_eq!(names(&search("m_1:1_")), ["vim_1:1_amd64"]);
    assert_eq!(names(&search("_b%25c")), ["a_b%c_1:3_amd64"]);
    assert_eq!(names(&search("v_m")), [""; 0]);
    assert_eq!(names(&search("%25")), ["a_b%c_1:3_amd64"]);
    assert_eq!(names(&search(&Digest::of(b"text").to_string())), ["vim_1:1_amd64"]);
    assert_eq!(names(&search(&format!("sha256:{}", Digest::of(b"vim 1")))), ["vim_1:1_amd64"]);
    assert_eq!(search("").as_object().unwrap()["packages"].as_array().unwrap().len(), 3);
    assert_eq!(names(&server.client.get("/v1/search").json())[0], "a_b%c_1:3_amd64");
    for query in ["'%20OR%20'1'='1", "%22%3B--", "%5C", "%00", "%FF", "%F0%9F%A6%80"] {
        assert_eq!(names(&search(query)), [""; 0], "{query}");
    }
    let search = |query: &str| server.client.get(&format!("/v1/search?q={query}"));
    assert_eq!(search(&"%C3%A4".repeat(500)).status, 200);
    let long = search(&"x".repeat(501));
    assert!(long.status == 400 && long.error().contains("at most 500"), "{long:?}");
    let status = server.client.get("/v1/status").json();
    assert_eq!((&status["packages"], &status["digests"]), (&json!(3), &json!(4)));
}

#[test]
fn the_description_for_programs_has_every_route_of_v1() {
    let server = server_with(&[]);
    let document = server.client.get("/openapi.json").json();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/metrics",
            "/v1/lists/{sha256}",
            "/v1/lookup",
            "/v1/packages/{sha256}",
            "/v1/search",
            "/v1/status",
            "/v1/submissions",
            "/v1/submissions/{id}",
        ]
    );
    assert!(document["components"]["schemas"]["Submission"].is_object(), "{document}");
    assert_eq!(server.client.get("/nothing/here").status, 404);
}
