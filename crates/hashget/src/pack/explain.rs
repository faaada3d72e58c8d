//! Why a file would be left out of a backup, or archived: judged one by one, as packing does.
//!
//! Invariant: nothing is indexed, fetched or written; a package is named only if it has the whole
//! digest.

use std::collections::{BTreeMap, HashMap};

use super::matching::Obstacle;
use super::{PackOptions, matching};
use crate::hashdb::{HashDb, HashDbError, Key, PackageId};
use crate::model::{Digest, Entry, Kind, PackageRecord, RelPath};

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A package that is relied on has it.
    LeftOut,
    /// A package that is relied on has it, but is worth its download only together with other files.
    LeftOutWithOthers,
    /// Only packages that are not relied on have it.
    NotRelied,
    /// No package in the HashDB has it.
    Unknown,
    /// It is empty: archiving it is shorter than saying where it comes from.
    Empty,
    /// It has holes, which no package gives back.
    Holes,
    /// It is no regular file: left out only where a package that is laid down has the same.
    NoFile,
}

/// A package that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The package.
    pub record: PackageRecord,
    /// The member; the package itself if absent.
    pub member: Option<RelPath>,
    /// Why it is not relied on, if it is not.
    pub obstacle: Option<Obstacle>,
}

/// What becomes of an entry, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What becomes of it.
    pub fate: Fate,
    /// The packages that have it, those that are relied on first.
    pub holders: Vec<Holder>,
}

/// Explains each of `entries`, which have their digests. `today` is `YYYY-MM-DD`.
///
/// # Errors
/// The HashDB failed.
pub fn explain(
    hashdb: &dyn HashDb,
    entries: &[Entry],
    options: &PackOptions<'_>,
    today: &str,
) -> Result<Vec<Explained>, HashDbError> {
    let mut digests: Vec<Digest> = entries.iter().filter_map(content).collect();
    digests.sort_unstable();
    digests.dedup();
    let holders = holders(hashdb, &digests, options, today)?;
    let explained = entries.iter().map(|entry| {
        let known = content(entry).and_then(|digest| digests.binary_search(&digest).ok());
        let holders = known.map(|index| holders[index].clone()).unwrap_or_default();
        Explained { fate: fate(entry, &holders, options.max_fetch_ratio), holders }
    });
    Ok(explained.collect())
}

/// The digest of contents that are looked up.
fn content(entry: &Entry) -> Option<Digest> {
    match entry.kind {
        Kind::File { size: 1.. } if entry.extents.is_none() => entry.sha256,
        _ => None,
    }
}

fn fate(entry: &Entry, holders: &[Holder], max_fetch_ratio: f64) -> Fate {
    let Kind::File { size } = entry.kind else { return Fate::NoFile };
    let mut relied = holders.iter().filter(|holder| holder.obstacle.is_none());
    #[allow(clippy::cast_precision_loss, reason = "a ratio to compare by")]
    let worth = |holder: &Holder| size as f64 * max_fetch_ratio >= holder.record.size as f64;
    match (size, &entry.extents) {
        (0, _) => Fate::Empty,
        (_, Some(_)) => Fate::Holes,
        _ if holders.is_empty() => Fate::Unknown,
        _ if relied.clone().any(worth) => Fate::LeftOut,
        _ if relied.next().is_some() => Fate::LeftOutWithOthers,
        _ => Fate::NotRelied,
    }
}

fn holders(
    hashdb: &dyn HashDb,
    digests: &[Digest],
    options: &PackOptions<'_>,
    today: &str,
) -> Result<Vec<Vec<Holder>>, HashDbError> {
    let mut contents: BTreeMap<PackageId, Vec<usize>> = BTreeMap::new();
    let keys: Vec<Key<'_>> = digests.iter().map(|digest| Key::Content(*digest)).collect();
    for (index, ids) in hashdb.find(&keys)?.into_iter().enumerate() {
        for id in ids {
            contents.entry(id).or_default().push(index);
        }
    }
    let mut holders: Vec<Vec<Holder>> = vec![Vec::new(); digests.len()];
    let ids: Vec<PackageId> = contents.keys().copied().collect();
    let records = hashdb.records(&ids)?;
    hashdb.prefetch_members(&ids)?;
    for ((id, indices), record) in contents.into_iter().zip(records) {
        let Some(record) = record else { continue };
        let obstacle = matching::obstacle(&record, options, today);
        let members: HashMap<Digest, RelPath> = hashdb
            .members(id)?
            .into_iter()
            .rev()
            .filter_map(|member| Some((member.sha256?, member.path)))
            .collect();
        for index in indices {
            let member = members.get(&digests[index]).cloned();
            if member.is_some() || record.sha256 == digests[index] {
                let (record, obstacle) = (record.clone(), obstacle.clone());
                holders[index].push(Holder { record, member, obstacle });
            }
        }
    }
    for list in &mut holders {
        list.sort_by(|a, b| {
            let rank = |holder: &Holder| (holder.obstacle.is_some(), holder.record.size);
            rank(a).cmp(&rank(b)).then_with(|| a.record.url.cmp(&b.record.url))
        });
    }
    Ok(holders)
}
