//! The HashDB of this machine for commands that may have a use for it, and may not.
//!
//! Invariant: it is opened when it is first asked for, and never made: where there is none, it knows nothing.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use hashget::hashdb::{HashDb, HashDbError, Key, LocalHashDb, NoHashDb, PackageId};
use hashget::model::{Member, PackageRecord};

/// The HashDB in a folder.
pub(crate) struct LazyHashDb {
    folder: Option<PathBuf>,
    opened: OnceLock<Arc<dyn HashDb>>,
}

impl LazyHashDb {
    /// The one in this folder, if there is one.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, opened: OnceLock::new() }
    }

    fn get(&self) -> Result<&dyn HashDb, HashDbError> {
        if let Some(opened) = self.opened.get() {
            return Ok(&**opened);
        }
        let folder = self.folder.as_ref().filter(|folder| LocalHashDb::is_in(folder));
        let (opened, error): (Arc<dyn HashDb>, _) = match folder.map(|it| LocalHashDb::open(it)) {
            Some(Ok(hashdb)) => (Arc::new(hashdb), None),
            // It is told once.
            Some(Err(error)) => (Arc::new(NoHashDb), Some(error)),
            None => (Arc::new(NoHashDb), None),
        };
        let opened = self.opened.get_or_init(|| opened);
        error.map_or(Ok(&**opened), Err)
    }
}

impl HashDb for LazyHashDb {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.get()?.find(keys)
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        self.get()?.records(packages)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        self.get()?.each_member(package, visit)
    }

    fn named(&self, kind: &str, beginning: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        self.get()?.named(kind, beginning, most)
    }
}
