//! What can go wrong with a published HashDB.
//!
//! Invariant: an error says whether the publisher could not be reached, or whether what it serves is not what was signed.

use std::io;

use hashget::error::ErrorClass;
use hashget::fetch::FetchError;
use hashget::hashdb::HashDbError;
use hashget::monitor::Interrupted;

/// Why a published HashDB could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// It is not there, or its server does not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file of it is not what was signed, or says what makes no sense.
    #[error("{file}: {problem}")]
    Damaged {
        /// The file, as a path below the published folder.
        file: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// The checkpoint has no signature that counts.
    #[error("{file}: {problem}")]
    NotSigned {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The publisher took back, or changed, what it said before.
    #[error("{0}")]
    Rollback(String),
    /// A newer hashget wrote it.
    #[error("{file} is of version {found}; this hashget reads version {known}")]
    TooNew {
        /// The file.
        file: String,
        /// Its version.
        found: u64,
        /// The version that this program knows.
        known: u64,
    },
    /// The store that has it did not give a file.
    #[error("{problem}")]
    Store {
        /// What is wrong.
        problem: String,
        /// The class of the error.
        class: ErrorClass,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The HashDB failed.
    #[error("{0}")]
    HashDb(#[from] HashDbError),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl PublishedError {
    /// `file` is not what it must be.
    pub(crate) fn damaged(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), problem: problem.into() }
    }

    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Damaged { .. } | Self::NotSigned { .. } | Self::Rollback(_) => {
                ErrorClass::BadAnswer
            }
            Self::TooNew { .. } => ErrorClass::NeedsNewer,
            Self::Store { class, .. } => *class,
            Self::Io(error) => ErrorClass::of_io(error),
            Self::HashDb(error) => error.class(),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}
