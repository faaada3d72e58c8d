//! Two HashDBs as one: what everybody may rely on, and what one backup alone may.
//!
//! Invariant: everything is written to the first one. An id says which of both it belongs to.

use super::{BlockStore, Check, Checks, HashDb, HashDbError, HashDbWriter, Key, PackageId};
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

    /// Puts those whose own URL this is before those that have it as another one.
    fn own_before_others(&self, ids: &mut [PackageId], url: &str) -> Result<(), HashDbError> {
        let records = self.records(ids)?;
        let is_own = |id: PackageId| {
            let of_id = ids.iter().zip(&records).find(|(other, _)| **other == id);
            of_id.is_some_and(|(_, record)| record.as_ref().is_some_and(|one| one.url == url))
        };
        let own: Vec<PackageId> = ids.iter().copied().filter(|id| is_own(*id)).collect();
        ids.sort_unstable_by_key(|id| (!own.contains(id), *id));
        Ok(())
    }
}

impl HashDb for JoinedHashDb<'_> {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        let (first, second) = (self.first.find(keys)?, self.second.find(keys)?);
        let mut joined = Vec::with_capacity(keys.len());
        for ((first, second), key) in first.into_iter().zip(second).zip(keys) {
            let is_of_both = !first.is_empty() && !second.is_empty();
            let first = first.into_iter().map(|id| Of::First(id).id());
            let mut ids: Vec<PackageId> =
                first.chain(second.into_iter().map(|id| Of::Second(id).id())).collect();
            match key {
                Key::Url(url) if is_of_both => self.own_before_others(&mut ids, url)?,
                Key::Url(_) => {}
                Key::Content(_) | Key::Package(_) | Key::Signature(_) => ids.sort_unstable(),
            }
            joined.push(ids);
        }
        Ok(joined)
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

    fn named(&self, kind: &str, beginning: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        let first = self.first.named(kind, beginning, most)?;
        Ok(first.into_iter().map(|id| Of::First(id).id()).collect())
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

    fn blocks(&self) -> Option<&BlockStore> {
        self.first.blocks()
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
