//! Publishers, as they are asked while restoring: for packages that no source has.
//!
//! Invariant: nothing is asked of a package that is not lost, or of which not everybody may know. Nobody's word puts a byte
//! into its place: a package that is said to be elsewhere is proven by the digest that the manifest has.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fetch::{
    FetchError, Fetched, LostPackages, Source, Wanted, from_elsewhere, is_of_its_places,
};
use crate::hashdb::{HashDb, Key, SharedHashDb};
use crate::model::{Checksum, Digest};
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
    fn of_lost(&self, package: &Digest) -> Option<(&dyn HashDb, BTreeSet<String>)> {
        let shared: &dyn HashDb = &*self.shared;
        self.lost.urls(package).map(|urls| (shared, urls))
    }

    /// The publishers, if they may be asked for files of this package.
    pub(super) fn of(&self, package: &Digest) -> Option<&dyn HashDb> {
        self.of_lost(package).map(|(shared, _)| shared)
    }

    /// Further URLs of a lost package. A publisher that fails has reported it by itself.
    fn further_urls(&self, package: &Digest) -> Vec<String> {
        let Some((shared, looked)) = self.of_lost(package) else { return Vec::new() };
        let found = shared.find_one(Key::Package(*package)).unwrap_or_default();
        let records = shared.records(&found).unwrap_or_default().into_iter().flatten();
        let mut urls: Vec<String> = Vec::new();
        for record in records.filter(|record| record.sha256 == *package) {
            for url in record.urls() {
                if !looked.contains(url) && !urls.iter().any(|one| one == url) {
                    urls.push(url.to_owned());
                }
            }
        }
        urls
    }
}

/// A source that ends with what publishers know: other places of the same package.
pub struct Elsewhere<'h> {
    /// Whatever is asked before; it says which packages are lost.
    inner: Box<dyn Source + 'h>,
    shared: SharedForLost<'h>,
    /// What fetches from other places.
    plain: Arc<dyn Source>,
}

impl<'h> Elsewhere<'h> {
    /// `inner`, and after it `plain` with the URLs that publishers know.
    pub fn new(
        inner: Box<dyn Source + 'h>,
        shared: SharedForLost<'h>,
        plain: Arc<dyn Source>,
    ) -> Self {
        Self { inner, shared, plain }
    }
}

impl Source for Elsewhere<'_> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let error = match self.inner.fetch(wanted, monitor) {
            Err(error) => error,
            fetched => return fetched,
        };
        let Some(sha256) = wanted.sha256.filter(|_| is_of_its_places(&error)) else {
            return Err(error);
        };
        let places = (&*self.plain, self.shared.further_urls(&sha256));
        from_elsewhere(error, wanted, places, "a publisher knows another place", monitor)
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        self.inner.at_hand_by_checksum(checksum, wanted, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        self.inner.is_at_hand(wanted, monitor)
    }
}
