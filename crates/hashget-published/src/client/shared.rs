//! Several publishers as one HashDB: asked one after the other, and against each other.
//!
//! Invariant: a publisher that fails, or lies, is reported once and asked nothing more; it never makes a call fail. With
//! `agree` above 1, a package is known only if so many publishers say the same of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use hashget::hashdb::{AskHashes, HashDb, HashDbError, Key, PackageId, SharedHashDb};
use hashget::model::{Member, PackageRecord};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording::one_line;

use super::{Asked, Manner, PublishedHashDb};
use crate::error::PublishedError;
use crate::files::Files;
use crate::key::PublicKey;
use crate::proven::{Edition, Memory};
use crate::record::PublishedRecord;

/// Seconds after which an edition is called old.
const OLD: i64 = 30 * 24 * 60 * 60;

/// Bits by which the number of a publisher is above the ids of its packages.
const SHIFT: u32 = 48;

/// A publisher that the configuration names.
pub struct Publisher {
    /// Where its files are.
    pub files: Arc<dyn Files>,
    /// Its keys.
    pub keys: Vec<PublicKey>,
    /// What is remembered of it.
    pub memory: Memory,
    /// What it may be asked by digest.
    pub hashes: AskHashes,
}

/// How publishers are asked.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// How each of them is asked.
    pub manner: Manner,
    /// How many publishers must say the same of a package; at least 1.
    pub agree: usize,
    /// Seconds since 1970 UTC.
    pub now: i64,
}

/// Publishers, asked one after the other. They are opened when something is asked for the first time.
pub struct SharedPublishers<'m> {
    named: Mutex<Vec<Publisher>>,
    opened: OnceLock<Vec<Open<'m>>>,
    hashes: AskHashes,
    sharing: Sharing,
    monitor: &'m dyn Monitor,
}

struct Open<'m> {
    hashdb: PublishedHashDb<'m>,
    hashes: AskHashes,
    failed: AtomicBool,
}

impl<'m> SharedPublishers<'m> {
    /// These publishers. Those that cannot be used are reported to the monitor, once they are needed.
    pub fn new(publishers: Vec<Publisher>, sharing: Sharing, monitor: &'m dyn Monitor) -> Self {
        // Of several, what the most careful one wants holds for all that are asked at all.
        let asked = publishers.iter().map(|one| one.hashes).filter(|one| *one != AskHashes::None);
        let hashes = match asked.collect::<Vec<_>>() {
            asked if asked.is_empty() => AskHashes::None,
            asked if asked.iter().all(|one| *one == AskHashes::All) => AskHashes::All,
            _ => AskHashes::Large,
        };
        let (named, opened) = (Mutex::new(publishers), OnceLock::new());
        Self { named, opened, hashes, sharing, monitor }
    }

    /// For each publisher that was asked, its location and what was asked of it.
    pub fn asked(&self) -> Vec<(String, Asked)> {
        let of =
            |one: &Open<'_>| (one.hashdb.edition().files.location().to_owned(), one.hashdb.asked());
        self.opened.get().into_iter().flatten().map(of).collect()
    }

    /// The latest edition of each publisher that can be used.
    fn publishers(&self) -> &[Open<'m>] {
        self.opened.get_or_init(|| {
            let named = std::mem::take(&mut *self.named.lock().expect("nothing panics with it"));
            named.into_iter().filter_map(|publisher| self.open(publisher)).collect()
        })
    }

    fn open(&self, publisher: Publisher) -> Option<Open<'m>> {
        let (location, hashes) = (publisher.files.location().to_owned(), publisher.hashes);
        let Sharing { manner, now, .. } = self.sharing;
        match opened(publisher, now, self.monitor) {
            Ok(edition) => {
                let hashdb = PublishedHashDb::new(edition, manner, now, self.monitor);
                Some(Open { hashdb, hashes, failed: AtomicBool::new(false) })
            }
            Err(PublishedError::Interrupted(_)) => None,
            Err(error) => {
                report(self.monitor, &location, &one_line(&error));
                None
            }
        }
    }

    /// The publisher with this number, unless it failed.
    fn usable(&self, number: usize) -> Option<&PublishedHashDb<'m>> {
        let one = self.publishers().get(number)?;
        (!one.failed.load(Ordering::Relaxed)).then_some(&one.hashdb)
    }

    /// May this publisher be asked for a key?
    fn may_ask(&self, number: usize, key: &Key<'_>) -> bool {
        let by_digest = !matches!(key, Key::Signature(_));
        !by_digest || self.publishers()[number].hashes != AskHashes::None
    }

    /// What a publisher answers; nothing, if it fails.
    fn answer<T>(
        &self,
        number: usize,
        ask: impl FnOnce(&PublishedHashDb<'m>) -> Result<T, HashDbError>,
    ) -> Option<T> {
        match ask(self.usable(number)?) {
            Ok(answer) => Some(answer),
            Err(error) => {
                let first = !self.publishers()[number].failed.swap(true, Ordering::Relaxed);
                if first && !self.monitor.interrupted() {
                    let problem = match &error {
                        HashDbError::Failed { problem, .. } => problem.clone(),
                        error => one_line(error),
                    };
                    report(self.monitor, error.location(), &problem);
                }
                None
            }
        }
    }

    /// Those of the packages of one publisher, in ascending order, of which enough publishers say the same.
    fn agreed(&self, number: usize, found: Vec<PackageId>) -> Vec<PackageId> {
        if self.sharing.agree <= 1 {
            return found;
        }
        let records =
            self.answer(number, |one| one.records_of(&found).map_err(|error| one.failed(&error)));
        let said = found.into_iter().zip(records.unwrap_or_default());
        let (found, said): (Vec<PackageId>, Vec<Arc<PublishedRecord>>) =
            said.filter_map(|(id, record)| Some((id, record?))).unzip();
        let mut counts = vec![1; said.len()];
        let origin = |one: &Open<'m>| one.hashdb.edition().checkpoint.origin.clone();
        // One that is configured twice is one.
        let mut counted = BTreeSet::from([origin(&self.publishers()[number])]);
        for (other, publisher) in self.publishers().iter().enumerate() {
            if !counted.insert(origin(publisher)) {
                continue;
            }
            let by_digest = publisher.hashes != AskHashes::None;
            let says = self.answer(other, |one| {
                one.says(&said, by_digest).map_err(|error| one.failed(&error))
            });
            for (count, says) in counts.iter_mut().zip(says.unwrap_or_default()) {
                *count += usize::from(says);
            }
        }
        let agreed = found.into_iter().zip(counts);
        agreed.filter(|(_, count)| *count >= self.sharing.agree).map(|(id, _)| id).collect()
    }
}

