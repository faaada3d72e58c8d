//! Fetching: from a URL and a digest to bytes that are proven to match.
//!
//! Invariant: what a [`Source`] returns matches the requested digest, whoever sent it. If no digest was
//! requested, the digest of the bytes is reported. Unverified bytes never get a final name. (The answers of a
//! [`Web`] are not verified.)

mod accepted;
mod agent;
mod beside;
mod byte_range;
mod cache;
mod cache_folder;
mod circuit_breaker;
mod clock;
mod credentials;
mod download;
mod encoding;
mod error;
mod failover;
mod fallback;
mod fetch_url;
mod file_digest;
mod file_source;
mod http;
mod kept_files;
mod last_resort;
mod managed_pool;
mod method;
mod mirror;
mod mirror_place;
mod oci;
mod offline;
mod origin;
pub(crate) mod page;
mod politeness;
mod pool;
mod pool_folder;
mod proxy;
mod request;
mod request_log;
mod retry;
mod standard;
mod stated;
mod unfinished;

use std::fs::File;
use std::sync::Arc;

pub use accepted::{Accepted, LeftOver, Taken};
pub use agent::{RequestFailed, agent_for};
pub use beside::{Beside, BesidePlaces, Shelf, name_beside, url_beside};
pub use cache::Cache;
pub use cache_folder::{CacheContents, CacheFolder, Clean};
pub use circuit_breaker::CircuitBreaker;
pub use clock::{Clock, SystemClock, wait};
pub use credentials::Credentials;
pub use error::{FetchError, GivenUp};
pub use failover::Failover;
pub use fallback::{
    FallbackOptions, LostPackages, SOFTWARE_HERITAGE, WAYBACK, WithFallbacks, with_fallbacks,
};
pub use fetch_url::shown;
pub use file_source::{FileSource, FileSources, WantedFile};
pub use kept_files::KeptFiles;
pub(crate) use last_resort::{from_elsewhere, is_of_its_places};
pub use managed_pool::{AddError, Added, ManagedPool, PoolError, Pooled, add_all};
pub(crate) use mirror::is_below;
pub use mirror::{MirrorRule, Mirrors, public_url};
pub use mirror_place::{BadTemplate, MirrorPlace, Template};
pub use oci::OciPool;
pub use offline::Offline;
pub use origin::{HttpOrigin, OriginOptions, TimeOuts};
pub use politeness::{HostLimits, Permit, Politeness};
pub use pool::{DirPool, HttpPool, place_in_pool};
pub use pool_folder::PoolFolder;
pub use proxy::{BadProxy, Proxies};
pub use request_log::{REQUESTS, RequestLog};
pub use retry::{Retry, RetryOptions};
pub use standard::{BadOption, FetchOptions, OpenedPools, Sources, standard_sources};
pub use stated::Stated;

use crate::model::{Checksum, Digest};
use crate::monitor::{Interrupted, Monitor};

/// Where a request may lead. It follows from who named the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Reach {
    /// To any address: the user or a client of this machine named the URL.
    #[default]
    Anywhere,
    /// Only to public addresses: a file that may be anybody's named the URL. Every address of its host is checked,
    /// on the first request as on redirects, unless the configuration says that the host is public.
    PublicOnly,
    /// To any address: the configuration itself names this place, as a mirror or a pool. [`Mirrors`] and
    /// [`HttpPool`] set it.
    Configured,
}

/// A package to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Where requests for it may lead.
    pub reach: Reach,
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
    /// What the server says about the whole content.
    pub stated: Stated,
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
    /// ignores ranges, everything up to the last wanted byte is read if that is at most 1 MiB; otherwise this is an
    /// error.
    ///
    /// # Errors
    /// See [`FetchError`].
    fn fetch_range(
        &self,
        url: &str,
        reach: Reach,
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
        reach: Reach,
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
        reach: Reach,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        (**self).fetch_range(url, reach, first, count, monitor)
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        (**self).fetch_page(url, reach, accept, most, monitor)
    }
}
