//! The parity of the archives of a job: what is due is looked at, and what was seen is remembered.
//!
//! Invariant: what was seen of an archive is remembered before the next one is looked at, also if the user stops then. A run of the job need
//! not wait for that.

mod looking;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashget::archive::AtMost;
use hashget::monitor::{Interrupted, Monitor, ProblemKind};
use hashget::wording::messages;
use hashget_backup::inventory::{Held, inventory};
use hashget_backup::job::Job;
use hashget_backup::parity_audits::{LookCadence, ParityAudits, ToLook};
use hashget_backup::run::Destination;
use hashget_backup::series::Series;
use hashget_backup::store::StoreError;
use jiff::Timestamp;

use self::looking::{Found, Looking, Verdict};
use super::super::backup::destinations::of_job;
use super::How;
use crate::environment::Environment;

/// What came of looking at parity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Archives whose parity was looked at.
    pub(crate) looked: usize,
    /// Of these, the ones of which every byte was read.
    pub(crate) read: usize,
    /// Of these, the ones that were healed, or whose parity was.
    pub(crate) healed: usize,
    /// Archives that are damaged, or whose parity is, and were not healed.
    pub(crate) wrong: usize,
    /// Archives that could not be read.
    pub(crate) unread: usize,
    /// Archives that are due and were left for the next run.
    pub(crate) left: usize,
}

impl Looked {
    /// Adds what came of another job.
    fn add(&mut self, other: &Self) {
        self.looked += other.looked;
        self.read += other.read;
        self.healed += other.healed;
        self.wrong += other.wrong;
        self.unread += other.unread;
        self.left += other.left;
    }

    fn of(found: &BTreeMap<Key<'_>, Found>, left: &BTreeSet<Key<'_>>) -> Self {
        let count = |verdict| found.values().filter(|found| found.verdict == verdict).count();
        Self {
            looked: found.len(),
            read: found.values().filter(|found| found.is_read).count(),
            healed: count(Verdict::Healed),
            wrong: count(Verdict::Wrong),
            unread: count(Verdict::Unread),
            left: left.len(),
        }
    }
}

/// The lock of a job, while its parity is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobLock {
    /// This run of the job has it.
    IsHeld,
    /// Nobody may have it: it is taken while something is healed.
    IsFree,
}

/// A destination and an archive.
type Key<'t> = (&'t str, &'t str);

/// Looks at the parity of jobs that is due, one after the other; what came of all. That a job's cannot be looked at is reported.
///
/// # Errors
/// The user wants to stop.
pub(super) fn look_at_all(
    jobs: &[Job],
    how: How,
    environment: &Environment<'_>,
) -> Result<Looked, Interrupted> {
    let monitor: &dyn Monitor = environment.console;
    let mut looked = Looked::default();
    for job in jobs.iter().filter(|job| job.parity.is_some()) {
        match look(job, how, JobLock::IsFree, environment) {
            Ok(of_job) => looked.add(&of_job),
            Err(error) => {
                monitor.check_interrupted()?;
                let why = messages(error.as_ref()).join(": ");
                let message = format!("its parity could not be looked at: {why}");
                monitor.problem(ProblemKind::Incomplete, &job.name, message);
            }
        }
    }
    Ok(looked)
}

/// Looks at the parity of a job that is due.
///
/// # Errors
/// The user wants to stop; the destinations cannot be opened; what was found cannot be kept.
pub(crate) fn look(
    job: &Job,
    how: How,
    lock: JobLock,
    environment: &Environment<'_>,
) -> anyhow::Result<Looked> {
    let state = environment.backup_state()?;
    let destinations = of_job(job, environment)?;
    let held = held(job, &destinations, &state, environment)?;
    let mut audits = ParityAudits::read(&state, job);
    let looking: Vec<Looking<'_>> = held
        .iter()
        .filter_map(|(destination, held)| Looking::new(destination, held, job, lock, environment))
        .collect();
    let all: Vec<ToLook<'_>> = looking.iter().map(Looking::to_look).collect();
    let by_key: BTreeMap<Key<'_>, &Looking<'_>> = all.iter().map(key_of).zip(&looking).collect();
    let began = std::time::Instant::now();
    let is_over = || matches!(how.at_most, Some(AtMost::Time(most)) if began.elapsed() > most);
    let now = Timestamp::now().as_second();
    let (due, left) = audits.due(&all, cadence(how), how.at_most.and_then(AtMost::bytes), now);
    let mut left: BTreeSet<Key<'_>> = left.into_iter().map(key_of).collect();
    let mut found: BTreeMap<Key<'_>, Found> = BTreeMap::new();
    for (depth, one) in due {
        let seen = found.get(&key_of(one));
        if seen.is_some_and(|seen| seen.is_read) {
            continue;
        }
        // What is wrong is told once in a run.
        if is_over() || seen.is_some_and(|seen| seen.verdict == Verdict::Wrong) {
            left.insert(key_of(one));
            continue;
        }
        let before = audits.look(one.destination, &one.archive);
        let Some(seen) = by_key[&key_of(one)].look(depth, before)? else { continue };
        // Of a run of the job that looks meanwhile, nothing is forgotten.
        audits = ParityAudits::read(&state, job);
        seen.note(&mut audits, key_of(one));
        audits.write(&state, &job.name)?;
        found.insert(key_of(one), seen);
    }
    Ok(Looked::of(&found, &left))
}

fn key_of<'t>(one: &'t ToLook<'_>) -> Key<'t> {
    (one.destination, &one.archive)
}

/// The archives of the job in its destinations; what is remembered of others is forgotten.
fn held<'d>(
    job: &Job,
    destinations: &'d [Destination],
    state: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<(&'d Destination, Held)>> {
    let series = Series::new(&job.host, &job.name)?;
    let mut all = Vec::new();
    for destination in destinations {
        match inventory(&*destination.store, &|found| *found == series, environment.console) {
            Ok(found) => {
                let names: BTreeSet<_> =
                    found.held.iter().map(|held| held.name.to_string()).collect();
                let mut audits = ParityAudits::read(state, job);
                audits.keep_only(destination.store.shown(), |archive| names.contains(archive));
                audits.write(state, &job.name)?;
                all.extend(found.held.into_iter().map(|held| (destination, held)));
            }
            Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
            // The audit of what archives rely on says so.
            Err(_) => {}
        }
    }
    Ok(all)
}

fn cadence(how: How) -> LookCadence {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    LookCadence {
        every: seconds(how.cadence.every),
        deep_every: how.cadence.deep_every.map(seconds),
    }
}
