//! The start of a remote package, fetched in pieces as it is read.
//!
//! Invariant: no more than a given number of bytes is fetched; if a request fails, its own error is returned,
//! not one of the readers around it.

use std::io::{self, Read};

use super::Parts;

/// Limit on the size of one request.
const MOST_AT_ONCE: u64 = 1 << 20;

/// Reads a package from its start.
pub(super) struct Start<'a, 'p> {
    part: &'a mut Parts<'p>,
    end: u64,
    position: u64,
    /// Size of the next request.
    next: u64,
    /// The bytes of the last request, with the read position.
    piece: io::Cursor<Vec<u8>>,
    failure: Option<io::Error>,
}

impl<'a, 'p> Start<'a, 'p> {
    /// For a package of which `part` returns any bytes, up to `end`. The first request is for `first` bytes,
    /// each further one for twice as many as the one before.
    pub(super) fn new(part: &'a mut Parts<'p>, end: u64, first: u64) -> Self {
        Self { part, end, position: 0, next: first, piece: io::Cursor::default(), failure: None }
    }

    /// The result of reading: the error of a failed request, otherwise `outcome`.
    pub(super) fn finish<T>(self, outcome: io::Result<T>) -> io::Result<T> {
        self.failure.map_or(outcome, Err)
    }
}

impl Read for Start<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let is_read = self.piece.position() >= self.piece.get_ref().len() as u64;
        if is_read && self.position < self.end && !buffer.is_empty() {
            let count = self.next.min(self.end - self.position);
            self.next = (self.next * 2).min(MOST_AT_ONCE);
            match (self.part)(self.position, count) {
                Ok(piece) => self.piece = io::Cursor::new(piece),
                Err(error) => {
                    let kind = error.kind();
                    self.failure = Some(error);
                    return Err(kind.into());
                }
            }
            self.position += count;
        }
        self.piece.read(buffer)
    }
}
