//! Publishers, as they are asked while restoring: for packages that no source has.
//!
//! Invariant: nothing is asked of a package that is not lost, or of which not everybody may know.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::package_members::KnowsMembers;
use crate::fetch::LostPackages;
use crate::hashdb::{HashDb, SharedHashDb, complete_members};
use crate::model::{Digest, Member};
use crate::monitor::{Interrupted, Monitor};

/// What publishers know of lost packages.
#[derive(Clone)]
pub struct SharedForLost<'h> {
    shared: Arc<dyn SharedHashDb + 'h>,
    lost: Arc<LostPackages>,
}

impl<'h> SharedForLost<'h> {
    /// What `shared` knows of the packages in `lost`.
    pub fn new(shared: Arc<dyn SharedHashDb + 'h>, lost: Arc<LostPackages>) -> Self {
        Self { shared, lost }
    }

    /// The publishers, if they may be asked for this package or its files; and where it was looked for.
    pub(super) fn of(&self, package: &Digest) -> Option<(&dyn HashDb, BTreeSet<String>)> {
        let shared: &dyn HashDb = &*self.shared;
        self.lost.urls(package).map(|urls| (shared, urls))
    }
}

impl KnowsMembers for SharedForLost<'_> {
    fn members_of(
        &self,
        package: &Digest,
        _monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Member>>, Interrupted> {
        let Some((shared, _)) = self.of(package) else { return Ok(None) };
        // A publisher that fails reports it by itself.
        Ok(complete_members(shared, package).ok().flatten())
    }
}
