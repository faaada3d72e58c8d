//! `/v1/packages`, `/v1/lists` and `/v1/search`: what is known of packages, and what is in them.
//!
//! Invariant: every answer is bounded, however large a package or a HashDB is.

#![allow(unused_qualifications, reason = "what the macros make of parameters")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use hashget::fetch::ManagedPool as _;
use hashget::hashdb::{
    Check, Checks as _, HashDb as _, Key, LocalHashDb, PackageId, complete_packages,
};
use hashget::model::{Digest, Member, PackageRecord};
use hashget::monitor::Silent;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::{App, blocking};
use crate::refusal::{Problem, Refusal};

/// Members in one answer, at most.
const MOST_MEMBERS: u64 = 50_000;
/// Members in one answer, unless the request says otherwise.
const USUAL_MEMBERS: u64 = 10_000;
/// Packages that a search finds.
const MOST_FOUND: u32 = 50;
/// Characters of what is searched for.
const LONGEST: usize = 500;

/// A package, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// The digest of its bytes.
    #[schema(value_type = String)]
    pub(crate) sha256: Digest,
    /// What a person calls it.
    name: String,
    /// Its size in bytes.
    size: u64,
    /// How it is read: `deb`, `tar`, `zip`, ...
    format: String,
    /// Where it is.
    url: String,
    /// Was that URL fetched twice, or does the server's owner vouch for it?
    published: bool,
    /// When it was read, in seconds since 1970 UTC.
    indexed_at: i64,
}

impl From<&PackageRecord> for Summary {
    fn from(record: &PackageRecord) -> Self {
        Self {
            sha256: record.sha256,
            name: record.display_name().to_owned(),
            size: record.size,
            format: record.format.clone(),
            url: record.url.clone(),
            published: record.is_vouched_at(&record.url),
            indexed_at: record.indexed_at,
        }
    }
}

/// A URL that gives a package.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    /// The URL.
    url: String,
    /// Was it fetched twice, or does the server's owner vouch for it?
    published: bool,
    /// When it last gave the package, in seconds since 1970 UTC.
    seen_at: Option<i64>,
}

/// A package.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Package {
    #[serde(flatten)]
    summary: Summary,
    /// Its names in ecosystems, as `deb:vim_2:9.0_amd64`.
    names: Vec<String>,
    /// Everything in it: files, folders, links.
    members: u64,
    /// Regular files in it.
    files: u64,
    /// Bytes of these files.
    file_bytes: u64,
    /// The day after which its URL may be gone, as YYYY-MM-DD.
    expires: Option<String>,
    /// Where it is.
    places: Vec<Place>,
    /// Is it in the pool?
    pooled: bool,
}

/// A part of what is in a package.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct List {
    /// The members, in the package's own order, as in exports of a HashDB.
    #[schema(value_type = Vec<Object>)]
    members: Vec<Member>,
    /// Where the list goes on; none at its end.
    next: Option<u64>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Part {
    /// Members that come before it.
    #[serde(default)]
    after: u64,
    /// Members in it: 1 to 50,000.
    most: Option<u64>,
}

/// What is searched for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Searched {
    /// A part of a name or URL, or the SHA-256 of a file or package; nothing for what is newest. Up to 500 characters.
    #[serde(default)]
    q: String,
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchResult {
    /// Up to 50 packages, the newest first.
    packages: Vec<Summary>,
}

/// The best record of the package with these bytes: one that is published, if there is one.
pub(crate) fn best(
    hashdb: &LocalHashDb,
    sha256: &Digest,
) -> Result<Option<(PackageId, PackageRecord)>, Refusal> {
    let ids = hashdb.find_one(Key::Package(*sha256))?;
    let records = hashdb.records(&ids)?;
    let known = ids.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?)));
    Ok(known.max_by_key(|(id, record)| (record.vouched, record.evidence, std::cmp::Reverse(*id))))
}

/// A digest as it is written in addresses.
pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: hashget::model::ParseDigestError| Refusal::bad(error.to_string()))
}

