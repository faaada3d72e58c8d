//! Why the contents of a file cannot be read.
//!
//! Invariant: whatever is asked again and again at once, it is told once of each file.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::super::tree::NodeId;
use crate::archive::ArchiveError;
use crate::error::ErrorClass;
use crate::fetch::FetchError;
use crate::formats::FormatError;
use crate::model::manifest::ManifestError;
use crate::monitor::Interrupted;

/// Why the contents of an archive's file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The archive could not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A frame of the archive is damaged.
    #[error("this part of the archive is damaged")]
    Frame {
        /// What the reader found.
        #[source]
        error: io::Error,
    },
    /// The archive's tar cannot be read there.
    #[error("this part of the archive cannot be read as a tar")]
    Tar {
        /// What the reader found.
        #[source]
        error: FormatError,
    },
    /// The manifest contradicts the format.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The package could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The package could not be read.
    #[error("cannot read the package {package}")]
    Package {
        /// Its name, safe for a terminal.
        package: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// Neither the archive nor the package has the file.
    #[error("{place} does not have this file")]
    Missing {
        /// Where it should be: `the archive`, or a package; safe for a terminal.
        place: String,
    },
    /// What was found there is another file.
    #[error("{place} has another file there: {what}")]
    OtherFile {
        /// Where it should be.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// A program has to compress it.
    #[error("a program compresses it: `hashget unpack --derive all ARCHIVE -C DIR PATH` makes it")]
    Encoded,
    /// There is no room to unpack it.
    #[error("cannot keep what was unpacked")]
    Keep {
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ContentsError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Archive(error) => error.class(),
            Self::Frame { .. } | Self::Tar { .. } => ErrorClass::ArchiveDamaged,
            Self::Manifest(error) => error.class(),
            Self::Fetch(error) => error.class(),
            Self::Package { error, .. } => error.class(),
            Self::Missing { .. } | Self::OtherFile { .. } => ErrorClass::WrongBytes,
            Self::Encoded => ErrorClass::Io,
            Self::Keep { error } => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

/// As long as this a failure is the answer to whoever asks, and is not told again of the same file: a program that cannot
/// read a file asks several times at once.
pub(super) const LASTS: Duration = Duration::from_secs(2);

/// So many files are remembered.
const MOST_FILES: usize = 1000;

/// What was told of which files.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<NodeId, (Instant, String)>>);

impl Told {
    /// Notes that this is told of the file, unless it was told just now.
    pub(super) fn is_news(&self, file: NodeId, message: &str) -> bool {
        let mut told = self.0.lock().expect("no holder of this lock panics");
        let known =
            told.get(&file).is_some_and(|(when, known)| known == message && when.elapsed() < LASTS);
        if told.len() >= MOST_FILES {
            told.retain(|_, (when, _)| when.elapsed() < LASTS);
        }
        told.insert(file, (Instant::now(), message.to_owned()));
        !known
    }
}
