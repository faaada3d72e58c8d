//! Between the second step and the third: what publishers know of a package need not be fetched.
//!
//! Invariant: a package is taken over only if it is the one that was asked for, by its digest, its URL or its name; its members are
//! recorded as a whole, at evidence `signed`, under the name of the publisher. A URL that gave the package to a publisher, whom the
//! user named, counts as named by a client, whoever else named it.

use std::collections::{BTreeMap, HashSet};

use super::record::Naming;
use super::{IndexError, Indexer};
use crate::detectors::Candidate;
use crate::hashdb::{HashDbError, Key, PackageId, SharedHashDb, whole};
use crate::model::{Digest, Evidence, Member, Origin, PackageRecord};
use crate::monitor::Monitor;

/// Packages whose members are fetched together.
const BATCH: usize = 1 << 9;

/// Records what publishers know of `candidates`, which the HashDB does not know. Returns the number of packages.
pub(super) fn candidates(
    indexer: &Indexer<'_>,
    candidates: &[&Candidate],
    monitor: &dyn Monitor,
) -> Result<usize, IndexError> {
    let Some(shared) = usable(indexer).filter(|_| !candidates.is_empty()) else { return Ok(0) };
    let urls: Vec<String> = candidates.iter().map(|one| indexer.request_of(one).url).collect();
    let asked: Vec<Vec<Key<'_>>> =
        candidates.iter().zip(&urls).map(|(one, url)| keys(shared, one, url)).collect();
    let mut found = shared.find(&asked.concat())?.into_iter();
    let mut wanted: BTreeMap<PackageId, usize> = BTreeMap::new();
    for (candidate, keys) in asked.iter().enumerate() {
        for id in found.by_ref().take(keys.len()).flatten() {
            wanted.entry(id).or_insert(candidate);
        }
    }
    let ids: Vec<PackageId> = wanted.keys().copied().collect();
    let records = shared.records(&ids)?;
    let is_it = |(id, record): (&PackageId, Option<PackageRecord>)| {
        let candidate = wanted[id];
        let record = record.filter(|one| fits(one, candidates[candidate], &urls[candidate]))?;
        Some((*id, named(record, candidates[candidate], &urls[candidate])))
    };
    let wanted: Vec<(PackageId, PackageRecord)> =
        ids.iter().zip(records).filter_map(is_it).collect();
    take_over(indexer, shared, wanted, |_| true, monitor)
}

/// Records what publishers know of packages with these contents. Returns the number of packages.
pub(super) fn holders(
    indexer: &Indexer<'_>,
    contents: &[Digest],
    monitor: &dyn Monitor,
) -> Result<usize, IndexError> {
    let Some(shared) = usable(indexer).filter(|_| !contents.is_empty()) else { return Ok(0) };
    let keys: Vec<Key<'_>> = contents.iter().map(|digest| Key::Content(*digest)).collect();
    let mut ids = shared.find(&keys)?.concat();
    ids.sort_unstable();
    ids.dedup();
    let records = ids.iter().copied().zip(shared.records(&ids)?);
    let found: Vec<(PackageId, PackageRecord)> =
        records.filter_map(|(id, record)| Some((id, record?))).collect();
    let keys: Vec<Key<'_>> = found.iter().map(|(_, record)| Key::Url(&record.url)).collect();
    let known = indexer.hashdb.find(&keys)?;
    let new = found.into_iter().zip(known).filter(|(_, known)| known.is_empty());
    let wanted = new.map(|((id, record), _)| (id, by_publisher(record))).collect();
    // What was asked for is cut: it may have led to other packages.
    let contents: HashSet<Digest> = contents.iter().copied().collect();
    let holds = |member: &Member| member.sha256.is_some_and(|sha256| contents.contains(&sha256));
    take_over(indexer, shared, wanted, |members| members.iter().any(holds), monitor)
}

/// Publishers, if their word is accepted, and can be kept.
fn usable<'a>(indexer: &Indexer<'a>) -> Option<&'a dyn SharedHashDb> {
    let is_accepted = indexer.evidence <= Evidence::Signed && indexer.hashdb.is_writable();
    indexer.shared.filter(|_| is_accepted)
}

/// What a candidate is looked up by: its name if it has one. Its digest, or its URL, only if files of its folder may be asked for in
/// this way.
fn keys<'k>(shared: &dyn SharedHashDb, candidate: &'k Candidate, url: &'k str) -> Vec<Key<'k>> {
    if let Some(name) = &candidate.signature {
        return vec![Key::Signature(name)];
    }
    let found_at = candidate.found_at.below(std::path::Path::new(&candidate.tree));
    if !shared.hashes().allow(&found_at, u64::MAX) {
        return Vec::new();
    }
    match candidate.sha256 {
        Some(sha256) => vec![Key::Package(sha256)],
        None if candidate.question.is_none() => vec![Key::Url(url)],
        None => Vec::new(),
    }
}

/// Is this the package of the candidate, as far as that can be told?
fn fits(record: &PackageRecord, candidate: &Candidate, url: &str) -> bool {
    let same_bytes = candidate.sha256 == Some(record.sha256);
    let contradicts = candidate.sha256.is_some_and(|sha256| sha256 != record.sha256)
        || candidate.size.is_some_and(|size| size != record.size);
    // With an open question, the name is all that is known.
    let is_open = candidate.question.is_some();
    !contradicts && (same_bytes || is_open || record.urls().any(|one| one == url))
}

/// The record, as named by the candidate.
fn named(mut record: PackageRecord, candidate: &Candidate, url: &str) -> PackageRecord {
    let has_url = record.urls().any(|one| one == url);
    if candidate.question.is_none() && !has_url {
        // The same bytes, by the candidate's digest: its URL is another place of them.
        record.also.push(url.to_owned());
    }
    record.project = candidate.project.clone();
    Naming::from_candidate(candidate).add_to(&mut record);
    by_publisher(record)
}

/// The record, as named by the publisher, too, if it says that the URL gave it the package.
fn by_publisher(mut record: PackageRecord) -> PackageRecord {
    if record.vouched {
        record.origin = record.origin.max(Origin::Client);
    }
    record
}

/// Records packages with their members, if `is_it`. One whose members are not those that were signed is passed over.
fn take_over(
    indexer: &Indexer<'_>,
    shared: &dyn SharedHashDb,
    wanted: Vec<(PackageId, PackageRecord)>,
    is_it: impl Fn(&[Member]) -> bool,
    monitor: &dyn Monitor,
) -> Result<usize, IndexError> {
    let mut taken = 0;
    for batch in wanted.chunks(BATCH) {
        monitor.check_interrupted()?;
        let ids: Vec<PackageId> = batch.iter().map(|(id, _)| *id).collect();
        shared.prefetch_members(&ids)?;
        for (id, record) in batch {
            // A publisher that fails has been reported, and is not asked again.
            let members: Vec<Member> = match whole(shared, *id) {
                Ok(Some((_, members))) => members,
                Ok(None) | Err(HashDbError::Failed { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if is_it(&members) {
                indexer.hashdb.put(record, &members)?;
                taken += 1;
            }
        }
    }
    Ok(taken)
}
