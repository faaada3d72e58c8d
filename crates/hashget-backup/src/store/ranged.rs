//! A file of a store, read by ranges.
//!
//! Invariant: a range is all that was asked for, or an error: a file that changes under a reader is never read as one.

use std::io::{self, Read};

use hashget::storage::{ArchiveSource, RandomRead};

/// Bytes of the first request. Reading on in order, each request asks for twice as many as the one before.
const FIRST: u64 = 1 << 20;

/// The most bytes of a request.
const MOST: u64 = 16 << 20;

/// Gives ranges of one file.
pub(super) trait Ranges: Send + Sync {
    /// The bytes from `first` on, all `count` of them: there are so many.
    ///
    /// # Errors
    /// The store failed, or has another file there than before.
    fn range(&self, first: u64, count: u64) -> io::Result<Vec<u8>>;
}

/// A file of `size` bytes.
pub(super) struct Ranged<R> {
    ranges: R,
    size: u64,
    position: u64,
    /// The bytes from `position` on that have come already.
    ahead: Vec<u8>,
    taken: usize,
    next: u64,
}

impl<R: Ranges> Ranged<R> {
    /// The file of `size` bytes, of which nothing is read yet.
    pub(super) fn new(ranges: R, size: u64) -> Self {
        Self { ranges, size, position: 0, ahead: Vec::new(), taken: 0, next: FIRST }
    }

    fn ask(&self, first: u64, count: u64) -> io::Result<Vec<u8>> {
        let count = count.min(self.size.saturating_sub(first));
        if count == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.ranges.range(first, count)?;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(io::Error::other("the store has another file there than before")),
        }
    }
}

impl<R: Ranges> Read for Ranged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ahead.len() {
            self.ahead = self.ask(self.position, self.next)?;
            self.taken = 0;
            self.next = (self.next * 2).min(MOST);
        }
        let rest = &self.ahead[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Ranges> ArchiveSource for Ranged<R> {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn random(&self) -> Option<&dyn RandomRead> {
        Some(self)
    }
}

impl<R: Ranges> RandomRead for Ranged<R> {
    fn read_at(&self, buffer: &mut [u8], first: u64) -> io::Result<usize> {
        let bytes = self.ask(first, buffer.len() as u64)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
