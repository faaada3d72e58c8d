//! What stands in for a HashDB that cannot be opened.
//!
//! Invariant: it knows no package, so that whoever relies on it leaves nothing out.

use super::{Check, Checks, HashDb, HashDbError, HashDbWriter, Key, PackageId};
use crate::model::{Digest, Member, PackageRecord};

/// A HashDB without packages, to which none can be added.
#[derive(Debug, Clone, Copy)]
pub struct NoHashDb;

impl HashDb for NoHashDb {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        Ok(vec![Vec::new(); keys.len()])
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        Ok(vec![None; packages.len()])
    }

    fn each_member(
        &self,
        _package: PackageId,
        _visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        Ok(())
    }
}

impl Checks for NoHashDb {
    fn put_check(&self, _check: &Check) -> Result<(), HashDbError> {
        Ok(())
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        Ok(vec![Vec::new(); packages.len()])
    }
}

impl HashDbWriter for NoHashDb {
    fn is_writable(&self) -> bool {
        false
    }

    fn put(&self, record: &PackageRecord, _members: &[Member]) -> Result<PackageId, HashDbError> {
        let problem = format!("there is none that could keep {}", record.url);
        Err(HashDbError::Failed { location: "(none)".to_owned(), problem })
    }

    fn amend(
        &self,
        _package: PackageId,
        _change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        Ok(None)
    }

    fn remove(&self, _package: PackageId) -> Result<bool, HashDbError> {
        Ok(false)
    }
}
