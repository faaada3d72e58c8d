//! The routes of the older Python tool (0.176), which relies on whatever it is told.
//!
//! Invariant: only packages whose places are published are told, and only until the day on which they expire.

use std::sync::Arc;

use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use hashget::hashdb::{HashDb as _, Key, PackageId};
use hashget::model::{Digest, PackageRecord, Signature};
use serde::Serialize;
use serde_json::json;

use super::packages::digest;
use super::submissions;
use crate::app::{App, blocking};
use crate::form::Unread;
use crate::refusal::Refusal;

/// Smaller files are not among the `files` of a HashPackage, as the tool has it.
const FILE_BYTES: u64 = 1024;
/// Smaller files are not among its `anchors`.
const ANCHOR_BYTES: u64 = 100 * 1024;
/// Versions of a package that are looked through.
const MOST_VERSIONS: u32 = 4_096;
/// Packages with a file whose lists are read: those that have it at another size do not tell of it.
const MOST_HOLDERS: usize = 16;
/// Bytes of the URL that is submitted.
const LONGEST: usize = 4_096;

/// What the tool reads.
pub(crate) fn reading() -> Router<Arc<App>> {
    Router::new()
        .route("/config.json", get(config))
        .route("/motd.txt", get(motd))
        .route("/sig/deb/{beginning}/{name}/{signature}", get(by_signature))
        .route("/a/{first}/{second}/{third}/{rest}", get(by_digest))
}

/// What the tool sends.
pub(crate) fn submitting() -> Router<Arc<App>> {
    Router::new().route("/submit", post(submit))
}

/// A package as the tool knows it.
#[derive(Debug, Serialize)]
struct HashPackage {
    url: String,
    files: Vec<String>,
    anchors: Vec<String>,
    signatures: serde_json::Map<String, serde_json::Value>,
    hashes: Vec<String>,
    attrs: serde_json::Value,
    expires: Option<String>,
}

async fn config(State(app): State<Arc<App>>) -> Json<serde_json::Value> {
    let python = &app.settings.python;
    Json(json!({ "name": python.name, "accept_url": python.accept_urls }))
}

async fn motd(State(app): State<Arc<App>>) -> String {
    app.settings.python.motd.clone()
}

/// The name of a Debian package as the tool writes it: the version without its epoch.
fn without_epoch(signature: &Signature) -> String {
    let mut parts = signature.value.splitn(3, '_');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(version), Some(architecture)) => {
            let version = version.split_once(':').map_or(version, |(_, version)| version);
            format!("{name}_{version}_{architecture}")
        }
        _ => signature.value.clone(),
    }
}

async fn by_signature(
    State(app): State<Arc<App>>,
    Path((_, name, wanted)): Path<(String, String, String)>,
) -> Result<Json<HashPackage>, Refusal> {
    blocking(move || {
        let ids = app.hashdb.named("deb", &format!("{name}_"), MOST_VERSIONS)?;
        let is_it = |record: &PackageRecord| {
            let mut debs = record.signatures.iter().filter(|signature| signature.kind == "deb");
            debs.any(|signature| without_epoch(signature) == wanted)
        };
        known(first_published(&app, ids, is_it, |_| true)?)
    })
    .await
}

async fn by_digest(
    State(app): State<Arc<App>>,
    Path((first, second, third, rest)): Path<(String, String, String, String)>,
) -> Result<Json<HashPackage>, Refusal> {
    let wanted: Digest = digest(&format!("{first}{second}{third}{rest}"))?;
    let wanted_hash = hash(&wanted);
    blocking(move || {
        let is_it = |record: &PackageRecord| record.sha256 == wanted;
        let itself = app.hashdb.find_one(Key::Package(wanted))?;
        if let Some(package) = first_published(&app, itself, is_it, |_| true)? {
            return Ok(Json(package));
        }
        let holders = app.hashdb.vouched_holders(&wanted, MOST_VERSIONS)?;
        let has_it = |package: &HashPackage| package.anchors.contains(&wanted_hash);
        known(first_published(&app, holders, |_| true, has_it)?)
    })
    .await
}

