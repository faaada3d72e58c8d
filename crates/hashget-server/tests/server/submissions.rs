//! Submissions: fetched and read by the server, twice.

use hashget::hashdb::{Check, CheckOutcome, Checks as _, LocalHashDb};
use hashget_testkit::origin::{Fault, Origin};
use hashget_testkit::packages::TarBuilder;
use serde_json::json;
use std::sync::Arc;

use crate::support::{BEGIN, ServerProcess, TestServer, open_to_all, settings};

fn package(content: &str) -> Vec<u8> {
    TarBuilder::new().file("tool-1.0/program", content.repeat(100).as_bytes()).finish()
}

#[test]
fn a_place_is_published_when_its_url_gave_the_same_bytes_twice() {
    let origin = Origin::start();
    origin.serve("/tool-1.0.tar", package("as it is"));
    let server = TestServer::start(open_to_all());
    let id = server.client.submit(&origin.url("/tool-1.0.tar"));
    let seen = server.client.wait_for(id, "seen");
    assert_eq!(seen["due_at"], BEGIN + 72 * 3600);
    let package = format!("/v1/packages/{}", seen["sha256"].as_str().unwrap());
    let found = server.client.get(&package).json();
    assert_eq!((&found["published"], &found["files"]), (&json!(false), &json!(1)));

    server.pass(71);
    assert_eq!(server.client.submission(id)["state"], "seen");
    server.pass(1);
    let published = server.client.wait_for(id, "published");
    assert_eq!(published["published_at"], BEGIN + 72 * 3600);
    let found = server.client.get(&package).json();
    assert_eq!(found["published"], true);
    assert_eq!(found["places"][0]["published"], true);
    assert_eq!(origin.requests_of("/tool-1.0.tar").len(), 2);
    // Submitted again, it is the same submission, and nothing is fetched.
    assert_eq!(server.client.submit(&origin.url("/tool-1.0.tar")), id);
    assert_eq!(server.client.submission(id)["state"], "published");
}

#[test]
fn a_url_that_gives_other_bytes_the_second_time_is_never_published() {
    let origin = Origin::start();
    origin.serve("/latest.tar", package("first"));
    let server = TestServer::start(open_to_all());
    let id = server.client.submit(&origin.url("/latest.tar"));
    let seen = server.client.wait_for(id, "seen");
    origin.serve("/latest.tar", package("other"));
    server.pass(72);
    let moves = server.client.wait_for(id, "moves");
    assert!(moves["problem"].as_str().unwrap().contains("other bytes"), "{moves}");
    let package = format!("/v1/packages/{}", seen["sha256"].as_str().unwrap());
    assert_eq!(server.client.get(&package).status, 404);
}

#[test]
fn a_fetch_that_fails_is_tried_again_and_given_up_at_last() {
    let origin = Origin::start();
    let server = TestServer::start(settings(
        "anonymous = [\"read\", \"submit\"]\n[submissions]\ntries = 3\npublic_hosts = [\"127.0.0.1\"]",
    ));
    let id = server.client.submit(&origin.url("/gone.tar"));
    for tries in 1..3 {
        let found = server.client.wait_until(id, |found| found["tries"] == tries);
        assert_eq!(found["state"], "waiting");
        server.pass(1);
    }
    let failed = server.client.wait_for(id, "failed");
    assert!(failed["problem"].as_str().unwrap().contains("/gone.tar"), "{failed}");
    // It starts anew when somebody submits it again, and the host has it now.
    origin.serve("/gone.tar", package("back"));
    assert_eq!(server.client.submit(&origin.url("/gone.tar")), id);
    server.client.wait_for(id, "seen");
}

/// What a URL gave once is not forgotten because it was gone for a while.
#[test]
fn a_second_fetch_that_failed_is_made_again_and_not_taken_for_the_first() {
    let origin = Origin::start();
    origin.serve("/latest.tar", package("first"));
    let server = TestServer::start(settings(
        "anonymous = [\"read\", \"submit\"]\n[submissions]\ntries = 1\npublic_hosts = [\"127.0.0.1\"]",
    ));
    let id = server.client.submit(&origin.url("/latest.tar"));
    server.client.wait_for(id, "seen");
    origin.always("/latest.tar", Fault::Status(404));
    server.pass(72);
    server.client.wait_for(id, "failed");
    origin.heal("/latest.tar");
    origin.serve("/latest.tar", package("other"));
    assert_eq!(server.client.submit(&origin.url("/latest.tar")), id);
    server.client.wait_for(id, "moves");
}

/// Somebody else has seen it give other bytes in the meantime.
#[test]
fn a_url_that_is_known_to_move_is_never_published() {
    let origin = Origin::start();
    origin.serve("/tool-1.0.tar", package("as it is"));
    let server = TestServer::start(open_to_all());
    let url = origin.url("/tool-1.0.tar");
    let id = server.client.submit(&url);
    let seen = server.client.wait_for(id, "seen");
    let sha256 = seen["sha256"].as_str().unwrap().parse().unwrap();
    let hashdb = LocalHashDb::open(server.path()).unwrap();
    hashdb.put_check(&Check::now(sha256, &url, true, CheckOutcome::Moves)).unwrap();
    server.pass(72);
    server.client.wait_for(id, "moves");
    assert_eq!(server.client.get(&format!("/v1/packages/{sha256}")).status, 404);
}

