//! Can an archive still be restored? Checks every URL of every package.
//!
//! Invariant: a package counts as lost only if every URL answered that it is not there; a server that cannot be
//! reached may be back tomorrow. Every answer is recorded with its date, and nothing else is: a URL that was not asked,
//! because its host was given up, is checked first in the next run.

mod chosen;
mod contents;
mod report;
mod rests;
mod stored;

pub use chosen::AtMost;
pub use contents::StoredContents;
pub(crate) use contents::StoredThing;
pub use stored::{StoredVerified, verify_contents, verify_stored};

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::{ArchiveError, PackageBytes, RequiredPackage, Requirements, count, given_entries};
use crate::derived::Derive;
use crate::error::ErrorClass;
use crate::fetch::{FetchError, Reach, Source, Wanted, Web, name_beside};
use crate::hashdb::{Check, CheckOutcome, Checks, HashDb, HashDbError, complete_members};
use crate::model::manifest::{AnyManifest, ManifestError};
use crate::model::{Digest, RelPath, escaped};
use crate::monitor::{Interrupted, Monitor, Step, Total};
use crate::parallel;
use crate::places::{Answer, Asker, Known};
use chosen::Allowance;

/// What verifying stands on.
pub struct Verifier<'a> {
    /// The network, without a cache or pools: every place is asked itself.
    pub network: &'a dyn Source,
    /// The same places, for their sizes alone.
    pub web: &'a dyn Web,
    /// Pools and the cache, without the network.
    pub local: &'a dyn Source,
    /// The packages of which supplements say that they have all that is needed, each with the name of its supplement.
    pub supplements: &'a BTreeMap<Digest, String>,
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
    /// Which recipes are carried out on what was downloaded.
    pub derive: Derive,
    /// Look at no package beyond this limit.
    pub at_most: Option<AtMost>,
    /// Look at so many percent of the packages only, chosen at random among those that were checked longest ago.
    pub sample: Option<u32>,
}

/// Receives each package that was downloaded, by its index in the manifest, with the bytes that there are. Says whether all that
/// the archive needs of it is right: also other bytes than those that were packed may have that.
///
/// # Errors
/// The manifest cannot be used, or the monitor asked to stop.
pub(crate) type Received<'v> = dyn Fn(usize, PackageBytes) -> Result<bool, VerifyError> + Sync + 'v;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The packages that were checked, in the manifest's order.
    pub packages: Vec<VerifiedPackage>,
    /// Number of packages that [`VerifyOptions::at_most`] and [`VerifyOptions::sample`] left for the next runs.
    pub not_asked: u64,
    /// Bytes of these, as far as their sizes are known.
    pub bytes_not_asked: u64,
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
    /// Its places gave other bytes, but all that the archive needs of it is right.
    pub suffices: bool,
    /// Was it downloaded?
    pub deep: bool,
}

