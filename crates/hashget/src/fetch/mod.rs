//! Fetching: from a URL and a digest to bytes that are proven to match.
//!
//! Invariant: what a [`Source`] returns matches the requested digest, whoever sent it. If no digest was
//! requested, the digest of the bytes is reported. Unverified bytes never get a final name. (The answers of a
//! [`Web`] are not verified.)

mod byte_range;
mod cache;
mod circuit_breaker;
mod clock;
mod download;
mod failover;
mod fetch_url;
mod file_digest;
mod http;
mod mirror;
mod offline;
mod origin;
mod politeness;
mod pool;
mod pool_folder;
mod retry;
mod standard;
mod unfinished;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

pub use cache::Cache;
pub use clock::{Clock, SystemClock};
pub use failover::Failover;
pub use fetch_url::shown;
pub use mirror::{MirrorRule, Mirrors, public_url};
pub use offline::Offline;
pub use origin::{HttpOrigin, OriginOptions, TimeOuts};
pub use politeness::{HostLimits, Permit, Politeness};
pub use pool::{DirPool, HttpPool};
pub use pool_folder::{AddError, Added, PoolFolder, Pooled};
pub use retry::{Retry, RetryOptions};
pub use standard::{BadOption, FetchOptions, Sources, standard_sources};

use crate::error::ErrorClass;
use crate::model::{Checksum, Digest};
use crate::monitor::{Interrupted, Monitor};
use crate::wording;

/// A package to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The package's display name, for progress; its URL is shown if absent.
    pub name: Option<String>,
    /// Its public URL.
    pub url: String,
    /// Other URLs of the same bytes, tried after `url`.
    pub also: Vec<String>,
    /// The digest it must have; `None` when it is not known yet (first indexing).
    pub sha256: Option<Digest>,
    /// The size it must have, when known.
    pub size: Option<u64>,
}

/// A fetched package, whose bytes are proven.
#[derive(Debug)]
pub struct Fetched {
    /// Open for reading, at its start. May no longer have a name.
    pub file: File,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// Where it came from: a URL, or the path of a file in a pool or the cache.
    pub from: String,
}

/// A range of bytes as a server sent them. Nothing proves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRange {
    /// The bytes from the requested position on; fewer than requested only at the end.
    pub bytes: Vec<u8>,
    /// The total size, if the server reported it.
    pub total: Option<u64>,
    /// Did the server send only these bytes? Otherwise everything before them was transferred, too.
    pub alone: bool,
}

/// Supplies packages by their digest: an origin server, a pool, a cache, or a combination of other sources.
/// Every implementation passes the same conformance suite.
pub trait Source: Send + Sync {
    /// Fetches `wanted`. Blocks until it has arrived; reports progress to `monitor` and asks it for
    /// interruption. May be called from several threads at once.
    ///
    /// # Errors
    /// See [`FetchError`]. A failed call leaves at most a partial download that a later call resumes.
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError>;

    /// The package with this checksum, if it is available without the network: for packages whose SHA-256 is not
    /// known. `wanted` has its likely names, and its size if that is known. Sources that only know packages by
    /// their SHA-256 return `None`.
    ///
    /// # Errors
    /// The monitor asked to stop.
    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        let _ = (checksum, wanted, monitor);
        Ok(None)
    }

    /// Is `wanted` probably available without the network? Only names and sizes are checked; nothing is proven.
    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        let _ = (wanted, monitor);
        false
    }
}

