//! Replaces the network when hashget works offline.
//!
//! Invariant: nothing is sent; every request is refused with the reason.

use super::fetch_url::refused;
use super::{ByteRange, FetchError, Fetched, Reach, Source, Wanted, Web};
use crate::monitor::Monitor;

/// Refuses every request: no network is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Source for Offline {
    fn fetch(&self, wanted: &Wanted, _monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        Err(refused(&wanted.url, "offline, and neither the cache nor a pool has it"))
    }
}

impl Web for Offline {
    fn fetch_range(
        &self,
        url: &str,
        _reach: Reach,
        _first: u64,
        _count: u64,
        _monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        Err(refused(url, "offline: only whole packages of pools and the cache can be had"))
    }

    fn fetch_page(
        &self,
        url: &str,
        _reach: Reach,
        _accept: &str,
        _most: u64,
        _monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        Err(refused(url, "offline: no page can be had"))
    }
}
