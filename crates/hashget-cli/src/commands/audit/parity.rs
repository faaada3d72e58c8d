//! The parity of the archives of a job: looked at, and healed where it lies in a folder of this machine.
//!
//! Invariant: a file is replaced only by one that has the digest of its record, while no run of the job is at work. What could not be read is
//! not called damaged.

use std::path::{Path, PathBuf};

use hashget::archive::AtMost;
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::monitor::{Interrupted, Monitor, ProblemKind};
use hashget::parity::{Repairer, remake_parity};
use hashget_backup::inventory::{Held, inventory};
use hashget_backup::job::Job;
use hashget_backup::parity_audits::{LookCadence, LookDepth, ParityAudits, ParityLook, ToLook};
use hashget_backup::record::{Record, Sealed};
use hashget_backup::run::{Destination, Lock, RunError};
use hashget_backup::series::Series;
use hashget_backup::store::StoreError;
use jiff::Timestamp;

use super::super::backup::check::bytes::{Bytes, read};
use super::super::backup::destinations::of_job;
use super::How;
use crate::environment::Environment;
use crate::manifest_copy;

/// What came of looking at parity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Archives whose parity was looked at.
    pub(crate) looked: usize,
    /// Of these, the ones of which every byte was read.
    pub(crate) read: usize,
    /// Of these, the ones that were healed, or whose parity was.
    pub(crate) healed: usize,
    /// Archives that are damaged, or whose parity is, and could not be healed.
    pub(crate) wrong: usize,
    /// Archives that could not be read.
    pub(crate) unread: usize,
    /// Archives that are due and were left for the next run.
    pub(crate) left: usize,
}

impl Looked {
    /// Adds what came of another job.
    pub(super) fn add(&mut self, other: &Self) {
        self.looked += other.looked;
        self.read += other.read;
        self.healed += other.healed;
        self.wrong += other.wrong;
        self.unread += other.unread;
        self.left += other.left;
    }
}

/// How a file of a destination is.
enum State {
    AsRecorded,
    /// It is not what its record says; in words.
    Wrong(String),
    Unread(String),
}

/// An archive with parity in a destination.
struct Looking<'a> {
    destination: &'a Destination,
    held: &'a Held,
    record: &'a Record,
    parity: &'a Sealed,
    job: &'a Job,
    environment: &'a Environment<'a>,
}

