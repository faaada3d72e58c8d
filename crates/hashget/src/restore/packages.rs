//! Fetching the packages, several at once, and the helpers that all of them need.
//!
//! Invariant: until nothing can go on, every package is tried, whatever became of the others. Packages that were not asked
//! for, because their host was given up for a while, are tried once more when all others are done.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::accepting::report_nameless;
use super::package::Restoring;
use super::{RestoreError, Run};
use crate::archive::PackageBytes;
use crate::fetch::{FetchError, SystemClock, Wanted, wait};
use crate::model::manifest::Package;
use crate::monitor::ProblemKind;
use crate::parallel;
use crate::wording::one_line;

/// Restores what all packages give, `run.jobs` packages at once.
pub(super) fn restore_packages<'m>(
    run: &Run<'m>,
    packages: &'m [Package],
) -> Result<(), RestoreError> {
    let deferred = Deferred::default();
    parallel::for_each(run.jobs.min(packages.len()), 0..packages.len(), |index| {
        run.monitor.check_interrupted()?;
        if let Some((package, again)) = Restoring::new(run, packages, index)?.restore()? {
            deferred.add(index, package, again);
        }
        Ok::<(), RestoreError>(())
    })?;
    deferred.ask_again(run, Restoring::restore_at_last)?;
    report_nameless(run);
    Ok(())
}

/// Packages that were not asked for, each with its index in the manifest.
pub(super) struct Deferred<T>(Mutex<Waiting<T>>);

/// See [`Deferred`].
struct Waiting<T> {
    packages: Vec<(usize, T)>,
    /// When all of their hosts are asked again.
    until: Option<Instant>,
}

impl<T> Default for Deferred<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { packages: Vec::new(), until: None }))
    }
}

impl<T: Send> Deferred<T> {
    /// Adds a package; its host is asked again after `again`.
    pub(super) fn add(&self, index: usize, package: T, again: Duration) {
        let mut waiting = self.0.lock().expect("no holder of this lock panics");
        waiting.packages.push((index, package));
        waiting.until = waiting.until.max(Instant::now().checked_add(again));
    }

    /// Waits until the hosts are asked again, and then calls `restore` for each package.
    pub(super) fn ask_again(
        &self,
        run: &Run<'_>,
        restore: impl Fn(T) -> Result<(), RestoreError> + Sync,
    ) -> Result<(), RestoreError> {
        let (mut packages, until) = {
            let mut waiting = self.0.lock().expect("no holder of this lock panics");
            (std::mem::take(&mut waiting.packages), waiting.until.take())
        };
        let Some(until) = until else { return Ok(()) };
        packages.sort_unstable_by_key(|(index, _)| *index);
        let left = until.saturating_duration_since(Instant::now());
        let what = match packages.len() {
            1 => "1 package".to_owned(),
            count => format!("{count} packages"),
        };
        let seconds = left.as_secs_f64();
        let message = format!("not asked for yet, since the host failed; trying in {seconds:.1} s");
        run.monitor.problem(ProblemKind::Note, what, message);
        wait(&SystemClock::default(), left, run.monitor)?;
        parallel::for_each(run.jobs.min(packages.len()), packages.into_iter(), |(_, package)| {
            run.monitor.check_interrupted()?;
            restore(package)
        })
    }
}

/// What came of fetching a package.
pub(super) enum FetchOutcome {
    /// What there is of it; and why it is not the package, if that is so.
    Now(PackageBytes, Option<FetchFailure>),
    /// A host that may have it was given up, and is asked again after this time.
    Later(Duration),
}

/// Why a package could not be fetched. Whoever wanted it reports that when it is known what it costs.
pub(super) struct FetchFailure {
    kind: ProblemKind,
    message: String,
}

impl FetchFailure {
    /// Reports it; as a note if nothing is missing for all that.
    pub(super) fn report(self, run: &Run<'_>, name: &str, is_complete: bool) {
        let kind = if is_complete { ProblemKind::Note } else { self.kind };
        run.monitor.problem(kind, name, self.message);
    }
}

/// Fetches `wanted`. If this is not the last attempt, hosts that were given up are no failure.
pub(super) fn fetch(
    run: &Run<'_>,
    wanted: &Wanted,
    last: bool,
) -> Result<FetchOutcome, RestoreError> {
    let error = match run.source.fetch(wanted, run.monitor) {
        Ok(fetched) => return Ok(FetchOutcome::Now(PackageBytes::Proven(fetched.file), None)),
        Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
        Err(error) => error,
    };
    run.monitor.check_interrupted()?;
    if let Some(again) = error.again().filter(|_| !last) {
        return Ok(FetchOutcome::Later(again));
    }
    let message = one_line(&error);
    let kind = error.class().problem_kind();
    let bytes = PackageBytes::of_error(error);
    // No loss as long as every file that is wanted of it proves to be right.
    let kind = if matches!(bytes, PackageBytes::Other(..)) { ProblemKind::Note } else { kind };
    Ok(FetchOutcome::Now(bytes, Some(FetchFailure { kind, message })))
}
