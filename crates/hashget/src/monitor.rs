//! Progress and problems, reported while a stage runs.
//!
//! Invariant: a stage reports everything a person should know to its [`Monitor`] and never prints. A monitor cannot
//! influence a stage, except by asking it to stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::wording;

/// A long step of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Walking and hashing a tree.
    Scan,
    /// Looking for packages in a tree.
    Detect,
    /// Indexing several packages.
    Index,
    /// Downloading a package.
    Download,
    /// Reading a package's members.
    Read,
    /// Deciding where every file comes from.
    Plan,
    /// Writing the archive.
    Write,
    /// Unpacking the archive's own entries.
    Extract,
    /// Placing files of packages.
    Place,
    /// Checking that packages are available and unchanged.
    Check,
    /// Adding packages to a pool.
    Gather,
    /// Sending an archive to where it is kept.
    Send,
}

impl Step {
    /// Whether the step processes packages rather than files.
    pub fn is_of_packages(self) -> bool {
        matches!(self, Self::Index | Self::Check | Self::Gather)
    }
}

/// The kind of a problem. The exit code follows from the kinds that were reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// For information: nothing is missing.
    Note,
    /// A file could not be read, changed while it was read, or could not be restored.
    Incomplete,
    /// A source could not be reached, or does not have the package.
    Unreachable,
    /// Contents do not have the expected digest or size.
    Verification,
}

/// How much a step has to do, as far as known in advance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Bytes to process.
    pub bytes: Option<u64>,
    /// Items to process: packages if the step is one [of packages](Step::is_of_packages), files otherwise.
    pub things: Option<u64>,
}

impl Total {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { bytes: None, things: None };

    /// This many bytes, in an unknown number of items.
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes: Some(bytes), things: None }
    }
}

/// A running step and its progress. The counters can be read at any time. Counting takes no lock and reads no clock, so that it
/// is cheap enough to be done for each of a million files.
#[derive(Debug)]
pub struct Progress {
    /// Which step.
    pub step: Step,
    /// What it works on (a URL, a folder), safe for a terminal.
    pub name: String,
    /// How much there is to do.
    pub total: Total,
    bytes: AtomicU64,
    things: AtomicU64,
}

impl Progress {
    /// Bytes processed so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Items processed so far.
    pub fn things(&self) -> u64 {
        self.things.load(Ordering::Relaxed)
    }
}

/// Counts the progress of a step. The step ends when this is dropped, whether it succeeded or not.
pub struct Running<'m> {
    monitor: &'m dyn Monitor,
    progress: Arc<Progress>,
}

impl Running<'_> {
    /// Adds bytes and items that are done.
    pub fn advance(&self, bytes: u64, things: u64) {
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.things.fetch_add(things, Ordering::Relaxed);
    }

    /// The number of bytes that are done; a reader can keep its position here.
    pub fn position(&self) -> &AtomicU64 {
        &self.progress.bytes
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.monitor.event(Event::Finished(&self.progress));
    }
}

/// A report of a stage.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A step begins. Its progress can be read until it ends.
    Started(&'a Arc<Progress>),
    /// A step has ended, successfully or not.
    Finished(&'a Arc<Progress>),
    /// A problem with one object; the stage continues.
    Problem {
        /// The kind of the problem.
        kind: ProblemKind,
        /// The object: a path or URL, safe for a terminal.
        object: &'a str,
        /// What is wrong and, where it helps, what to do.
        message: &'a str,
    },
    /// An object was skipped on purpose (a socket, a package that is not worth downloading).
    Skipped {
        /// The object.
        object: &'a str,
        /// The reason.
        reason: &'a str,
    },
}

/// Is notified of what a stage does.
pub trait Monitor: Send + Sync {
    /// Receives a report. Called from any thread; must not block for long.
    fn event(&self, event: Event<'_>);

    /// Whether the stage should stop. It then returns [`Interrupted`] and leaves nothing half-written.
    fn interrupted(&self) -> bool {
        false
    }
}

/// The monitor asked the stage to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl<'m> dyn Monitor + 'm {
    /// Begins a step. It ends when the returned value is dropped.
    pub fn begin<'a>(&'a self, step: Step, name: impl Into<String>, total: Total) -> Running<'a> {
        let (bytes, things) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = Arc::new(Progress { step, name: name.into(), total, bytes, things });
        self.event(Event::Started(&progress));
        Running { monitor: self, progress }
    }

    /// Reports a problem. System errors in the message are put into plain words, and the object's URL is not
    /// repeated; names in the message stay as they are.
    pub fn problem(&self, kind: ProblemKind, object: impl ToString, message: impl ToString) {
        let (object, message) = (object.to_string(), message.to_string());
        let message = wording::without_urls_of(&object, &wording::plain(&message));
        self.event(Event::Problem { kind, object: &object, message: &message });
    }

    /// Returns `Err` once the monitor has asked to stop.
    pub fn check_interrupted(&self) -> Result<(), Interrupted> {
        if self.interrupted() { Err(Interrupted) } else { Ok(()) }
    }
}

/// Ignores all reports.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _event: Event<'_>) {}
}

/// For a step whose problems are none, or are told in another way: passes on progress, and the wish to stop.
pub struct Quiet<'m>(pub &'m dyn Monitor);

impl Monitor for Quiet<'_> {
    fn event(&self, event: Event<'_>) {
        if !matches!(event, Event::Problem { .. } | Event::Skipped { .. }) {
            self.0.event(event);
        }
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// Records problems and the amount of work, for summaries and tests.
#[derive(Debug, Default)]
pub struct Recorder {
    state: Mutex<Recorded>,
}

/// What a [`Recorder`] has recorded.
#[derive(Debug, Default, Clone)]
pub struct Recorded {
    /// Bytes transferred by downloads that have ended.
    pub downloaded_bytes: u64,
    /// Number of downloads started.
    pub downloads: u64,
    /// Bytes read by scans that have ended.
    pub scanned_bytes: u64,
    /// Problems in the order in which they were reported: kind, object, message.
    pub problems: Vec<(ProblemKind, String, String)>,
    /// Skipped objects and the reasons.
    pub skipped: Vec<(String, String)>,
}

impl Recorder {
    /// What was recorded so far.
    pub fn recorded(&self) -> Recorded {
        self.state.lock().expect("no listener panics").clone()
    }
}

impl Monitor for Recorder {
    fn event(&self, event: Event<'_>) {
        let mut state = self.state.lock().expect("no listener panics");
        match event {
            Event::Started(progress) => {
                state.downloads += u64::from(progress.step == Step::Download);
            }
            Event::Finished(progress) => match progress.step {
                Step::Download => state.downloaded_bytes += progress.bytes(),
                Step::Scan => state.scanned_bytes += progress.bytes(),
                _ => {}
            },
            Event::Problem { kind, object, message } => {
                state.problems.push((kind, object.to_owned(), message.to_owned()));
            }
            Event::Skipped { object, reason } => {
                state.skipped.push((object.to_owned(), reason.to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_files_as_they_are_called() {
        let recorder = Recorder::default();
        let monitor: &dyn Monitor = &recorder;
        let (name, kind) = ("Log (os error 5).txt", ProblemKind::Incomplete);
        let error = std::io::Error::from_raw_os_error(2);
        monitor.problem(kind, name, format!("not a further name of {name}: {error}"));
        monitor.problem(kind, name, format!("see: {name}"));
        let found = recorder.recorded().problems;
        let expected = [
            "not a further name of Log (os error 5).txt: no such file or directory",
            "see: Log (os error 5).txt",
        ];
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(found, (kind, name.to_owned(), expected.to_owned()));
        }
    }
}
