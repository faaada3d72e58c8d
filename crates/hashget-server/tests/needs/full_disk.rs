//! A server whose disk is full.

use hashget::model::Digest;
use hashget_server::{Scope, ServerDb};
use hashget_testkit::small_disk::SmallDisk;
use serde_json::json;
use std::io::Write as _;
use std::time::Duration;

use crate::support::{BEGIN, ServerProcess};

const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn on_a_full_disk_nothing_is_accepted_and_everything_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs_err::create_dir(&data).unwrap();
    let _disk = SmallDisk::mount(&data, 8 << 20).expect("mounting is allowed");
    let token = ServerDb::open(&data).unwrap().add_token("me", Scope::Submit, BEGIN).unwrap();
    let server = ServerProcess::start(&data, "");
    fs_err::write(data.join("published/file"), "published").unwrap();
    let client = server.client.with_token(&token);
    let first = client.submit("http://[::1]:1/first.tar");
    let submit = |name: &str| {
        let urls = json!({ "urls": [format!("http://[::1]:1/{name}.tar")] });
        client.post("/v1/submissions", &urls)
    };

    let mut filler = fs_err::File::create(data.join("filler")).unwrap();
    while filler.write(&[1; 4096]).is_ok() {}
    // What SQLite has reserved of its log is used up at some point.
    let mut accepted = vec![first];
    let refused = loop {
        let answer = submit(&format!("more{}", accepted.len()));
        if answer.status != 202 {
            break answer;
        }
        accepted.push(answer.json()["submissions"][0]["id"].as_i64().unwrap());
        assert!(accepted.len() < 10_000, "the disk is not full");
    };
    assert_eq!(refused.status, 507, "{refused:?}");
    assert!(refused.error().contains("disk is full"), "{refused:?}");
    let content = vec![9; 100_000];
    let hex = Digest::of(&content).to_string();
    let place = format!("/pool/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..]);
    assert_eq!(client.ask("PUT", &place, &[], content.clone()).status, 507);
    assert_eq!(client.get(&place).status, 404);
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.get("/readyz").status, 507);
    assert_eq!(client.get("/published/file").body, b"published");
    assert_eq!(client.get("/v1/search").status, 200);

    drop(filler);
    fs_err::remove_file(data.join("filler")).unwrap();
    // What it said is remembered for a moment.
    let is_ready = || client.get("/readyz").status == 200;
    assert!((0..1000).any(|_| is_ready() || {
        std::thread::sleep(PAUSE);
        false
    }));
    assert_eq!(submit("after").status, 202);
    assert_eq!(client.ask("PUT", &place, &[], content.clone()).status, 201);
    assert!(client.get(&place).body == content);
    server.kill();
    let server = ServerProcess::start(&data, "");
    let client = server.client.with_token(&token);
    for id in accepted {
        assert!(client.submission(id)["url"].is_string());
    }
}
