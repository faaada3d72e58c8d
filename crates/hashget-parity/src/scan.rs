//! Finding the blocks of a file: where they should be, and elsewhere if bytes were lost or added before them.
//!
//! Invariant: a block counts as found only if its MD5 is right.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::combine::for_each;
use crate::error::ParityError;
use crate::reading::{Proceed, ReadAt};
use crate::set::Set;
use crate::sums::{BlockSums, PIECE, read_through, sums_at};

/// Bytes of zeros that are added to the end of a file to make a block of it, unless the file is larger itself.
const MOST_PADDING: u64 = 64 << 20;

/// Which blocks of a file are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Where each block begins in the file that was scanned.
    pub(crate) found: Vec<Option<u64>>,
    /// Is every block where it should be, and nothing behind the last one?
    is_whole: bool,
}

impl Scanned {
    /// Is the file exactly what the parity is for?
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The blocks that are not in it, by their numbers from 0 on.
    pub fn missing(&self) -> Vec<usize> {
        let found = self.found.iter().enumerate();
        found.filter(|(_, place)| place.is_none()).map(|(block, _)| block).collect()
    }
}

impl Set {
    /// Looks for the blocks in a file of `size` bytes. `proceed` is told of the file's bytes once, and again of those where
    /// blocks are searched for that are not in their places.
    ///
    /// # Errors
    /// The file could not be read.
    pub fn scan(
        &self,
        file: &(impl ReadAt + ?Sized),
        size: u64,
        threads: usize,
        proceed: &Proceed<'_>,
    ) -> Result<Scanned, ParityError> {
        let layout = &self.layout;
        if layout.block_bytes() > size.max(MOST_PADDING) {
            // No block fits into the file, and nobody waits for checksums of endless zeros.
            return Ok(Scanned { found: vec![None; layout.blocks()], is_whole: false });
        }
        let found = Mutex::new(vec![None; layout.blocks()]);
        for_each(threads, layout.blocks() as u64, |number| {
            let block = usize::try_from(number).unwrap_or(usize::MAX);
            let (start, length) = (layout.start_of(block), layout.length_of(block));
            let is_there = start + length <= size
                && sums_at(file, start, length, layout)? == self.sums.blocks[block];
            if is_there {
                found.lock().expect("storing a place does not panic")[block] = Some(start);
            }
            if proceed(length) { Ok(()) } else { Err(ParityError::Stopped) }
        })?;
        let mut found = found.into_inner().expect("storing a place does not panic");
        let is_whole = size == layout.bytes() && !found.contains(&None);
        self.find_equals(&mut found);
        let mut scanned = Scanned { found, is_whole };
        self.search(file, size, &mut scanned, proceed)?;
        Ok(scanned)
    }

    /// Finds blocks that are the same as others that were found.
    fn find_equals(&self, found: &mut [Option<u64>]) {
        let places = found.iter().zip(&self.sums.blocks);
        let places: HashMap<BlockSums, u64> =
            places.filter_map(|(place, sums)| Some((*sums, (*place)?))).collect();
        let last = found.len() - 1;
        for (place, sums) in found[..last].iter_mut().zip(&self.sums.blocks) {
            *place = place.or_else(|| places.get(sums).copied());
        }
    }

    /// Searches for blocks that are not in their places.
    fn search(
        &self,
        file: &(impl ReadAt + ?Sized),
        size: u64,
        scanned: &mut Scanned,
        proceed: &Proceed<'_>,
    ) -> Result<(), ParityError> {
        let layout = &self.layout;
        let last = layout.blocks() - 1;
        // The last block may be shorter: at the end of the file, whatever is before it.
        if let (None, Some(start)) = (scanned.found[last], size.checked_sub(layout.length_of(last)))
            && sums_at(file, start, layout.length_of(last), layout)? == self.sums.blocks[last]
        {
            scanned.found[last] = Some(start);
        }
        let gaps = gaps(&scanned.found, |block| layout.length_of(block), size);
        let mut wanted: HashMap<u32, Vec<usize>> = HashMap::new();
        for block in scanned.missing() {
            wanted.entry(self.sums.blocks[block].crc32).or_default().push(block);
        }
        let mut search =
            Search { set: self, file, wanted, wasted: 0, most_wasted: size, rolling: None };
        for gap in gaps {
            search.gap(gap, size, scanned, proceed)?;
        }
        Ok(())
    }
}

