//! An archive at a URL, read by ranges.
//!
//! Invariant: only what is read is requested. All parts come from a file of one size; if that changes, reading fails.

use std::io::{self, Read};

use crate::fetch::{FetchError, Reach, Web};
use crate::monitor::Monitor;
use crate::storage::{ArchiveSource, RandomRead};

/// Bytes of one request.
const STRETCH: u64 = 1 << 20;

/// An archive that a server has.
pub struct RemoteArchive<'a> {
    web: Box<dyn Web>,
    url: String,
    size: u64,
    monitor: &'a dyn Monitor,
    position: u64,
    /// The bytes from `position` on that have come already.
    ahead: Vec<u8>,
    taken: usize,
}

impl<'a> RemoteArchive<'a> {
    /// The archive at `url`. Its first bytes are requested at once.
    ///
    /// # Errors
    /// See [`FetchError`]. A server that does not say how large the file is has no archive that can be read.
    pub fn open(
        web: Box<dyn Web>,
        url: &str,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, FetchError> {
        let first = web.fetch_range(url, Reach::Anywhere, 0, STRETCH, monitor)?;
        let come = first.bytes.len() as u64;
        // Fewer bytes than were asked for are all that there are.
        let size = first.total.unwrap_or(come);
        let url = url.to_owned();
        Ok(Self { web, url, size, monitor, position: 0, ahead: first.bytes, taken: 0 })
    }

    fn ask(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let count = count.min(self.size.saturating_sub(first));
        if count == 0 {
            return Ok(Vec::new());
        }
        let part = self.web.fetch_range(&self.url, Reach::Anywhere, first, count, self.monitor);
        let part = part.map_err(io::Error::other)?;
        let is_whole = part.bytes.len() as u64 == count;
        if part.total.is_some_and(|total| total != self.size) || !is_whole {
            return Err(io::Error::other("the server has another file there than before"));
        }
        Ok(part.bytes)
    }
}

impl Read for RemoteArchive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ahead.len() {
            self.ahead = self.ask(self.position, STRETCH)?;
            self.taken = 0;
        }
        let rest = &self.ahead[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        self.position += count as u64;
        Ok(count)
    }
}

impl ArchiveSource for RemoteArchive<'_> {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        Some(self)
    }
}

impl RandomRead for RemoteArchive<'_> {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let bytes = self.ask(first, buffer.len() as u64)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
