//! What this machine remembers of the runs of a job.
//!
//! Invariant: it can be deleted at any time. Nothing that is needed to restore anything is only here.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hashget::pending_file::PendingFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::seconds;
use crate::series::ArchiveName;

/// The version of the file's form.
const VERSION: u32 = 1;

/// Runs that are remembered.
const MOST_RUNS: usize = 100;

/// Problems of one run that are remembered.
pub(super) const MOST_PROBLEMS: usize = 20;

/// Who may read it.
const MODE: u32 = 0o644;

/// What became of an archive in one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The destination, as it is called in messages.
    pub destination: String,
    /// Why it does not have the archive; `None` if it has.
    pub problem: Option<String>,
    /// Why it does not have the archive's parity, although it has the archive.
    #[serde(default)]
    pub parity_problem: Option<String>,
    /// How the archive there was compared with what was sent: by its `checksum`, its `size`, or by `nothing`.
    #[serde(default)]
    pub compared: Option<String>,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// When it began.
    #[serde(with = "seconds")]
    pub started: Timestamp,
    /// When it ended.
    #[serde(with = "seconds")]
    pub ended: Timestamp,
    /// Its exit code.
    pub exit: u8,
    /// The archive that it made.
    pub archive: Option<String>,
    /// The size of the archive in bytes, if it made one.
    pub bytes: Option<u64>,
    /// The archive that it needs.
    #[serde(default)]
    pub base: Option<String>,
    /// The bytes of the files that were packed.
    pub tree_bytes: Option<u64>,
    /// The destinations.
    pub destinations: Vec<Delivered>,
    /// Problems, each in a line; only the first ones.
    pub problems: Vec<String>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl RunState {
    /// Is there an archive from it in every destination?
    pub fn is_done(&self) -> bool {
        self.exit == 0 || (matches!(self.exit, 3 | 5) && self.undelivered().next().is_none())
    }

    /// Did it fail: is there no archive from it in any destination?
    pub fn has_failed(&self) -> bool {
        !matches!(self.exit, 0 | 3 | 5)
    }

    /// The destinations that do not have its archive.
    pub fn undelivered(&self) -> impl Iterator<Item = &Delivered> {
        self.destinations.iter().filter(|delivered| delivered.problem.is_some())
    }
}

/// The last runs of a job, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    state: u32,
    /// The runs.
    pub runs: Vec<RunState>,
}

impl State {
    /// The file of a job in a folder.
    pub fn path(folder: &Path, job: &str) -> PathBuf {
        folder.join(format!("{job}.json"))
    }

    /// Reads what is remembered of a job. What cannot be read, or has another version, is as if there had been no run.
    pub fn read(folder: &Path, job: &str) -> Self {
        let bytes = fs_err::read(Self::path(folder, job)).unwrap_or_default();
        let read: Option<Self> = serde_json::from_slice(&bytes).ok();
        read.filter(|read| read.state == VERSION).unwrap_or_default()
    }

    /// Adds a run, and writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, run: RunState, folder: &Path, job: &str) -> io::Result<()> {
        self.state = VERSION;
        self.runs.push(run);
        self.runs.drain(..self.runs.len().saturating_sub(MOST_RUNS));
        let path = Self::path(folder, job);
        let mut pending = PendingFile::create(&path, MODE)?;
        serde_json::to_writer(&mut pending, self)?;
        pending.write_all(b"\n")?;
        pending.commit(&path)
    }

    /// The last run.
    pub fn last(&self) -> Option<&RunState> {
        self.runs.last()
    }

    /// The archive that a destination, as it is called in messages, got last.
    pub fn last_sent_to(&self, destination: &str) -> Option<ArchiveName> {
        let is_there = |one: &Delivered| one.destination == destination && one.problem.is_none();
        let mut sent = self.runs.iter().rev().filter(|run| run.destinations.iter().any(is_there));
        ArchiveName::parse(sent.next()?.archive.as_ref()?)
    }

    /// Did the last run fail?
    pub fn last_run_failed(&self) -> bool {
        self.last().is_some_and(RunState::has_failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(exit: u8, problems: &[Option<&str>]) -> RunState {
        let delivered = |problem: &Option<&str>| Delivered {
            destination: "/srv".to_owned(),
            problem: problem.map(str::to_owned),
            parity_problem: None,
            compared: None,
        };
        RunState {
            started: Timestamp::from_second(1).unwrap(),
            ended: Timestamp::from_second(2).unwrap(),
            exit,
            archive: None,
            bytes: None,
            base: None,
            tree_bytes: None,
            destinations: problems.iter().map(delivered).collect(),
            problems: Vec::new(),
            failure: None,
        }
    }

    #[test]
    fn runs_are_remembered_but_not_for_ever_and_what_is_damaged_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::read(folder.path(), "job");
        for _ in 0..MOST_RUNS + 5 {
            state.add(run(0, &[None]), folder.path(), "job").unwrap();
        }
        let again = State::read(folder.path(), "job");
        assert_eq!((again.runs.len(), &again), (MOST_RUNS, &state));
        for text in ["", "{", "[]", "{\"state\":2,\"runs\":[]}"] {
            fs_err::write(State::path(folder.path(), "job"), text).unwrap();
            assert!(State::read(folder.path(), "job").last().is_none(), "{text}");
        }
    }

    #[test]
    fn outcomes_by_table() {
        for (run, done, failed) in [
            (run(0, &[None]), true, false),
            (run(3, &[None]), true, false),
            (run(5, &[None, None]), true, false),
            (run(5, &[None, Some("full")]), false, false),
            (run(1, &[Some("full")]), false, true),
            (run(130, &[]), false, true),
        ] {
            assert_eq!((run.is_done(), run.has_failed()), (done, failed), "{run:?}");
        }
    }
}