/// The latest edition of a publisher, if it may be relied on.
fn opened(
    publisher: Publisher,
    now: i64,
    monitor: &dyn Monitor,
) -> Result<Edition, PublishedError> {
    let Publisher { files, keys, memory, .. } = publisher;
    if let Some(lie) = memory.read()?.and_then(|known| known.lie) {
        let file = memory.location().unwrap_or_default();
        return Err(PublishedError::Rollback(format!(
            "it has said what is not so ({lie}): nothing of it is relied on; remove {file} to begin anew with it"
        )));
    }
    let location = files.location().to_owned();
    let edition = Edition::open(files, &keys, memory, now, monitor)?;
    if let Some(age) = edition.checkpoint.time.map(|time| now.saturating_sub(time))
        && age > OLD
    {
        let days = age / (24 * 60 * 60);
        let told = format!("its last signature is {days} days old: it may not know newer packages");
        monitor.problem(ProblemKind::Note, &location, told);
    }
    Ok(edition)
}

fn report(monitor: &dyn Monitor, location: &str, problem: &str) {
    let told = format!("this publisher is not asked in this run: {problem}");
    monitor.problem(ProblemKind::Unreachable, format!("publisher {location}"), told);
}

/// The id of a package of the publisher with this number.
fn joined(number: usize, id: PackageId) -> PackageId {
    PackageId::from_raw(i64::try_from(number).unwrap_or(0) << SHIFT | id.to_raw())
}

/// The number of the publisher, and the id of the package there.
fn apart(id: PackageId) -> (usize, PackageId) {
    let raw = id.to_raw();
    let own = raw & ((1 << SHIFT) - 1);
    (usize::try_from(raw >> SHIFT).unwrap_or(usize::MAX), PackageId::from_raw(own))
}

impl HashDb for SharedPublishers<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        if keys.is_empty() {
            // Nobody is opened for nothing.
            return Ok(Vec::new());
        }
        let mut answers: Vec<Vec<PackageId>> = vec![Vec::new(); keys.len()];
        for number in 0..self.publishers().len() {
            // The next one is asked for what this one does not know.
            let is_open = |at: &usize| answers[*at].is_empty() && self.may_ask(number, &keys[*at]);
            let open: Vec<usize> = (0..keys.len()).filter(is_open).collect();
            let asked: Vec<Key<'_>> = open.iter().map(|at| keys[*at]).collect();
            if asked.is_empty() {
                continue;
            }
            let found = self.answer(number, |one| one.find(&asked)).unwrap_or_default();
            let mut all: Vec<PackageId> = found.concat();
            all.sort_unstable();
            all.dedup();
            let agreed = self.agreed(number, all);
            for (at, ids) in open.into_iter().zip(found) {
                let ids = ids.into_iter().filter(|id| agreed.binary_search(id).is_ok());
                answers[at] = ids.map(|id| joined(number, id)).collect();
            }
        }
        Ok(answers)
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        let mut records = vec![None; packages.len()];
        for number in 0..self.publishers().len() {
            let own = |at: &usize| apart(packages[*at]).0 == number;
            let places: Vec<usize> = (0..packages.len()).filter(own).collect();
            let ids: Vec<PackageId> = places.iter().map(|at| apart(packages[*at]).1).collect();
            let found = self.answer(number, |one| one.records(&ids)).unwrap_or_default();
            for (at, record) in places.into_iter().zip(found) {
                records[at] = record;
            }
        }
        Ok(records)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        let (number, own) = apart(package);
        // Members that were passed on before a failure are discarded by whoever sees this error.
        let failed = || HashDbError::Failed {
            location: "the publisher".to_owned(),
            problem: "it was passed over".to_owned(),
        };
        self.answer(number, |one| one.each_member(own, visit)).ok_or_else(failed)
    }

    fn prefetch_members(&self, packages: &[PackageId]) -> Result<(), HashDbError> {
        for number in 0..self.publishers().len() {
            let own = packages.iter().map(|id| apart(*id)).filter(|(one, _)| *one == number);
            let ids: Vec<PackageId> = own.map(|(_, id)| id).collect();
            if !ids.is_empty() {
                self.answer(number, |one| one.prefetch_members(&ids));
            }
        }
        Ok(())
    }
}

impl SharedHashDb for SharedPublishers<'_> {
    fn hashes(&self) -> AskHashes {
        self.hashes
    }
}
