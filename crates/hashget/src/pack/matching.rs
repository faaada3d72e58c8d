//! Chooses the packages to rely on among those that have the tree's contents.
//!
//! Invariant: a package is chosen only if its evidence is sufficient, its places are certain, and it does not expire before
//! the backup does. What is kept longer comes before what is smaller.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::claims::Claims;
use super::contents::Contents;
use super::cover::{Choice, Offer, choose};
use super::known::{KnownPackage, Requirements};
use super::members::Members;
use super::plan::{ChosenPackage, Kept, PackageUse};
use super::verdict::Reason;
use super::{PackError, Packer};
use crate::hashdb::{Check, HashDbError, PackageId};
use crate::keeping::keeping;
use crate::model::{Digest, Keeping, PackageRecord, total_bytes};
use crate::monitor::Monitor;
use crate::parallel;
use crate::places::{Doubt, Place, Standing, is_strange};

/// Limit on the members kept in memory between the steps. Those of further packages are read again in each
/// step.
const MOST_KEPT: usize = 100_000;

/// Threads that read members: each may have a large package in memory when there are enough.
const READERS: usize = 4;

/// The packages to rely on.
pub(super) struct Matched<'a> {
    /// The chosen packages, by URL.
    pub(super) packages: Vec<ChosenPackage<'a>>,
    /// Those that are not worth their download.
    pub(super) not_worth: Vec<PackageUse>,
}

impl Packer<'_> {
    /// Chooses packages among the `known` ones, and asks the places of those that are due. Files whose packages are not
    /// chosen get their reason in `claims`.
    pub(super) fn matched<'a>(
        &'a self,
        mut known: Vec<KnownPackage>,
        contents: &Contents<'_>,
        claims: &mut Claims<'_>,
        requirements: &Requirements<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Matched<'a>, PackError> {
        known.sort_by(|a, b| a.record.url.cmp(&b.record.url));
        lend_places(&mut known, requirements);
        let weights: Vec<u64> =
            contents.numbers().map(|content| contents.weight(content)).collect();
        let choice = loop {
            let offers = offers(&known, &weights, requirements);
            let choice = choose(&offers, &weights, requirements.options().max_fetch_ratio);
            if !self.ask_places(&mut known, &choice.chosen, requirements, monitor)?
                && !self.pool(&mut known, &choice.chosen, requirements, monitor)?
            {
                break choice;
            }
        };
        drop(weights);
        reasons(&known, &choice, requirements, contents).apply(contents, claims);
        let not_worth = choice.not_worth.iter().map(|&(index, bytes)| {
            let KnownPackage { record, checks, .. } = &known[index];
            PackageUse { bytes, ..PackageUse::none_of(record, best_place(record, checks)) }
        });
        let not_worth = not_worth.collect();
        let ids: Vec<PackageId> = choice.chosen.iter().map(|&index| known[index].id).collect();
        self.hashdb.prefetch_members(&ids)?;
        merge_places(&mut known, &choice.chosen, requirements);
        let mut is_chosen = vec![false; known.len()];
        choice.chosen.iter().for_each(|&index| is_chosen[index] = true);
        // In the order of the URLs.
        let chosen = known.into_iter().zip(is_chosen).filter(|(_, is_chosen)| *is_chosen);
        let chosen: Vec<KnownPackage> = chosen.map(|(known, _)| known).collect();
        let mut members = self.first_members(&chosen, contents)?.into_iter();
        let packages = chosen.into_iter().map(|known| {
            let KnownPackage { id, record, checks, contents: held, .. } = known;
            let place = best_place(&record, &checks);
            let kept = members.next().map_or(Kept::Contents(held), Kept::Members);
            ChosenPackage { record, id, place, kept }
        });
        Ok(Matched { packages: packages.collect(), not_worth })
    }

    /// The members of the first packages, as many as may be kept in memory.
    fn first_members<'a>(
        &'a self,
        packages: &[KnownPackage],
        contents: &Contents<'_>,
    ) -> Result<Vec<Members<'a>>, HashDbError> {
        let (next, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_| {
            let mut read = Vec::new();
            while kept.load(Ordering::Relaxed) < MOST_KEPT
                && let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(package) = packages.get(at)
            {
                let members = Members::read(self.hashdb, package.id, contents)?;
                let count = if members.are_kept() { members.len() } else { 0 };
                kept.fetch_add(count, Ordering::Relaxed);
                read.push((at, members));
            }
            Ok(read)
        };
        let read = parallel::on_threads(self.jobs.min(READERS), work);
        let read: Vec<Vec<_>> = read.into_iter().collect::<Result<_, HashDbError>>()?;
        let mut read: Vec<(usize, Members<'a>)> = read.into_iter().flatten().collect();
        read.sort_unstable_by_key(|(at, _)| *at);
        Ok(read.into_iter().map(|(_, members)| members).collect())
    }
}

