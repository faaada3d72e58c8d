//! One run of a job at a time.
//!
//! Invariant: the lock is gone when the process that holds it is, however that ended. When the last run began is known from its file, also if
//! that run was killed, or somebody took the lock without a run.

use std::fs::TryLockError;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use fs_err::{File, OpenOptions};

use super::RunError;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// When the last run began, in seconds since 1970, if it got as far as that.
    pub last: Option<i64>,
}

impl Lock {
    /// Takes the lock of a job, whose file lies in `folder`.
    ///
    /// # Errors
    /// [`RunError::Busy`] if another process has it; or the file cannot be made.
    pub fn take(folder: &Path, job: &str) -> Result<Self, RunError> {
        let path = folder.join(format!("{job}.lock"));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                // Whoever holds it may not have written its number yet.
                let _ = file.read_to_string(&mut process);
                let process = process.lines().next().filter(|process| !process.is_empty());
                let process = process.unwrap_or("of an unknown number").to_owned();
                return Err(RunError::Busy { job: job.to_owned(), process });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut before = String::new();
        // What is no text is of no run.
        let _ = file.read_to_string(&mut before);
        let last = before.lines().nth(1).and_then(|line| line.parse().ok());
        let mut lock = Self { file, last };
        lock.write(last)?;
        Ok(lock)
    }

    /// Writes down when this run began, in seconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begins(&mut self, at: i64) -> Result<(), RunError> {
        self.write(Some(at))
    }

    /// Writes down whose lock it is, and when the last run began.
    fn write(&mut self, last: Option<i64>) -> Result<(), RunError> {
        let last = last.map(|last| format!("{last}\n")).unwrap_or_default();
        let text = format!("{}\n{last}", std::process::id());
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        Ok(self.file.set_len(text.len() as u64)?)
    }
}