/// Stretches of the file, from a position to another one, that are in no block that was found.
fn gaps(found: &[Option<u64>], length_of: impl Fn(usize) -> u64, size: u64) -> Vec<(u64, u64)> {
    let mut covered: Vec<(u64, u64)> = found
        .iter()
        .enumerate()
        .filter_map(|(block, place)| place.map(|start| (start, start + length_of(block))))
        .collect();
    covered.sort_unstable();
    covered.push((size, size));
    let (mut gaps, mut position) = (Vec::new(), 0);
    for (start, end) in covered {
        if start > position {
            gaps.push((position, start));
        }
        position = position.max(end);
    }
    gaps
}

/// A search by a checksum that moves on byte by byte.
struct Search<'s, F: ?Sized> {
    set: &'s Set,
    file: &'s F,
    /// The blocks that were not found yet, by their CRC32.
    wanted: HashMap<u32, Vec<usize>>,
    /// Bytes that were hashed because only their CRC32 was right.
    wasted: u64,
    most_wasted: u64,
    rolling: Option<Rolling>,
}

impl<F: ReadAt + ?Sized> Search<'_, F> {
    /// Searches in a gap.
    fn gap(
        &mut self,
        (start, end): (u64, u64),
        size: u64,
        scanned: &mut Scanned,
        proceed: &Proceed<'_>,
    ) -> Result<(), ParityError> {
        let block_bytes = self.set.layout.block_bytes();
        // What has the size of one block is that block, damaged.
        let mut has_room = end - start > block_bytes;
        // A block that was found in its place beside the gap may only look like that one.
        let (mut position, end) =
            (start.saturating_sub(block_bytes - 1), size.min(end + block_bytes - 1));
        while has_room {
            if self.wanted.is_empty() || self.wasted > self.most_wasted {
                return Ok(());
            }
            match self.next(position, end, scanned, proceed)? {
                Some(found) => position = found + block_bytes,
                None => return Ok(()),
            }
            has_room = position + block_bytes <= end;
        }
        Ok(())
    }

    /// The position of the next block from `position` on; it is noted where it is.
    fn next(
        &mut self,
        position: u64,
        end: u64,
        scanned: &mut Scanned,
        proceed: &Proceed<'_>,
    ) -> Result<Option<u64>, ParityError> {
        let layout = &self.set.layout;
        let rolling = self.rolling.get_or_insert_with(|| Rolling::new(layout.block_bytes()));
        let mut hasher = crc32fast::Hasher::new();
        let took = |bytes: &[u8]| hasher.update(bytes);
        read_through(self.file, position, layout.block_bytes(), proceed, took)?;
        let mut crc32 = hasher.finalize();
        let mut leaving = Bytes::new(self.file, position);
        let mut entering = Bytes::new(self.file, position + layout.block_bytes());
        for at in position.. {
            if let Some(blocks) = self.wanted.get_mut(&crc32) {
                let sums = sums_at(self.file, at, layout.block_bytes(), layout)?;
                let is_same = |block: &mut usize| self.set.sums.blocks[*block] == sums;
                let same: Vec<usize> = blocks.extract_if(.., is_same).collect();
                if !same.is_empty() {
                    if blocks.is_empty() {
                        self.wanted.remove(&crc32);
                    }
                    for block in same {
                        scanned.found[block] = Some(at);
                    }
                    return Ok(Some(at));
                }
                self.wasted += layout.block_bytes();
            }
            if at + layout.block_bytes() >= end || self.wasted > self.most_wasted {
                break;
            }
            crc32 = rolling.moved(crc32, leaving.next()?, entering.next()?);
            if at % PIECE as u64 == 0 && !proceed(PIECE as u64) {
                return Err(ParityError::Stopped);
            }
        }
        Ok(None)
    }
}

