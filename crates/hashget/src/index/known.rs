//! Second step: check whether the HashDB already knows the package.
//!
//! Invariant: a package counts as known only if its record is at least as good as requested. Completing a record never
//! touches the package's members: what was looked up may be out of date.

use super::{IndexError, Indexer, Request};
use crate::detectors::Candidate;
use crate::hashdb::{HashDb, HashDbError, HashDbWriter, Key, PackageId};
use crate::model::{Digest, Evidence, PackageRecord};
use crate::monitor::Monitor;

/// Number of candidates looked up at once.
const BATCH: usize = 1 << 12;

/// A package of the HashDB.
type Known = (PackageId, PackageRecord);

/// The package of `request`, if it is known with the digest `sha256` (if one is wanted), at `evidence`, and
/// read as deeply as requested. What only the request has is added to its record.
pub(super) fn known(
    hashdb: &dyn HashDbWriter,
    request: &Request,
    sha256: Option<Digest>,
    evidence: Evidence,
) -> Result<Option<PackageId>, IndexError> {
    let found = look_up(hashdb, &[vec![Key::Url(&request.url)]])?.pop().unwrap_or_default();
    match found.first() {
        Some(first) => as_asked(hashdb, first, request, sha256, evidence),
        None => Ok(None),
    }
}

/// This package, if it is the requested one.
fn as_asked(
    hashdb: &dyn HashDbWriter,
    (id, record): &Known,
    request: &Request,
    sha256: Option<Digest>,
    evidence: Evidence,
) -> Result<Option<PackageId>, IndexError> {
    let same_bytes = sha256.is_none_or(|wanted| wanted == record.sha256);
    let as_deep = record.recursive || !request.recursive;
    if !same_bytes || !as_deep || record.evidence < evidence {
        return Ok(None);
    }
    if !complete(&mut record.clone(), request) {
        return Ok(Some(*id));
    }
    // If it was removed or replaced since it was looked up, it is not known any more.
    let completed = hashdb.amend(*id, &|record| _ = complete(record, request))?;
    Ok(completed.map(|_| *id))
}

/// For each candidate, in order, its package, if the HashDB knows it. Nothing else is asked.
pub(super) fn known_candidates(
    indexer: &Indexer<'_>,
    candidates: &[Candidate],
    monitor: &dyn Monitor,
) -> Result<Vec<Option<PackageId>>, IndexError> {
    let mut known = Vec::with_capacity(candidates.len());
    for batch in candidates.chunks(BATCH) {
        // A candidate with an open question has no URL yet.
        let request = |one: &Candidate| one.question.is_none().then(|| indexer.request_of(one));
        let requests: Vec<Option<Request>> = batch.iter().map(request).collect();
        let keys = batch.iter().zip(&requests).map(|(candidate, request)| {
            let url = request.iter().map(|request| Key::Url(&request.url));
            url.chain(is_named(candidate).then(|| names(candidate)).into_iter().flatten()).collect()
        });
        let found = look_up(indexer.hashdb, &keys.collect::<Vec<_>>())?;
        for ((candidate, request), found) in batch.iter().zip(requests).zip(found) {
            monitor.check_interrupted()?;
            let by_url = match &request {
                Some(request) => by_url(indexer, request, &found)?,
                None => None,
            };
            let by_name = || is_named(candidate).then(|| named(indexer, candidate, &found));
            known.push(by_url.or_else(|| by_name().flatten()));
        }
    }
    Ok(known)
}

/// May the package have another URL than the candidate's? Then it is looked up by its names, too.
fn is_named(candidate: &Candidate) -> bool {
    candidate.question.is_some() || candidate.by_content.is_some()
}

/// The package with the URL of `request`, if it is at least as good as requested.
fn by_url(
    indexer: &Indexer<'_>,
    request: &Request,
    found: &[Known],
) -> Result<Option<PackageId>, IndexError> {
    let has_url =
        |(_, record): &&Known| record.url == request.url || record.also.contains(&request.url);
    // If several have the URL, the first one counts.
    match found.iter().find(has_url) {
        Some(first) => as_asked(indexer.hashdb, first, request, request.sha256, indexer.evidence),
        None => Ok(None),
    }
}

/// For each list of keys, the packages that they find.
fn look_up(hashdb: &dyn HashDb, keys: &[Vec<Key<'_>>]) -> Result<Vec<Vec<Known>>, HashDbError> {
    let mut found = hashdb.find(&keys.concat())?.into_iter();
    let ids: Vec<Vec<PackageId>> =
        keys.iter().map(|keys| found.by_ref().take(keys.len()).flatten().collect()).collect();
    let mut records = hashdb.records(&ids.concat())?.into_iter();
    let with_records = |ids: Vec<PackageId>| {
        let records = records.by_ref().take(ids.len()).collect::<Vec<_>>();
        ids.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?))).collect()
    };
    Ok(ids.into_iter().map(with_records).collect())
}

/// The keys for a candidate without a URL.
fn names(candidate: &Candidate) -> impl Iterator<Item = Key<'_>> {
    let name = candidate.signature.as_ref().map(Key::Signature);
    name.into_iter().chain(candidate.sha256.map(Key::Package))
}

/// The first package that is the candidate, at the requested evidence.
fn named(indexer: &Indexer<'_>, candidate: &Candidate, found: &[Known]) -> Option<PackageId> {
    let is_it = |(_, record): &&Known| {
        record.evidence >= indexer.evidence
            && candidate.sha256.is_none_or(|sha256| sha256 == record.sha256)
    };
    found.iter().find(is_it).map(|(id, _)| *id)
}

/// Adds to `record` what only `request` has; `false` if there is nothing to add.
fn complete(record: &mut PackageRecord, request: &Request) -> bool {
    let before = record.clone();
    for signature in &request.signatures {
        if !record.signatures.contains(signature) {
            record.signatures.push(signature.clone());
        }
    }
    for url in &request.also {
        if *url != record.url && !record.also.contains(url) {
            record.also.push(url.clone());
        }
    }
    record.project = record.project.take().or_else(|| request.project.clone());
    record.expires = record.expires.take().or_else(|| request.expires.clone());
    *record != before
}
