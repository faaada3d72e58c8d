//! Why an archive could not be restored at all.
//!
//! Invariant: trouble with one entry or one package is never a [`RestoreError`]: it goes to the
//! monitor and into the summary, and everything else is still restored.

use std::io;
use std::path::PathBuf;

use crate::archive::ArchiveError;
use crate::error::ErrorClass;
use crate::model::manifest::ManifestError;
use crate::monitor::Interrupted;

/// Why restoring stopped. What was placed before stays, and nothing half-written has a final name.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive or its manifest cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The target cannot be used.
    #[error("cannot restore into {}", target.display())]
    Target {
        /// The folder.
        target: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Another process restores into the same folder.
    #[error("another hashget is restoring into {}: wait until it is done", target.display())]
    Busy {
        /// The folder.
        target: PathBuf,
    },
    /// Writing failed in a way that every further write would, too.
    #[error(
        "cannot write below {}: each file that is there is whole; run the same command again when it can be written",
        target.display()
    )]
    Disk {
        /// The folder.
        target: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Nothing says in advance what a restore would change.
    #[error("what restoring an archive of version 1 would change is not known in advance")]
    NoPlan,
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<ManifestError> for RestoreError {
    fn from(error: ManifestError) -> Self {
        Self::Archive(error.into())
    }
}

impl RestoreError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Archive(error) => error.class(),
            Self::Busy { .. } => ErrorClass::Busy,
            Self::NoPlan => ErrorClass::BadInput,
            Self::Target { error, .. } | Self::Disk { error, .. } => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}