/// The bytes of a file from a position on.
struct Bytes<'f, F: ?Sized> {
    file: &'f F,
    buffer: Vec<u8>,
    at: usize,
    next: u64,
}

impl<'f, F: ReadAt + ?Sized> Bytes<'f, F> {
    fn new(file: &'f F, next: u64) -> Self {
        Self { file, buffer: Vec::new(), at: 0, next }
    }

    fn next(&mut self) -> Result<u8, ParityError> {
        if self.at == self.buffer.len() {
            self.buffer.resize(PIECE, 0);
            let count =
                self.file.read_at(&mut self.buffer, self.next).map_err(ParityError::Read)?;
            self.buffer.truncate(count.max(1));
            self.next += count as u64;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.buffer[self.at - 1])
    }
}

/// The CRC32 of a window that moves through a file.
struct Rolling {
    /// What a byte at the end of a window adds.
    entering: [u32; 256],
    /// What a byte adds that has just left the window, and what the window's length does.
    leaving: [u32; 256],
}

impl Rolling {
    /// Of windows of so many bytes.
    fn new(length: u64) -> Self {
        let entering = table(|bit| {
            (0..8).fold(1_u32 << bit, |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
            })
        });
        // CRC32 is a sum of what each byte adds at its place, and of what the length adds.
        let longer = |first: u8| {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&[first]);
            zeros(&mut hasher, length);
            hasher.finalize()
        };
        let (of_longer, mut of_length) = (longer(0), crc32fast::Hasher::new());
        zeros(&mut of_length, length);
        let of_both = of_longer ^ of_length.finalize();
        let leaving = table(|bit| longer(1 << bit) ^ of_longer).map(|adds| adds ^ of_both);
        Self { entering, leaving }
    }

    /// The CRC32 of the window one byte further on.
    fn moved(&self, crc32: u32, leaves: u8, enters: u8) -> u32 {
        let [low, ..] = (!crc32).to_le_bytes();
        let longer = !(((!crc32) >> 8) ^ self.entering[usize::from(low ^ enters)]);
        longer ^ self.leaving[usize::from(leaves)]
    }
}

/// What each byte adds, from what each of its bits adds.
fn table(of_bit: impl Fn(u32) -> u32) -> [u32; 256] {
    let bits: Vec<u32> = (0..8).map(of_bit).collect();
    let mut table = [0; 256];
    for (byte, adds) in table.iter_mut().enumerate() {
        let set = bits.iter().enumerate().filter(|(bit, _)| byte >> bit & 1 == 1);
        *adds = set.fold(0, |sum, (_, adds)| sum ^ adds);
    }
    table
}

/// Adds so many zeros.
fn zeros(hasher: &mut crc32fast::Hasher, mut length: u64) {
    let zeros = [0; 1 << 12];
    while length > 0 {
        let count = length.min(zeros.len() as u64);
        hasher.update(&zeros[..usize::try_from(count).unwrap_or(0)]);
        length -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rolling_checksum_is_that_of_the_window() {
        let bytes: Vec<u8> = (0..9000_u32).map(|at| at.wrapping_mul(at).to_le_bytes()[0]).collect();
        for length in [4, 1024, 5000] {
            let rolling = Rolling::new(length as u64);
            let mut crc32 = crc32fast::hash(&bytes[..length]);
            for start in 1..bytes.len() - length {
                crc32 = rolling.moved(crc32, bytes[start - 1], bytes[start + length - 1]);
                assert_eq!(crc32, crc32fast::hash(&bytes[start..start + length]), "{start}");
            }
        }
    }
}
