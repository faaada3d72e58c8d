//! Second step: check whether the HashDB already knows the package.
//!
//! Invariant: a package counts as known only if its record is at least as good as requested, and fetching it again would not
//! make anybody rely on it. Completing a record never touches the package's members: what was looked up may be out of date.

use super::record::Naming;
use super::{IndexError, Indexer, Request};
use crate::detectors::Candidate;
use crate::hashdb::{Check, HashDbError, HashDbWriter, Key, PackageId, now};
use crate::model::{Digest, Evidence, PackageRecord};
use crate::monitor::Monitor;
use crate::places::{Doubt, Rules};

/// Number of candidates looked up at once.
const BATCH: usize = 1 << 12;

/// A package of the HashDB.
#[derive(Clone)]
struct Known {
    id: PackageId,
    record: PackageRecord,
    checks: Vec<Check>,
}

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
        // The user asks for it now: what was lost is looked for again.
        Some(first) if first.doubt("") != Some(Doubt::Lost) => {
            as_asked(hashdb, first, request, &Naming::by_user(), sha256, evidence)
        }
        _ => Ok(None),
    }
}

/// This package, if it is the requested one.
fn as_asked(
    hashdb: &dyn HashDbWriter,
    known: &Known,
    request: &Request,
    naming: &Naming,
    sha256: Option<Digest>,
    evidence: Evidence,
) -> Result<Option<PackageId>, IndexError> {
    let Known { id, record, .. } = known;
    let same_bytes = sha256.is_none_or(|wanted| wanted == record.sha256);
    let as_deep = record.recursive || !request.recursive;
    if !same_bytes || !as_deep || record.evidence < evidence {
        return Ok(None);
    }
    let mut completed = known.clone();
    if !complete(&mut completed.record, request, naming) {
        return Ok(known.is_settled(naming.tree()).then_some(*id));
    }
    if !completed.is_settled(naming.tree()) {
        return Ok(None);
    }
    // If it was removed or replaced since it was looked up, it is not known any more.
    let completed = hashdb.amend(*id, &|record| _ = complete(record, request, naming))?;
    Ok(completed.map(|_| *id))
}

impl Known {
    fn doubt(&self, tree: &str) -> Option<Doubt> {
        rules(tree).doubt(&self.record, &self.checks)
    }

    /// Would fetching it again change nothing for this tree?
    fn is_settled(&self, tree: &str) -> bool {
        match self.doubt(tree) {
            // Whoever wants to rely on it asks its server first.
            None | Some(Doubt::NotAsked) => true,
            // That stays so.
            Some(Doubt::Moves | Doubt::Private | Doubt::Young | Doubt::FewPlaces { .. }) => true,
            Some(Doubt::Lost) => rules(tree).due(&self.record, &self.checks).is_none(),
            Some(Doubt::NotFetched | Doubt::OtherTree) => false,
        }
    }
}

fn rules(tree: &str) -> Rules {
    Rules { tree: tree.to_owned(), now: now(), ..Rules::default() }
}

/// For each candidate, in order, its package, if the HashDB knows it. Nothing else is asked.
pub(super) fn known_candidates<'c>(
    indexer: &Indexer<'_>,
    candidates: impl Iterator<Item = &'c Candidate>,
    monitor: &dyn Monitor,
) -> Result<Vec<Option<PackageId>>, IndexError> {
    let candidates: Vec<&Candidate> = candidates.collect();
    let mut known = Vec::with_capacity(candidates.len());
    for batch in candidates.chunks(BATCH) {
        // A candidate with an open question has no URL yet.
        let request = |one: &&Candidate| one.question.is_none().then(|| indexer.request_of(one));
        let requests: Vec<Option<Request>> = batch.iter().map(request).collect();
        let keys = batch.iter().zip(&requests).map(|(candidate, request)| {
            let url = request.iter().map(|request| Key::Url(&request.url));
            url.chain(is_named(candidate).then(|| names(candidate)).into_iter().flatten()).collect()
        });
        let found = look_up(indexer.hashdb, &keys.collect::<Vec<_>>())?;
        for ((candidate, request), found) in batch.iter().zip(requests).zip(found) {
            monitor.check_interrupted()?;
            let by_url = match &request {
                Some(request) => by_url(indexer, candidate, request, &found)?,
                None => None,
            };
            let by_name = || is_named(candidate).then(|| named(indexer, candidate, &found));
            let found = by_url.map_or_else(|| by_name().flatten(), Some);
            known.push(found);
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
    candidate: &Candidate,
    request: &Request,
    found: &[Known],
) -> Result<Option<PackageId>, IndexError> {
    let has_url = |known: &&Known| {
        known.record.url == request.url || known.record.also.contains(&request.url)
    };
    let (naming, sha256) = (Naming::from_candidate(candidate), request.sha256);
    // If several have the URL, the first one counts.
    match found.iter().find(has_url) {
        Some(first) => as_asked(indexer.hashdb, first, request, &naming, sha256, indexer.evidence),
        None => Ok(None),
    }
}

/// For each list of keys, the packages that they find.
fn look_up(
    hashdb: &dyn HashDbWriter,
    keys: &[Vec<Key<'_>>],
) -> Result<Vec<Vec<Known>>, HashDbError> {
    let mut found = hashdb.find(&keys.concat())?.into_iter();
    let ids: Vec<Vec<PackageId>> =
        keys.iter().map(|keys| found.by_ref().take(keys.len()).flatten().collect()).collect();
    let records = hashdb.records(&ids.concat())?;
    let digests: Vec<Digest> = records.iter().flatten().map(|record| record.sha256).collect();
    let (mut records, mut checks) = (records.into_iter(), hashdb.checks(&digests)?.into_iter());
    let mut known = |id| {
        let record = records.next().flatten()?;
        Some(Known { id, record, checks: checks.next().unwrap_or_default() })
    };
    let all = |ids: Vec<PackageId>| ids.into_iter().filter_map(&mut known).collect();
    Ok(ids.into_iter().map(all).collect())
}

/// The keys for a candidate without a URL.
fn names(candidate: &Candidate) -> impl Iterator<Item = Key<'_>> {
    let name = candidate.signature.as_ref().map(Key::Signature);
    name.into_iter().chain(candidate.sha256.map(Key::Package))
}

/// The first package that is the candidate, at the requested evidence. A name alone does not bind it to its source, so it
/// counts only if the URL was named by somebody at least as trustworthy.
fn named(indexer: &Indexer<'_>, candidate: &Candidate, found: &[Known]) -> Option<PackageId> {
    let is_it = |known: &&Known| {
        known.record.evidence >= indexer.evidence
            && known.record.origin >= candidate.origin
            && candidate.sha256.is_none_or(|sha256| sha256 == known.record.sha256)
            && known.is_settled(&candidate.tree)
    };
    found.iter().find(is_it).map(|known| known.id)
}

/// Adds to `record` what only `request` and its `naming` have; `false` if there is nothing to add.
fn complete(record: &mut PackageRecord, request: &Request, naming: &Naming) -> bool {
    let before = record.clone();
    if record.url == request.url {
        naming.add_to(record);
    }
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
