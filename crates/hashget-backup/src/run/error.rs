//! Why a run made no archive, or sent none.
//!
//! Invariant: the exit code of a run follows from the class of its error.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use hashget::error::ErrorClass;
use hashget::monitor::Interrupted;

use super::{HookError, SnapshotError};
use crate::series::{ArchiveName, BadName};

/// Why a run made no archive, or sent none.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process runs the job.
    #[error("the job {job} is being run by the process {process}: wait until it has ended")]
    Busy {
        /// The job.
        job: String,
        /// The number of the process.
        process: String,
    },
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// There is no snapshot of the sources.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Packing failed.
    #[error("no archive was made")]
    Pack {
        /// The class of the error.
        class: Option<ErrorClass>,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No destination has the archive.
    #[error("no destination has {name}: it is kept in {} and sent by the next run", spool.display())]
    NotSent {
        /// The archive.
        name: ArchiveName,
        /// The spool.
        spool: PathBuf,
    },
    /// The name of the job is none.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A file of the state or the spool could not be read or written.
    #[error(transparent)]
    Local(#[from] io::Error),
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl RunError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } => ErrorClass::Busy,
            Self::Hook(error) => error.class(),
            Self::Interrupted(_) => ErrorClass::Interrupted,
            Self::Snapshot(error) => error.class(),
            Self::Pack { class, .. } => class.unwrap_or(ErrorClass::Io),
            Self::NotSent { .. } => ErrorClass::Io,
            Self::Name(_) => ErrorClass::BadInput,
            Self::Local(error) => ErrorClass::of_io(error),
        }
    }

    /// The exit code of a run that ended so.
    pub fn exit(&self) -> u8 {
        match self.class() {
            ErrorClass::Interrupted => 130,
            ErrorClass::BadInput | ErrorClass::BadRule => 2,
            _ => 1,
        }
    }
}
