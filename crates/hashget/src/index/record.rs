//! Last step: record the package in the HashDB.
//!
//! Invariant: only packages whose members have all been read are recorded here; and what is recorded of a URL is what it
//! gave, or answered, not what was expected of it.

use super::fetch::Package;
use super::read::Contents;
use super::{IndexError, Indexed, Indexer, Request};
use crate::detectors::Candidate;
use crate::fetch::public_url;
use crate::hashdb::{Check, CheckOutcome, HashDbError, HashDbWriter, Key, PackageId, now};
use crate::model::{Evidence, Keeping, Origin, PackageRecord};
use crate::places::tail_of;

/// Who named a package's URL, and what they say about it.
pub(super) struct Naming {
    pub(super) origin: Origin,
    keeping: Keeping,
    vouched: bool,
    /// Its bytes are what was wanted: they have the digest that is named, or the user wants whatever the URL gives.
    pub(super) is_exact: bool,
    /// The trees whose files named it.
    trees: Vec<String>,
}

impl Naming {
    pub(super) fn by_user() -> Self {
        let (keeping, trees) = (Keeping::Unknown, Vec::new());
        Self { origin: Origin::User, keeping, vouched: false, is_exact: true, trees }
    }

    /// As the package with this record was named before.
    pub(super) fn of_record(record: &PackageRecord) -> Self {
        let PackageRecord { origin, keeping, vouched, trees, .. } = record.clone();
        Self { origin, keeping, vouched, is_exact: true, trees }
    }

    pub(super) fn from_candidate(candidate: &Candidate) -> Self {
        Self {
            origin: candidate.origin,
            keeping: candidate.keeping,
            vouched: candidate.vouched.is_some(),
            is_exact: candidate.sha256.is_some() || candidate.checksum.is_some(),
            trees: vec![candidate.tree.clone()],
        }
    }

    /// The tree that is packed, if its files named the package; empty if none did.
    pub(super) fn tree(&self) -> &str {
        self.trees.first().map_or("", |tree| tree)
    }

    /// Adds it to the record of a package with this URL.
    pub(super) fn add_to(&self, record: &mut PackageRecord) {
        record.origin = record.origin.max(self.origin);
        record.keeping = record.keeping.max(self.keeping);
        record.vouched |= self.vouched;
        if self.origin == Origin::Tree {
            let new = self.trees.iter().filter(|tree| !record.trees.contains(tree));
            let new: Vec<String> = new.cloned().collect();
            record.trees.extend(new);
        }
    }
}

/// Records `package` with its contents, and that its URL gave it, if it did.
pub(super) fn record(
    indexer: &Indexer<'_>,
    request: &Request,
    naming: &Naming,
    package: &Package,
    contents: Contents,
) -> Result<Indexed, IndexError> {
    let hashdb = indexer.hashdb;
    let given_by = given_by(indexer, request, package);
    let mut request = request.clone();
    if let Some(url) = &given_by
        && *url != request.url
    {
        // The first URL is the one that is known to give it.
        request.also.retain(|other| other != url);
        request.also.insert(0, std::mem::replace(&mut request.url, url.clone()));
    }
    let mut record = PackageRecord {
        url: request.url.clone(),
        also: request.also.clone(),
        sha256: package.sha256,
        size: package.size,
        format: contents.format.to_owned(),
        signatures: request.signatures.clone(),
        project: request.project.clone(),
        expires: request.expires.clone(),
        indexed_at: now(),
        evidence: Evidence::Downloaded,
        vouched: package.vouched,
        recursive: request.recursive,
        passed_over: contents.passed_over,
        origin: Origin::Tree,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        publisher: None,
    };
    naming.add_to(&mut record);
    let moved = given_by.is_some() && gave_other_bytes(hashdb, &record)?;
    // First, so that a failure leaves nothing but an answer.
    if let Some(url) = given_by {
        let outcome = if moved { CheckOutcome::Moves } else { CheckOutcome::Present };
        let tail = tail_of(&package.file, package.size);
        let check = Check::now(record.sha256, &url, true, outcome);
        hashdb.put_check(&Check { tail, ..check })?;
    }
    let id = hashdb.put(&record, &contents.members)?;
    forget_weaker(hashdb, id, &record)?;
    Ok(Indexed::New { id, record: Box::new(record), members: contents.members.len() })
}

/// The URL of `request` that gave the bytes, itself or by a mirror that stands for it.
fn given_by(indexer: &Indexer<'_>, request: &Request, package: &Package) -> Option<String> {
    let from = public_url(indexer.mirrors, package.from.as_deref()?);
    std::iter::once(&request.url).chain(&request.also).find(|url| **url == from).cloned()
}

/// Did the URL of `record` give other bytes at another time?
fn gave_other_bytes(
    hashdb: &dyn HashDbWriter,
    record: &PackageRecord,
) -> Result<bool, HashDbError> {
    let known = hashdb.find_one(Key::Url(&record.url))?;
    let mut moved = false;
    for other in hashdb.records(&known)?.into_iter().flatten() {
        if other.url != record.url || other.sha256 == record.sha256 {
            continue;
        }
        let checks = hashdb.checks(&[other.sha256])?.pop().unwrap_or_default();
        let gave = |check: &Check| {
            let did = check.seen_at.is_some() && check.deep;
            check.url == record.url && (did || check.outcome == CheckOutcome::Moves)
        };
        if checks.iter().any(gave) {
            moved = true;
            hashdb.put_check(&Check::now(other.sha256, &record.url, true, CheckOutcome::Moves))?;
        }
    }
    Ok(moved)
}

/// Removes records of the same package under other URLs that have weaker evidence, with only some of its
/// members.
fn forget_weaker(
    hashdb: &dyn HashDbWriter,
    id: PackageId,
    record: &PackageRecord,
) -> Result<(), IndexError> {
    let mut others = hashdb.find_one(Key::Package(record.sha256))?;
    others.retain(|other| *other != id);
    let records = hashdb.records(&others)?;
    for (id, other) in others.into_iter().zip(records) {
        if other.is_some_and(|other| other.evidence < Evidence::Signed.min(record.evidence)) {
            hashdb.remove(id)?;
        }
    }
    Ok(())
}
