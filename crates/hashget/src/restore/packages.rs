//! Fetching the packages, several at once, and the helpers that all of them need.
//!
//! Invariant: every package is tried, whatever became of the others, until nothing can go on.

use std::fs::File;

use super::package::Restoring;
use super::{RestoreError, Run};
use crate::fetch::{FetchError, Wanted};
use crate::model::manifest::Package;
use crate::monitor::ProblemKind;
use crate::parallel;
use crate::wording::one_line;

/// Restores what all packages give, `run.jobs` packages at once.
pub(super) fn restore_packages<'m>(
    run: &Run<'m>,
    packages: &'m [Package],
) -> Result<(), RestoreError> {
    parallel::for_each(run.jobs.min(packages.len()), 0..packages.len(), |index| {
        run.monitor.check_interrupted()?;
        Restoring::new(run, packages, index)?.restore()
    })
}

/// Gets the bytes of a package; proven or not.
pub(super) enum FetchOutcome {
    /// They are the right ones.
    Proven(File),
    /// They are other bytes than those that were packed; why.
    Other(File, String),
    /// There are none; why.
    Nothing(String),
}

/// Fetches `wanted`; a failure is reported to the monitor.
pub(super) fn fetch(
    run: &Run<'_>,
    wanted: &Wanted,
    name: &str,
) -> Result<FetchOutcome, RestoreError> {
    let error = match run.source.fetch(wanted, run.monitor) {
        Ok(fetched) => return Ok(FetchOutcome::Proven(fetched.file)),
        Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
        Err(error) => error,
    };
    run.monitor.check_interrupted()?;
    let message = one_line(&error);
    let kind = error.class().problem_kind();
    let (kind, outcome) = match other_bytes(error) {
        Some(Some(file)) => {
            // No loss as long as every file that is wanted of it proves to be right.
            (ProblemKind::Note, FetchOutcome::Other(file, format!("wrong bytes: {message}")))
        }
        Some(None) | None => (kind, FetchOutcome::Nothing(message.clone())),
    };
    run.monitor.problem(kind, name, message);
    Ok(outcome)
}

/// Did some source answer with other bytes, and are they of use?
fn other_bytes(error: FetchError) -> Option<Option<File>> {
    match error {
        FetchError::Mismatch { file, .. } => Some(file),
        FetchError::All { errors } => {
            errors.into_iter().filter_map(other_bytes).max_by_key(Option::is_some)
        }
        _ => None,
    }
}
