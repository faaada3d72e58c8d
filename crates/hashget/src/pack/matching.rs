//! Finds the packages that have the tree's contents in the HashDB, and chooses those to rely on.
//!
//! Invariant: a package is chosen only if its evidence is sufficient and it does not expire before the backup
//! does.

use std::collections::HashMap;

use super::claims::Claims;
use super::contents::Contents;
use super::cover::{Offer, choose};
use super::members::Members;
use super::plan::{ChosenPackage, Kept, PackageUse};
use super::verdict::Reason;
use super::{PackError, PackOptions};
use crate::hashdb::{HashDb, HashDbError, Key, PackageId};
use crate::model::PackageRecord;

/// Number of digests looked up at once: enough for the HashDB to be efficient, with little memory.
const BATCH: usize = 1 << 16;

/// Limit on the members kept in memory between the steps. Those of further packages are read again in each
/// step.
const MOST_KEPT: usize = 100_000;

/// The packages to rely on.
pub(super) struct Matched<'a> {
    /// The chosen packages, by URL.
    pub(super) packages: Vec<ChosenPackage<'a>>,
    /// Those that are not worth their download.
    pub(super) not_worth: Vec<PackageUse>,
}

/// Which packages have which contents of the tree, according to the HashDB; sorted.
pub(super) struct Holders(Vec<(PackageId, u32)>);

impl Holders {
    /// Looks up the packages of all contents that are not empty.
    pub(super) fn look_up(
        hashdb: &dyn HashDb,
        contents: &Contents<'_>,
    ) -> Result<Self, HashDbError> {
        let mut holders = Vec::new();
        // Visits each content's entry only once, since the entries are scattered in memory.
        let key = |content| (content, Key::Content(contents.digest(content)));
        let wanted = |content| (contents.weight(content) > 0).then(|| key(content));
        let mut wanted = contents.numbers().filter_map(wanted);
        loop {
            let (batch, keys): (Vec<u32>, Vec<Key<'_>>) = wanted.by_ref().take(BATCH).unzip();
            if batch.is_empty() {
                break;
            }
            for (content, packages) in batch.into_iter().zip(hashdb.find(&keys)?) {
                holders.extend(packages.into_iter().map(|id| (id, content)));
            }
        }
        holders.sort_unstable();
        Ok(Self(holders))
    }

    /// The entries that no package has, ascending.
    pub(super) fn unknown(&self, contents: &Contents<'_>) -> Vec<usize> {
        let mut known = vec![false; contents.numbers().len()];
        self.0.iter().for_each(|&(_, content)| known[content as usize] = true);
        let unknown = contents
            .numbers()
            .filter(|&content| !known[content as usize] && contents.weight(content) > 0);
        let mut entries: Vec<usize> = unknown.flat_map(|content| contents.names(content)).collect();
        entries.sort_unstable();
        entries
    }
}

/// A package that may be relied on.
struct Reliable {
    record: PackageRecord,
    offer: Offer,
}

/// Chooses packages among the `holders` of the contents. Files whose packages are not chosen get their reason
/// in `claims`.
pub(super) fn matched<'a>(
    hashdb: &'a dyn HashDb,
    holders: Holders,
    contents: &Contents<'_>,
    claims: &mut Claims<'_>,
    options: &PackOptions,
    today: &str,
) -> Result<Matched<'a>, PackError> {
    let mut reasons = ContentReasons::new(contents);
    let mut found = reliable(hashdb, holders, &mut reasons, options, today)?;
    found.sort_by(|a, b| a.record.url.cmp(&b.record.url));
    let (records, mut offers): (Vec<PackageRecord>, Vec<Offer>) =
        found.into_iter().map(|one| (one.record, one.offer)).unzip();
    let positions: HashMap<PackageId, usize> =
        offers.iter().enumerate().map(|(position, offer)| (offer.id, position)).collect();

    let weights: Vec<u64> = contents.numbers().map(|content| contents.weight(content)).collect();
    let choice = choose(&offers, &weights, options.max_fetch_ratio);
    drop(weights);
    let chosen = choice.chosen.iter().flat_map(|id| &offers[positions[id]].contents);
    chosen.for_each(|&content| reasons.forget(content));
    reasons.apply(contents, claims);
    // Indices are in the order of the URLs.
    let mut not_worth: Vec<(usize, u64)> =
        choice.not_worth.iter().map(|(id, bytes)| (positions[id], *bytes)).collect();
    not_worth.sort_unstable();
    let not_worth = not_worth.into_iter();
    let not_worth = not_worth
        .map(|(position, bytes)| PackageUse { bytes, ..PackageUse::none_of(&records[position]) })
        .collect();
    let mut chosen: Vec<(usize, PackageId)> =
        choice.chosen.iter().map(|id| (positions[id], *id)).collect();
    chosen.sort_unstable();
    hashdb.prefetch_members(&choice.chosen)?;
    let mut chosen = chosen.into_iter().peekable();
    let (mut packages, mut kept) = (Vec::with_capacity(chosen.len()), 0);
    for (position, record) in records.into_iter().enumerate() {
        if let Some((_, id)) = chosen.next_if(|&(next, _)| next == position) {
            let kept_of_it = if kept < MOST_KEPT {
                let members = Members::read(hashdb, id, contents)?;
                kept += if members.are_kept() { members.len() } else { 0 };
                Kept::Members(members)
            } else {
                Kept::Contents(std::mem::take(&mut offers[position].contents))
            };
            packages.push(ChosenPackage { record, id, kept: kept_of_it });
        }
    }
    Ok(Matched { packages, not_worth })
}

