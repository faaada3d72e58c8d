//! Which packages hold the tree's contents: asks the HashDB, then chooses what to rely on.
//!
//! Invariant: only packages with enough evidence, that will not expire before the backup does, are
//! ever chosen.

use std::collections::{BTreeMap, HashMap};

use super::cover::{Offer, choose};
use super::plan::{ChosenPackage, PackageUse};
use super::{PackError, PackOptions};
use crate::hashdb::{HashDb, PackageId};
use crate::model::{Digest, Entry, Kind, PackageRecord};

/// What will be relied on.
pub(super) struct Matched {
    /// The chosen packages, by URL.
    pub(super) packages: Vec<ChosenPackage>,
    /// Those that are not worth their download.
    pub(super) not_worth: Vec<PackageUse>,
    /// The contents that were looked up.
    pub(super) held: Held,
}

/// For each content that was looked up: does some package have it, relied on or not?
pub(super) type Held = HashMap<Digest, bool>;

/// Looks up the contents of all eligible files and chooses packages.
pub(super) fn matched(
    hashdb: &dyn HashDb,
    entries: &[Entry],
    eligible: &[bool],
    options: &PackOptions,
    today: &str,
) -> Result<Matched, PackError> {
    let contents = contents(entries, eligible);
    let digests: Vec<Digest> = contents.keys().copied().collect();
    let weights: Vec<u64> = contents.values().copied().collect();
    let mut holders: BTreeMap<PackageId, Vec<u32>> = BTreeMap::new();
    let mut held = Held::with_capacity(digests.len());
    for (content, packages) in hashdb.packages_with(&digests)?.into_iter().enumerate() {
        held.insert(digests[content], !packages.is_empty());
        let content = u32::try_from(content).expect("a tree has fewer than 2^32 files");
        for id in packages {
            holders.entry(id).or_default().push(content);
        }
    }
    let mut records: HashMap<PackageId, PackageRecord> = HashMap::new();
    for &id in holders.keys() {
        let reliable = |record: &PackageRecord| obstacle(record, options, today).is_none();
        if let Some(record) = hashdb.package(id)?.filter(reliable) {
            records.insert(id, record);
        }
    }
    let mut offers: Vec<Offer> = holders
        .into_iter()
        .filter_map(|(id, contents)| Some(Offer { id, size: records.get(&id)?.size, contents }))
        .collect();
    offers.sort_by(|a, b| records[&a.id].url.cmp(&records[&b.id].url));

    let choice = choose(&offers, &weights, options.max_fetch_ratio);
    let mut packages = Vec::new();
    for id in choice.chosen {
        let Some(record) = records.remove(&id) else { continue };
        packages.push(ChosenPackage { record, members: hashdb.members(id)? });
    }
    packages.sort_by(|a, b| a.record.url.cmp(&b.record.url));
    let mut not_worth: Vec<PackageUse> = choice
        .not_worth
        .into_iter()
        .filter_map(|(id, bytes)| {
            let record = records.get(&id)?;
            Some(PackageUse { url: record.url.clone(), size: record.size, files: 0, bytes })
        })
        .collect();
    not_worth.sort_by(|a, b| a.url.cmp(&b.url));
    Ok(Matched { packages, not_worth, held })
}

/// The different contents worth looking up, with the bytes that leaving each out saves.
fn contents(entries: &[Entry], eligible: &[bool]) -> BTreeMap<Digest, u64> {
    let mut contents = BTreeMap::new();
    for (entry, _) in entries.iter().zip(eligible).filter(|(_, eligible)| **eligible) {
        if let (Kind::File { size }, Some(sha256)) = (&entry.kind, entry.sha256)
            && *size > 0
        {
            *contents.entry(sha256).or_default() += size;
        }
    }
    contents
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
