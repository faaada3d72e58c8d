//! Published files and the pool: ranges, caching, and what is never served.

use std::os::unix::fs::symlink;
use std::path::Path;

use hashget::model::Digest;
use hashget_server::Scope;

use crate::support::{Answer, Client, TestServer, settings};

fn publish(server: &TestServer, path: &str, content: &[u8]) {
    let file = server.path().join("published").join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

fn range(client: &Client, path: &str, range: &str) -> Answer {
    client.ask("GET", path, &[("range", range)], "")
}

fn place(content: &[u8]) -> String {
    let hex = Digest::of(content).to_string();
    format!("/pool/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

#[test]
fn published_files_are_served_whole_and_in_ranges() {
    let server = TestServer::start(settings(""));
    let content: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    publish(&server, "debian/keys-000.parquet", &content);
    let path = "/published/debian/keys-000.parquet";
    let whole = server.client.get(path);
    assert_eq!((whole.status, whole.body.len()), (200, content.len()));
    assert!(whole.body == content);
    assert_eq!(whole.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    for (asked, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=999990-", 999_990, 999_999),
        ("bytes=-7", 999_993, 999_999),
        ("bytes=500000-2000000", 500_000, 999_999),
    ] {
        let part = range(&server.client, path, asked);
        assert_eq!(part.status, 206, "{asked}");
        assert_eq!(part.header("content-range"), format!("bytes {first}-{last}/1000000"));
        assert!(part.body == content[first..=last], "{asked}");
    }
    let beyond = range(&server.client, path, "bytes=1000000-");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */1000000"));
    for ignored in ["bytes=5-1", "bytes=0-1,3-4", "bytes=x", "lines=0-1", "bytes=--1"] {
        assert_eq!(range(&server.client, path, ignored).body.len(), content.len(), "{ignored}");
    }
    let head = server.client.ask("HEAD", path, &[], "");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "1000000", 0));
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let server = TestServer::start(settings(""));
    publish(&server, "a/checkpoint", b"one");
    let first = server.client.get("/published/a/checkpoint");
    assert_eq!(first.header("cache-control"), "no-cache");
    let etag = first.header("etag").to_owned();
    let ask = |name, value: &str| {
        server.client.ask(
            "GET",
            "/published/a/checkpoint",
            &[(name, value), ("range", "bytes=1-")],
            "",
        )
    };
    assert_eq!(ask("if-none-match", &etag).status, 304);
    assert_eq!(ask("if-none-match", &format!("\"x\", {etag}")).status, 304);
    assert_eq!(ask("if-range", &etag).status, 206);
    publish(&server, "a/checkpoint", b"other");
    assert_eq!(ask("if-none-match", &etag).body, b"ther");
    // A range of what has changed would not fit what the client has: it gets everything.
    assert_eq!(
        (ask("if-range", &etag).status, ask("if-range", &etag).body),
        (200, b"other".to_vec())
    );
}

/// What only some may read is not for a cache between them and the server.
#[test]
fn files_are_for_shared_caches_only_if_anybody_may_read_them() {
    let server = TestServer::start(settings("anonymous = []"));
    let client = server.client.with_token(&server.token("writer", Scope::Submit));
    publish(&server, "a/file", b"content");
    publish(&server, "a/checkpoint", b"one");
    assert_eq!(client.ask("PUT", &place(b"content"), &[], "content").status, 201);
    for path in ["/published/a/file", &place(b"content")] {
        let caching = client.get(path).header("cache-control").to_owned();
        assert_eq!(caching, "private, max-age=31536000, immutable", "{path}");
    }
    assert_eq!(client.get("/published/a/checkpoint").header("cache-control"), "no-cache");
}

#[test]
fn nothing_outside_the_published_folder_is_served() {
    let server = TestServer::start(settings(""));
    publish(&server, "a/file", b"public");
    publish(&server, ".hidden/file", b"hidden");
    publish(&server, "a/.hidden", b"hidden");
    fs_err::write(server.path().join("secret"), "secret").unwrap();
    let published = server.path().join("published");
    symlink("../../secret", published.join("a/link")).unwrap();
    symlink("/etc", published.join("etc")).unwrap();
    symlink("a", published.join("folder")).unwrap();
    symlink("itself", published.join("itself")).unwrap();
    std::os::unix::net::UnixListener::bind(published.join("socket")).unwrap();
    for path in [
        "a/../../secret",
        "%2e%2e/secret",
        "a/%2e%2e/%2e%2e/secret",
        "..%2fsecret",
        "a%2f..%2f..%2fsecret",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "a//file",
        "a/./file",
        "a/file/",
        "a/file%00",
        "a",
        "a/",
        "",
        ".hidden/file",
        "a/.hidden",
        "a/link",
        "etc/passwd",
        "folder/file",
        "itself",
        "socket",
        "a/file/further",
        &"x".repeat(3000),
        &"x/".repeat(3000),
        "%FF",
        "..\\secret",
    ] {
        let request =
            format!("GET /published/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&server.client.raw(request.as_bytes())).into_owned();
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(matches!(status, 400 | 404), "{path}: {answer}");
        assert!(!answer.contains("secret\n") && !answer.contains("root:"), "{path}: {answer}");
    }
    assert_eq!(server.client.get("/published/a/file").body, b"public");
}

#[test]
fn packages_are_put_into_the_pool_once_and_only_if_they_are_what_they_are_called() {
    let server = TestServer::start(settings("[limits]\nupload_bytes = 1000000"));
    let writer = server.client.with_token(&server.token("writer", Scope::Submit));
    let content = vec![7; 500_000];
    let path = place(&content);
    assert_eq!(server.client.get(&path).status, 404);
    assert_eq!(writer.ask("PUT", &path, &[], content.clone()).status, 201);
    assert_eq!(writer.ask("PUT", &path, &[], content.clone()).status, 200);
    let got = server.client.get(&path);
    assert!(got.status == 200 && got.body == content);
    assert_eq!(got.header("etag"), format!("\"{}\"", Digest::of(&content)));
    assert_eq!(range(&server.client, &path, "bytes=-3").body, [7; 3]);
    assert_eq!(server.client.ask("HEAD", &path, &[], "").header("content-length"), "500000");

    // One that was cut off there, by a disk perhaps, is put in anew.
    let file = server.path().join(&path[1..]);
    fs_err::OpenOptions::new().write(true).open(&file).unwrap().set_len(1000).unwrap();
    assert_eq!(writer.ask("PUT", &path, &[], content.clone()).status, 201);
    assert!(server.client.get(&path).body == content);

    let other = place(b"other");
    let answer = writer.ask("PUT", &other, &[], "something else");
    assert!(answer.status == 422 && answer.error().contains("but the address says"), "{answer:?}");
    assert_eq!(server.client.get(&other).status, 404);
    let large = vec![1; 1_000_001];
    assert_eq!(writer.ask("PUT", &place(&large), &[], large.clone()).status, 413);
    // Without a length that is told.
    let mut chunked =
        format!("PUT {} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\nf4241\r\n", place(&large), writer.token.clone().unwrap())
            .into_bytes();
    chunked.extend_from_slice(&large);
    assert_eq!(server.client.raw_status(&chunked), 413);
    nothing_but(server.path(), &[&path]);
}

/// Has the pool these packages, and no leftovers?
fn nothing_but(data: &Path, expected: &[&str]) {
    let mut found = Vec::new();
    let mut folders = vec![data.join("pool")];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(format!("/{}", path.strip_prefix(data).unwrap().display()));
            }
        }
    }
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let server = TestServer::start(settings(""));
    let token = server.token("writer", Scope::Submit);
    let path = place(b"whole");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\nwho"
    );
    {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(server.client.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
    }
    assert_eq!(server.client.get(&path).status, 404);
    // Once the server has stopped, every request has ended.
    let folder = std::sync::Arc::clone(&server.folder);
    drop(server);
    nothing_but(folder.path(), &[]);
}