/// What is known of a package.
#[utoipa::path(
    get,
    path = "/v1/packages/{sha256}",
    tag = "packages",
    params(("sha256" = String, Path, description = "the digest of its bytes")),
    responses((status = 200, body = Package), (status = 404, body = Problem))
)]
pub(crate) async fn package(
    State(app): State<Arc<App>>,
    Path(sha256): Path<String>,
) -> Result<Json<Package>, Refusal> {
    blocking(move || {
        let sha256 = digest(&sha256)?;
        let (id, record) =
            best(&app.hashdb, &sha256)?.ok_or_else(|| Refusal::not_found("this package"))?;
        let (mut members, mut files, mut file_bytes) = (0, 0, 0u64);
        app.hashdb.each_member(id, &mut |member| {
            members += 1;
            files += u64::from(member.sha256.is_some());
            file_bytes = file_bytes.saturating_add(member.size());
        })?;
        let checks = app.hashdb.checks(&[record.sha256])?.pop().unwrap_or_default();
        let places = record.urls().map(|url| Place {
            url: url.to_owned(),
            published: record.is_vouched_at(url),
            seen_at: seen_at(&checks, url),
        });
        let pooled = app.pool.has(&record.sha256, Some(record.size), &Silent)?;
        Ok(Json(Package {
            names: record.signatures.iter().map(ToString::to_string).collect(),
            places: places.collect(),
            expires: record.expires.clone(),
            summary: Summary::from(&record),
            members,
            files,
            file_bytes,
            pooled,
        }))
    })
    .await
}

/// When the URL last gave the package. Whoever asks for its size alone does not see its bytes.
fn seen_at(checks: &[Check], url: &str) -> Option<i64> {
    let deep = checks.iter().filter(|check| check.deep && check.url == url);
    deep.filter_map(|check| check.seen_at).max()
}

/// What is in a package.
#[utoipa::path(
    get,
    path = "/v1/lists/{sha256}",
    tag = "packages",
    params(("sha256" = String, Path, description = "the digest of its bytes"), Part),
    responses(
        (status = 200, body = List),
        (status = 404, description = "it is not known, or not all of its members are", body = Problem),
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(sha256): Path<String>,
    Query(part): Query<Part>,
) -> Result<Json<List>, Refusal> {
    let most = part.most.unwrap_or(USUAL_MEMBERS);
    if !(1..=MOST_MEMBERS).contains(&most) {
        return Err(Refusal::bad(format!("most={most}: expected 1 to {MOST_MEMBERS}")));
    }
    blocking(move || {
        let complete = complete_packages(&*app.hashdb, &[digest(&sha256)?])?.pop().flatten();
        let id = complete.ok_or_else(|| Refusal::not_found("the whole list of this package"))?;
        let (mut at, mut members) = (0, Vec::new());
        let end = part.after.saturating_add(most);
        app.hashdb.each_member(id, &mut |member| {
            if (part.after..end).contains(&at) {
                members.push(member);
            }
            at += 1;
        })?;
        Ok(Json(List { members, next: (at > end).then_some(end) }))
    })
    .await
}

/// Packages by a part of their name or URL, or by the digest of a file or package.
#[utoipa::path(
    get,
    path = "/v1/search",
    tag = "packages",
    params(Searched),
    responses(
        (status = 200, body = SearchResult),
        (status = 400, description = "more than 500 characters", body = Problem),
    )
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Query(Searched { q }): Query<Searched>,
) -> Result<Json<SearchResult>, Refusal> {
    let length = q.chars().count();
    if length > LONGEST {
        let problem = format!("q has {length} characters: at most {LONGEST} can be searched for");
        return Err(Refusal::bad(problem));
    }
    blocking(move || {
        let (q, hashdb) = (q.trim(), &app.hashdb);
        let ids = match q.parse::<Digest>() {
            Ok(digest) => holders(hashdb, &digest)?,
            Err(_) if q.is_empty() => hashdb.newest(MOST_FOUND)?,
            Err(_) => hashdb.search(q, MOST_FOUND)?,
        };
        let records = hashdb.records(&ids)?;
        let packages = records.iter().flatten().map(Summary::from).collect();
        Ok(Json(SearchResult { packages }))
    })
    .await
}

/// The first packages that hold a file of this digest, or are it.
fn holders(hashdb: &LocalHashDb, digest: &Digest) -> Result<Vec<PackageId>, Refusal> {
    let found = hashdb.holders(&[*digest], MOST_FOUND)?;
    Ok(found.into_iter().flatten().map(|holder| holder.id).collect())
}
