//! Tokens, scopes, rates, and whether the server is well.

use hashget_server::{Scope, ServerDb, Settings};
use serde_json::json;

use crate::support::{BEGIN, TestServer, program, settings};

const ROUTES: [(&str, &str, Scope); 10] = [
    ("GET", "/v1/search", Scope::Read),
    ("GET", "/v1/status", Scope::Read),
    ("GET", "/v1/submissions/1", Scope::Read),
    ("GET", "/published/a", Scope::Read),
    ("GET", "/pool/sha256/a", Scope::Read),
    ("GET", "/config.json", Scope::Read),
    ("POST", "/v1/submissions", Scope::Submit),
    ("PUT", "/pool/sha256/a", Scope::Submit),
    ("POST", "/submit", Scope::Submit),
    ("GET", "/metrics", Scope::Admin),
];

#[test]
fn every_route_needs_its_scope_and_no_less_will_do() {
    let server = TestServer::start(settings("anonymous = []"));
    let tokens = [Scope::Read, Scope::Submit, Scope::Admin]
        .map(|scope| (scope, server.token(&scope.to_string(), scope)));
    for (method, path, needed) in ROUTES {
        let answer = server.client.ask(method, path, &[], "");
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"hashget-server\"");
        assert!(answer.error().contains(&needed.to_string()), "{}", answer.error());
        for (scope, token) in &tokens {
            let status = server.client.with_token(token).ask(method, path, &[], "").status;
            assert_eq!(status == 403, *scope < needed, "{method} {path} {scope}: {status}");
            assert_ne!(status, 401, "{method} {path} {scope}");
        }
    }
    for path in ["/", "/page.js", "/page.css", "/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(server.client.get(path).status, 200, "{path}");
    }
}

#[test]
fn without_a_token_one_may_do_what_the_settings_say() {
    let server = TestServer::start(settings(""));
    for (method, path, needed) in ROUTES {
        let status = server.client.ask(method, path, &[], "").status;
        assert_eq!(status == 401, needed > Scope::Read, "{method} {path}: {status}");
    }
}

#[test]
fn wrong_tokens_are_refused_even_where_none_is_needed() {
    let server = TestServer::start(settings(""));
    let token = server.token("mine", Scope::Read);
    for wrong in [
        "Bearer hgt_0000".to_owned(),
        format!("Bearer {}x", token),
        format!("Basic {token}"),
        token.clone(),
        "Bearer".to_owned(),
        "Bearer ' OR 1=1 --".to_owned(),
        format!("Bearer {}", "x".repeat(30_000)),
    ] {
        let answer = server.client.ask("GET", "/v1/status", &[("authorization", &wrong)], "");
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(!answer.text().contains(&token), "a secret is shown");
    }
    assert_eq!(server.client.with_token(&token).get("/v1/status").status, 200);
}

#[test]
fn tokens_are_managed_while_the_server_runs_and_only_their_digests_are_kept() {
    let server = TestServer::start(settings("anonymous = []"));
    let run = |arguments: &[&str]| {
        let output = program().arg("--data").arg(server.path()).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, secret, _) = run(&["token", "add", "laptops", "--scope", "submit"]);
    assert_eq!((code, secret.len(), &secret[..4]), (Some(0), 68, "hgt_"));
    assert_eq!(server.client.with_token(&secret).get("/v1/status").status, 200);
    let (_, listed, _) = run(&["token", "list"]);
    assert!(listed.starts_with("submit") && listed.ends_with("laptops"), "{listed}");
    let (code, _, problem) = run(&["token", "add", "laptops"]);
    assert!(code == Some(1) && problem.contains("remove it first"), "{problem}");
    let (code, _, problem) = run(&["token", "add", "'; DROP TABLE tokens; --"]);
    assert!(code == Some(1) && problem.contains("letters, digits"), "{problem}");
    for file in fs_err::read_dir(server.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = fs_err::read(&path).unwrap();
            let is_in = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!is_in, "{} has the secret", path.display());
        }
    }
    assert_eq!(run(&["token", "remove", "laptops"]).0, Some(0));
    assert_eq!(server.client.with_token(&secret).get("/v1/status").status, 401);
    let (code, _, problem) = run(&["token", "remove", "laptops"]);
    assert!(code == Some(1) && problem.contains("there is no token"), "{problem}");
}

#[test]
fn whoever_asks_too_often_is_told_to_wait() {
    let limits = "[limits]\nrequests_per_second = 1\nburst = 5";
    let server = TestServer::start(settings(limits));
    let token = server.token("mine", Scope::Read);
    let statuses = |client: &crate::support::Client| -> Vec<u16> {
        (0..30).map(|_| client.get("/v1/search").status).collect()
    };
    let without = statuses(&server.client);
    assert_eq!(without[..5], [200; 5]);
    assert!(without.contains(&429), "{without:?}");
    let answer = loop {
        let answer = server.client.get("/v1/search");
        if answer.status == 429 {
            break answer;
        }
    };
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    // A token has a rate of its own; wrong ones count as their address's.
    assert_eq!(server.client.with_token(&token).get("/v1/search").status, 200);
    let wrong = statuses(&server.client.with_token("hgt_wrong"));
    assert!(wrong.contains(&429), "{wrong:?}");
    // Whether the server is well can always be asked.
    assert_eq!(server.client.get("/healthz").status, 200);
}