/// Answers small questions about what lies at a URL now: some of its bytes, or a page of an index. Answers
/// are neither verified nor kept. Every implementation passes the same conformance suite.
///
/// Calls block until the answer has arrived. They report progress to the monitor, ask it for interruption,
/// and may come from several threads at once.
pub trait Web: Send + Sync {
    /// Fetches `count` bytes from position `first` on; fewer if the content ends earlier. From a server that
    /// ignores ranges, everything up to the last wanted byte is read.
    ///
    /// # Errors
    /// See [`FetchError`].
    fn fetch_range(
        &self,
        url: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError>;

    /// Fetches at most the first `most` bytes of a page, with `accept` as the value of the HTTP header
    /// `Accept`.
    ///
    /// # Errors
    /// See [`FetchError`].
    fn fetch_page(
        &self,
        url: &str,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError>;
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        (**self).fetch(wanted, monitor)
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        (**self).at_hand_by_checksum(checksum, wanted, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        (**self).is_at_hand(wanted, monitor)
    }
}

impl<W: Web + ?Sized> Web for Arc<W> {
    fn fetch_range(
        &self,
        url: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        (**self).fetch_range(url, first, count, monitor)
    }

    fn fetch_page(
        &self,
        url: &str,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        (**self).fetch_page(url, accept, most, monitor)
    }
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The source does not have it (404, or not in the pool).
    #[error("{from} does not have {url}")]
    NotFound {
        /// Which source.
        from: String,
        /// What was wanted.
        url: String,
    },
    /// The source has something else than what was requested.
    #[error("{from} gave other bytes: expected {expected}, found {found}")]
    Mismatch {
        /// Which source.
        from: String,
        /// The wanted digest or size.
        expected: String,
        /// What was received.
        found: String,
        /// The bytes, which are not proven, from the start: files in them may still be proven one by one.
        /// `None` if too few arrived to be useful.
        file: Option<File>,
    },
    /// The source could not be reached, or failed repeatedly.
    #[error("cannot fetch {url}: {problem}")]
    Unreachable {
        /// The URL that was tried.
        url: String,
        /// What happened, and the number of tries.
        problem: String,
    },
    /// Its host was given up, because the latest requests to it all failed.
    #[error("{url} was not asked for: {failures} requests in a row to {host} failed")]
    NotAsked {
        /// The URL.
        url: String,
        /// The host.
        host: String,
        /// Number of its URLs that failed before.
        failures: usize,
    },
    /// A temporary failure; a retry may help. [`Retry`] retries, and finally turns it into
    /// [`Unreachable`](Self::Unreachable).
    #[error("cannot fetch {url}: {problem}")]
    Transient {
        /// The URL that was tried.
        url: String,
        /// What happened.
        problem: String,
        /// How long the server asked to wait before the next try.
        retry_after: Option<Duration>,
        /// Bytes from the start that are kept for the next try.
        kept: u64,
    },
    /// The URL must not be fetched.
    #[error("will not fetch {url}: {problem}")]
    Refused {
        /// The URL.
        url: String,
        /// Why.
        problem: String,
    },
    /// Writing the downloaded bytes failed (the disk is full, ...).
    #[error("cannot keep what was fetched from {url}")]
    Disk {
        /// The URL.
        url: String,
        /// What failed.
        #[source]
        error: std::io::Error,
    },
    /// Several sources were tried, in turn; each with its own error.
    #[error("{} sources failed: {}", errors.len(), wording::several(errors))]
    All {
        /// One for each source, in the order of the tries.
        errors: Vec<FetchError>,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl FetchError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Mismatch { .. } => ErrorClass::WrongBytes,
            Self::Unreachable { .. } | Self::Transient { .. } | Self::NotAsked { .. } => {
                ErrorClass::Unreachable
            }
            Self::Refused { .. } => ErrorClass::Refused,
            Self::Disk { .. } => ErrorClass::DownloadNotKept,
            Self::All { errors } => ErrorClass::of_several(errors.iter().map(Self::class))
                .unwrap_or(ErrorClass::NotFound),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }

    /// The host that was given up, if no other host was asked.
    pub fn not_asked(&self) -> Option<&str> {
        match self {
            Self::NotAsked { host, .. } => Some(host),
            Self::All { errors } => {
                let first = errors.first()?.not_asked();
                first.filter(|_| errors.iter().all(|error| error.not_asked().is_some()))
            }
            _ => None,
        }
    }
}
