//! Detectors recognise an ecosystem in a tree and name the packages it was made of: one file each.
//!
//! Invariant: a detector reads files on this machine only — no network, no HashDB — and returns
//! candidates; whether a candidate is known, fetched or used is decided by others.

use std::path::{Path, PathBuf};

use crate::model::{Digest, RelPath, Signature};

/// A package that a tree seems to be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its permanent public URL, without credentials.
    pub url: String,
    /// Its digest, where the machine knows it (an index, a lock file).
    pub sha256: Option<Digest>,
    /// Its size, where the machine knows it.
    pub size: Option<u64>,
    /// Its name in its ecosystem.
    pub signature: Option<Signature>,
    /// The grouping that a hint asks for.
    pub project: Option<String>,
    /// The package itself, where it lies on this machine. Used only if `sha256` is known and matches
    /// its bytes; otherwise the URL is asked.
    pub local_file: Option<PathBuf>,
    /// The entry that led to it.
    pub found_at: RelPath,
}

/// Recognises one ecosystem.
pub trait Detector: Send + Sync {
    /// Its name for `--detect`.
    fn name(&self) -> &str;

    /// Could this entry tell of a package? Looks at the name alone; called for every entry of a tree.
    fn interested_in(&self, path: &RelPath) -> bool;

    /// Reads what it needs around `path` (an entry of the tree at `root`, one that
    /// [`Self::interested_in`] chose) and names the packages.
    ///
    /// # Errors
    /// When the entry is of this ecosystem but cannot be understood; the others go on.
    fn detect(&self, root: &Path, path: &RelPath) -> Result<Vec<Candidate>, DetectError>;
}

/// An entry that a detector could not understand.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct DetectError {
    /// The entry, or a file beside it.
    pub path: String,
    /// What was found, and what was expected.
    pub problem: String,
}
