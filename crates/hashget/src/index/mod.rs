//! STAGE 1: what is inside this package? Known already? Else fetch it, read its members, record them.
//!
//! Invariant: a package enters the HashDB whole, after every member has been read and hashed.

use crate::detectors::{Candidate, DetectError, Detector};
use crate::fetch::{FetchError, Source};
use crate::formats::FormatError;
use crate::hashdb::{HashDb, HashDbError, PackageId};
use crate::limits::Limits;
use crate::model::{Evidence, PackageRecord, Signature};
use crate::monitor::{Interrupted, Monitor};

/// A package to index.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The permanent URL to record (already rewritten from a mirror's address to the public one).
    pub url: String,
    /// Other URLs of the same bytes.
    pub also: Vec<String>,
    /// The digest it must have, when known.
    pub sha256: Option<crate::model::Digest>,
    /// Its size, when known.
    pub size: Option<u64>,
    /// Take the bytes from this file; the user vouches that the URL gives them.
    pub file: Option<std::path::PathBuf>,
    /// Its names in ecosystems.
    pub signatures: Vec<Signature>,
    /// The user's grouping.
    pub project: Option<String>,
    /// `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// Read packages within the package too.
    pub recursive: bool,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexed {
    /// The HashDB knew it; nothing was fetched.
    Known(PackageId),
    /// It was fetched and recorded.
    New {
        /// Its id.
        id: PackageId,
        /// Its record.
        record: PackageRecord,
        /// How many members it has.
        members: usize,
    },
}

/// Why a package was not indexed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its bytes could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be read.
    #[error("{url} cannot be indexed")]
    Format {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// The HashDB failed.
    #[error(transparent)]
    HashDb(#[from] HashDbError),
    /// The user's file could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What indexing stands on.
pub struct Indexer<'a> {
    /// Where to record.
    pub hashdb: &'a dyn HashDb,
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// Packages at once; at least 1.
    pub jobs: usize,
}

/// What came of indexing a tree.
#[derive(Debug, Default)]
pub struct TreeIndexed {
    /// Candidates that the detectors found, each URL once, by URL.
    pub candidates: Vec<Candidate>,
    /// Of those, known before.
    pub known: usize,
    /// Of those, fetched and recorded now.
    pub new: usize,
    /// Of those, not indexed: URL and why.
    pub failed: Vec<(String, IndexError)>,
    /// Entries that a detector could not understand.
    pub not_understood: Vec<DetectError>,
}

impl Indexer<'_> {
    /// Indexes one package, unless the HashDB knows it already (same URL, and same digest if one is
    /// wanted, read as deeply as asked, at evidence `downloaded`).
    pub fn index(&self, request: &Request, monitor: &dyn Monitor) -> Result<Indexed, IndexError> {
        let _ = (request, monitor, Evidence::Downloaded);
        unimplemented!("index stage")
    }

    /// Runs the detectors over the tree at `root` and indexes what they find and the HashDB does not
    /// know. A package that fails is in the result and told to the monitor; the others go on.
    pub fn index_tree(
        &self,
        root: &std::path::Path,
        detectors: &[&dyn Detector],
        monitor: &dyn Monitor,
    ) -> Result<TreeIndexed, IndexError> {
        let _ = (root, detectors, monitor);
        unimplemented!("index stage")
    }
}
