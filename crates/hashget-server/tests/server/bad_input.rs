//! Clients that send what they should not, too slowly, or too much.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hashget::model::Digest;
use hashget_server::Scope;
use serde_json::json;

use crate::support::{TestServer, open_to_all, settings};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_is_not_http_is_refused_and_the_next_client_is_served() {
    let server = TestServer::start(open_to_all());
    let many_headers: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
    for (bytes, expected) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n".to_vec(), 400),
        (b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n".to_vec(), 400),
        (b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_vec(), 400),
        (b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(), 400),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many_headers}\r\n").into_bytes(), 431),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000)).into_bytes(), 431),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "y".repeat(100_000)).into_bytes(), 431),
        (b"DELETE /v1/search HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 405),
        (b"TRACE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 405),
        (b"CONNECT a.example:80 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 404),
        (b"GET http://elsewhere.example/v1/status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 200),
        (b"GET /v1/search?q=%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), 200),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert_eq!(server.client.raw_status(&bytes), expected, "{shown}");
    }
    assert_eq!(server.client.get("/healthz").status, 200);
}

/// The only place for a connection is freed by whoever does not use it.
#[test]
fn slow_clients_do_not_keep_the_place_of_others() {
    let server = TestServer::start(settings(
        "[limits]\nconnections = 1\nhead_seconds = 1\nstall_seconds = 1\nrequest_seconds = 2",
    ));
    let large = server.path().join("published/large");
    fs_err::File::create(&large).unwrap().set_len(200 << 20).unwrap();
    let slow: [&[u8]; 4] = [
        b"",
        b"GET / HTTP/1.1\r\nhost: a",
        b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
        b"GET /published/large HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for bytes in slow {
        let mut stream = TcpStream::connect(server.client.address).unwrap();
        stream.write_all(bytes).unwrap();
        let answered = server
            .client
            .raw_status(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert_eq!(answered, 200, "{}", String::from_utf8_lossy(bytes));
        drop(stream);
    }
}

#[test]
fn no_address_takes_all_connections() {
    let server = TestServer::start(settings("[limits]\nconnections_per_address = 2"));
    let open = || {
        let stream = TcpStream::connect(server.client.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let ask = |stream: &mut TcpStream| -> usize {
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
        let mut answer = [0; 12];
        asked.and_then(|()| stream.read(&mut answer)).unwrap_or(0)
    };
    let (mut first, mut second) = (open(), open());
    assert_eq!((ask(&mut first), ask(&mut second)), (12, 12));
    assert_eq!(ask(&mut open()), 0);
    drop(first);
    // The server learns of it a moment later.
    while ask(&mut open()) == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn bodies_that_are_too_large_or_endless_are_refused() {
    let server = TestServer::start(settings(
        "anonymous = [\"read\", \"submit\"]\n[limits]\nbody_bytes = 10000\nupload_bytes = 20000",
    ));
    for path in ["/v1/lookup", "/v1/submissions"] {
        let answer = server.client.ask("POST", path, &[], vec![b' '; 10_001]);
        assert_eq!((answer.status, answer.header("connection")), (413, "close"), "{path}");
    }
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let field = |content: &str| {
        format!(
            "--x\r\ncontent-disposition: form-data; name=\"package\"; filename=\"a\"\r\n\r\n{content}\r\n"
        )
    };
    let large = field(&"y".repeat(30_000)) + "--x--\r\n";
    assert_eq!(server.client.ask("POST", "/submit", &form, large).status, 413);
    for (broken, reason) in [
        (String::new(), "form"),
        (field("y"), "form"),
        (field("y") + "--x--\r\n", "no field \"url\""),
        (
            "--x\r\ncontent-disposition: form-data; name=\"url\"\r\n\r\nnot a url\r\n--x--\r\n"
                .to_owned(),
            "URL",
        ),
    ] {
        let answer = server.client.ask("POST", "/submit", &form, broken.clone());
        assert!(answer.status == 400 && answer.error().contains(reason), "{broken}: {answer:?}");
    }
    assert_eq!(server.client.ask("POST", "/submit", &[], "url=a").status, 400);
}

/// A form that never comes to its first field, or to the next one, or has nothing but fields.
#[test]
fn a_form_whose_head_has_no_end_is_refused_early() {
    let server = TestServer::start(open_to_all());
    let field = "--x\r\ncontent-disposition: form-data; name=\"package\"; filename=\"a\"\r\n\r\n";
    let whole = format!("{field}{}\r\n", "y".repeat(1 << 20));
    let piece = [b' '; 16 << 10];
    let fields = format!("{field}\r\n").repeat(200).into_bytes();
    for (before, piece) in [
        ("", &piece[..]),
        ("--x", &piece),
        ("--x\r\na: ", &piece),
        (&format!("{field}y\r\n--x\r\na: "), &piece),
        (&format!("{whole}--x\r\na: "), &piece),
        ("", &fields),
    ] {
        let mut stream = TcpStream::connect(server.client.address).unwrap();
        let head = "POST /submit HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=x\r\n\
                    content-length: 1000000000\r\n\r\n";
        stream.write_all(format!("{head}{before}").as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut answer = [0; 12];
        let sent = (0..2_000).find(|_| {
            // What comes after the answer is dropped, or refused.
            drop(stream.write_all(piece));
            stream.read_exact(&mut answer).is_ok()
        });
        let shown = &before[..before.len().min(80)];
        assert!(sent.is_some() && answer == *b"HTTP/1.1 413", "{shown}: {sent:?} {answer:?}");
    }
    // What is large, and what comes in many pieces, is none of that.
    let url = "--x\r\ncontent-disposition: form-data; name=\"url\"\r\n\r\nhttps://a.example/b\r\n";
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let body = format!("{whole}{url}--x--\r\n");
    assert_eq!(server.client.ask("POST", "/submit", &form, body).status, 202);
}

#[test]
fn every_error_has_a_text_in_json() {
    let server = TestServer::start(settings(
        "anonymous = [\"read\", \"submit\"]\n[limits]\nbody_bytes = 100\nrequest_seconds = 1",
    ));
    fs_err::write(server.path().join("published/file"), "content").unwrap();
    let headers = [("range", "bytes=100-")];
    for (answer, status, reason) in [
        (server.client.get("/nothing"), 404, "/openapi.json"),
        (server.client.ask("DELETE", "/v1/search", &[], ""), 405, "other methods"),
        (server.client.get("/v1/lists/x?most=x"), 400, "most"),
        (server.client.get("/v1/packages/%FF"), 400, "UTF-8"),
        (server.client.ask("POST", "/v1/lookup", &[], vec![b' '; 101]), 413, "length limit"),
        (server.client.ask("GET", "/published/file", &headers, ""), 416, "416"),
        (server.client.ask("POST", "/submit", &[], "url=a"), 400, "multipart"),
    ] {
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/json"));
        assert!(answer.error().contains(reason), "{status}: {}", answer.error());
    }
    let slow =
        b"POST /v1/lookup HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 100\r\n\r\n{";
    let answer = String::from_utf8_lossy(&server.client.raw(slow)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("took too long"), "{answer}");
}

/// What would be code in a query, a path, a page or a log is text in each field that a client fills.
#[test]
fn code_in_any_field_is_only_text() {
    let server = TestServer::start(open_to_all());
    let token = server.token("mine", Scope::Read);
    for code in [
        "'; DROP TABLE packages; DROP TABLE tokens; DROP TABLE submissions; --",
        "\" OR \"\"=\"",
        "' UNION SELECT sha256 FROM tokens --",
        "<script>alert(1)</script>",
        "$(touch /tmp/x)",
        "%n%n%n%s",
        "\u{202e}\u{1b}[31m",
    ] {
        let encoded: String = code.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in [
            format!("/v1/packages/{encoded}"),
            format!("/v1/lists/{encoded}"),
            format!("/v1/search?q={encoded}"),
            format!("/v1/submissions/{encoded}"),
            format!("/sig/deb/{encoded}/{encoded}/{encoded}"),
            format!("/a/{encoded}/{encoded}/{encoded}/{encoded}"),
            format!("/published/{encoded}"),
            format!("/pool/{encoded}"),
        ] {
            let answer = server.client.get(&path);
            assert!(matches!(answer.status, 200 | 400 | 404), "{path}: {answer:?}");
            assert_eq!(answer.header("content-type"), "application/json", "{path}");
        }
        let asked = json!({ "keys": [code], "digests": [code] });
        assert_eq!(server.client.post("/v1/lookup", &asked).status, 400, "{code}");
        assert_eq!(server.client.post("/v1/submissions", &json!({ "urls": [code] })).status, 400);
        let url = format!("https://a.example/{code}");
        let id = server.client.submit(&url);
        assert!(
            server.client.submission(id)["url"].as_str().unwrap().starts_with("https://a.example/")
        );
    }
    assert_eq!(server.client.with_token(&token).get("/v1/status").status, 200);
    assert_eq!(server.client.get("/v1/status").json()["packages"], 0);
    let unknown = Digest::of(b"unknown");
    assert_eq!(server.client.get(&format!("/v1/packages/{unknown}")).status, 404);
}
