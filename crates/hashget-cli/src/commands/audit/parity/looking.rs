//! An archive with parity in a destination: looked at, and healed where it lies in a folder of this machine.
//!
//! Invariant: a file is replaced only by one that has the digest of its record, while no run of the job is at work. What could not be read is
//! not called damaged.

use std::path::{Path, PathBuf};

use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::monitor::{Interrupted, Monitor, ProblemKind};
use hashget::parity::{Repairer, write_parity};
use hashget::wording::one_line;
use hashget_backup::inventory::Held;
use hashget_backup::job::Job;
use hashget_backup::parity_audits::{LookDepth, ParityAudits, ParityLook, ToLook};
use hashget_backup::record::{Record, Sealed};
use hashget_backup::run::{Destination, Lock};
use jiff::Timestamp;

use super::super::super::backup::check::bytes::{Bytes, read};
use super::JobLock;
use crate::environment::Environment;
use crate::manifest_copy;

/// How an archive and its parity are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    AsRecorded,
    Healed,
    Wrong,
    Unread,
}

/// What was seen of an archive and its parity.
pub(super) struct Found {
    pub(super) verdict: Verdict,
    /// Was every byte of the archive read?
    pub(super) is_read: bool,
    /// What is to be remembered, if it was seen as far as that.
    look: Option<ParityLook>,
    /// Could something not be read? Then it is tried again.
    is_unread: bool,
}

impl Found {
    /// Remembers it.
    pub(super) fn note(&self, audits: &mut ParityAudits, (destination, archive): (&str, &str)) {
        if let Some(look) = &self.look {
            audits.note(destination, archive, look.clone());
        }
        if self.is_unread {
            audits.note_tried(destination, archive, Timestamp::now().as_second());
        }
    }
}

/// How a file of a destination is.
enum State {
    AsRecorded,
    /// It is not what its record says; in words.
    Wrong(String),
    Unread(String),
}

/// How the archive and its parity are.
struct States {
    archive: State,
    parity: State,
}

impl States {
    fn is_wrong(&self) -> bool {
        self.all().any(|state| matches!(state, State::Wrong(_)))
    }

    fn is_well(&self) -> bool {
        self.all().all(|state| matches!(state, State::AsRecorded))
    }

    fn all(&self) -> impl Iterator<Item = &State> {
        [&self.archive, &self.parity].into_iter()
    }

