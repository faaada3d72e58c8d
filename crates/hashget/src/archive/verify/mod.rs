//! Can an archive still be restored? Checks every URL of every package.
//!
//! Invariant: a package counts as lost only if every URL answered that it is not there; a server that cannot be
//! reached may be back tomorrow. Every answer is recorded with its date, and nothing else is: a URL that was not asked,
//! because its host was given up, is checked first in the next run.

mod report;
mod stored;

pub use stored::{StoredVerified, verify_stored};

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{RequiredPackage, Requirements, count, given_entries};
use crate::error::ErrorClass;
use crate::fetch::{FetchError, Reach, Source, Wanted, Web};
use crate::hashdb::{Check, CheckOutcome, Checks, HashDb, HashDbError, complete_members};
use crate::model::manifest::{AnyManifest, ManifestError};
use crate::model::{Digest, RelPath, escaped};
use crate::monitor::{Interrupted, Monitor, Step, Total};
use crate::parallel;
use crate::places::{Answer, Asker, Known};

/// What verifying stands on.
pub struct Verifier<'a> {
    /// The network, without a cache or pools: every place is asked itself.
    pub network: &'a dyn Source,
    /// The same places, for their sizes alone.
    pub web: &'a dyn Web,
    /// Pools and the cache, without the network.
    pub local: &'a dyn Source,
    /// Where answers are kept.
    pub checks: &'a dyn Checks,
    /// What knows the members of packages.
    pub hashdb: &'a dyn HashDb,
    /// Packages that are checked at the same time; at least 1.
    pub jobs: usize,
}

/// How to verify.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions {
    /// Download each package and prove it, instead of asking for its size.
    pub deep: bool,
    /// Start no further package beyond this limit.
    pub at_most: Option<AtMost>,
}

/// A limit for one run; the next run continues with the packages that were checked longest ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtMost {
    /// Total size of the packages, in bytes.
    Bytes(u64),
    /// Elapsed time.
    Time(Duration),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The packages that were checked, in the manifest's order.
    pub packages: Vec<VerifiedPackage>,
    /// Number of packages that [`VerifyOptions::at_most`] left for the next run.
    pub not_asked: u64,
}

/// A package and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPackage {
    /// The package.
    pub package: RequiredPackage,
    /// Each of its URLs with the answer and its details.
    pub places: Vec<(String, CheckOutcome, String)>,
    /// Those of its URLs that were not asked, since their hosts were given up; in `places` they are unreachable.
    pub not_asked: usize,
    /// The file in a pool or the cache that has it; looked for if no URL has it.
    pub local: Option<String>,
    /// If no URL has it: the entries that need it, as far as they are known ...
    pub files: Vec<RelPath>,
    /// ... and the beginnings of the paths of all others.
    pub under: Vec<String>,
}

/// Whether a package can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageState {
    /// A URL, a pool or the cache has it.
    Present,
    /// No URL has it, and at least one could not be reached.
    Unreachable,
    /// None of its URLs was asked, since their hosts were given up.
    NotAsked,
    /// Every URL answered, and none has it; neither have pools and the cache.
    Lost,
}

