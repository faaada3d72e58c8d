//! Why an archive could not be healed.
//!
//! Invariant: the archive is as it was before.

use std::io;
use std::path::PathBuf;

use hashget_parity::ParityError;

use crate::error::ErrorClass;
use crate::model::counted;
use crate::monitor::Interrupted;

/// Why an archive could not be healed.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is no parity.
    #[error("there is no {}: nothing can be healed without parity", path.display())]
    NoParity {
        /// Where it would be.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The parity cannot be used.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// The parity.
        path: PathBuf,
        /// Why.
        #[source]
        error: ParityError,
    },
    /// The parity is for other bytes.
    #[error("{} is for another archive: {problem}", path.display())]
    OfAnother {
        /// The parity.
        path: PathBuf,
        /// How that is known.
        problem: &'static str,
    },
    /// Too much is damaged.
    #[error(
        "{} cannot be healed: {} of its {blocks} blocks {} damaged, and {} left",
        path.display(), missing, if *missing == 1 { "is" } else { "are" },
        counted(*recoveries, "recovery block is", "recovery blocks are")
    )]
    TooDamaged {
        /// The archive.
        path: PathBuf,
        /// Blocks that are damaged or missing.
        missing: u64,
        /// All of its blocks.
        blocks: u64,
        /// Recovery blocks that can be used.
        recoveries: u64,
    },
    /// There is no parity, and more than the head is damaged.
    #[error(
        "{} cannot be healed: more of it is damaged than its manifest, of which there is a copy, and there is no parity",
        path.display()
    )]
    OnlyHead {
        /// The archive.
        path: PathBuf,
    },
    /// The name under which the damaged archive would be kept is taken.
    #[error("{} is there already: the damaged archive would be kept under this name", path.display())]
    KeptBefore {
        /// The name.
        path: PathBuf,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl RepairError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NoParity { .. } => ErrorClass::NoParity,
            Self::Read { error, .. } | Self::Write { error, .. } => ErrorClass::of_io(error),
            Self::Unusable { .. } => ErrorClass::ParityUnusable,
            Self::OfAnother { .. } => ErrorClass::ParityOfAnother,
            Self::TooDamaged { .. } | Self::OnlyHead { .. } => ErrorClass::NotHealed,
            Self::KeptBefore { .. } => ErrorClass::BadInput,
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}
