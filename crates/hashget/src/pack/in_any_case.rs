//! Planning a backup with a HashDB that may be damaged, read-only, or on a full disk.
//!
//! Invariant: the HashDB is only knowledge. Whatever is wrong with it, there is a plan: with what can be read of it, or
//! without it. What that costs is reported once.

use super::verdict::Verdicts;
use super::{PackError, PackOptions, Packer, Planned, Summary};
use crate::hashdb::{HashDbError, NoHashDb};
use crate::index::IndexError;
use crate::monitor::{Monitor, ProblemKind};
use crate::tree::Scan;

/// What a backup lacks if nothing can be added to the HashDB.
const NOT_INDEXED: &str =
    "packages that it does not know are not indexed, and their files are archived";

/// What a backup lacks without a HashDB.
pub const WITHOUT_HASHDB: &str =
    "the backup is made without it, and all files that packages have are archived";

impl Packer<'_> {
    /// Plans as [`Packer::plan`] does, and as well as possible if the HashDB fails.
    pub(super) fn plan_in_any_case(
        &self,
        scan: &Scan,
        first: &Verdicts,
        options: &PackOptions<'_>,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<Planned, PackError> {
        let report = |why: String| monitor.problem(ProblemKind::Unreachable, "HashDB", why);
        let wanted = options.index && !options.detectors.is_empty();
        let index = wanted && self.hashdb.is_writable();
        if wanted && !index {
            report(format!("it cannot be written to: {NOT_INDEXED}"));
        }
        let mut failure = match self.plan(scan, first.clone(), options, index, summary, monitor) {
            Err(error) => of_hashdb(error)?,
            planned => return planned,
        };
        if index {
            *summary = Summary::default();
            match self.plan(scan, first.clone(), options, false, summary, monitor) {
                Err(error) => failure = of_hashdb(error)?,
                planned => {
                    report(format!("{failure}; {NOT_INDEXED}"));
                    return planned;
                }
            }
        }
        report(format!("{failure}; {WITHOUT_HASHDB}"));
        *summary = Summary::default();
        let without = Packer { hashdb: &NoHashDb, ..*self };
        without.plan(scan, first.clone(), options, false, summary, monitor)
    }
}

/// What is wrong with the HashDB, if that is what the error is about.
fn of_hashdb(error: PackError) -> Result<HashDbError, PackError> {
    match error {
        PackError::HashDb(error) | PackError::Index(IndexError::HashDb(error)) => Ok(error),
        error => Err(error),
    }
}