/// Whether a package can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageState {
    /// A URL, a pool or the cache has it, or other bytes with all that the archive needs of it.
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
    /// A restore could not be rehearsed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// A package could not be kept while it was looked at: the disk of this machine is full, or cannot be written to.
    #[error(transparent)]
    NotKept(FetchError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl VerifyError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Manifest(error) => error.class(),
            Self::Archive(error) => error.class(),
            Self::HashDb(error) => error.class(),
            Self::NotKept(error) => error.class(),
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

    /// Was it downloaded, and only other bytes came?
    pub fn is_other(&self) -> bool {
        let differs = |outcome| matches!(outcome, CheckOutcome::Differs | CheckOutcome::Moves);
        self.deep
            && self.state() != PackageState::Present
            && self.places.iter().any(|(_, outcome, _)| differs(*outcome))
    }

    /// Was any of its URLs asked?
    pub fn was_asked(&self) -> bool {
        self.not_asked == 0 || self.not_asked < self.places.len()
    }

    /// Whether it can be had.
    pub fn state(&self) -> PackageState {
        let any = |wanted| self.places.iter().any(|(_, outcome, _)| *outcome == wanted);
        if self.local.is_some() || self.suffices || any(CheckOutcome::Present) {
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
        self.verify_and_pass_on(manifest, options, None, monitor)
    }

    /// As [`Verifier::verify`]; passes on each package that was downloaded.
    pub(crate) fn verify_and_pass_on(
        &self,
        manifest: &AnyManifest,
        options: &VerifyOptions,
        received: Option<&Received<'_>>,
        monitor: &dyn Monitor,
    ) -> Result<Verified, VerifyError> {
        let requirements = Requirements::from_manifest(manifest)?;
        let order = chosen::order(&requirements, self.checks, options)?;
        let (bytes, things) = (requirements.package_bytes(), Some(count(order.len())));
        let is_all = options.deep && options.sample.is_none();
        let total = Total { bytes: Some(bytes).filter(|_| is_all), things };
        let progress = monitor.begin(Step::Check, "packages", total);
        let allowance = Allowance::new(options);
        let found: Mutex<Vec<(usize, VerifiedPackage)>> = Mutex::default();
        let asking = Asking { verifier: self, manifest, options, received, monitor };
        let outcome = parallel::for_each(self.jobs.min(order.len()), 0..order.len(), |position| {
            monitor.check_interrupted()?;
            let index = order[position];
            let package = &requirements.packages[index];
            if allowance.take(package, position == 0) {
                let verified = asking.ask(package, index)?;
                if !verified.was_asked() {
                    // It is left for the next run, and others are checked in its place.
                    allowance.give_back(package);
                }
                found.lock().expect("pushing does not panic").push((index, verified));
            }
            let bytes = package.size.filter(|_| options.deep).unwrap_or(0);
            progress.advance(bytes, 1);
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
        let asked = packages.iter().filter_map(|one| one.package.size);
        let bytes_not_asked = bytes.saturating_sub(asked.fold(0, u64::saturating_add));
        Ok(Verified { packages, not_asked, bytes_not_asked })
    }
}

impl Verifier<'_> {
    /// The answer of a URL, and what was downloaded from it if it was asked for all of the package. The answer is kept.
    pub(super) fn ask_place(
        &self,
        package: &RequiredPackage,
        url: &str,
        deep: bool,
        monitor: &dyn Monitor,
    ) -> Result<(Answer, PackageBytes), VerifyError> {
        let (answer, bytes) = self.answer_of(package, url, deep, monitor)?;
        match answer.outcome {
            // What lies beside this archive says nothing of what lies beside another one.
            Some(_) if name_beside(url).is_some() => {}
            // Nobody was asked: this machine is offline, or forbids it.
            Some(_) if answer.is_refused => {}
            Some(outcome) => {
                let check = Check::now(package.sha256, url, deep, outcome);
                let published_at = answer.published_at;
                self.checks.put_check(&Check { published_at, ..check })?;
            }
            None => {}
        }
        Ok((answer, bytes))
    }

    fn answer_of(
        &self,
        package: &RequiredPackage,
        url: &str,
        deep: bool,
        monitor: &dyn Monitor,
    ) -> Result<(Answer, PackageBytes), VerifyError> {
        let nothing = PackageBytes::Nothing(String::new());
        if !deep {
            let checks = self.checks.checks(&[package.sha256])?.pop().unwrap_or_default();
            let (asker, known) = (Asker { web: self.web }, Known::by(&checks));
            let answer = asker.ask(url, Reach::Anywhere, package.size, known, monitor)?;
            return Ok((answer, nothing));
        }
        let wanted = Wanted { url: url.to_owned(), also: Vec::new(), ..package.wanted() };
        Ok(match self.network.fetch(&wanted, monitor) {
            Ok(fetched) => {
                let answer = Answer::new(CheckOutcome::Present, "contents verified");
                (answer, PackageBytes::Proven(fetched.file))
            }
            // It is no answer of the server.
            Err(error) if error.is_not_kept() => return Err(VerifyError::NotKept(error)),
            Err(error) => (Answer::of_error(&error)?, PackageBytes::of_error(error)),
        })
    }
}

/// One run: what all of its packages share.
struct Asking<'a> {
    verifier: &'a Verifier<'a>,
    manifest: &'a AnyManifest,
    options: &'a VerifyOptions,
    received: Option<&'a Received<'a>>,
    monitor: &'a dyn Monitor,
}

impl Asking<'_> {
    fn ask(&self, package: &RequiredPackage, index: usize) -> Result<VerifiedPackage, VerifyError> {
        let deep = self.options.deep;
        let mut verified = VerifiedPackage {
            package: package.clone(),
            places: Vec::new(),
            not_asked: 0,
            local: None,
            files: Vec::new(),
            under: Vec::new(),
            suffices: false,
            deep,
        };
        let mut bytes = PackageBytes::Nothing(String::new());
        for url in package.urls() {
            let (answer, downloaded) = self.verifier.ask_place(package, url, deep, self.monitor)?;
            bytes = bytes.or(downloaded);
            verified.not_asked += usize::from(answer.outcome.is_none());
            let outcome = answer.outcome.unwrap_or(CheckOutcome::Unreachable);
            verified.places.push((url.to_owned(), outcome, answer.details));
        }
        if verified.state() != PackageState::Present {
            match self.verifier.local.fetch(&package.wanted(), self.monitor) {
                Ok(fetched) => {
                    verified.local = Some(fetched.from);
                    bytes = PackageBytes::Proven(fetched.file);
                }
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) if error.is_not_kept() => return Err(VerifyError::NotKept(error)),
                // A rehearsal looks for itself.
                Err(_) if deep => {}
                Err(_) => verified.local = self.in_supplement(package),
            }
            (verified.files, verified.under) = self.dependents(index)?;
        }
        if let Some(received) = self.received.filter(|_| verified.state() != PackageState::NotAsked)
        {
            let bytes = match bytes {
                PackageBytes::Nothing(_) => PackageBytes::Nothing(report::answers(&verified)),
                bytes => bytes,
            };
            let is_other = matches!(bytes, PackageBytes::Other(..));
            let has_all = received(index, bytes)?;
            verified.suffices = has_all && is_other;
            if has_all && verified.state() != PackageState::Present {
                verified.local = self.in_supplement(package);
            }
        }
        report::lost(&verified, self.monitor);
        Ok(verified)
    }

    /// The supplement that says that it has all that is needed of a package.
    fn in_supplement(&self, package: &RequiredPackage) -> Option<String> {
        self.verifier.supplements.get(&package.sha256).cloned()
    }

    /// What needs a package: entries by name, and the beginnings of the paths of those whose names
    /// only the package has.
    fn dependents(&self, index: usize) -> Result<(Vec<RelPath>, Vec<String>), VerifyError> {
        let hashdb = self.verifier.hashdb;
        match self.manifest {
            AnyManifest::V2(manifest) => {
                let package = &manifest.packages[index];
                let members = complete_members(hashdb, &package.sha256)?;
                let mut files = given_entries(package, members.as_deref(), false)?;
                let pieces = manifest.pieces().into_iter();
                files.extend(
                    pieces.flat_map(|pieces| pieces.files_of_package(index, &package.sha256)),
                );
                files.extend(manifest.made_with(index)?.into_iter().map(|entry| entry.path));
                let placements = package.placements.iter().filter(|_| members.is_none());
                Ok((files, placements.map(|placement| escaped(&placement.to.0)).collect()))
            }
            AnyManifest::V1(manifest) => {
                let package = &manifest.packages[index];
                let Some(members) = complete_members(hashdb, &package.hash)? else {
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