/// What the packages that may be relied on offer, or will if their places answer well.
fn offers<'k>(
    known: &'k [KnownPackage],
    weights: &[u64],
    requirements: &Requirements<'_>,
) -> Vec<Offer<'k>> {
    let usable = known.iter().enumerate().filter(|(_, known)| requirements.is_usable(known));
    let offer = |(package, known): (usize, &'k KnownPackage)| Offer {
        package,
        size: known.record.size,
        contents: &known.contents,
    };
    let mut offers: Vec<Offer<'k>> = usable.map(offer).collect();
    let merits: Vec<Merit> =
        offers.iter().map(|offer| merit(&known[offer.package].record)).collect();
    let best = merits.iter().max().copied();
    if merits.iter().all(|merit| Some(*merit) == best) {
        return offers;
    }
    let is_worth = |offer: &Offer<'_>| {
        let gain = total_bytes(offer.contents.iter().map(|&content| weights[content as usize]));
        #[allow(clippy::cast_precision_loss, reason = "a ratio to compare with")]
        let ratio = offer.size as f64 / gain.max(1) as f64;
        ratio <= requirements.options().max_fetch_ratio
    };
    let dominated = dominated(&offers, &merits, &is_worth);
    let mut dominated = dominated.into_iter();
    offers.retain(|_| !dominated.next().unwrap_or_default());
    offers
}

/// How good a package is apart from its size: not named by files of trees alone, and kept long.
type Merit = (bool, Keeping);

fn merit(record: &PackageRecord) -> Merit {
    (!is_strange(record), keeping(record))
}

/// For each offer, whether a better package that is worth its download gives all that it gives.
fn dominated(
    offers: &[Offer<'_>],
    merits: &[Merit],
    is_worth: &dyn Fn(&Offer<'_>) -> bool,
) -> Vec<bool> {
    let least = merits.iter().min().copied();
    let better =
        (0..offers.len()).filter(|&offer| Some(merits[offer]) > least && is_worth(&offers[offer]));
    let mut holders: Vec<(u32, usize)> = better
        .flat_map(|offer| offers[offer].contents.iter().map(move |&content| (content, offer)))
        .collect();
    holders.sort_unstable();
    let gives_all = |offer: usize| {
        let Some(&rarest) = offers[offer].contents.first() else { return false };
        let from = holders.partition_point(|&(content, _)| content < rarest);
        let same = holders[from..].iter().take_while(|&&(content, _)| content == rarest);
        same.into_iter().any(|&(_, other)| {
            let has = |content: &u32| offers[other].contents.binary_search(content).is_ok();
            merits[other] > merits[offer] && offers[offer].contents.iter().all(has)
        })
    };
    (0..offers.len()).map(gives_all).collect()
}

/// Adds the places of other records of the same bytes to the chosen packages: losing one place then loses nothing.
fn merge_places(known: &mut [KnownPackage], chosen: &[usize], requirements: &Requirements<'_>) {
    let mut by_digest: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (index, one) in known.iter().enumerate() {
        by_digest.entry(one.record.sha256).or_default().push(index);
    }
    for &index in chosen {
        let KnownPackage { record, lent, .. } = &mut known[index];
        record.also.truncate(record.also.len() - std::mem::take(lent));
        for &other in &by_digest[&known[index].record.sha256] {
            let KnownPackage { record, checks, .. } = &known[other];
            if other == index
                || is_strange(record)
                || requirements.obstacle(record, checks).is_some()
            {
                continue;
            }
            let urls: Vec<String> = record.urls().map(str::to_owned).collect();
            let record = &mut known[index].record;
            for url in urls {
                if url != record.url && !record.also.contains(&url) {
                    record.also.push(url);
                }
            }
        }
    }
}

/// Where several independent places are wanted, packages get those of other records of the same bytes, so that these are asked and counted, too.
/// They are lent: the manifest gets those alone that are certain.
fn lend_places(known: &mut [KnownPackage], requirements: &Requirements<'_>) {
    let mut by_digest: HashMap<Digest, Vec<String>> = HashMap::new();
    for one in known.iter().filter(|one| !is_strange(&one.record)) {
        let urls = one.record.urls().map(str::to_owned);
        by_digest.entry(one.record.sha256).or_default().extend(urls);
    }
    for KnownPackage { record, lent, .. } in known {
        if requirements.wanted_sources(record) < 2 {
            continue;
        }
        for url in by_digest.get(&record.sha256).into_iter().flatten() {
            if *url != record.url && !record.also.contains(url) {
                record.also.push(url.clone());
                *lent += 1;
            }
        }
    }
}

/// How the most certain place of a package is known.
pub(super) fn best_place(record: &PackageRecord, checks: &[Check]) -> Place {
    let place = |url| Standing::new(checks, url).place(record.is_vouched_at(url));
    record.urls().map(place).max().unwrap_or(Place::Supposed)
}

/// Why the contents that the packages have would be archived.
fn reasons(
    known: &[KnownPackage],
    choice: &Choice,
    requirements: &Requirements<'_>,
    contents: &Contents<'_>,
) -> ContentReasons {
    let mut reasons = ContentReasons::new(contents);
    for KnownPackage { record, checks, contents, .. } in known {
        let reason = match requirements.obstacle(record, checks) {
            Some(Obstacle::Evidence) => Reason::WeakEvidence,
            Some(Obstacle::Expires(_)) => Reason::Expired,
            Some(Obstacle::Place(_)) => Reason::PlaceNotProven,
            _ => Reason::NotWorth,
        };
        contents.iter().for_each(|&content| reasons.add(content, reason));
    }
    let chosen = choice.chosen.iter().flat_map(|&index| &known[index].contents);
    chosen.for_each(|&content| reasons.forget(content));
    reasons
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
    /// It is not certain that its URL gives it.
    Place(Doubt),
    /// Downloading it costs more than it saves.
    NotWorth,
    /// Several of its members have the same path as the one with the file's contents.
    DuplicatePath,
    /// The packages that are relied on already give everything that it could give.
    NotNeeded,
}
