//! Which packages one run looks at.
//!
//! Invariant: those come first that were looked at longest ago, so that repeated runs look at all of them; with a limit on bytes,
//! no more than these are downloaded.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{RequiredPackage, Requirements, VerifyOptions};
use crate::hashdb::{Check, Checks, HashDbError};
use crate::model::Digest;

/// A limit for one run; the next run continues with the packages that were checked longest ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtMost {
    /// Total size of the packages, in bytes. Of packages that are downloaded, no more than this; else one package at least is
    /// checked.
    Bytes(u64),
    /// Elapsed time: no further package is started after it.
    Time(Duration),
}

impl AtMost {
    /// The bytes, if it is a limit of those.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Time(_) => None,
        }
    }
}

/// The packages to look at, by their index, in order: those first that were checked longest ago, and those before them that
/// never were; of a sample, in random order where that says nothing.
pub(super) fn order(
    requirements: &Requirements,
    checks: &dyn Checks,
    options: &VerifyOptions,
) -> Result<Vec<usize>, HashDbError> {
    let packages: Vec<Digest> = requirements.packages.iter().map(|one| one.sha256).collect();
    let checks = checks.checks(&packages)?;
    let random = RandomState::new();
    let shuffled = |index: usize| options.sample.map(|_| random.hash_one(index));
    let age = |(index, checks): (usize, &Vec<Check>)| {
        let fitting = checks.iter().filter(|check| check.deep || !options.deep);
        let last = fitting.map(|check| (check.checked_at, check.nanoseconds)).max();
        (last, shuffled(index), index)
    };
    let mut ages: Vec<_> = checks.iter().enumerate().map(age).collect();
    ages.sort_unstable();
    ages.truncate(share(ages.len(), options.sample));
    Ok(ages.into_iter().map(|(_, _, index)| index).collect())
}

/// The number that `percent` of `all` are, at least one.
fn share(all: usize, percent: Option<u32>) -> usize {
    let Some(percent) = percent else { return all };
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    all.saturating_mul(percent).div_ceil(100).clamp(1, all.max(1))
}

/// What is left of the limit of one run.
pub(super) struct Allowance {
    at_most: Option<AtMost>,
    deep: bool,
    began: Instant,
    taken: AtomicU64,
}

impl Allowance {
    /// All of it.
    pub(super) fn new(options: &VerifyOptions) -> Self {
        let VerifyOptions { deep, at_most, .. } = *options;
        Self { at_most, deep, began: Instant::now(), taken: AtomicU64::new(0) }
    }

    /// Takes what looking at `package` costs; false if that is more than is left. `is_first`: nothing was looked at before.
    pub(super) fn take(&self, package: &RequiredPackage, is_first: bool) -> bool {
        let cost = self.cost(package);
        match self.at_most {
            None => true,
            Some(AtMost::Time(most)) => is_first || self.began.elapsed() <= most,
            Some(AtMost::Bytes(most)) if self.deep => {
                // A size that nothing tells could be any.
                let fits = |taken: u64| {
                    let sum = taken.checked_add(cost?)?;
                    (sum <= most).then_some(sum)
                };
                self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
            }
            Some(AtMost::Bytes(most)) => {
                let cost = cost.unwrap_or(0);
                let taken = self.taken.fetch_add(cost, Ordering::Relaxed);
                is_first || taken.saturating_add(cost) <= most
            }
        }
    }

    /// Gives back what was taken for a package that was not asked for.
    pub(super) fn give_back(&self, package: &RequiredPackage) {
        if let Some(AtMost::Bytes(_)) = self.at_most {
            self.taken.fetch_sub(self.cost(package).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Bytes that looking at a package costs; `None` if nothing tells its size. Each of its URLs is asked.
    fn cost(&self, package: &RequiredPackage) -> Option<u64> {
        let places = if self.deep { package.urls().count() } else { 1 };
        package.size.map(|size| size.saturating_mul(u64::try_from(places).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up_and_never_nothing() {
        for (all, percent, expected) in [
            (100, None, 100),
            (100, Some(5), 5),
            (101, Some(5), 6),
            (3, Some(1), 1),
            (3, Some(100), 3),
            (0, Some(5), 0),
        ] {
            assert_eq!(share(all, percent).min(all), expected, "{all} {percent:?}");
        }
    }
}
