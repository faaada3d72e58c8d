//! The start of a package that lies on a server, asked for in pieces as somebody reads it.
//!
//! Invariant: never more than a given number of bytes is asked for, and what asking failed with is not lost in the
//! words of the readers around it.

use std::io::{self, Read};

use super::Parts;

/// So much is asked for at once, at the most.
const MOST_AT_ONCE: u64 = 1 << 20;

/// Reads a package from its start.
pub(super) struct Start<'a, 'p> {
    part: &'a mut Parts<'p>,
    end: u64,
    position: u64,
    /// How much is asked for next.
    next: u64,
    /// What was asked for, and how much of it was read.
    piece: io::Cursor<Vec<u8>>,
    failure: Option<io::Error>,
}

impl<'a, 'p> Start<'a, 'p> {
    /// Of a package of which `part` gives any bytes, up to `end`. At first `first` bytes are asked for, then twice as many
    /// as before.
    pub(super) fn new(part: &'a mut Parts<'p>, end: u64, first: u64) -> Self {
        Self { part, end, position: 0, next: first, piece: io::Cursor::default(), failure: None }
    }

    /// What came of reading: what asking failed with, else `outcome`.
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