/// Looks at the parity of jobs that is due, one after the other; what came of all. A job that runs meanwhile is passed over.
///
/// # Errors
/// See [`look`].
pub(super) fn look_at_all(
    jobs: &[Job],
    how: How,
    environment: &Environment<'_>,
) -> anyhow::Result<Looked> {
    let state = environment.backup_state()?;
    let mut looked = Looked::default();
    for job in jobs.iter().filter(|job| job.parity.is_some()) {
        fs_err::create_dir_all(&state)?;
        let mut lock = match Lock::take(&state, &job.name) {
            Ok(lock) => lock,
            Err(error @ RunError::Busy { .. }) => {
                let message = format!("its parity is not looked at: {error}");
                let monitor: &dyn Monitor = environment.console;
                monitor.problem(ProblemKind::Note, &job.name, message);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(last) = lock.last {
            lock.begins(last)?;
        }
        looked.add(&look(job, how, environment)?);
    }
    Ok(looked)
}

/// Looks at the parity of a job that is due. The job's lock must be held: nothing is removed meanwhile.
///
/// # Errors
/// The user wants to stop; the destinations cannot be opened; what was found cannot be kept.
pub(crate) fn look(job: &Job, how: How, environment: &Environment<'_>) -> anyhow::Result<Looked> {
    let monitor: &dyn Monitor = environment.console;
    let (state, series) = (environment.backup_state()?, Series::new(&job.host, &job.name)?);
    let mut audits = ParityAudits::read(&state, &job.name);
    let destinations = of_job(job, environment)?;
    let mut held = Vec::new();
    for destination in &destinations {
        match inventory(&*destination.store, &|found| *found == series, monitor) {
            Ok(found) => {
                let shown = destination.store.shown();
                audits.keep_only(shown, |archive| {
                    found.held.iter().any(|held| held.name.to_string() == archive)
                });
                held.extend(found.held.into_iter().map(|held| (destination, held)));
            }
            Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
            // The audit of what archives rely on says so.
            Err(_) => {}
        }
    }
    let looking: Vec<Looking<'_>> = held
        .iter()
        .filter_map(|(destination, held)| Looking::new(destination, held, job, environment))
        .collect();
    let all: Vec<ToLook<'_>> = looking.iter().map(Looking::to_look).collect();
    let at_most = match how.at_most {
        Some(AtMost::Bytes(bytes)) => Some(bytes),
        _ => None,
    };
    let began = std::time::Instant::now();
    let is_over = || matches!(how.at_most, Some(AtMost::Time(most)) if began.elapsed() > most);
    let now = Timestamp::now().as_second();
    let remembered = audits.clone();
    let (due, left) = remembered.due(&all, cadence(how), at_most, now);
    let mut looked = Looked { left, ..Looked::default() };
    let mut outcome = Ok(());
    for (depth, one) in due {
        if outcome.is_err() || is_over() {
            looked.left += 1;
            continue;
        }
        let is_it = |looking: &&Looking<'_>| {
            looking.held.name.to_string() == one.archive
                && looking.destination.store.shown() == one.destination
        };
        let Some(looking) = looking.iter().find(is_it) else { continue };
        let before = remembered.look(one.destination, &one.archive);
        match looking.look(depth, before, &mut looked) {
            Ok(Some(look)) => audits.note(one.destination, &one.archive, look),
            Ok(None) => {}
            Err(interrupted) => outcome = Err(interrupted),
        }
    }
    // What was seen before an interruption is kept, too.
    audits.write(&state, &job.name)?;
    outcome?;
    Ok(looked)
}

fn cadence(how: How) -> LookCadence {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    LookCadence {
        every: seconds(how.cadence.every),
        deep_every: how.cadence.deep_every.map(seconds),
    }
}

impl<'a> Looking<'a> {
    /// The archive, if its record says that it has parity.
    fn new(
        destination: &'a Destination,
        held: &'a Held,
        job: &'a Job,
        environment: &'a Environment<'_>,
    ) -> Option<Self> {
        let record = held.record.as_ref().ok()?;
        let parity = record.parity.as_ref()?;
        Some(Self { destination, held, record, parity, job, environment })
    }

    fn to_look(&self) -> ToLook<'a> {
        ToLook {
            destination: self.destination.store.shown(),
            archive: self.held.name.to_string(),
            parity_bytes: self.parity.bytes,
            archive_bytes: self.record.bytes,
        }
    }

    fn monitor(&self) -> &'a dyn Monitor {
        self.environment.console
    }

    fn object(&self) -> String {
        format!("{} in {}", self.held.name, self.destination.store.shown())
    }

    /// Looks at it, and heals what can be healed; what is to be remembered. Of what could not be read, nothing is.
    fn look(
        &self,
        depth: LookDepth,
        before: Option<&ParityLook>,
        looked: &mut Looked,
    ) -> Result<Option<ParityLook>, Interrupted> {
        looked.looked += 1;
        let mut parity = self.parity_state()?;
        let (bytes, expected) = (self.held.bytes, self.record.bytes);
        // What is to be healed from the archive needs all of it.
        let is_to_heal = self.destination.folder.is_some()
            && (matches!(parity, State::Wrong(_)) || bytes != expected);
        let is_deep = depth == LookDepth::Archive || is_to_heal;
        let mut archive = match is_deep {
            true => self.archive_state()?,
            false if bytes == expected => State::AsRecorded,
            false => State::Wrong(format!("it has {bytes} bytes, and its record says {expected}")),
        };
        if let (Some(folder), true) = (&self.destination.folder, is_wrong(&archive, &parity)) {
            let what = words(&archive, &parity);
            self.heal(&folder.join(self.held.name.to_string()), &archive)?;
            (archive, parity) = (self.archive_state()?, self.parity_state()?);
            if matches!((&archive, &parity), (State::AsRecorded, State::AsRecorded)) {
                looked.healed += 1;
                let message = format!("{what}; healed, and compared with its record");
                self.monitor().problem(ProblemKind::Note, self.object(), message);
            }
        }
        if let (State::Unread(why), _) | (_, State::Unread(why)) = (&archive, &parity) {
            looked.unread += 1;
            self.monitor().problem(ProblemKind::Unreachable, self.object(), why);
            return Ok(None);
        }
        looked.read += usize::from(is_deep);
        let problem = is_wrong(&archive, &parity).then(|| words(&archive, &parity));
        if let Some(problem) = &problem {
            looked.wrong += 1;
            let message = format!("{problem}; {}", self.what_to_do(&archive));
            self.monitor().problem(ProblemKind::Verification, self.object(), message);
        }
        let now = Timestamp::now();
        let read = match is_deep {
            true => Some(now.as_second()),
            false => before.and_then(|look| look.read),
        };
        Ok(Some(ParityLook { looked: now, read, problem }))
    }

    fn what_to_do(&self, archive: &State) -> &'static str {
        match (archive, &self.destination.folder) {
            (State::Wrong(_), None) => {
                "copy it and its parity into a folder, where `hashget repair` may heal it, or use that of another destination"
            }
            (State::Wrong(_), Some(_)) => {
                "it could not be healed: use that of another destination; `hashget unpack` restores what is not damaged"
            }
            _ => "copy its parity from another destination",
        }
    }

    /// Heals the archive from its parity, or the parity from the archive. What cannot be done is said afterwards, by what is there then.
    fn heal(&self, path: &Path, archive: &State) -> Result<(), Interrupted> {
        let (environment, monitor) = (self.environment, self.monitor());
        let known = manifest_copy::known(path).map(|(known, _)| known);
        let repairer = Repairer { limits: &environment.limits, jobs: environment.jobs, known };
        if let Err(error) = repairer.repair(path, None, monitor) {
            monitor.check_interrupted()?;
            // Parity that is missing, or of which nothing is left, is made anew.
            let is_of_parity =
                matches!(class_of(&error), Some(ErrorClass::NoParity | ErrorClass::ParityUnusable));
            if !is_of_parity || !matches!(archive, State::AsRecorded) {
                return Ok(());
            }
        }
        let (Some(share), Ok(expected)) = (self.job.parity, self.parity.sha256.parse()) else {
            return Ok(());
        };
        if matches!((archive, self.parity_state()?), (State::AsRecorded, State::Wrong(_))) {
            remake_parity(path, share, &expected, environment.jobs, monitor)?;
        }
        Ok(())
    }

    /// How the parity is: in a folder by its digest, elsewhere by its size.
    fn parity_state(&self) -> Result<State, Interrupted> {
        let (name, missing) = (self.held.name.parity(), "its parity is missing");
        if self.destination.folder.is_some() {
            return match self.path_of(&name).is_some_and(|path| path.exists()) {
                true => self.state_of(&name, self.parity),
                false => Ok(State::Wrong(missing.to_owned())),
            };
        }
        Ok(match self.held.parity {
            None => State::Wrong(missing.to_owned()),
            Some(_) => self.held.parity_difference().map_or(State::AsRecorded, State::Wrong),
        })
    }

    fn archive_state(&self) -> Result<State, Interrupted> {
        self.state_of(&self.held.name.to_string(), &self.record.sealed())
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        self.destination.folder.as_ref().map(|folder| folder.join(name))
    }

    fn state_of(&self, name: &str, expected: &Sealed) -> Result<State, Interrupted> {
        Ok(match read(self.destination, name, expected, self.environment.console)? {
            Bytes::AsRecorded => State::AsRecorded,
            Bytes::Others { text, .. } => State::Wrong(text),
            Bytes::Unread(text) => State::Unread(text),
        })
    }
}

fn is_wrong(archive: &State, parity: &State) -> bool {
    matches!(archive, State::Wrong(_)) || matches!(parity, State::Wrong(_))
}

/// What is wrong.
fn words(archive: &State, parity: &State) -> String {
    let texts: Vec<&str> = [archive, parity]
        .into_iter()
        .filter_map(|state| match state {
            State::Wrong(text) => Some(&**text),
            _ => None,
        })
        .collect();
    texts.join("; ")
}
