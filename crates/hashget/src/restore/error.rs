//! Why an archive could not be restored at all.
//!
//! Invariant: trouble with one entry or one package is never a [`RestoreError`]: it goes to the
//! monitor and into the summary, and everything else is still restored.

use std::io;
use std::path::PathBuf;

use crate::fetch::FetchError;
use crate::formats::FormatError;
use crate::model::Digest;
use crate::model::manifest::{MANIFEST_NAME, ManifestError};
use crate::monitor::Interrupted;

/// Why restoring stopped. What was placed before stays, and nothing half-written has a final name.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not a tar archive, compressed or not.
    #[error("this is not an archive: expected a tar archive (.tar, .tar.gz, .tar.zst, .tar.xz)")]
    NotAnArchive {
        /// What the reader found.
        #[source]
        error: FormatError,
    },
    /// The archive's bytes could not be read.
    #[error("cannot read the archive")]
    Archive {
        /// Why.
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
    #[error("{} has no {MANIFEST_NAME}: nothing says what is missing there", target.display())]
    NoManifest {
        /// The folder.
        target: PathBuf,
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
        "cannot write below {}: what is there is whole, and `hashget restore` goes on from it",
        target.display()
    )]
    Disk {
        /// The folder.
        target: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The package of a single file that was asked for could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The package of a single file that was asked for could not be read.
    #[error("cannot read the package {url}")]
    Package {
        /// Its URL, safe for a terminal.
        url: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// No member of the package has the digest that was asked for.
    #[error("{url} has no file sha256:{sha256}: index it again")]
    NoSuchFile {
        /// The package's URL, safe for a terminal.
        url: String,
        /// What was asked for.
        sha256: Digest,
    },
    /// Writing a single file that was asked for failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
