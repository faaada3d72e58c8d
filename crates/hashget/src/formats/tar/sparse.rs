//! The data extents of sparse files: the old GNU format, and the three formats within pax.
//!
//! Invariant: the extents are ascending, do not overlap, end within the file and have exactly as many bytes
//! as are stored.

use std::io::{self, Read};

use super::entry::{Contents, RawKind};
use super::header::{BLOCK, Header, sparse_block};
use super::pax;
use super::reader::{FORMAT, TarReader, reading};
use crate::formats::FormatError;
use crate::model::Extent;

impl<R: Read> TarReader<R> {
    /// A sparse file in the format of GNU tar before pax: the map is in the header and in blocks after it.
    pub(super) fn old_sparse(
        &mut self,
        header: &Header<'_>,
        stored: u64,
    ) -> Result<(RawKind, Option<Vec<Extent>>), FormatError> {
        let size = header.sparse_size().map_err(|problem| self.damaged(problem))?;
        let (mut pairs, mut more) = header.sparse().map_err(|problem| self.damaged(problem))?;
        let mut block = [0; BLOCK];
        while more {
            self.read_block(&mut block)?;
            let (further, again) = sparse_block(&block).map_err(|problem| self.damaged(problem))?;
            if further.is_empty() && again {
                return Err(self.damaged("an empty block in a sparse file's map"));
            }
            pairs.extend(further);
            self.check_extents(pairs.len())?;
            more = again;
        }
        self.begin_contents(stored);
        let extents = extents(pairs, size, stored).map_err(|problem| self.damaged(problem))?;
        Ok((RawKind::File { size }, Some(extents)))
    }

    /// A sparse file in one of the three formats within pax.
    pub(super) fn pax_sparse(
        &mut self,
        records: &pax::PaxSparse,
        stored: u64,
    ) -> Result<(RawKind, Option<Vec<Extent>>), FormatError> {
        let size = records.size.ok_or_else(|| self.damaged("a sparse file without a size"))?;
        self.begin_contents(stored);
        let pairs = match (records.major.unwrap_or(0), records.minor.unwrap_or(0)) {
            (0, _) => {
                let numbers = records.numbers.as_deref().unwrap_or_default();
                pairs(numbers).map_err(|problem| self.damaged(problem))?
            }
            (1, 0) => self.read_map()?,
            (major, minor) => {
                let problem = format!("sparse format {major}.{minor}");
                return Err(FormatError::Unsupported { format: FORMAT, problem });
            }
        };
        let extents =
            extents(pairs, size, self.stored_left).map_err(|problem| self.damaged(problem))?;
        Ok((RawKind::File { size }, Some(extents)))
    }

    /// Reads the map before the data (sparse format 1.0): the number of extents, then offset and length of
    /// each, one decimal number per line, padded with NULs to a whole block.
    fn read_map(&mut self) -> Result<Vec<(u64, u64)>, FormatError> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        let mut block = [0; BLOCK];
        loop {
            Contents(self).read_exact(&mut block).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => self.damaged("a sparse file's map is cut off"),
                _ => reading(error),
            })?;
            for &byte in &block {
                let wanted =
                    numbers.first().map_or(1, |count| count.saturating_mul(2).saturating_add(1));
                if numbers.len() as u64 == wanted {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let number = pax::decimal("a number of a sparse file's map", &line);
                numbers.push(number.map_err(|problem| self.damaged(problem))?);
                line.clear();
            }
            if let Some(&count) = numbers.first() {
                self.check_extents(usize::try_from(count).unwrap_or(usize::MAX))?;
                if numbers.len() as u64 == count * 2 + 1 {
                    return pairs(&numbers[1..]).map_err(|problem| self.damaged(problem));
                }
            }
            if line.len() > 20 {
                return Err(self.damaged("a sparse file's map is not made of numbers"));
            }
        }
    }

    /// Limits the number of extents, by the limit on headers.
    fn check_extents(&self, count: usize) -> Result<(), FormatError> {
        let limit = self.limits.header_bytes;
        if count as u64 > limit {
            return Err(FormatError::Limit { what: "extents of a sparse file".into(), limit });
        }
        Ok(())
    }
}

/// The extents of `pairs` (offset, length), checked against the file's `size` and the number of `stored`
/// bytes. Empty extents are dropped (GNU tar marks a hole at the end with one).
fn extents(
    pairs: impl IntoIterator<Item = (u64, u64)>,
    size: u64,
    stored: u64,
) -> Result<Vec<Extent>, String> {
    let mut extents = Vec::new();
    let mut end = 0;
    let mut bytes = 0;
    for (offset, length) in pairs {
        if offset < end {
            return Err(format!("a sparse file's data at {offset} overlaps data before {end}"));
        }
        end = offset
            .checked_add(length)
            .filter(|&end| end <= size)
            .ok_or_else(|| format!("a sparse file's data at {offset} exceeds its size {size}"))?;
        if length > 0 {
            bytes += length;
            extents.push(Extent { offset, length });
        }
    }
    if bytes != stored {
        return Err(format!("a sparse file's map has {bytes} bytes of data, but {stored} follow"));
    }
    Ok(extents)
}

/// Alternating offsets and lengths as pairs.
fn pairs(numbers: &[u64]) -> Result<Vec<(u64, u64)>, String> {
    if !numbers.len().is_multiple_of(2) {
        return Err("a sparse file's map has an offset without a length".to_owned());
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
