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
use hashget::model::{Digest, Member, PackageRecord};
use hashget::monitor::Monitor;

pub use self::asked::Asked;
pub(crate) use self::rows::id;
use self::rows::{Place, Rows};
pub use self::shared::{Publisher, SharedPublishers, Sharing};
use crate::error::PublishedError;
use crate::files::Traffic;
use crate::proven::Edition;
use crate::record::PublishedRecord;
use crate::statement::Statement;
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

    /// For each statement, does the publisher seem to say the same? One read of 32 bytes each; a false "yes" is possible, and no
    /// false "no".
    ///
    /// # Errors
    /// The publisher could not be asked.
    pub fn says(&self, statements: &[Statement]) -> Result<Vec<bool>, PublishedError> {
        let keys: Vec<u64> =
            statements.iter().map(|one| crate::table::cut(&one.digest())).collect();
        let mut says = vec![false; keys.len()];
        for layer in 0..self.edition.manifest.layers.len() {
            for (said, may_be) in says.iter_mut().zip(self.filtered(layer, &keys)?) {
                *said |= may_be;
            }
        }
        Ok(says)
    }

    /// What the publisher says of a package.
    ///
    /// # Errors
    /// The publisher could not be asked.
    pub fn statement(&self, package: PackageId) -> Result<Option<Statement>, PublishedError> {
        let rows = self.records_of(&[package])?;
        Ok(rows.into_iter().flatten().next().map(|record| record.statement()))
    }

    /// The published records of packages, in order; `None` for one that is not vouched for any more.
    pub(crate) fn published(
        &self,
        packages: &[PackageId],
    ) -> Result<Vec<Option<Arc<PublishedRecord>>>, PublishedError> {
        self.records_of(packages)
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
        let places: Vec<Place> =
            packages.iter().filter_map(|id| Place::of(&self.edition.manifest, *id)).collect();
        self.fetch_rows(&places, true).map_err(|error| self.failed(&error))
    }
}