fn known(package: Option<HashPackage>) -> Result<Json<HashPackage>, Refusal> {
    package.map(Json).ok_or_else(|| Refusal::not_found("this package"))
}

/// The first of these packages that is published and fits. Only of some that do by their records, the lists are read.
fn first_published(
    app: &App,
    ids: Vec<PackageId>,
    fits: impl Fn(&PackageRecord) -> bool,
    is_it: impl Fn(&HashPackage) -> bool,
) -> Result<Option<HashPackage>, Refusal> {
    let today = jiff::Timestamp::from_second(app.clock.now()).unwrap_or_default();
    let today = today.strftime("%Y-%m-%d").to_string();
    let records = app.hashdb.records(&ids)?;
    let known = ids.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?)));
    let is_told = |record: &PackageRecord| {
        record.vouched && record.expires.as_ref().is_none_or(|day| **day >= *today) && fits(record)
    };
    for (id, record) in known.filter(|(_, record)| is_told(record)).take(MOST_HOLDERS) {
        let package = hash_package(app, id, record)?;
        if is_it(&package) {
            return Ok(Some(package));
        }
    }
    Ok(None)
}

fn hash(sha256: &Digest) -> String {
    format!("sha256:{sha256}")
}

fn hash_package(app: &App, id: PackageId, record: PackageRecord) -> Result<HashPackage, Refusal> {
    let (mut files, mut anchors) = (Vec::new(), Vec::new());
    let (mut sum, mut indexed) = (0u64, 0u64);
    app.hashdb.each_member(id, &mut |member| {
        let Some(sha256) = member.sha256 else { return };
        sum = sum.saturating_add(member.size());
        if member.size() > FILE_BYTES {
            indexed = indexed.saturating_add(member.size());
            files.push(hash(&sha256));
        }
        if member.size() > ANCHOR_BYTES {
            anchors.push(hash(&sha256));
        }
    })?;
    let mut signatures = serde_json::Map::new();
    signatures.insert("url".to_owned(), record.url.clone().into());
    for signature in &record.signatures {
        let value = match &*signature.kind {
            "deb" => without_epoch(signature),
            _ => signature.value.clone(),
        };
        signatures.insert(signature.kind.clone(), value.into());
    }
    let crawled = jiff::Timestamp::from_second(record.indexed_at).unwrap_or_default();
    Ok(HashPackage {
        files,
        anchors,
        signatures,
        hashes: vec![hash(&record.sha256)],
        attrs: json!({
            "size": record.size,
            "sum_size": sum,
            "indexed_size": indexed,
            "filesz": FILE_BYTES,
            "anchorsz": ANCHOR_BYTES,
            "crawled_date": crawled.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        }),
        expires: record.expires,
        url: record.url,
    })
}

/// Takes the URL; the file that comes with it is read to its end, so that the tool gets its answer, and dropped.
async fn submit(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, String), Refusal> {
    let unread = Unread::default();
    let too_large = || {
        let problem = "the form is too large: submit the URL alone";
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, problem)
    };
    let broken = |problem: String| {
        if unread.is_too_much() {
            return too_large();
        }
        Refusal::bad(format!("the form cannot be read: {problem}"))
    };
    let request = request.map(|body| unread.bounded(body));
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|error| broken(error.body_text()))?;
    let broken = |error: MultipartError| broken(error.body_text());
    let (mut url, mut bytes) = (None, 0u64);
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let is_url = field.name() == Some("url");
        let mut text = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            unread.read(chunk.len());
            bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if bytes > app.settings.limits.upload_bytes {
                return Err(too_large());
            }
            if is_url && text.len() <= LONGEST {
                text.extend_from_slice(&chunk);
            }
        }
        if is_url {
            url = Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    let url = url.ok_or_else(|| Refusal::bad("the form has no field \"url\""))?;
    let kept = submissions::accept(app, vec![url]).await?;
    let id = kept.first().map_or(0, |one| one.id);
    Ok((StatusCode::ACCEPTED, format!("submission {id}: the URL will be fetched\n")))
}
