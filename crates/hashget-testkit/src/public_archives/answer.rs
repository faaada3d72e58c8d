//! What the public archives answer.
//!
//! Invariant: a request that is refused changes nothing.

use percent_encoding::percent_decode_str;
use sha1::{Digest as _, Sha1};

use super::{Fault, Request, State, Vault, lock, now};

/// What Software Heritage answers in an hour to whoever has no token.
const LIMIT: u64 = 120;

/// A page for people.
const PAGE: &str = "<!DOCTYPE html><html><title>Log in</title><p>Please log in.</p></html>";

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

fn of(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn json(status: u16, text: String) -> Answer {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    Answer { headers, ..of(status, text) }
}

fn not_found() -> Answer {
    json(404, "{\"exception\":\"NotFoundExc\",\"reason\":\"not found\"}".to_owned())
}

/// Answers a request.
pub(super) fn answer(state: &State, request: &Request, fault: Option<Fault>) -> Answer {
    let with = |status: u16, name: &'static str, value: String| Answer {
        headers: vec![(name, value)],
        ..of(status, "as told")
    };
    match fault {
        Some(Fault::TooMany) => return of(429, "Too Many Requests"),
        Some(Fault::RetryAfter(seconds)) => return with(429, "Retry-After", seconds.to_string()),
        Some(Fault::LoginPage) => return with(302, "Location", "/login".to_owned()),
        Some(Fault::Page) => return of(200, PAGE),
        Some(Fault::OtherJson) => return json(200, "{\"error\":{\"of\":[1]}}".to_owned()),
        Some(Fault::Down) => return of(503, "down"),
        _ => {}
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut answer = if path.starts_with("/api/1/") {
        limited(state, request, path)
    } else if path == "/cdx/search/cdx" {
        copies(state, query)
    } else if let Some(copy) = request.path.strip_prefix("/web/") {
        copy_of(state, copy)
    } else if path == "/login" {
        of(200, PAGE)
    } else {
        of(404, "not here")
    };
    if fault == Some(Fault::OtherBytes) && answer.status == 200 {
        answer.body.iter_mut().for_each(|byte| *byte ^= 0xff);
    }
    answer
}

/// An answer of the API, with what it says of its limits.
fn limited(state: &State, request: &Request, path: &str) -> Answer {
    let mut headers = Vec::new();
    if let Some((left, seconds)) = &mut *lock(&state.left) {
        headers.push(("X-RateLimit-Limit", LIMIT.to_string()));
        headers.push(("X-RateLimit-Reset", (now() + *seconds).to_string()));
        if *left == 0 {
            // As if the time had passed when it is asked again.
            *left = if *seconds < 60 { LIMIT } else { 0 };
            headers.push(("X-RateLimit-Remaining", "0".to_owned()));
            return Answer { headers, ..json(429, "{\"reason\":\"throttled\"}".to_owned()) };
        }
        *left -= 1;
        headers.push(("X-RateLimit-Remaining", left.to_string()));
    }
    let mut answer = software_heritage(state, &request.method, path);
    answer.headers.extend(headers);
    answer
}

fn software_heritage(state: &State, method: &str, path: &str) -> Answer {
    let path = path.trim_start_matches("/api/1/");
    if let Some(sha256) = path.strip_prefix("content/sha256:") {
        let raw = sha256.strip_suffix("/raw/");
        let found = raw.and_then(|sha256| lock(&state.contents).get(sha256).cloned());
        return found.map_or_else(not_found, |bytes| of(200, bytes));
    }
    if let Some(value) = path.strip_prefix("extid/checksum-sha256/hex:") {
        let sha256 = value.trim_end_matches('/');
        let Some(target) = lock(&state.tarballs).get(sha256).cloned() else { return not_found() };
        return json(
            200,
            format!(
                "{{\"extid_type\":\"checksum-sha256\",\"extid\":\"{sha256}\",\"extid_version\":1,\
                 \"target\":\"{target}\",\"target_url\":\"https://archive.example/{target}\"}}"
            ),
        );
    }
    let Some(rest) = path.strip_prefix("vault/flat/") else { return not_found() };
    let (directory, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let mut directories = lock(&state.directories);
    let Some(found) = directories.get_mut(directory) else { return not_found() };
    match (method, rest, found.asked) {
        ("POST", "", asked) => found.asked = Some(asked.unwrap_or(0)),
        ("GET", "", Some(asked)) => found.asked = Some(asked + 1),
        ("GET", "raw/", Some(asked)) if is_done(found.vault, asked) => {
            return of(200, found.tarball.clone());
        }
        _ => return not_found(),
    }
    let status = match (found.vault, found.asked) {
        (Vault::Failed, Some(1..)) => "failed",
        (vault, Some(asked)) if is_done(vault, asked) => "done",
        (_, Some(0)) => "new",
        _ => "pending",
    };
    json(
        200,
        format!(
            "{{\"fetch_url\":\"https://archive.example/raw/\",\"id\":1,\"progress_message\":\"as told\",\
             \"status\":\"{status}\",\"swhid\":\"{directory}\"}}"
        ),
    )
}

fn is_done(vault: Vault, asked: u32) -> bool {
    matches!(vault, Vault::DoneAfter(count) if asked >= count)
}

/// The list of a URL's copies.
fn copies(state: &State, query: &str) -> Answer {
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let url = query.split('&').find_map(|pair| pair.strip_prefix("url=")).map(decoded);
    let found = url.and_then(|url| lock(&state.copies).get(&url).cloned()).unwrap_or_default();
    let row = |(time, bytes): &super::Snapshot| {
        let digest = hex::encode(Sha1::digest(bytes)).to_uppercase();
        format!("[\"{time}\", \"{digest}\"]")
    };
    let rows: Vec<String> = found.iter().map(row).collect();
    json(
        200,
        match rows.is_empty() {
            true => "[]\n".to_owned(),
            false => format!("[[\"timestamp\",\"digest\"],\n{}]\n", rows.join(",\n")),
        },
    )
}

/// A copy, as it came (`id_`).
fn copy_of(state: &State, path: &str) -> Answer {
    let Some((time, url)) = path.split_once("id_/") else { return of(404, "not here") };
    let copies = lock(&state.copies);
    let found = copies.get(url).into_iter().flatten().find(|(of, _)| of == time);
    found.map_or_else(|| of(404, "not here"), |(_, bytes)| of(200, bytes.clone()))
}
