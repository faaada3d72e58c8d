//! What the registry does and answers.
//!
//! Invariant: a request that is refused changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::{Manner, Request, State, lock};

/// Tags on a page of the list.
const PAGE: usize = 3;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

fn of(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn with(status: u16, name: &'static str, value: String) -> Answer {
    Answer { headers: vec![(name, value)], ..of(status, "") }
}

fn error(status: u16, code: &str) -> Answer {
    of(status, format!("{{\"errors\":[{{\"code\":\"{code}\"}}]}}"))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The value of a field of a query.
fn field(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Keeps a manifest under a tag.
pub(super) fn keep_manifest(state: &State, tag: &str, bytes: &[u8]) -> String {
    let digest = digest(bytes);
    lock(&state.manifests).insert(digest.clone(), bytes.to_vec());
    lock(&state.tags).insert(tag.to_owned(), digest.clone());
    digest
}

/// Does what was asked.
pub(super) fn answer(state: &State, request: &Request, mut body: Vec<u8>) -> Answer {
    let does = |manner| lock(&state.manners).contains(&manner);
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if does(Manner::Down) {
        return of(503, "down");
    }
    if path == "/token" {
        return token(state, request, query);
    }
    if let Some(name) = path.strip_prefix("/storage/") {
        // As the places to which registries redirect, it refuses what was not meant for it.
        let has_login = request.authorization.is_some();
        return if has_login { error(400, "TwoLogins") } else { blob(state, request, name, false) };
    }
    let writes = !matches!(request.method.as_str(), "GET" | "HEAD");
    let expected = format!("Bearer t0ken-{}", if writes { "push" } else { "pull" });
    let pushes = request.authorization.as_deref() == Some("Bearer t0ken-push");
    if does(Manner::Tokens) && request.authorization.as_ref() != Some(&expected) && !pushes {
        let (address, actions) = (lock(&state.address), if writes { "pull,push" } else { "pull" });
        let realm = format!("Bearer realm=\"http://{address}/token\",service=\"test\"");
        let challenge = format!("{realm},scope=\"repository:p:{actions}\"");
        return Answer {
            headers: vec![("WWW-Authenticate", challenge)],
            ..error(401, "UNAUTHORIZED")
        };
    }
    if does(Manner::LosesBytes) && request.method == "PUT" {
        body.pop();
    }
    let Some((_, rest)) = path.trim_start_matches("/v2/").split_once('/') else {
        return error(404, "NAME_UNKNOWN");
    };
    match rest.split_once('/') {
        Some(("tags", "list")) => tags(state, path, query),
        Some(("blobs", "uploads/")) if request.method == "POST" => {
            with(202, "Location", format!("{path}one?state=x"))
        }
        Some(("blobs", name)) if name.starts_with("uploads/") => upload(state, query, body),
        Some(("blobs", name)) => blob(state, request, name, does(Manner::Redirects)),
        Some(("manifests", name)) => manifest(state, request, name, &body),
        _ => error(404, "NAME_UNKNOWN"),
    }
}

fn token(state: &State, request: &Request, query: &str) -> Answer {
    let pushes = field(query, "scope").is_some_and(|scope| scope.contains("push"));
    let login = format!("Basic {}", STANDARD.encode("user:s3cret"));
    let must = pushes && lock(&state.manners).contains(&Manner::Logins);
    if must && request.authorization.as_ref() != Some(&login) {
        return error(401, "UNAUTHORIZED");
    }
    let name = if pushes { "push" } else { "pull" };
    of(200, format!("{{\"token\":\"t0ken-{name}\",\"expires_in\":60}}"))
}

fn tags(state: &State, path: &str, query: &str) -> Answer {
    let last = field(query, "last").unwrap_or_default();
    let tags = lock(&state.tags);
    let found: Vec<&String> = tags.keys().filter(|tag| **tag > last).collect();
    let page: Vec<String> = found.iter().take(PAGE).map(|tag| format!("\"{tag}\"")).collect();
    let mut answer = of(200, format!("{{\"name\":\"p\",\"tags\":[{}]}}", page.join(",")));
    if found.len() > PAGE {
        let next = format!("<{path}?n={PAGE}&last={}>; rel=\"next\"", found[PAGE - 1]);
        answer.headers.push(("Link", next));
    }
    answer
}

fn upload(state: &State, query: &str, body: Vec<u8>) -> Answer {
    match field(query, "digest") {
        Some(expected) if expected == digest(&body) => {
            lock(&state.blobs).insert(expected.clone(), body);
            with(201, "Docker-Content-Digest", expected)
        }
        _ => error(400, "DIGEST_INVALID"),
    }
}

fn blob(state: &State, request: &Request, name: &str, redirects: bool) -> Answer {
    let mut blobs = lock(&state.blobs);
    if !blobs.contains_key(name) {
        return error(404, "BLOB_UNKNOWN");
    }
    if request.method == "DELETE" {
        if lock(&state.manners).contains(&Manner::KeepsAll) {
            return error(405, "UNSUPPORTED");
        }
        blobs.remove(name);
        return of(202, "");
    }
    if redirects {
        // Another name of this machine is another host.
        let address = lock(&state.address).replace("127.0.0.1", "localhost");
        return with(307, "Location", format!("http://{address}/storage/{name}"));
    }
    of(200, blobs[name].clone())
}

fn manifest(state: &State, request: &Request, name: &str, body: &[u8]) -> Answer {
    if request.method == "PUT" {
        let text = String::from_utf8_lossy(body);
        let blobs = lock(&state.blobs);
        let names = text.split('"').filter(|part| part.starts_with("sha256:"));
        // Whatever it names must be there first.
        if names.into_iter().any(|name| !blobs.contains_key(name)) {
            return error(404, "MANIFEST_BLOB_UNKNOWN");
        }
        drop(blobs);
        return with(201, "Docker-Content-Digest", keep_manifest(state, name, body));
    }
    let digest = lock(&state.tags).get(name).cloned().unwrap_or_else(|| name.to_owned());
    let Some(found) = lock(&state.manifests).get(&digest).cloned() else {
        return error(404, "MANIFEST_UNKNOWN");
    };
    if request.method != "DELETE" {
        return of(200, found);
    }
    if lock(&state.manners).contains(&Manner::KeepsAll) {
        return error(405, "UNSUPPORTED");
    }
    lock(&state.manifests).remove(&digest);
    lock(&state.tags).retain(|_, of| *of != digest);
    of(202, "")
}
