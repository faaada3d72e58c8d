//! A publisher, as a reader sees it: its edition as a HashDB, and what it could learn from what was asked.
//!
//! Invariant: everything that is answered was proven; what the publisher cannot prove, it does not know.

mod asked;
mod fetch;
mod lookup;
mod rows;
mod shared;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hashget::hashdb::{HashDb, HashDbError, Key, PackageId};
use hashget::model::{Digest, Member, PackageRecord, Signature};
use hashget::monitor::Monitor;

pub use self::asked::Asked;
use self::rows::Rows;
pub(crate) use self::rows::id;
pub use self::shared::{Publisher, SharedPublishers, Sharing};
use crate::error::PublishedError;
use crate::files::Traffic;
use crate::proven::Edition;
use crate::record::PublishedRecord;
use crate::table::KeyTable;

/// How a publisher is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manner {
    /// Ask for names and whole packs only.
    pub private: bool,
}

/// An edition of a published HashDB as a HashDB.
pub struct PublishedHashDb<'m> {
    edition: Edition,
    manner: Manner,
    /// Seconds since 1970 UTC.
    now: i64,
    monitor: &'m dyn Monitor,
    /// Open tables of keys, by their digests.
    keys: Mutex<HashMap<Digest, Arc<KeyTable>>>,
    rows: Rows,
    asked: Mutex<Asked>,
}

impl<'m> PublishedHashDb<'m> {
    /// The packages of this edition.
    pub fn new(edition: Edition, manner: Manner, now: i64, monitor: &'m dyn Monitor) -> Self {
        let (keys, rows, asked) = (Mutex::default(), Rows::default(), Mutex::default());
        Self { edition, manner, now, monitor, keys, rows, asked }
    }

    /// The edition.
    pub fn edition(&self) -> &Edition {
        &self.edition
    }

    /// What was asked of the publisher so far.
    pub fn asked(&self) -> Asked {
        let Traffic { requests, bytes } = self.edition.files.traffic();
        Asked { requests, bytes, ..self.lock_asked().clone() }
    }

    /// For each record of another publisher, does this one say the same of the package? Packages that have names are looked up by
    /// them; others by their digests, if `by_digest`.
    fn says(
        &self,
        records: &[Arc<PublishedRecord>],
        by_digest: bool,
    ) -> Result<Vec<bool>, PublishedError> {
        let names: Vec<Vec<Signature>> =
            records.iter().map(|record| record.signatures().collect()).collect();
        let mut asked: Vec<(usize, Key<'_>)> = Vec::new();
        for (at, (record, names)) in records.iter().zip(&names).enumerate() {
            asked.extend(names.iter().map(|name| (at, Key::Signature(name))));
            if names.is_empty() && by_digest {
                asked.push((at, Key::Package(record.sha256)));
            }
        }
        let keys: Vec<Key<'_>> = asked.iter().map(|(_, key)| *key).collect();
        let mut says = vec![false; records.len()];
        for ((at, _), found) in asked.into_iter().zip(self.look_up(&keys)?) {
            let statement = records[at].statement();
            let found = self.records_of(&found)?;
            says[at] |= found.into_iter().flatten().any(|one| one.statement() == statement);
        }
        Ok(says)
    }

    fn lock_asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.asked.lock().expect("nothing panics while it counts")
    }

    fn failed(&self, error: &PublishedError) -> HashDbError {
        let location = self.edition.files.location().to_owned();
        HashDbError::Failed { location, problem: hashget::wording::one_line(error) }
    }
}

impl HashDb for PublishedHashDb<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.look_up(keys).map_err(|error| self.failed(&error))
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        let records = self.records_of(packages).map_err(|error| self.failed(&error))?;
        let publisher = &self.edition.checkpoint.origin;
        let record = |found: Option<Arc<PublishedRecord>>| {
            found.map(|record| (*record).clone().into_record(publisher, self.now))
        };
        Ok(records.into_iter().map(record).collect())
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        self.members_of(package, visit).map_err(|error| self.failed(&error))
    }

    fn prefetch_members(&self, packages: &[PackageId]) -> Result<(), HashDbError> {
        self.prefetch(packages).map_err(|error| self.failed(&error))
    }
}
