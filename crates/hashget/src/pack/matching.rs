//! Which packages hold the tree's contents: asks the HashDB, then chooses what to rely on.
//!
//! Invariant: only packages with enough evidence, that will not expire before the backup does, are
//! ever chosen.

use std::collections::HashMap;

use super::contents::Contents;
use super::cover::{Offer, choose};
use super::members::Members;
use super::plan::{ChosenPackage, Kept, PackageUse};
use super::{PackError, PackOptions};
use crate::hashdb::{HashDb, HashDbError, Key, PackageId};
use crate::model::{Entry, PackageRecord};

/// So many digests are looked up at once: enough for the HashDB, little in memory.
const BATCH: usize = 1 << 16;

/// Members that are kept in memory from one step to the next. Those of further packages are read anew in
/// each step.
const MOST_KEPT: usize = 100_000;

/// What will be relied on.
pub(super) struct Matched<'a> {
    /// The chosen packages, by URL.
    pub(super) packages: Vec<ChosenPackage<'a>>,
    /// Those that are not worth their download.
    pub(super) not_worth: Vec<PackageUse>,
    /// What the HashDB knows of the entries.
    pub(super) held: Held,
}

/// For each entry whose contents were looked up: does some package have it, relied on or not?
pub(super) type Held = Vec<Option<bool>>;

/// What the HashDB knows of a tree's contents.
pub(super) struct Holders {
    /// Which packages hold which contents, sorted.
    packages: Vec<(PackageId, u32)>,
    held: Held,
}

impl Holders {
    /// Asks for the packages of every content that has any bytes.
    pub(super) fn look_up(
        hashdb: &dyn HashDb,
        entries: &[Entry],
        contents: &Contents<'_>,
    ) -> Result<Self, HashDbError> {
        let (mut holders, mut held) = (Vec::new(), vec![None; entries.len()]);
        // One visit to each content's entry, since they lie all over the memory.
        let key = |content| (content, Key::Content(contents.digest(content)));
        let wanted = |content| (contents.weight(content) > 0).then(|| key(content));
        let mut wanted = contents.numbers().filter_map(wanted);
        loop {
            let (batch, keys): (Vec<u32>, Vec<Key<'_>>) = wanted.by_ref().take(BATCH).unzip();
            if batch.is_empty() {
                break;
            }
            for (content, packages) in batch.into_iter().zip(hashdb.find(&keys)?) {
                contents.names(content).for_each(|entry| held[entry] = Some(!packages.is_empty()));
                holders.extend(packages.into_iter().map(|id| (id, content)));
            }
        }
        holders.sort_unstable();
        Ok(Self { packages: holders, held })
    }

    /// The entries that no package has, ascending.
    pub(super) fn unknown(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.held.len()).filter(|&entry| self.held[entry] == Some(false))
    }
}

/// Chooses packages among the `holders` of the contents.
pub(super) fn matched<'a>(
    hashdb: &'a dyn HashDb,
    holders: Holders,
    contents: &Contents<'_>,
    options: &PackOptions,
    today: &str,
) -> Result<Matched<'a>, PackError> {
    let mut found: Vec<(PackageRecord, Offer)> = Vec::new();
    let Holders { packages: holders, held } = holders;
    let reliable = |record: &PackageRecord| obstacle(record, options, today).is_none();
    let mut packages = holders.chunk_by(|(a, _), (b, _)| a == b);
    loop {
        let batch: Vec<&[(PackageId, u32)]> = packages.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        let ids: Vec<PackageId> = batch.iter().map(|holder| holder[0].0).collect();
        for (holder, record) in batch.into_iter().zip(hashdb.records(&ids)?) {
            if let Some(record) = record.filter(reliable) {
                let contents = holder.iter().map(|&(_, content)| content).collect();
                let (id, size) = (holder[0].0, record.size);
                found.push((record, Offer { id, size, contents }));
            }
        }
    }
    drop(holders);
    found.sort_by(|(a, _), (b, _)| a.url.cmp(&b.url));
    let (records, mut offers): (Vec<PackageRecord>, Vec<Offer>) = found.into_iter().unzip();
    let positions: HashMap<PackageId, usize> =
        offers.iter().enumerate().map(|(position, offer)| (offer.id, position)).collect();

    let weights: Vec<u64> = contents.numbers().map(|content| contents.weight(content)).collect();
    let choice = choose(&offers, &weights, options.max_fetch_ratio);
    drop(weights);
    // Positions are in the order of the URLs.
    let mut not_worth: Vec<(usize, u64)> =
        choice.not_worth.iter().map(|(id, bytes)| (positions[id], *bytes)).collect();
    not_worth.sort_unstable();
    let not_worth = not_worth.into_iter().map(|(position, bytes)| {
        let record = &records[position];
        PackageUse { url: record.url.clone(), size: record.size, files: 0, bytes }
    });
    let not_worth = not_worth.collect();
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
    Ok(Matched { packages, not_worth, held })
}

/// Why a package that has a file is not relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Less is known of it than is asked for.
    Evidence,
    /// It may be gone before this day, `YYYY-MM-DD`.
    Expires(String),
}

/// What keeps a package from being relied on.
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