/// Why verifying stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The manifest contradicts itself.
    #[error("the manifest cannot be used")]
    Manifest(#[from] ManifestError),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl VerifyError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(error) => error.class(),
            Self::HashDb(error) => error.class(),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

impl VerifiedPackage {
    /// The URLs that do not have it, with their answers.
    pub fn bad_places(&self) -> impl Iterator<Item = (&str, CheckOutcome, &str)> {
        let places = self.places.iter().map(|(url, outcome, what)| (&**url, *outcome, &**what));
        places.filter(|(_, outcome, _)| *outcome != CheckOutcome::Present)
    }

    /// Was any of its URLs asked?
    pub fn was_asked(&self) -> bool {
        self.not_asked == 0 || self.not_asked < self.places.len()
    }

    /// Whether it can be had.
    pub fn state(&self) -> PackageState {
        let any = |wanted| self.places.iter().any(|(_, outcome, _)| *outcome == wanted);
        if self.local.is_some() || any(CheckOutcome::Present) {
            PackageState::Present
        } else if !self.was_asked() {
            PackageState::NotAsked
        } else if any(CheckOutcome::Unreachable) || self.places.is_empty() {
            PackageState::Unreachable
        } else {
            PackageState::Lost
        }
    }
}

impl Verifier<'_> {
    /// Checks the packages of a manifest, those first that were checked longest ago.
    ///
    /// # Errors
    /// See [`VerifyError`]. A package that is not available is in the result and is reported to `monitor`: a lost
    /// one immediately, others at the end, many of one host together.
    pub fn verify(
        &self,
        manifest: &AnyManifest,
        options: &VerifyOptions,
        monitor: &dyn Monitor,
    ) -> Result<Verified, VerifyError> {
        let requirements = Requirements::from_manifest(manifest)?;
        let order = self.oldest_first(&requirements, options.deep)?;
        let (bytes, things) =
            (requirements.package_bytes(), Some(count(requirements.packages.len())));
        let total = Total { bytes: Some(bytes).filter(|_| options.deep), things };
        let progress = monitor.begin(Step::Check, "packages", total);
        let (began, asked_bytes) = (Instant::now(), AtomicU64::new(0));
        let found: Mutex<Vec<(usize, VerifiedPackage)>> = Mutex::default();
        let outcome = parallel::for_each(self.jobs.min(order.len()), 0..order.len(), |position| {
            monitor.check_interrupted()?;
            let index = order[position];
            let bytes = requirements.packages[index].size.unwrap_or(0);
            let before = asked_bytes.fetch_add(bytes, Ordering::Relaxed);
            let enough = match options.at_most {
                Some(AtMost::Bytes(most)) => position > 0 && before.saturating_add(bytes) > most,
                Some(AtMost::Time(most)) => position > 0 && began.elapsed() > most,
                None => false,
            };
            if !enough {
                let verified =
                    self.ask(&requirements.packages[index], index, manifest, options, monitor)?;
                if !verified.was_asked() {
                    // It is left for the next run, and others are checked in its place.
                    asked_bytes.fetch_sub(bytes, Ordering::Relaxed);
                }
                found.lock().expect("pushing does not panic").push((index, verified));
            }
            progress.advance(if options.deep { bytes } else { 0 }, 1);
            Ok::<(), VerifyError>(())
        });
        drop(progress);
        let mut found = found.into_inner().expect("pushing does not panic");
        found.sort_unstable_by_key(|(index, _)| *index);
        let packages: Vec<VerifiedPackage> = found.into_iter().map(|(_, found)| found).collect();
        // Also after an interruption: what was learned is reported.
        report::others(&packages, monitor);
        outcome?;
        let not_asked = count(requirements.packages.len() - packages.len());
        Ok(Verified { packages, not_asked })
    }

    /// The packages in the order of their last check; those that were never checked come first.
    fn oldest_first(
        &self,
        requirements: &Requirements,
        deep: bool,
    ) -> Result<Vec<usize>, HashDbError> {
        let packages: Vec<Digest> = requirements.packages.iter().map(|one| one.sha256).collect();
        let checks = self.checks.checks(&packages)?;
        let age = |(index, checks): (usize, &Vec<Check>)| {
            let fitting = checks.iter().filter(|check| check.deep || !deep);
            (fitting.map(|check| (check.checked_at, check.nanoseconds)).max(), index)
        };
        let mut ages: Vec<_> = checks.iter().enumerate().map(age).collect();
        ages.sort_unstable();
        Ok(ages.into_iter().map(|(_, index)| index).collect())
    }

    fn ask(
        &self,
        package: &RequiredPackage,
        index: usize,
        manifest: &AnyManifest,
        options: &VerifyOptions,
        monitor: &dyn Monitor,
    ) -> Result<VerifiedPackage, VerifyError> {
        let (mut places, mut not_asked) = (Vec::new(), 0);
        for url in package.urls() {
            let Answer { outcome, details, .. } =
                self.ask_place(package, url, options.deep, monitor)?;
            let Some(outcome) = outcome else {
                not_asked += 1;
                places.push((url.to_owned(), CheckOutcome::Unreachable, details));
                continue;
            };
            self.checks.put_check(&Check::now(package.sha256, url, options.deep, outcome))?;
            places.push((url.to_owned(), outcome, details));
        }
        let mut verified = VerifiedPackage {
            package: package.clone(),
            places,
            not_asked,
            local: None,
            files: Vec::new(),
            under: Vec::new(),
        };
        if verified.state() != PackageState::Present {
            verified.local = match self.local.fetch(&package.wanted(), monitor) {
                Ok(fetched) => Some(fetched.from),
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(_) => None,
            };
            (verified.files, verified.under) = self.dependents(index, manifest)?;
        }
        report::lost(&verified, monitor);
        Ok(verified)
    }

    /// The answer of a URL.
    fn ask_place(
        &self,
        package: &RequiredPackage,
        url: &str,
        deep: bool,
        monitor: &dyn Monitor,
    ) -> Result<Answer, VerifyError> {
        if !deep {
            let checks = self.checks.checks(&[package.sha256])?.pop().unwrap_or_default();
            let (asker, known) = (Asker { web: self.web }, Known::by(&checks));
            return Ok(asker.ask(url, Reach::Anywhere, package.size, known, monitor)?);
        }
        let wanted = Wanted { url: url.to_owned(), also: Vec::new(), ..package.wanted() };
        match self.network.fetch(&wanted, monitor) {
            Ok(_) => Ok(Answer::new(CheckOutcome::Present, "contents verified")),
            Err(error) => Ok(Answer::of_error(&error)?),
        }
    }

    /// What needs a package: entries by name, and the beginnings of the paths of those whose names
    /// only the package has.
    fn dependents(
        &self,
        index: usize,
        manifest: &AnyManifest,
    ) -> Result<(Vec<RelPath>, Vec<String>), VerifyError> {
        match manifest {
            AnyManifest::V2(manifest) => {
                let package = &manifest.packages[index];
                let members = complete_members(self.hashdb, &package.sha256)?;
                let files = given_entries(package, members.as_deref(), false)?;
                let placements = package.placements.iter().filter(|_| members.is_none());
                Ok((files, placements.map(|placement| escaped(&placement.to.0)).collect()))
            }
            AnyManifest::V1(manifest) => {
                let package = &manifest.packages[index];
                let Some(members) = complete_members(self.hashdb, &package.hash)? else {
                    return Ok((Vec::new(), vec![String::new()]));
                };
                let hangs = |digest| {
                    digest == package.hash || members.iter().any(|one| one.sha256 == Some(digest))
                };
                let files = manifest.files.iter().filter(|file| hangs(file.sha256));
                Ok((files.map(|file| file.file.clone()).collect(), Vec::new()))
            }
        }
    }
}