#[test]
fn nobody_makes_the_server_ask_private_addresses() {
    let origin = Origin::start();
    origin.serve("/secret.tar", package("private"));
    let server = TestServer::start(settings("anonymous = [\"read\", \"submit\"]"));
    for url in [origin.url("/secret.tar"), "http://[::1]:1/a.tar".to_owned()] {
        let id = server.client.submit(&url);
        let failed = server.client.wait_for(id, "failed");
        assert!(failed["problem"].as_str().unwrap().contains("will not fetch"), "{failed}");
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn redirects_of_public_hosts_lead_to_no_private_ones() {
    let origin = Origin::start();
    origin.always("/away.tar", Fault::RedirectTo("http://127.0.0.2:9/secret.tar".to_owned()));
    let server = TestServer::start(open_to_all());
    let id = server.client.submit(&origin.url("/away.tar"));
    let failed = server.client.wait_for(id, "failed");
    assert!(failed["problem"].as_str().unwrap().contains("127.0.0.2"), "{failed}");
}

#[test]
fn what_is_no_public_url_is_refused() {
    let server = TestServer::start(open_to_all());
    let long = format!("https://a.example/{}", "x".repeat(5000));
    for url in
        ["", "a.tar", "file:///etc/passwd", "ftp://a.example/b", "https://u:p@a.example/b", &long]
    {
        let answer = server.client.post("/v1/submissions", &json!({ "urls": [url] }));
        assert_eq!(answer.status, 400, "{url}: {answer:?}");
        assert!(!answer.error().contains("u:p"), "{}", answer.error());
    }
    let many = vec!["https://a.example/b"; 1001];
    assert_eq!(server.client.post("/v1/submissions", &json!({ "urls": many })).status, 413);
    for body in [json!({}), json!({ "urls": 1 }), json!({ "urls": [], "lists": [] }), json!([])] {
        assert_eq!(server.client.post("/v1/submissions", &body).status, 400, "{body}");
    }
    for id in ["0", "-1", "x", "99999999999999999999", "1%20OR%201=1"] {
        assert_eq!(server.client.get(&format!("/v1/submissions/{id}")).status, 404, "{id}");
    }
}

#[test]
fn no_more_wait_than_the_owner_wants() {
    let settings = settings(
        "anonymous = [\"read\", \"submit\"]\n[limits]\nwaiting_submissions = 2\n[submissions]\nagain_after_hours = 1",
    );
    let server = TestServer::start(settings);
    // One of them is too many: none of them is kept.
    let urls = ["http://[::1]:1/a", "http://[::1]:1/b", "http://[::1]:1/c"];
    let answer = server.client.post("/v1/submissions", &json!({ "urls": urls }));
    assert_eq!((answer.status, answer.header("retry-after")), (503, "600"));
    assert_eq!(server.client.get("/v1/submissions/1").status, 404);
    assert_eq!(server.client.post("/v1/submissions", &json!({ "urls": urls[..2] })).status, 202);
}

#[test]
fn a_server_that_stops_goes_on_where_it_was() {
    let origin = Origin::start();
    origin.serve("/tool-1.0.tar", package("as it is"));
    let server = TestServer::start(open_to_all());
    let folder = Arc::clone(&server.folder);
    let id = server.client.submit(&origin.url("/tool-1.0.tar"));
    server.client.wait_for(id, "seen");
    drop(server);
    let server = TestServer::start_in(folder, open_to_all(), BEGIN + 72 * 3600);
    server.client.wait_for(id, "published");
}

#[test]
fn a_server_that_is_told_to_stop_ends_well_though_clients_are_connected() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = ServerProcess::start(&folder.path().join("data"), "");
    assert_eq!(process.client.get("/healthz").status, 200);
    let idle = std::net::TcpStream::connect(process.client.address).unwrap();
    let id = rustix::process::Pid::from_child(&process.child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(process.child.wait().unwrap().success());
    drop(idle);
}

/// Killed at many moments, while submissions come: each that was answered is there.
#[test]
fn a_server_that_is_killed_loses_nothing_that_it_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = "anonymous = [\"read\", \"submit\"]\n[submissions]\nworkers = 1";
    let mut accepted = Vec::new();
    for round in 0..6 {
        let process = ServerProcess::start(&data, settings);
        for &(id, ref url) in &accepted {
            let found = process.client.submission(id);
            assert_eq!(found["url"], *url, "after {round} kills");
        }
        let address = process.client.address;
        let (tell, told) = std::sync::mpsc::channel();
        let submitting = std::thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().into();
            for number in 0.. {
                let url = format!("http://[::1]:1/{round}/{number}.tar");
                let request = agent.post(format!("http://{address}/v1/submissions"));
                let body = json!({ "urls": [url] }).to_string();
                let Ok(mut answer) = request.send(body) else { return };
                let Ok(text) = answer.body_mut().read_to_string() else { return };
                let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
                let id = answer["submissions"][0]["id"].as_i64().unwrap();
                if tell.send((id, url)).is_err() {
                    return;
                }
            }
        });
        // A moment that depends on how fast the server is, and differs from round to round.
        let wanted = accepted.len() + 3 + round * 7;
        while accepted.len() < wanted {
            accepted.push(told.recv().expect("the server accepts submissions"));
        }
        process.kill();
        accepted.extend(told);
        submitting.join().unwrap();
    }
    let process = ServerProcess::start(&data, settings);
    for (id, url) in accepted {
        assert_eq!(process.client.submission(id)["url"], url);
    }
}
