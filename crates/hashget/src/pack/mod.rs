//! STAGE 2: what can be left out? scan -> match -> plan -> write.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::codec::Codec;
use crate::detectors::Detector;
use crate::fetch::Source;
use crate::hashdb::{HashDb, HashDbError};
use crate::limits::Limits;
use crate::model::Evidence;
use crate::monitor::{Interrupted, Monitor};

/// Which files' digests the manifest keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashesKept {
    /// Of files of 100 KiB or more.
    Anchors,
    /// Of every file.
    All,
    /// Of none.
    None,
}

/// Version of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestVersion {
    /// The Python tool's.
    One,
    /// Ours.
    Two,
}

/// Where the archive goes.
pub enum Output {
    /// Into a file, under its name when complete.
    File(PathBuf),
    /// Into a stream.
    Stream(Box<dyn Write + Send>),
    /// Nowhere: a dry run.
    Nothing,
}

/// How to pack.
pub struct PackOptions<'a> {
    /// Not in the backup.
    pub exclude: Vec<String>,
    /// Archived without looking them up.
    pub skip: Vec<String>,
    /// Leave folders with a CACHEDIR.TAG out.
    pub exclude_caches: bool,
    /// Do not cross into other file systems.
    pub one_file_system: bool,
    /// Smaller files are archived.
    pub min_size: u64,
    /// Digests in the manifest.
    pub hashes: HashesKept,
    /// Version of the manifest.
    pub manifest_version: ManifestVersion,
    /// `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// The weakest evidence that is relied on.
    pub evidence: Evidence,
    /// Compression.
    pub codec: Codec,
    /// Its level.
    pub level: Option<i32>,
    /// Bytes to fetch for each byte left out.
    pub max_fetch_ratio: f64,
    /// Which detectors run.
    pub detectors: Vec<&'a dyn Detector>,
    /// Index what they find.
    pub index: bool,
}

impl Default for PackOptions<'_> {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            skip: Vec::new(),
            exclude_caches: false,
            one_file_system: false,
            min_size: 0,
            hashes: HashesKept::Anchors,
            manifest_version: ManifestVersion::Two,
            expires: None,
            evidence: Evidence::Signed,
            codec: Codec::Zstd,
            level: None,
            max_fetch_ratio: 4.0,
            detectors: Vec::new(),
            index: true,
        }
    }
}

/// A package that the archive needs.
#[derive(Debug, Clone)]
pub struct PackageUse {
    /// Its URL.
    pub url: String,
    /// Its size.
    pub size: u64,
    /// Files it gives.
    pub files: u64,
    /// Bytes it gives.
    pub bytes: u64,
}

/// What was packed.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Entries of the tree.
    pub entries: u64,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files left out.
    pub left_out_files: u64,
    /// Their bytes.
    pub left_out_bytes: u64,
    /// Files archived.
    pub archived_files: u64,
    /// Their bytes.
    pub archived_bytes: u64,
    /// Packages needed to restore.
    pub packages: Vec<PackageUse>,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Packages that were not worth their download.
    pub skipped_packages: u64,
    /// Files that changed while they were read.
    pub changed_files: u64,
}

/// Why a tree was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The HashDB failed.
    #[error(transparent)]
    HashDb(#[from] HashDbError),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What packing stands on.
pub struct Packer<'a> {
    /// What is known.
    pub hashdb: &'a dyn HashDb,
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// Threads.
    pub jobs: usize,
}

impl Packer<'_> {
    /// Packs `tree`.
    pub fn pack(
        &self,
        tree: &Path,
        output: Output,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Summary, PackError> {
        let _ = (tree, output, options, monitor);
        Ok(Summary::default())
    }
}
