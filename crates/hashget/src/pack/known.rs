//! The packages in the HashDB that have contents of the tree, and whether a backup may rely on them.
//!
//! Invariant: what counts as relied on is decided here alone, for planning, for explaining and for the question which detected
//! packages are worth indexing.

use super::contents::Contents;
use super::{PackOptions, matching::Obstacle};
use crate::detectors::PrivateHosts;
use crate::hashdb::{Check, HashDbError, HashDbWriter, Key, PackageId, now};
use crate::index::tree_name;
use crate::model::{Digest, Entry, PackageRecord};
use crate::places::{Doubt, Private, Rules};
use crate::tree::TreeRoot;

/// Number of digests looked up at once: enough for the HashDB to be efficient, with little memory.
const BATCH: usize = 1 << 16;

/// A package that has contents of the tree, as far as the HashDB knows.
pub(super) struct KnownPackage {
    pub(super) id: PackageId,
    pub(super) record: PackageRecord,
    /// What its URLs answered.
    pub(super) checks: Vec<Check>,
    /// The contents that it has, ascending.
    pub(super) contents: Vec<u32>,
    /// Its places were asked in this run, or there was no time for it.
    pub(super) is_asked: bool,
    /// It was to be put into a pool in this run; if it is not there, it could not be.
    pub(super) is_pool_tried: bool,
    /// Number of the last URLs of its record that are those of other records.
    pub(super) lent: usize,
}

impl KnownPackage {
    /// One of which nothing else is known yet.
    pub(super) fn new(id: PackageId, record: PackageRecord, contents: Vec<u32>) -> Self {
        let (is_asked, is_pool_tried) = (false, false);
        Self { id, record, checks: Vec::new(), contents, is_asked, is_pool_tried, lent: 0 }
    }
}

/// What a backup requires of packages.
pub(super) struct Requirements<'o> {
    options: &'o PackOptions<'o>,
    /// `YYYY-MM-DD`.
    today: String,
    rules: Rules,
}

impl<'o> Requirements<'o> {
    /// For a tree with these entries, whose clients' configuration also says which hosts are private.
    pub(super) fn new(options: &'o PackOptions<'o>, root: &TreeRoot, entries: &[Entry]) -> Self {
        let (tree, now) = (tree_name(root.path()), now());
        let paths = entries.iter().map(|entry| &entry.path);
        let hosts = PrivateHosts::of_tree(&options.machine, root.path(), paths);
        let private = Private::new(move |url| hosts.reason(url).is_some());
        let (unasked, policy) = (options.unasked, options.policy.clone());
        let rules = Rules { tree, now, unasked, private, policy };
        Self { options, today: super::today(), rules }
    }

    /// Why a package is not relied on at all, whatever it contains.
    pub(super) fn obstacle(&self, record: &PackageRecord, checks: &[Check]) -> Option<Obstacle> {
        let needed_until = self.options.expires.as_deref().unwrap_or(&self.today);
        if record.evidence < self.options.evidence {
            return Some(Obstacle::Evidence);
        }
        if record.expires.as_deref().is_some_and(|expires| expires < needed_until) {
            return Some(Obstacle::Expires(needed_until.to_owned()));
        }
        self.rules.doubt(record, checks).map(Obstacle::Place)
    }

