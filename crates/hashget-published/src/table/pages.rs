//! Pages that were fetched and proven, as Parquet's reader wants them.
//!
//! Invariant: only bytes whose digest was compared are in it; whoever asks for others gets an error.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A page of a table: the number of its column, and its own within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PageId {
    pub(crate) column: usize,
    pub(crate) page: usize,
}

/// Proven stretches of a file of `size` bytes, by where they begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fetched {
    pub(crate) size: u64,
    pub(crate) stretches: BTreeMap<u64, Bytes>,
}

impl Length for Fetched {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Fetched {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let (at, stretch) = self.stretch(start)?;
        Ok(Cursor::new(stretch.slice(at..)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let (at, stretch) = self.stretch(start)?;
        match at.checked_add(length).filter(|end| *end <= stretch.len()) {
            Some(end) => Ok(stretch.slice(at..end)),
            None => Err(missing()),
        }
    }
}

impl Fetched {
    /// The stretch that has this position, and where in it.
    fn stretch(&self, position: u64) -> Result<(usize, &Bytes)> {
        let (start, stretch) = self.stretches.range(..=position).next_back().ok_or_else(missing)?;
        let at = usize::try_from(position - start).map_err(|_| missing())?;
        if at >= stretch.len() && !(at == 0 && stretch.is_empty()) {
            return Err(missing());
        }
        Ok((at, stretch))
    }
}

fn missing() -> ParquetError {
    ParquetError::General("it refers to bytes that are not among those that were proven".to_owned())
}