#[test]
fn addresses_that_are_no_digests_are_not_in_the_pool() {
    let server = TestServer::start(settings(""));
    let writer = server.client.with_token(&server.token("writer", Scope::Submit));
    fs_err::write(server.path().join("pool/secret"), "secret").unwrap();
    let good = place(b"content");
    let upper = good.to_uppercase().replace("/POOL/SHA256", "/pool/sha256");
    for wrong in [
        "/pool/secret",
        "/pool/sha256/../secret",
        "/pool/sha256/%2e%2e/secret",
        "/pool/sha256/",
        "/pool/md5/ab/cd/ef/00",
        &good.replace("/sha256/", "/sha256//"),
        &good[..good.len() - 1],
        &format!("{good}/"),
        &format!("{good}0"),
        &upper,
    ] {
        assert_eq!(server.client.get(wrong).status, 404, "{wrong}");
        let status = writer.ask("PUT", wrong, &[], "content").status;
        assert!(matches!(status, 400 | 404), "{wrong}: {status}");
    }
    nothing_but(server.path(), &["/pool/secret"]);
}

/// A link in the pool is an owner's mistake, and leads nowhere.
#[test]
fn links_in_the_pool_are_not_followed() {
    let server = TestServer::start(settings(""));
    fs_err::write(server.path().join("secret"), "secret").unwrap();
    let path = place(b"secret");
    let file = server.path().join(&path[1..]);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    symlink(server.path().join("secret"), &file).unwrap();
    assert_eq!(server.client.get(&path).status, 404);
}