    /// The URL of a package that should be asked now, if one should.
    pub(super) fn due<'r>(&self, known: &'r KnownPackage) -> Option<&'r str> {
        let may_be_asked = self.options.ask && !known.is_asked;
        self.rules.due(&known.record, &known.checks).filter(|_| may_be_asked)
    }

    /// May the package be relied on, if its places answer well?
    pub(super) fn is_usable(&self, known: &KnownPackage) -> bool {
        match self.obstacle(&known.record, &known.checks) {
            None => true,
            Some(Obstacle::Place(Doubt::NotAsked)) => self.due(known).is_some(),
            Some(Obstacle::Place(Doubt::FewPlaces { .. } | Doubt::Young)) => {
                self.due(known).is_some() || self.helps_to_pool(known)
            }
            Some(_) => false,
        }
    }

    /// Is the package not relied on now, and would it be if it lay in the pool that packages are kept in?
    pub(super) fn helps_to_pool(&self, known: &KnownPackage) -> bool {
        let KnownPackage { record, checks, is_pool_tried, .. } = known;
        let is_short = || {
            let obstacle = self.obstacle(record, checks);
            matches!(obstacle, Some(Obstacle::Place(Doubt::FewPlaces { .. } | Doubt::Young)))
        };
        self.options.keep_in.is_some()
            && !is_pool_tried
            && is_short()
            && self.rules.doubt_if(record, checks, true).is_none()
    }

    /// This package lies in a pool from now on.
    pub(super) fn is_pooled(&self, sha256: Digest) {
        self.rules.policy.pooled.add(sha256);
    }

    /// The number of independent places that a package must have.
    pub(super) fn wanted_sources(&self, record: &PackageRecord) -> usize {
        self.rules.wanted_sources(record)
    }

    /// Is it worth downloading so many bytes to save `gain`?
    #[allow(clippy::cast_precision_loss, reason = "a ratio to compare with")]
    pub(super) fn is_worth(&self, download: u64, gain: u64) -> bool {
        download as f64 <= self.options.max_fetch_ratio * gain as f64
    }

    /// The options that they come from.
    pub(super) fn options(&self) -> &'o PackOptions<'o> {
        self.options
    }
}

/// Looks up the packages that have one of the contents that are not empty, by their ids.
pub(super) fn known_packages(
    hashdb: &dyn HashDbWriter,
    contents: &Contents<'_>,
) -> Result<Vec<KnownPackage>, HashDbError> {
    let holders = holders(hashdb, contents)?;
    let mut known = Vec::new();
    let mut packages = holders.chunk_by(|(a, _), (b, _)| a == b);
    loop {
        let batch: Vec<&[(PackageId, u32)]> = packages.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(known);
        }
        let ids: Vec<PackageId> = batch.iter().map(|holder| holder[0].0).collect();
        let first = known.len();
        for (holder, record) in batch.into_iter().zip(hashdb.records(&ids)?) {
            let Some(record) = record else { continue };
            let contents = holder.iter().map(|&(_, content)| content).collect();
            known.push(KnownPackage::new(holder[0].0, record, contents));
        }
        add_checks(hashdb, &mut known[first..])?;
    }
}

/// Looks up what the URLs of packages answered.
pub(super) fn add_checks(
    hashdb: &dyn HashDbWriter,
    known: &mut [KnownPackage],
) -> Result<(), HashDbError> {
    // Digests in ascending order are found faster.
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_unstable_by_key(|&index| known[index].record.sha256);
    let digests: Vec<Digest> = order.iter().map(|&index| known[index].record.sha256).collect();
    for (index, checks) in order.into_iter().zip(hashdb.checks(&digests)?) {
        known[index].checks = checks;
    }
    Ok(())
}

/// Which packages have which contents of the tree, sorted.
fn holders(
    hashdb: &dyn HashDbWriter,
    contents: &Contents<'_>,
) -> Result<Vec<(PackageId, u32)>, HashDbError> {
    let mut holders = Vec::new();
    // Visits each content's entry only once, since the entries are scattered in memory.
    let key = |content| (content, Key::Content(contents.digest(content)));
    let wanted = |content| (contents.weight(content) > 0).then(|| key(content));
    let mut wanted = contents.numbers().filter_map(wanted);
    loop {
        let (batch, keys): (Vec<u32>, Vec<Key<'_>>) = wanted.by_ref().take(BATCH).unzip();
        if batch.is_empty() {
            holders.sort_unstable();
            return Ok(holders);
        }
        for (content, packages) in batch.into_iter().zip(hashdb.find(&keys)?) {
            holders.extend(packages.into_iter().map(|id| (id, content)));
        }
    }
}

/// The entries that no package has that may be relied on, ascending.
pub(super) fn unknown(
    known: &[KnownPackage],
    requirements: &Requirements<'_>,
    contents: &Contents<'_>,
) -> Vec<usize> {
    let mut held = vec![false; contents.numbers().len()];
    for package in known.iter().filter(|package| requirements.is_usable(package)) {
        package.contents.iter().for_each(|&content| held[content as usize] = true);
    }
    let unknown = contents
        .numbers()
        .filter(|&content| !held[content as usize] && contents.weight(content) > 0);
    let mut entries: Vec<usize> = unknown.flat_map(|content| contents.names(content)).collect();
    entries.sort_unstable();
    entries
}