/// The packages that may be relied on, with the contents that they have.
fn reliable(
    hashdb: &dyn HashDb,
    holders: Holders,
    reasons: &mut ContentReasons,
    options: &PackOptions,
    today: &str,
) -> Result<Vec<Reliable>, HashDbError> {
    let mut found = Vec::new();
    let mut packages = holders.0.chunk_by(|(a, _), (b, _)| a == b);
    loop {
        let batch: Vec<&[(PackageId, u32)]> = packages.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(found);
        }
        let ids: Vec<PackageId> = batch.iter().map(|holder| holder[0].0).collect();
        for (holder, record) in batch.into_iter().zip(hashdb.records(&ids)?) {
            let Some(record) = record else { continue };
            let reason = match obstacle(&record, options, today) {
                Some(Obstacle::Evidence) => Reason::WeakEvidence,
                Some(Obstacle::Expires(_)) => Reason::Expired,
                _ => Reason::NotWorth,
            };
            holder.iter().for_each(|&(_, content)| reasons.add(content, reason));
            if reason == Reason::NotWorth {
                let contents = holder.iter().map(|&(_, content)| content).collect();
                let (id, size) = (holder[0].0, record.size);
                found.push(Reliable { record, offer: Offer { id, size, contents } });
            }
        }
    }
}

/// Why contents that packages have would be archived: for each, the reason of the package that comes closest
/// to being relied on.
struct ContentReasons(Vec<Option<Reason>>);

impl ContentReasons {
    fn new(contents: &Contents<'_>) -> Self {
        Self(vec![None; contents.numbers().len()])
    }

    /// Records that a package has this content and is not relied on. Reasons are ordered: the greatest one is
    /// closest to being relied on.
    fn add(&mut self, content: u32, reason: Reason) {
        let before = &mut self.0[content as usize];
        *before = (*before).max(Some(reason));
    }

    /// Records that a package that is relied on has this content.
    fn forget(&mut self, content: u32) {
        self.0[content as usize] = None;
    }

    /// Applies the reasons to the entries.
    fn apply(self, contents: &Contents<'_>, claims: &mut Claims<'_>) {
        for (content, reason) in contents.numbers().zip(self.0) {
            let Some(reason) = reason else { continue };
            contents.names(content).for_each(|entry| claims.set_reason(entry, reason));
        }
    }
}

/// Why a package that has a file is not relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Its evidence is weaker than requested.
    Evidence,
    /// It may become unavailable before this day, `YYYY-MM-DD`.
    Expires(String),
    /// Downloading it costs more than it saves.
    NotWorth,
    /// Several of its members have the same path as the one with the file's contents.
    DuplicatePath,
    /// The packages that are relied on already give everything that it could give.
    NotNeeded,
}

/// Why a package is not relied on at all, whatever it contains.
pub(super) fn obstacle(
    record: &PackageRecord,
    options: &PackOptions,
    today: &str,
) -> Option<Obstacle> {
    let needed_until = options.expires.as_deref().unwrap_or(today);
    if record.evidence < options.evidence {
        return Some(Obstacle::Evidence);
    }
    let expires = record.expires.as_deref().is_some_and(|expires| expires < needed_until);
    expires.then(|| Obstacle::Expires(needed_until.to_owned()))
}
