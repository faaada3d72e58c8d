//! Two HashDBs as one: what everybody may rely on, and what one backup alone may.
//!
//! Invariant: everything is written to the first one. An id says which of both it belongs to.

use super::{Check, Checks, HashDb, HashDbError, HashDbWriter, Key, PackageId};
use crate::model::{Digest, Member, PackageRecord};

/// A HashDB, and another one that is only read.
pub struct JoinedHashDb<'a> {
    first: &'a dyn HashDbWriter,
    second: &'a dyn HashDb,
}

/// A package of one of both.
#[derive(Clone, Copy)]
enum Of {
    First(PackageId),
    Second(PackageId),
}

impl Of {
    fn id(self) -> PackageId {
        PackageId(match self {
            Self::First(PackageId(raw)) => raw << 1,
            Self::Second(PackageId(raw)) => raw << 1 | 1,
        })
    }

    fn new(PackageId(raw): PackageId) -> Self {
        match raw & 1 {
            0 => Self::First(PackageId(raw >> 1)),
            _ => Self::Second(PackageId(raw >> 1)),
        }
    }
}

/// The packages of each of both, with their places among `packages`.
fn apart(packages: &[PackageId]) -> [(Vec<usize>, Vec<PackageId>); 2] {
    let mut apart: [(Vec<usize>, Vec<PackageId>); 2] = Default::default();
    for (place, package) in packages.iter().enumerate() {
        let (of, id) = match Of::new(*package) {
            Of::First(id) => (0, id),
            Of::Second(id) => (1, id),
        };
        apart[of].0.push(place);
        apart[of].1.push(id);
    }
    apart
}

impl<'a> JoinedHashDb<'a> {
    /// `first`, and what `second` knows besides.
    pub fn new(first: &'a dyn HashDbWriter, second: &'a dyn HashDb) -> Self {
        Self { first, second }
    }
}

impl HashDb for JoinedHashDb<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        let (first, second) = (self.first.find(keys)?, self.second.find(keys)?);
        let joined = first.into_iter().zip(second).zip(keys).map(|((first, second), key)| {
            let first = first.into_iter().map(|id| Of::First(id).id());
            let mut ids: Vec<PackageId> =
                first.chain(second.into_iter().map(|id| Of::Second(id).id())).collect();
            // What a URL finds has an order of its own.
            if !matches!(key, Key::Url(_)) {
                ids.sort_unstable();
            }
            ids
        });
        Ok(joined.collect())
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        let mut records = vec![None; packages.len()];
        let [(places, first), (more, second)] = apart(packages);
        let found = self.first.records(&first)?.into_iter().chain(self.second.records(&second)?);
        for (place, record) in places.into_iter().chain(more).zip(found) {
            records[place] = record;
        }
        Ok(records)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        match Of::new(package) {
            Of::First(id) => self.first.each_member(id, visit),
            Of::Second(id) => self.second.each_member(id, visit),
        }
    }

    fn prefetch_members(&self, packages: &[PackageId]) -> Result<(), HashDbError> {
        let [(_, first), (_, second)] = apart(packages);
        self.first.prefetch_members(&first)?;
        self.second.prefetch_members(&second)
    }
}

impl Checks for JoinedHashDb<'_> {
    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        self.first.put_check(check)
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        self.first.checks(packages)
    }
}

impl HashDbWriter for JoinedHashDb<'_> {
    fn is_writable(&self) -> bool {
        self.first.is_writable()
    }

    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        self.first.put(record, members).map(|id| Of::First(id).id())
    }

    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        match Of::new(package) {
            Of::First(id) => self.first.amend(id, change),
            Of::Second(_) => Ok(None),
        }
    }

    fn remove(&self, package: PackageId) -> Result<bool, HashDbError> {
        match Of::new(package) {
            Of::First(id) => self.first.remove(id),
            Of::Second(_) => Ok(false),
        }
    }
}
