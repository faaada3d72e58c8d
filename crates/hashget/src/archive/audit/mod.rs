//! The audit: what many archives rely on, which of it is to be asked for next, and what could be restored today.
//!
//! Invariant: what is due longest comes first, so that runs with a limit reach everything; every answer is kept when it comes, so that a run that
//! is broken off has lost nothing. Figures are of what is known, never of what was planned.

mod figures;
mod outlook;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Instant;

use super::verify::{AtMost, Verifier, VerifyError};
use super::{ReliedOn, RequiredPackage, count};
use crate::hashdb::{Check, CheckOutcome, HashDbError};
use crate::model::Digest;
use crate::monitor::{Monitor, Step, Total};
use crate::parallel;
pub use figures::{Endangered, Figures, SeriesFigures};
pub use outlook::{Judge, Outlook, Risk};
pub use plan::Cadence;
use plan::{Depth, Due};

/// Archives, and the packages that they rely on.
#[derive(Debug, Default)]
pub struct Audit {
    packages: BTreeMap<Digest, RequiredPackage>,
    archives: Vec<AuditedArchive>,
}

/// An archive, and what it relies on.
#[derive(Debug)]
struct AuditedArchive {
    name: String,
    /// Its series; of an archive of none, its name.
    series: String,
    /// Each package with the bytes that it gives.
    packages: Vec<(Digest, u64)>,
}

/// What one run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Number of packages whose places were asked.
    pub packages: u64,
    /// Of those, the ones that were downloaded.
    pub downloaded: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Number of packages that are due and were left for the next run.
    pub left: u64,
    /// Number of packages of which no place gave an answer.
    pub unanswered: u64,
}

/// Asks, and judges.
pub struct Auditor<'a> {
    /// The network, and where answers are kept.
    pub verifier: &'a Verifier<'a>,
    /// By what packages are judged.
    pub judge: Judge<'a>,
    /// How often places are asked.
    pub cadence: Cadence,
    /// What one run may take.
    pub at_most: Option<AtMost>,
}

impl Audit {
    /// Adds an archive of a series. What another archive says of a package that both rely on stays, with the places of both.
    pub fn add(&mut self, name: String, series: String, relied_on: Vec<ReliedOn>) {
        let mut packages = Vec::with_capacity(relied_on.len());
        for ReliedOn { package, bytes } in relied_on {
            packages.push((package.sha256, bytes));
            match self.packages.entry(package.sha256) {
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(package);
                }
                std::collections::btree_map::Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    let new: Vec<String> = package
                        .urls()
                        .filter(|url| known.urls().all(|known| known != *url))
                        .map(str::to_owned)
                        .collect();
                    known.also.extend(new);
                }
            }
        }
        self.archives.push(AuditedArchive { name, series, packages });
    }

    /// The packages that all of them rely on.
    pub fn packages(&self) -> impl ExactSizeIterator<Item = &RequiredPackage> {
        self.packages.values()
    }

    /// The names of the archives that rely on one of these packages.
    pub fn relying_on(&self, packages: &BTreeSet<Digest>) -> BTreeSet<&str> {
        let relies = |archive: &&AuditedArchive| {
            archive.packages.iter().any(|(package, _)| packages.contains(package))
        };
        self.archives.iter().filter(relies).map(|archive| &*archive.name).collect()
    }

    /// Number of archives.
    pub fn archives(&self) -> usize {
        self.archives.len()
    }
}

impl Auditor<'_> {
    /// Asks for what is due, as far as the limit allows it. What comes of it is kept with the checks.
    ///
    /// # Errors
    /// The answers cannot be kept; the monitor asked to stop.
    pub fn ask(&self, audit: &Audit, monitor: &dyn Monitor) -> Result<Asked, VerifyError> {
        let checks = self.checks(audit)?;
        let known = audit.packages.values().zip(&checks);
        let plan = plan::plan(known, &self.cadence, self.judge.now);
        let (chosen, left) = plan::within(&plan, self.at_most);
        let asked = Mutex::new(Asked { left: count(left), ..Asked::default() });
        let total = Total { bytes: None, things: Some(count(chosen.len())) };
        let progress = monitor.begin(Step::Check, "packages", total);
        let began = Instant::now();
        parallel::for_each(self.verifier.jobs.min(chosen.len()), chosen.iter(), |due| {
            monitor.check_interrupted()?;
            let is_over =
                matches!(self.at_most, Some(AtMost::Time(most)) if began.elapsed() > most);
            if is_over {
                asked.lock().expect("counting does not panic").left += 1;
                return Ok(());
            }
            self.ask_places(due, &asked, monitor)?;
            progress.advance(0, 1);
            Ok::<(), VerifyError>(())
        })?;
        Ok(asked.into_inner().expect("counting does not panic"))
    }

    fn ask_places(
        &self,
        due: &Due<'_>,
        asked: &Mutex<Asked>,
        monitor: &dyn Monitor,
    ) -> Result<(), VerifyError> {
        let deep = due.depth == Depth::Bytes;
        let mut answered = false;
        for url in due.package.urls() {
            let (answer, _) = self.verifier.ask_place(due.package, url, deep, monitor)?;
            answered |= answer.outcome.is_some_and(|outcome| outcome != CheckOutcome::Unreachable);
        }
        let mut asked = asked.lock().expect("counting does not panic");
        asked.packages += 1;
        asked.unanswered += u64::from(!answered);
        if deep && answered {
            asked.downloaded += 1;
            asked.bytes = asked.bytes.saturating_add(due.cost());
        }
        Ok(())
    }

    fn checks(&self, audit: &Audit) -> Result<Vec<Vec<Check>>, HashDbError> {
        let digests: Vec<Digest> = audit.packages.keys().copied().collect();
        self.verifier.checks.checks(&digests)
    }

    /// What is known of each package now.
    ///
    /// # Errors
    /// The answers cannot be read.
    pub fn outlooks(&self, audit: &Audit) -> Result<BTreeMap<Digest, Outlook>, HashDbError> {
        let checks = self.checks(audit)?;
        let judged = audit
            .packages
            .iter()
            .zip(checks)
            .map(|((sha256, package), checks)| (*sha256, self.judge.outlook(package, &checks)));
        Ok(judged.collect())
    }
}
