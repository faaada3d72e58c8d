//! How a stage tells what it does while it does it.
//!
//! Invariant: a stage reports everything a person should know through its [`Monitor`] and never
//! prints; a monitor only listens, and can do one thing: ask the stage to stop.

use std::sync::Mutex;

/// A long step of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Walking and hashing a tree.
    Scan,
    /// Looking for packages in a tree.
    Detect,
    /// Downloading a package.
    Download,
    /// Reading a package's members.
    Read,
    /// Writing the archive.
    Write,
    /// Unpacking the archive's own entries.
    Extract,
    /// Putting files of packages in their places.
    Place,
    /// Checking what is there.
    Check,
}

/// What kind of trouble an object had. The exit code follows from the kinds that occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProblemKind {
    /// Worth knowing, nothing is missing.
    Note,
    /// A file could not be read, changed while it was read, or could not be restored.
    Incomplete,
    /// A source could not be reached, or does not have it.
    Unreachable,
    /// Bytes are not what they should be.
    Verification,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A step begins. `name` is the object (a URL, a folder).
    Started {
        /// Which step.
        step: Step,
        /// Of what, already safe for a terminal.
        name: &'a str,
        /// Bytes to go through, when known.
        bytes: Option<u64>,
    },
    /// So much more of a step is done.
    Advanced {
        /// Which step.
        step: Step,
        /// Of what; as at its start.
        name: &'a str,
        /// Further bytes.
        bytes: u64,
        /// Further files.
        files: u64,
    },
    /// A step is over, done or given up.
    Finished {
        /// Which step.
        step: Step,
        /// Of what; as at its start.
        name: &'a str,
    },
    /// One object had trouble; the stage goes on.
    Problem {
        /// Of which kind.
        kind: ProblemKind,
        /// Which object: a path or URL, already safe for a terminal.
        object: &'a str,
        /// What is wrong and, where it helps, what to do.
        message: &'a str,
    },
    /// Something was left alone on purpose (a socket, a package that is not worth its download).
    Skipped {
        /// Which object.
        object: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// Listens to a stage.
pub trait Monitor: Send + Sync {
    /// Something happened. Called from any thread; must not block for long.
    fn event(&self, event: Event<'_>);

    /// Should the stage stop? It then ends with [`Interrupted`], leaving nothing half-written.
    fn interrupted(&self) -> bool {
        false
    }
}

/// The monitor asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl dyn Monitor + '_ {
    /// Reports a problem.
    pub fn problem(&self, kind: ProblemKind, object: impl ToString, message: impl ToString) {
        self.event(Event::Problem {
            kind,
            object: &object.to_string(),
            message: &message.to_string(),
        });
    }

    /// `Err` once the monitor asked to stop.
    pub fn check_interrupted(&self) -> Result<(), Interrupted> {
        if self.interrupted() { Err(Interrupted) } else { Ok(()) }
    }
}

/// An error and its causes on one line: the message of a problem.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _event: Event<'_>) {}
}

/// Keeps count of the work done and of every problem: for summaries, and for tests that assert work.
#[derive(Debug, Default)]
pub struct Recorder {
    state: Mutex<Recorded>,
}

/// What a [`Recorder`] has heard.
#[derive(Debug, Default, Clone)]
pub struct Recorded {
    /// Bytes that went over the network.
    pub downloaded_bytes: u64,
    /// Packages of which a download was started.
    pub downloads: u64,
    /// Bytes read by a scan.
    pub scanned_bytes: u64,
    /// Problems, in the order they occurred: kind, object, message.
    pub problems: Vec<(ProblemKind, String, String)>,
    /// What was left alone on purpose: object, reason.
    pub skipped: Vec<(String, String)>,
}

impl Recorder {
    /// What was heard so far.
    pub fn recorded(&self) -> Recorded {
        self.state.lock().expect("no listener panics").clone()
    }
}

impl Monitor for Recorder {
    fn event(&self, event: Event<'_>) {
        let mut state = self.state.lock().expect("no listener panics");
        match event {
            Event::Started { step: Step::Download, .. } => state.downloads += 1,
            Event::Advanced { step: Step::Download, bytes, .. } => state.downloaded_bytes += bytes,
            Event::Advanced { step: Step::Scan, bytes, .. } => state.scanned_bytes += bytes,
            Event::Problem { kind, object, message } => {
                state.problems.push((kind, object.to_owned(), message.to_owned()));
            }
            Event::Skipped { object, reason } => {
                state.skipped.push((object.to_owned(), reason.to_owned()));
            }
            _ => {}
        }
    }
}
