//! Second step: does the HashDB know the package already?
//!
//! Invariant: a package counts as known only if its record is as good as what is asked for.

use super::{IndexError, Indexer, Request};
use crate::detectors::Candidate;
use crate::hashdb::{HashDb, PackageId};
use crate::model::{Digest, Evidence, PackageRecord};

/// The package of `request`, if it is known with the digest `sha256` (if one is wanted), at `evidence` and
/// as deeply as asked. Its record is completed by what only the request says.
pub(super) fn known(
    hashdb: &dyn HashDb,
    request: &Request,
    sha256: Option<Digest>,
    evidence: Evidence,
) -> Result<Option<PackageId>, IndexError> {
    let Some(id) = hashdb.by_url(&request.url)? else {
        return Ok(None);
    };
    let Some(record) = hashdb.package(id)? else {
        return Ok(None);
    };
    let same_bytes = sha256.is_none_or(|wanted| wanted == record.sha256);
    let as_deep = record.recursive || !request.recursive;
    if !same_bytes || !as_deep || record.evidence < evidence {
        return Ok(None);
    }
    match completed(&record, request) {
        Some(completed) => Ok(Some(hashdb.put(&completed, &hashdb.members(id)?)?)),
        None => Ok(Some(id)),
    }
}

/// A package with the candidate's name (and its digest, if one is known), or with its digest, at the evidence that is
/// asked for.
pub(super) fn known_by_name(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
) -> Result<Option<PackageId>, IndexError> {
    let mut ids = Vec::new();
    if let Some(name) = &candidate.signature {
        ids = indexer.hashdb.by_signature(name)?;
    }
    if let Some(sha256) = &candidate.sha256 {
        ids.extend(indexer.hashdb.by_sha256(sha256)?);
    }
    for id in ids {
        let known = indexer.hashdb.package(id)?.is_some_and(|record| {
            record.evidence >= indexer.evidence
                && candidate.sha256.is_none_or(|sha256| sha256 == record.sha256)
        });
        if known {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// `record` with what only `request` says; `None` when that is nothing.
fn completed(record: &PackageRecord, request: &Request) -> Option<PackageRecord> {
    let mut completed = record.clone();
    for signature in &request.signatures {
        if !completed.signatures.contains(signature) {
            completed.signatures.push(signature.clone());
        }
    }
    for url in &request.also {
        if *url != completed.url && !completed.also.contains(url) {
            completed.also.push(url.clone());
        }
    }
    completed.project = completed.project.or_else(|| request.project.clone());
    completed.expires = completed.expires.or_else(|| request.expires.clone());
    (completed != *record).then_some(completed)
}
