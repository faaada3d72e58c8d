//! Indexing many candidates, several at once.
//!
//! Invariant: every candidate is counted exactly once, as known, new or failed; only a failing HashDB and an
//! interruption by the user stop the others.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::question::Pages;
use super::{IndexError, Indexed, Indexer, Request, TreeIndexed, known, take_over};
use crate::detectors::Candidate;
use crate::error::ErrorClass;
use crate::model::{Origin, escaped};
use crate::monitor::{Event, Monitor, ProblemKind, Step, Total};
use crate::parallel;
use crate::wording::one_line;

/// Indexes `candidates` with the indexer's number of threads.
pub(super) fn index_all(
    indexer: &Indexer<'_>,
    candidates: Vec<Candidate>,
    monitor: &dyn Monitor,
) -> Result<TreeIndexed, IndexError> {
    let mut indexed = TreeIndexed::default();
    let pages = Pages::default();
    let total = Total { bytes: None, things: Some(candidates.len() as u64) };
    let progress = monitor.begin(Step::Index, "packages", total);
    // Usually all are known. One thread that looks them up together is faster than several with their own
    // connections.
    let is_known: Vec<bool> = known::known_candidates(indexer, candidates.iter(), monitor)?
        .into_iter()
        .map(|known| known.is_some())
        .collect();
    indexed.known = is_known.iter().filter(|known| **known).count();
    let unknown = candidates.iter().zip(is_known).filter(|(_, known)| !known);
    let mut unknown: Vec<&Candidate> = unknown.map(|(candidate, _)| candidate).collect();
    if take_over::candidates(indexer, &unknown, monitor)? > 0 {
        let known = known::known_candidates(indexer, unknown.iter().copied(), monitor)?;
        let still = unknown.iter().zip(known).filter(|(_, known)| known.is_none());
        let still: Vec<&Candidate> = still.map(|(candidate, _)| *candidate).collect();
        indexed.taken_over = unknown.len() - still.len();
        unknown = still;
    }
    progress.advance(0, (indexed.known + indexed.taken_over) as u64);
    let unknown = in_turns(unknown);
    let counts = Mutex::new(indexed);
    let outcome = parallel::for_each(indexer.threads(unknown.len()), unknown.iter(), |candidate| {
        let result = indexer.index_candidate(candidate, &pages, monitor);
        progress.advance(0, 1);
        counts.lock().expect("counting does not panic").count(candidate, result, monitor)?;
        Ok::<(), IndexError>(monitor.check_interrupted()?)
    });
    drop(progress);
    outcome?;
    let mut indexed = counts.into_inner().expect("counting does not panic");
    indexed.unreliable.sort();
    report_not_asked(&indexed, monitor);
    Ok(TreeIndexed { candidates, ..indexed })
}

impl Indexer<'_> {
    /// Indexes several packages at once. `done` is called with each result as soon as it is known, on any of
    /// the threads. Its first error stops everything.
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

/// The candidates, one of each host in turn: all threads would otherwise wait at the same time for one silent host, and then
/// for the next one.
fn in_turns(candidates: Vec<&Candidate>) -> Vec<&Candidate> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, &Candidate)> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let turn = seen.entry(candidate.url.split('/').nth(2).unwrap_or_default()).or_default();
        turns.push((*turn, candidate));
        *turn += 1;
    }
    turns.sort_by_key(|(turn, _)| *turn);
    turns.into_iter().map(|(_, candidate)| candidate).collect()
}

/// Reports the packages of hosts that were given up, in one line for each host.
fn report_not_asked(indexed: &TreeIndexed, monitor: &dyn Monitor) {
    let mut hosts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, error) in &indexed.failed {
        if let IndexError::Fetch(error) = error
            && let Some(host) = error.given_up()
        {
            *hosts.entry(host).or_default() += 1;
        }
    }
    for (host, count) in hosts {
        let packages = if count == 1 { "package" } else { "packages" };
        monitor.problem(
            ProblemKind::Unreachable,
            format!("{count} more {packages}"),
            format!("skipped: the latest requests to {host} all failed"),
        );
    }
}

/// Is it the file that names the package that is wrong, or out of date, and no server? Nobody vouches for what a file of the
/// tree says, and whoever wrote a digest into a lock file could not know that the package would be replaced.
fn is_named_wrongly(candidate: &Candidate, error: &IndexError) -> bool {
    let class = error.class();
    let has_digest = candidate.sha256.is_some() || candidate.checksum.is_some();
    class.problem_kind() == ProblemKind::Verification
        && (candidate.origin == Origin::Tree || (class == ErrorClass::WrongBytes && has_digest))
}

impl TreeIndexed {
    /// Skips a package, and reports why.
    fn pass_over(&mut self, package: String, reason: &str, monitor: &dyn Monitor) {
        let reason = format!("not relied on: {reason}");
        monitor.event(Event::Skipped { object: &package, reason: &reason });
        self.unreliable.push(package);
    }

    /// Counts one result; returns an error that must stop all others.
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
            // A local package may never have been published, or may have been withdrawn: that is not a
            // failure.
            Err(IndexError::Fetch(error)) if error.not_found().is_some() => {
                let from = error.not_found().unwrap_or_default();
                let package = escaped(candidate.name().as_bytes());
                let does =
                    if error.is_denied() { "refuses access to it" } else { "does not have it" };
                self.pass_over(package, &format!("{from} {does}"), monitor);
            }
            // Our own rules, or the user, forbid to ask for it: that is not a failure either.
            Err(IndexError::Fetch(error)) if error.is_refused() => {
                self.pass_over(escaped(candidate.name().as_bytes()), &one_line(&error), monitor);
            }
            Err(error) if is_named_wrongly(candidate, &error) => {
                let (file, problem) = (&candidate.found_at, one_line(&error));
                let problem = format!("what {file} says of it is wrong or out of date: {problem}");
                monitor.problem(ProblemKind::Note, escaped(candidate.url.as_bytes()), problem);
                self.unreliable.push(escaped(candidate.name().as_bytes()));
            }
            // Reported once, for all packages of the host.
            Err(IndexError::Fetch(error)) if error.given_up().is_some() => {
                self.failed.push((candidate.url.clone(), error.into()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_turns_and_keep_their_order() {
        let url = |name: &str| format!("https://{name}");
        let names = [
            "a.example/1",
            "a.example/2",
            "a.example/3",
            "b.example/1",
            "c.example/1",
            "c.example/2",
        ];
        let candidates = names.map(|name| Candidate { url: url(name), ..Candidate::default() });
        let turns: Vec<&str> =
            in_turns(candidates.iter().collect()).iter().map(|one| &*one.url).collect();
        let expected = [
            "a.example/1",
            "b.example/1",
            "c.example/1",
            "a.example/2",
            "c.example/2",
            "a.example/3",
        ];
        assert_eq!(turns, expected.map(url));
    }
}
