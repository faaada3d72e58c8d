//! Many candidates, several at once.
//!
//! Invariant: every candidate is counted exactly once, as known, new or failed; only a failing HashDB
//! and the user's wish stop the others.

use std::sync::Mutex;

use super::locate::CircuitBreaker;
use super::question::Pages;
use super::{IndexError, Indexed, Indexer, Request, TreeIndexed, known};
use crate::detectors::Candidate;
use crate::fetch::FetchError;
use crate::model::escaped;
use crate::monitor::{Event, Monitor, ProblemKind, Step, Total};
use crate::parallel;
use crate::wording::one_line;

/// What the candidates of one run share.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Is the archive of .debs within reach?
    pub(super) debs: CircuitBreaker,
    /// What indexes answered.
    pub(super) pages: Pages,
}

/// Indexes all of `candidates` with the indexer's number of threads.
pub(super) fn index_all(
    indexer: &Indexer<'_>,
    candidates: Vec<Candidate>,
    monitor: &dyn Monitor,
) -> Result<TreeIndexed, IndexError> {
    let mut indexed = TreeIndexed::default();
    let run = Run::default();
    let total = Total { bytes: None, things: Some(candidates.len() as u64) };
    let progress = monitor.begin(Step::Index, "packages", total);
    let mut unknown = Vec::new();
    // Usually all are known. One thread that looks them up together is faster than several with connections of their own.
    let known = known::known_candidates(indexer, &candidates, monitor)?;
    for (candidate, known) in candidates.iter().zip(known) {
        if known.is_some() {
            progress.advance(0, 1);
            indexed.known += 1;
        } else {
            unknown.push(candidate);
        }
    }
    let counts = Mutex::new(indexed);
    let outcome = parallel::for_each(indexer.threads(unknown.len()), unknown.iter(), |candidate| {
        let result = indexer.index_candidate(candidate, &run, monitor);
        progress.advance(0, 1);
        counts.lock().expect("counting does not panic").count(candidate, result, monitor)?;
        Ok::<(), IndexError>(monitor.check_interrupted()?)
    });
    drop(progress);
    outcome?;
    let mut indexed = counts.into_inner().expect("counting does not panic");
    indexed.unreliable.sort();
    let not_asked =
        indexed.failed.iter().filter(|(_, error)| matches!(error, IndexError::NotAsked { .. }));
    match not_asked.count() {
        0 => {}
        count => monitor.problem(
            ProblemKind::Unreachable,
            format!("{count} more packages"),
            "not asked for, after several in a row could not be had: is there a network?",
        ),
    }
    Ok(TreeIndexed { candidates, ..indexed })
}

impl Indexer<'_> {
    /// Indexes several packages at once. `done` gets what came of each as soon as it is known, on any of the threads;
    /// what it returns decides whether the others go on: the first error ends all.
    ///
    /// # Errors
    /// The first error of `done`.
    pub fn index_several<E: Send>(
        &self,
        requests: &[Request],
        monitor: &dyn Monitor,
        done: impl Fn(&Request, Result<Indexed, IndexError>) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let things = u64::try_from(requests.len()).ok();
        let progress = monitor.begin(Step::Index, "packages", Total { bytes: None, things });
        parallel::for_each(self.threads(requests.len()), requests.iter(), |request| {
            done(request, self.index(request, monitor))?;
            progress.advance(0, 1);
            Ok(())
        })
    }
}

impl TreeIndexed {
    /// Leaves a package alone.
    fn pass_over(&mut self, package: String, reason: &str, monitor: &dyn Monitor) {
        let reason = format!("not relied on: {reason}");
        monitor.event(Event::Skipped { object: &package, reason: &reason });
        self.unreliable.push(package);
    }

    /// Counts one result; gives back an error that must stop all others.
    fn count(
        &mut self,
        candidate: &Candidate,
        result: Result<Indexed, IndexError>,
        monitor: &dyn Monitor,
    ) -> Result<(), IndexError> {
        match result {
            Ok(Indexed::Known(_)) => self.known += 1,
            Ok(Indexed::New { .. }) => self.new += 1,
            Err(error @ (IndexError::HashDb(_) | IndexError::Interrupted(_))) => return Err(error),
            Err(IndexError::Unreliable { package, reason }) => {
                self.pass_over(package, &reason, monitor);
            }
            // What somebody has here may never have been public, or is not any more: that is no failure.
            Err(IndexError::Fetch(FetchError::NotFound { from, .. })) => {
                let package = escaped(candidate.name().as_bytes());
                self.pass_over(package, &format!("{from} does not have it"), monitor);
            }
            Err(error @ IndexError::NotAsked { .. }) => {
                // Told once, for all of them.
                self.failed.push((candidate.url.clone(), error));
            }
            Err(error) => {
                let kind = error.class().problem_kind();
                monitor.problem(kind, escaped(candidate.url.as_bytes()), one_line(&error));
                self.failed.push((candidate.url.clone(), error));
            }
        }
        Ok(())
    }
}
