//! Asking the places of packages before a backup relies on them.
//!
//! Invariant: only places that are due are asked, each once in a run, several at once. What was not answered changes nothing:
//! a package that nobody asked lately is not relied on. An answer counts in this run even if it cannot be kept for the next one.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::known::{KnownPackage, Requirements};
use super::{PackError, Packer};
use crate::hashdb::{Check, CheckOutcome, HashDbError, HashDbWriter};
use crate::model::counted;
use crate::monitor::{Monitor, ProblemKind, Step, Total};
use crate::parallel;
use crate::places::{Asker, Known, reach};

/// Number of places that are asked at the same time. Hosts may have lower limits.
const AT_ONCE: usize = 16;

/// Time for places without which a package cannot be relied on. Those that are left are asked in the next run.
const MOST_TIME: Duration = Duration::from_secs(600);

/// Time for places that are relied on already, and whose last answer is getting old.
const MOST_TIME_TO_REFRESH: Duration = Duration::from_secs(60);

/// A question, and its package.
struct Due {
    package: usize,
    url: String,
    /// Is the package relied on whether or not there is an answer?
    is_refresh: bool,
}

/// What came of the questions.
#[derive(Default)]
struct Outcomes {
    checks: Vec<(usize, Check)>,
    /// Packages without an answer that are not relied on therefore.
    unanswered: Unanswered,
    /// The same, where it was forbidden to ask.
    refused: Unanswered,
    /// Number of packages for which no time was left.
    left: usize,
    /// Why answers could not be kept for the next run.
    not_kept: Option<HashDbError>,
}

/// Packages without an answer.
#[derive(Default)]
struct Unanswered {
    count: usize,
    /// Why the first of them has none.
    reason: String,
}

impl Unanswered {
    fn add(&mut self, reason: String) {
        if self.count == 0 {
            self.reason = reason;
        }
        self.count += 1;
    }
}

impl Packer<'_> {
    /// Asks the due places of those of the `known` packages that are `chosen` (by index), and adds the answers to them and
    /// to the HashDB. Returns whether any was due.
    pub(super) fn ask_places(
        &self,
        known: &mut [KnownPackage],
        chosen: &[usize],
        requirements: &Requirements<'_>,
        monitor: &dyn Monitor,
    ) -> Result<bool, PackError> {
        let due = |&package: &usize| {
            let one = &known[package];
            let url = requirements.due(one)?.to_owned();
            let is_refresh = requirements.obstacle(&one.record, &one.checks).is_none();
            Some(Due { package, url, is_refresh })
        };
        let mut due: Vec<Due> = chosen.iter().filter_map(due).collect();
        if due.is_empty() {
            return Ok(false);
        }
        due.sort_by_key(|one| one.is_refresh);
        let outcomes = self.ask_all(known, &due, monitor)?;
        due.iter().for_each(|one| known[one.package].is_asked = true);
        outcomes.report(monitor);
        for (package, check) in outcomes.checks {
            let one = &mut known[package];
            if matches!(check.outcome, CheckOutcome::Gone | CheckOutcome::Differs) {
                let problem = match one.checks.iter().any(|known| known.seen_at.is_some()) {
                    true => "its URL does not have it any more: it is not relied on",
                    false => "its URL does not have it: it is not relied on",
                };
                monitor.problem(ProblemKind::Note, one.record.display_name(), problem);
            }
            one.checks.retain(|known| known.url != check.url || known.deep);
            one.checks.push(check);
        }
        Ok(true)
    }

    fn ask_all(
        &self,
        packages: &[KnownPackage],
        due: &[Due],
        monitor: &dyn Monitor,
    ) -> Result<Outcomes, PackError> {
        let total = Total { bytes: None, things: u64::try_from(due.len()).ok() };
        let progress = monitor.begin(Step::Check, "packages", total);
        let (asker, began) = (Asker { web: self.web }, Instant::now());
        let outcomes = Mutex::new(Outcomes::default());
        parallel::for_each(AT_ONCE.min(due.len()), due.iter(), |one| {
            monitor.check_interrupted()?;
            let KnownPackage { record, checks, .. } = &packages[one.package];
            let known = Known::by(checks);
            let most = if one.is_refresh { MOST_TIME_TO_REFRESH } else { MOST_TIME };
            let answer = match began.elapsed() < most {
                true => {
                    Some(asker.ask(&one.url, reach(record), Some(record.size), known, monitor)?)
                }
                false => None,
            };
            progress.advance(0, 1);
            let mut outcomes = outcomes.lock().expect("counting does not panic");
            match answer {
                None => outcomes.left += usize::from(!one.is_refresh),
                Some(answer) => match answer.check(record.sha256, &one.url) {
                    Some(check) if check.outcome != CheckOutcome::Unreachable => {
                        outcomes.keep(self.hashdb, &check);
                        outcomes.checks.push((one.package, check));
                    }
                    _ if one.is_refresh => {}
                    _ if answer.is_refused => outcomes.refused.add(answer.details),
                    _ => outcomes.unanswered.add(answer.details),
                },
            }
            Ok::<(), PackError>(())
        })?;
        Ok(outcomes.into_inner().expect("counting does not panic"))
    }
}

impl Outcomes {
    /// Keeps an answer as soon as it is there, so that an interrupted run need not be repeated.
    fn keep(&mut self, hashdb: &dyn HashDbWriter, check: &Check) {
        if hashdb.is_writable()
            && self.not_kept.is_none()
            && let Err(error) = hashdb.put_check(check)
        {
            self.not_kept = Some(error);
        }
    }

    fn report(&self, monitor: &dyn Monitor) {
        if let Some(error) = &self.not_kept {
            let problem = format!("{error}; what servers answered is asked again by the next run");
            monitor.problem(ProblemKind::Unreachable, "HashDB", problem);
        }
        let packages = |count: usize| counted(count as u64, "package", "packages");
        if let Unanswered { count: 1.., reason } = &self.unanswered {
            let problem = format!(
                "not relied on: their servers did not say whether they have them ({reason})"
            );
            monitor.problem(ProblemKind::Unreachable, packages(self.unanswered.count), problem);
        }
        if let Unanswered { count: 1.., reason } = &self.refused {
            let problem = format!("not relied on: their servers may not be asked ({reason})");
            monitor.problem(ProblemKind::Note, packages(self.refused.count), problem);
        }
        if self.left > 0 {
            let problem = "not relied on yet: there was no time to ask for them; the next run does";
            monitor.problem(ProblemKind::Note, packages(self.left), problem);
        }
    }
}
