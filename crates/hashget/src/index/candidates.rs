//! Many candidates, several at once.
//!
//! Invariant: every candidate is counted exactly once, as known, new or failed; only a failing HashDB
//! and the user's wish stop the others.

use super::locate::CircuitBreaker;
use super::question::Pages;
use super::{IndexError, Indexed, Indexer, TreeIndexed, known};
use crate::detectors::Candidate;
use crate::fetch::FetchError;
use crate::formats::FormatError;
use crate::model::escaped;
use crate::monitor::{Event, Monitor, ProblemKind, Step, Total, chain};

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
    let (give, take) = crossbeam_channel::unbounded::<&Candidate>();
    let (tell, hear) = crossbeam_channel::unbounded();
    let mut indexed = TreeIndexed::default();
    let run = Run::default();
    let total = Total { bytes: None, things: Some(candidates.len() as u64) };
    let progress = monitor.begin(Step::Index, "packages", total);
    // Usually all are known. One thread that looks them up together is faster than several with connections of their own.
    let known = known::known_candidates(indexer, &candidates, monitor)?;
    for (candidate, known) in candidates.iter().zip(known) {
        if known.is_some() {
            progress.advance(0, 1);
            indexed.known += 1;
        } else {
            give.send(candidate).expect("we hold the other end");
        }
    }
    let unknown = give.len();
    drop(give);
    let stopped = std::thread::scope(|scope| {
        for _ in 0..indexer.threads(unknown) {
            let (take, tell, run) = (take.clone(), tell.clone(), &run);
            scope.spawn(move || {
                for candidate in take {
                    let result = indexer.index_candidate(candidate, run, monitor);
                    // Nobody listens any more once the work is stopped.
                    if tell.send((candidate, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop((take, tell));
        hear.into_iter().find_map(|(candidate, result)| {
            progress.advance(0, 1);
            indexed
                .count(candidate, result, monitor)
                .and_then(|()| Ok(monitor.check_interrupted()?))
                .err()
        })
    });
    drop(progress);
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
    match stopped {
        Some(error) => Err(error),
        None => Ok(TreeIndexed { candidates, ..indexed }),
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
                monitor.problem(kind_of(&error), escaped(candidate.url.as_bytes()), chain(&error));
                self.failed.push((candidate.url.clone(), error));
            }
        }
        Ok(())
    }
}

/// What kind of trouble it is for the user.
fn kind_of(error: &IndexError) -> ProblemKind {
    match error {
        IndexError::Format { error: FormatError::Io(_), .. } => ProblemKind::Incomplete,
        IndexError::Format { .. } | IndexError::Lookup { .. } => ProblemKind::Verification,
        IndexError::NotAsked { .. } => ProblemKind::Unreachable,
        IndexError::Unreliable { .. } => ProblemKind::Note,
        IndexError::Fetch(error) => kind_of_fetch(error),
        IndexError::HashDb(_) | IndexError::Io(_) | IndexError::Interrupted(_) => {
            ProblemKind::Incomplete
        }
    }
}

fn kind_of_fetch(error: &FetchError) -> ProblemKind {
    match error {
        FetchError::NotFound { .. }
        | FetchError::Unreachable { .. }
        | FetchError::Transient { .. }
        | FetchError::Refused { .. } => ProblemKind::Unreachable,
        FetchError::Mismatch { .. } => ProblemKind::Verification,
        FetchError::Disk { .. } | FetchError::Interrupted(_) => ProblemKind::Incomplete,
        // Some source had it and lied: that is the graver news.
        FetchError::All { errors } => errors
            .iter()
            .map(kind_of_fetch)
            .max_by_key(|kind| *kind == ProblemKind::Verification)
            .unwrap_or(ProblemKind::Unreachable),
    }
}