    /// What is wrong.
    fn wrong(&self) -> String {
        let texts = self.all().filter_map(|state| match state {
            State::Wrong(text) => Some(&**text),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    /// What could not be read, and why; `None` if all was.
    fn unread(&self) -> Option<String> {
        let texts = self.all().filter_map(|state| match state {
            State::Unread(text) => Some(&**text),
            _ => None,
        });
        let texts: Vec<&str> = texts.collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }
}

/// What came of healing.
enum Healing {
    /// Nothing is healed in a store.
    InStore,
    /// Not now, and why.
    NotNow(String),
    /// It was tried; what hindered it, if something did.
    Tried(Option<String>),
}

/// An archive with parity in a destination.
pub(super) struct Looking<'a> {
    destination: &'a Destination,
    held: &'a Held,
    record: &'a Record,
    parity: &'a Sealed,
    job: &'a Job,
    lock: JobLock,
    environment: &'a Environment<'a>,
}

impl<'a> Looking<'a> {
    /// The archive, if its record says that it has parity.
    pub(super) fn new(
        destination: &'a Destination,
        held: &'a Held,
        job: &'a Job,
        lock: JobLock,
        environment: &'a Environment<'_>,
    ) -> Option<Self> {
        let record = held.record.as_ref().ok()?;
        let parity = record.parity.as_ref()?;
        Some(Self { destination, held, record, parity, job, lock, environment })
    }

    pub(super) fn to_look(&self) -> ToLook<'a> {
        ToLook {
            destination: self.destination.store.shown(),
            archive: self.held.name.to_string(),
            parity_bytes: self.parity.bytes,
            archive_bytes: self.record.bytes,
        }
    }

    /// Looks at it, heals what can be healed, and says what was found; `None` if it was removed meanwhile.
    ///
    /// # Errors
    /// The user wants to stop.
    pub(super) fn look(
        &self,
        depth: LookDepth,
        before: Option<&ParityLook>,
    ) -> Result<Option<Found>, Interrupted> {
        let parity = self.parity_state()?;
        let (bytes, expected) = (self.held.bytes, self.record.bytes);
        // What is to be healed from the archive needs all of it, and so does what was wrong.
        let is_to_heal = self.destination.folder.is_some()
            && (matches!(parity, State::Wrong(_)) || bytes != expected);
        let was_wrong = before.is_some_and(|look| look.problem.is_some());
        let is_deep = depth == LookDepth::Archive || is_to_heal || was_wrong;
        let archive = match is_deep {
            true => self.archive_state()?,
            false if bytes == expected => State::AsRecorded,
            false => State::Wrong(format!("it has {bytes} bytes, and its record says {expected}")),
        };
        let mut states = States { archive, parity };
        let (what, was_wrong) = (states.wrong(), states.is_wrong());
        let mut healing = Healing::InStore;
        if let (Some(folder), true) = (&self.destination.folder, was_wrong) {
            let path = folder.join(self.held.name.to_string());
            (states, healing) = self.while_locked(states, || self.heal(&path))?;
        }
        if !states.is_well() && self.is_removed() {
            return Ok(None);
        }
        let is_healed = was_wrong && states.is_well();
        if is_healed {
            let message = format!("{what}; healed, and compared with its record");
            self.monitor().problem(ProblemKind::Note, self.object(), message);
        }
        Ok(Some(self.found(&states, &healing, is_healed, is_deep, before)))
    }

    /// What was found, which is told if it is not well.
    fn found(
        &self,
        states: &States,
        healing: &Healing,
        is_healed: bool,
        is_deep: bool,
        before: Option<&ParityLook>,
    ) -> Found {
        let (monitor, unread) = (self.monitor(), states.unread());
        if let Some(why) = &unread {
            monitor.problem(ProblemKind::Unreachable, self.object(), why);
        }
        let problem = states.is_wrong().then(|| self.problem(states, healing));
        if let Some((problem, advice)) = &problem {
            let message = format!("{problem}; {advice}");
            monitor.problem(ProblemKind::Verification, self.object(), message);
        }
        let (looked, is_unread) = (Timestamp::now(), unread.is_some());
        let is_read = is_deep && !is_unread;
        let read = match is_read {
            true => Some(looked.as_second()),
            false => before.and_then(|look| look.read),
        };
        // What is not healed now is due again.
        let is_seen = match (&problem, &states.parity) {
            (Some(_), _) => !matches!(healing, Healing::NotNow(_)),
            // What was wrong stays so until all of it was looked at.
            (None, _) if before.is_some_and(|look| look.problem.is_some()) => !is_unread,
            (None, parity) => !matches!(parity, State::Unread(_)),
        };
        let verdict = match (&problem, is_unread) {
            (Some(_), _) => Verdict::Wrong,
            (None, true) => Verdict::Unread,
            (None, false) if is_healed => Verdict::Healed,
            (None, false) => Verdict::AsRecorded,
        };
        let problem = problem.map(|(problem, _)| problem);
        let look = is_seen.then_some(ParityLook { looked, read, problem });
        Found { verdict, is_read, look, is_unread }
    }

    /// What is wrong and why it was not healed, and what to do.
    fn problem(&self, states: &States, healing: &Healing) -> (String, &'static str) {
        let is_of_archive = matches!(states.archive, State::Wrong(_));
        let (why, advice) = match healing {
            Healing::InStore => (
                "not healed in a store".to_owned(),
                "copy it and its parity into a folder, where `hashget repair` may heal it, or use that of another destination",
            ),
            Healing::NotNow(why) => {
                (format!("it is not healed now: {why}"), "the run looks at it, or the next audit")
            }
            Healing::Tried(why) => {
                let why =
                    why.as_deref().unwrap_or("it is not what its record says afterwards, too");
                let advice = "use that of another destination; `hashget unpack` restores what is not damaged";
                (format!("it could not be healed: {why}"), advice)
            }
        };
        let is_now = !matches!(healing, Healing::NotNow(_));
        let of_parity = "copy its parity from another destination";
        let advice = if is_of_archive || !is_now { advice } else { of_parity };
        (format!("{}; {why}", states.wrong()), advice)
    }

    /// Heals while no run of the job is at work.
    fn while_locked(
        &self,
        states: States,
        heal: impl FnOnce() -> Result<(States, Option<String>), Interrupted>,
    ) -> Result<(States, Healing), Interrupted> {
        let locked = match self.lock {
            JobLock::IsHeld => Ok(None),
            JobLock::IsFree => self.locked().map(Some),
        };
        match locked {
            Ok(_lock) => heal().map(|(states, why)| (states, Healing::Tried(why))),
            Err(why) => Ok((states, Healing::NotNow(why))),
        }
    }

    fn locked(&self) -> Result<Lock, String> {
        let state = self.environment.backup_state().map_err(|error| error.to_string())?;
        Lock::take(&state, &self.job.name).map_err(|error| one_line(&error))
    }

    /// Heals the archive from its parity, or the parity from the archive; how they are then, and what hindered that, if something did.
    fn heal(&self, path: &Path) -> Result<(States, Option<String>), Interrupted> {
        let (environment, monitor) = (self.environment, self.monitor());
        let known = manifest_copy::known(path).map(|(known, _)| known);
        let repairer = Repairer { limits: &environment.limits, jobs: environment.jobs, known };
        let error = repairer.repair(path, None, monitor).err();
        monitor.check_interrupted()?;
        // Parity that is missing, or of which nothing is left, is made anew.
        let can_be_made = error.as_ref().is_none_or(|error| {
            matches!(class_of(error), Some(ErrorClass::NoParity | ErrorClass::ParityUnusable))
        });
        let mut why = error.as_ref().map(|error| one_line(error));
        let mut states = States { archive: self.archive_state()?, parity: self.parity_state()? };
        let is_wrong = matches!(states.parity, State::Wrong(_));
        let is_to_make = can_be_made && is_wrong && matches!(states.archive, State::AsRecorded);
        if let (true, Some(share), Ok(expected)) =
            (is_to_make, self.job.parity, self.parity.sha256.parse())
        {
            why = write_parity(path, share, Some(&expected), environment.jobs, monitor)?.err();
            states.parity = self.parity_state()?;
        }
        Ok((states, why))
    }

    /// Was it removed from its folder? A run that is at work may have done that.
    fn is_removed(&self) -> bool {
        let path = self.path_of(&self.held.name.to_string());
        let found = path.map(|path| path.symlink_metadata());
        matches!(found, Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound)
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

    fn monitor(&self) -> &'a dyn Monitor {
        self.environment.console
    }

    fn object(&self) -> String {
        format!("{} in {}", self.held.name, self.destination.store.shown())
    }
}
