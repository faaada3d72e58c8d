//! Why an archive's manifest could not be read.
//!
//! Invariant: each variant is about the archive or the folder as a whole.

use std::io;
use std::path::PathBuf;

use crate::error::ErrorClass;
use crate::formats::FormatError;
use crate::model::manifest::{MANIFEST_NAME, ManifestError};
use crate::monitor::Interrupted;

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes are not a tar archive, compressed or not.
    #[error("this is not an archive: expected a tar archive (.tar, .tar.gz, .tar.zst, .tar.xz)")]
    NotAnArchive {
        /// What the reader found.
        #[source]
        error: FormatError,
    },
    /// The archive's bytes could not be read.
    #[error("cannot read the archive")]
    Read {
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The archive cannot be read to its end.
    #[error("the archive is damaged: what follows {after} cannot be read")]
    Damaged {
        /// The last entry that could be read, quoted; or `its start`.
        after: String,
        /// What the reader found.
        #[source]
        error: io::Error,
    },
    /// The archive was read to its end.
    #[error(
        "the archive has no {MANIFEST_NAME}: it is a plain tar, and nothing says what else belongs to \
         its entries"
    )]
    NoManifestInArchive,
    /// The folder has no manifest.
    #[error("{} has no {MANIFEST_NAME}: nothing says what is missing there", folder.display())]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder, or the manifest in it, could not be read.
    #[error("cannot read {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The manifest cannot be understood.
    #[error("the manifest {MANIFEST_NAME} cannot be used")]
    Manifest(#[from] ManifestError),
    /// The manifest is longer than the limit.
    #[error("the manifest {MANIFEST_NAME} is longer than the limit of {limit} bytes")]
    ManifestSize {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ArchiveError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotAnArchive { .. } => ErrorClass::NotAnArchive,
            // What the reader found out about the archive, handed through as an error of reading.
            Self::Read { error } if matches!(error.get_ref(), Some(it) if it.is::<FormatError>()) => {
                ErrorClass::NotAnArchive
            }
            Self::Read { error } | Self::Folder { error, .. } => ErrorClass::of_io(error),
            Self::Damaged { .. } => ErrorClass::ArchiveDamaged,
            Self::NoManifestInArchive => ErrorClass::NoManifestInArchive,
            Self::NoManifest { .. } => ErrorClass::NoManifestInFolder,
            Self::Manifest(error) => error.class(),
            Self::ManifestSize { .. } => ErrorClass::ManifestTooLong,
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}
