//! STAGE 3: bring it back.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use crate::fetch::{FetchError, Source};
use crate::limits::Limits;
use crate::model::{Digest, PackageRecord, RelPath};
use crate::monitor::{Interrupted, Monitor};

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Set owner and group.
    pub same_owner: bool,
    /// Leave the manifest in the tree.
    pub keep_manifest: bool,
}

/// What was restored.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Entries of the tree.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Of those, from packages.
    pub files_from_packages: u64,
    /// Bytes.
    pub bytes: u64,
    /// Of those, from packages.
    pub bytes_from_packages: u64,
    /// Files that were right already.
    pub kept_files: u64,
    /// Packages in the manifest.
    pub packages: u64,
    /// Packages used.
    pub packages_used: u64,
    /// What is missing, and why.
    pub missing: Vec<(RelPath, String)>,
    /// Metadata that could not be set, by kind.
    pub not_applied: BTreeMap<String, u64>,
    /// Is the tree digest right? `None` when it cannot tell.
    pub proven: Option<bool>,
}

/// Why a tree was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A package could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What restoring stands on.
pub struct Restorer<'a> {
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// Threads.
    pub jobs: usize,
}

impl Restorer<'_> {
    /// Unpacks an archive.
    pub fn unpack(
        &self,
        archive: &mut (dyn Read + Send),
        target: &Path,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let _ = (archive, target, options, monitor);
        Ok(Summary::default())
    }

    /// Fills a tree in.
    pub fn restore(
        &self,
        target: &Path,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let _ = (target, options, monitor);
        Ok(Summary::default())
    }

    /// Writes the file with this digest, a member of `package`, to `output`; proven when it returns.
    pub fn get(
        &self,
        package: &PackageRecord,
        sha256: &Digest,
        output: &mut dyn Write,
        monitor: &dyn Monitor,
    ) -> Result<u64, RestoreError> {
        let _ = (package, sha256, output, monitor);
        Ok(0)
    }
}