#[test]
fn only_a_proxy_may_say_whose_request_it_is() {
    let limits = "[limits]\nrequests_per_second = 1\nburst = 2";
    let ask = |server: &TestServer, number: u32| {
        let client = format!("192.0.2.{number}");
        server.client.ask("GET", "/v1/search", &[("x-forwarded-for", &client)], "").status
    };
    let server = TestServer::start(settings(limits));
    assert!((0..30).any(|number| ask(&server, number) == 429));
    let server = TestServer::start(settings(&format!("proxies = [\"127.0.0.1\"]\n{limits}")));
    assert!((0..30).all(|number| ask(&server, number) == 200));
    // What a client wrote into the header itself comes before what the proxy adds.
    let forged = |number: u32| {
        let list = format!("198.51.100.{number}, 192.0.2.99");
        server.client.ask("GET", "/v1/search", &[("x-forwarded-for", &list)], "").status
    };
    assert!((0..30).any(|number| forged(number) == 429));
}

#[test]
fn metrics_count_and_have_no_keys() {
    let server = TestServer::start(settings(""));
    let token = server.token("prometheus", Scope::Admin);
    server.client.post("/v1/lookup", &json!({ "keys": ["0123456789ab", "ba9876543210"] }));
    server.client.get("/v1/search?q=secretword");
    let answer = server.client.with_token(&token).get("/metrics");
    assert!(answer.header("content-type").starts_with("text/plain"));
    let text = answer.text();
    assert!(text.contains("hashget_server_keys_asked_total 2"), "{text}");
    let counted =
        "hashget_server_requests_total{route=\"/v1/lookup\",method=\"POST\",status=\"200\"} 1";
    assert!(text.contains(counted), "{text}");
    assert!(text.contains("hashget_server_submissions{state=\"waiting\"} 0"), "{text}");
    assert!(!text.contains("0123456789ab") && !text.contains("secretword"), "{text}");
}

#[test]
fn answers_forbid_browsers_everything_but_the_page_itself() {
    let server = TestServer::start(settings(""));
    for path in ["/", "/v1/status", "/nothing", "/published/a"] {
        let answer = server.client.get(path);
        assert!(
            answer.header("content-security-policy").starts_with("default-src 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[test]
fn one_folder_has_one_server() {
    let server = TestServer::start(settings(""));
    let output = program().arg("--data").arg(server.path()).output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && problem.contains("another hashget-server"),
        "{problem}"
    );
}

#[test]
fn settings_that_are_wrong_are_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.toml");
    for (wrong, reason) in [
        ("anonymous = [\"admin\"]", "not for anybody"),
        ("anonymus = []", "anonymus"),
        ("[limits]\nburst = 0", "burst"),
        ("[limits]\nbody_bytes = -1", "body_bytes"),
        ("[limits]\nconnections = 0", "connections"),
        ("[limits]\nconnections = 5000000000", "connections"),
        ("[limits]\nconnections_per_address = 0", "connections_per_address"),
        ("[limits]\nhead_seconds = 0", "head_seconds"),
        ("[limits]\nstall_seconds = 0", "stall_seconds"),
        ("[limits]\nrequest_seconds = 0", "request_seconds"),
        ("[limits]\nupload_seconds = 9223372036854775807", "upload_seconds"),
        ("proxies = [\"localhost\"]", "proxies"),
        ("[submissions]\ntries = 0", "tries"),
        ("anonymous = [", "line 1"),
    ] {
        fs_err::write(&file, wrong).unwrap();
        let output = program().arg("--data").arg(folder.path()).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{wrong}");
        assert!(problem.contains("server.toml") && problem.contains(reason), "{problem}");
    }
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.sqlite");
    fs_err::write(&file, "not a database, but long enough to look like one".repeat(100)).unwrap();
    let before = fs_err::read(&file).unwrap();
    assert!(ServerDb::open(folder.path()).is_err());
    assert_eq!(fs_err::read(&file).unwrap(), before);
    fs_err::remove_file(&file).unwrap();
    // Another program's database, with or without a mark of its own; and one that was cut off.
    for mark in [0, 7] {
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("CREATE TABLE theirs (a)").unwrap();
        other.pragma_update(None, "application_id", mark).unwrap();
        drop(other);
        let before = fs_err::read(&file).unwrap();
        let problem = ServerDb::open(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("is not a file of hashget-server"), "{problem}");
        assert!(fs_err::read(&file).unwrap() == before, "it was written to");
        fs_err::remove_file(&file).unwrap();
    }
    fs_err::write(&file, "SQLite format 3").unwrap();
    assert!(ServerDb::open(folder.path()).is_err());
    assert_eq!(fs_err::read(&file).unwrap(), b"SQLite format 3");
    fs_err::remove_file(&file).unwrap();
    ServerDb::open(folder.path()).unwrap().add_token("a", Scope::Read, BEGIN).unwrap();
}

fn page(path: &str) -> String {
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    fs_err::read_to_string(format!("{project}/{path}")).unwrap()
}

#[test]
fn the_settings_that_the_page_shows_are_the_defaults() {
    let page = page("docs/server.md");
    let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(format!("{:?}", settings(shown)), format!("{:?}", Settings::default()));
}

/// Whoever removes the `#` before the settings of the packaged file gets settings that are valid.
#[test]
fn the_settings_of_the_package_are_valid() {
    let text = page("packaging/server.toml");
    let is_prose = |line: &str| line.starts_with("# ");
    let lines = text.lines().filter(|line| !is_prose(line));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    let settings = settings(&lines.join("\n"));
    assert!(
        !settings.submissions.public_hosts.is_empty() && !settings.python.accept_urls.is_empty()
    );
}
