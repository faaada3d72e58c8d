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
use super::{ReliedOn, RequiredPackage, Together, count};
use crate::fetch::name_beside;
use crate::hashdb::{Check, CheckOutcome, HashDbError};
use crate::model::Digest;
use crate::monitor::{Monitor, Step, Total};
use crate::parallel;
pub use figures::{Endangered, Figures, SeriesFigures};
pub use outlook::{Judge, Outlook, Risk};
pub use plan::{Cadence, within};
use plan::{Depth, Due};

/// Archives, and the packages that they rely on.
#[derive(Debug, Default)]
pub struct Audit {
    packages: BTreeMap<Digest, RequiredPackage>,
    archives: Vec<AuditedArchive>,
    /// Archives that must lie beside others, by their names: are they there?
    beside: BTreeMap<String, bool>,
}

/// An archive that is to be audited.
#[derive(Debug)]
pub struct ToAudit {
    /// Its name.
    pub name: String,
    /// Its series; of an archive of none, its name.
    pub series: String,
    /// What it relies on.
    pub relied_on: Vec<ReliedOn>,
    /// The packages of which supplements have all that it needs.
    pub supplemented: BTreeSet<Digest>,
}

/// An archive, and what it relies on.
#[derive(Debug)]
struct AuditedArchive {
    name: String,
    series: String,
    /// Each package with the bytes that it gives alone.
    packages: Vec<(Digest, u64)>,
    /// What several packages give together, and the bytes.
    together: Vec<(Vec<Digest>, u64)>,
    supplemented: BTreeSet<Digest>,
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

/// What a run has done so far.
#[derive(Debug, Default)]
struct Asking {
    asked: BTreeSet<Digest>,
    answered: BTreeSet<Digest>,
    downloaded: BTreeSet<Digest>,
    left: BTreeSet<Digest>,
    bytes: u64,
}

impl Asking {
    fn count(&mut self, due: &Due<'_>, is_answer: bool) {
        let package = due.package.sha256;
        self.asked.insert(package);
        if is_answer {
            self.answered.insert(package);
        }
        if is_answer && due.depth == Depth::Bytes {
            self.downloaded.insert(package);
            self.bytes = self.bytes.saturating_add(due.cost());
        }
    }

    fn asked(self) -> Asked {
        Asked {
            packages: count(self.asked.len()),
            downloaded: count(self.downloaded.len()),
            bytes: self.bytes,
            left: count(self.left.len()),
            unanswered: count(self.asked.difference(&self.answered).count()),
        }
    }
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
    /// Adds an archive. What another archive says of a package that both rely on stays, with the places of both.
    pub fn add(&mut self, archive: ToAudit) {
        let ToAudit { name, series, relied_on, mut supplemented } = archive;
        let needed: BTreeSet<Digest> = relied_on.iter().map(|one| one.package.sha256).collect();
        supplemented.retain(|package| needed.contains(package));
        let (mut packages, mut together) = (Vec::with_capacity(relied_on.len()), Vec::new());
        for ReliedOn { package, bytes, together: of_package } in relied_on {
            let mut alone = bytes;
            for Together { mut with, bytes } in of_package {
                alone = alone.saturating_sub(bytes);
                with.push(package.sha256);
                together.push((with, bytes));
            }
            packages.push((package.sha256, alone));
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
        self.archives.push(AuditedArchive { name, series, packages, together, supplemented });
    }

    /// The names of archives that must lie beside those that were added.
    pub fn needs_beside(&self) -> impl Iterator<Item = &str> {
        self.packages.values().filter_map(beside)
    }

    /// Somebody has looked for the archive of this name, and found it, or not.
    pub fn looked_for(&mut self, name: &str, is_there: bool) {
        *self.beside.entry(name.to_owned()).or_default() |= is_there;
    }

    /// The packages of which supplements have all that is needed of them, by every archive that relies on them.
    pub fn supplemented(&self) -> BTreeSet<Digest> {
        let mut kept: BTreeSet<Digest> =
            self.archives.iter().flat_map(|archive| &archive.supplemented).copied().collect();
        for archive in &self.archives {
            for (package, _) in &archive.packages {
                if !archive.supplemented.contains(package) {
                    kept.remove(package);
                }
            }
        }
        kept
    }

    fn outlook_beside(&self, name: &str) -> Outlook {
        match self.beside.get(name) {
            Some(true) => Outlook::Restorable,
            Some(false) => Outlook::Lost,
            None => Outlook::AtRisk(vec![Risk::NotLookedFor]),
        }
    }

    /// The packages that all of them rely on.
    pub fn packages(&self) -> impl ExactSizeIterator<Item = &RequiredPackage> {
        self.packages.values()
    }

    /// One of them.
    pub fn package(&self, package: &Digest) -> Option<&RequiredPackage> {
        self.packages.get(package)
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
        let (chosen, left) = within(&plan, Due::cost, self.at_most.and_then(AtMost::bytes));
        let left = left.into_iter().map(|due| due.package.sha256).collect();
        let asking = Mutex::new(Asking { left, ..Asking::default() });
        let asking_now = || asking.lock().expect("counting does not panic");
        let total = Total { bytes: None, things: Some(count(chosen.len())) };
        let progress = monitor.begin(Step::Check, "places", total);
        let began = Instant::now();
        parallel::for_each(self.verifier.jobs.min(chosen.len()), chosen.iter(), |due| {
            monitor.check_interrupted()?;
            let is_over =
                matches!(self.at_most, Some(AtMost::Time(most)) if began.elapsed() > most);
            if is_over {
                asking_now().left.insert(due.package.sha256);
                return Ok(());
            }
            let is_deep = due.depth == Depth::Bytes;
            let (answer, _) = self.verifier.ask_place(due.package, due.url, is_deep, monitor)?;
            let is_answer = answer.outcome.is_some_and(|one| one != CheckOutcome::Unreachable);
            asking_now().count(due, is_answer);
            progress.advance(0, 1);
            Ok::<(), VerifyError>(())
        })?;
        drop(progress);
        Ok(asking.into_inner().expect("counting does not panic").asked())
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
        let outlook = |package: &RequiredPackage, checks: &[Check]| match beside(package) {
            Some(name) => audit.outlook_beside(name),
            None => self.judge.outlook(package, checks),
        };
        let of_each = audit.packages.iter().zip(checks);
        Ok(of_each
            .map(|((sha256, package), checks)| (*sha256, outlook(package, &checks)))
            .collect())
    }
}

/// The name of the archive that a package is, if it lies beside those that rely on it.
fn beside(package: &RequiredPackage) -> Option<&str> {
    package.urls().find_map(name_beside)
}
