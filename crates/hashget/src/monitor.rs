//! How a stage tells what it does while it does it.
//!
//! Invariant: a stage reports everything a person should know through its [`Monitor`] and never
//! prints; a monitor only listens, and can do one thing: ask the stage to stop.

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
    /// Making packages known, several at once.
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
    /// Putting files of packages in their places.
    Place,
    /// Looking whether packages are there, and right.
    Check,
    /// Adding packages to a pool.
    Gather,
}

impl Step {
    /// Does it go through packages, rather than through files?
    pub fn is_of_packages(self) -> bool {
        matches!(self, Self::Index | Self::Check | Self::Gather)
    }
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

/// How much a step has to do, as far as that is known before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Bytes to go through.
    pub bytes: Option<u64>,
    /// Things to go through: packages where the step is one [of packages](Step::is_of_packages), files elsewhere.
    pub things: Option<u64>,
}

impl Total {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { bytes: None, things: None };

    /// So many bytes, in as many things as it takes.
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes: Some(bytes), things: None }
    }
}

/// A step that is under way, and how far it is. Anyone who holds it may look at any time; counting
/// takes no lock and asks no clock, so that it can be done for each of a million files.
#[derive(Debug)]
pub struct Progress {
    /// Which step.
    pub step: Step,
    /// Of what (a URL, a folder), already safe for a terminal.
    pub name: String,
    /// How much there is to do.
    pub total: Total,
    bytes: AtomicU64,
    things: AtomicU64,
}

impl Progress {
    /// Bytes that are done.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Things that are done.
    pub fn things(&self) -> u64 {
        self.things.load(Ordering::Relaxed)
    }
}

/// Counts what a step has done; the step is over when this is dropped, however it ended.
pub struct Running<'m> {
    monitor: &'m dyn Monitor,
    progress: Arc<Progress>,
}

impl Running<'_> {
    /// Further bytes and things are done.
    pub fn advance(&self, bytes: u64, things: u64) {
        self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.things.fetch_add(things, Ordering::Relaxed);
    }

    /// The number of bytes that are done, for a reader that keeps its position there.
    pub fn position(&self) -> &AtomicU64 {
        &self.progress.bytes
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.monitor.event(Event::Finished(&self.progress));
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A step begins; how far it is can be asked of it until it is over.
    Started(&'a Arc<Progress>),
    /// A step is over, done or given up.
    Finished(&'a Arc<Progress>),
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

impl<'m> dyn Monitor + 'm {
    /// Begins a step, which lasts as long as what is returned.
    pub fn begin<'a>(&'a self, step: Step, name: impl Into<String>, total: Total) -> Running<'a> {
        let (bytes, things) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = Arc::new(Progress { step, name: name.into(), total, bytes, things });
        self.event(Event::Started(&progress));
        Running { monitor: self, progress }
    }

    /// Reports a problem.
    pub fn problem(&self, kind: ProblemKind, object: impl ToString, message: impl ToString) {
        let (object, message) = (object.to_string(), message.to_string());
        let message = wording::without_urls_of(&object, &wording::plain(&message));
        self.event(Event::Problem { kind, object: &object, message: &message });
    }

    /// `Err` once the monitor asked to stop.
    pub fn check_interrupted(&self) -> Result<(), Interrupted> {
        if self.interrupted() { Err(Interrupted) } else { Ok(()) }
    }
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
    /// Bytes that went over the network, of downloads that are over.
    pub downloaded_bytes: u64,
    /// Packages of which a download was started.
    pub downloads: u64,
    /// Bytes read by scans that are over.
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
