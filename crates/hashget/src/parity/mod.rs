//! Parity beside an archive: what damaged parts of it can be computed from.
//!
//! Invariant: parity has its name only beside the archive that it is for. A healed archive gets its name once its checksum was
//! verified, and the damaged one is kept.

mod error;
mod known_archive;
mod pending;
mod repair;
mod replacing;

use std::io;
use std::path::{Path, PathBuf};

pub use error::RepairError;
pub use known_archive::KnownArchive;
pub use pending::{head_with_parity, report_without_parity, write_parity};
pub use repair::{Repaired, Repairer};

pub(crate) use pending::{PendingParity, remove_stale};

/// How many recovery blocks there are, in percent of an archive's blocks: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// So many percent; `None` if that is not 1 to 100.
    pub fn new(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// In percent.
    pub fn percent(self) -> u8 {
        self.0
    }
}

/// The path of an archive's parity: beside it, with one more ending.
pub fn parity_of(archive: &Path) -> PathBuf {
    with_ending(archive, ".par2")
}

/// Is nothing there? A name that is too long has nothing either.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
}

/// The path with one more ending.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
