//! How a parity file is laid out: the size of blocks, the number of recovery blocks, and where each packet lies.
//!
//! Invariant: it follows from the file's size and the share alone.

use crate::error::ParityError;
use crate::packet;

/// Blocks of a large file, at most: computing takes time for each pair of a block and a recovery block, and the
/// checksums of blocks take room.
const MOST_BLOCKS: u64 = 2000;
/// Bytes of the smallest blocks.
const SMALLEST: u64 = 1024;
/// Larger blocks are multiples of this, so that what a disk loses lies in one block.
const SECTOR: u64 = 4096;
/// Blocks that the specification has constants for.
pub(crate) const MOST_CONSTANTS: u64 = 32_768;
/// Bytes of the largest blocks: those of files of half a petabyte.
pub(crate) const LARGEST: u64 = 1 << 38;

/// Sizes and numbers of one parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    bytes: u64,
    block_bytes: u64,
    recoveries: u64,
}

impl Layout {
    /// That for a file of so many bytes, and recovery blocks for `percent` (1 to 100) of it. There is one more of these than the
    /// share takes, since damage does not begin where a block begins.
    ///
    /// # Errors
    /// The file is empty, or too large.
    pub fn new(bytes: u64, percent: u8) -> Result<Self, ParityError> {
        let least = bytes.div_ceil(MOST_BLOCKS).max(SMALLEST);
        let block_bytes = match least {
            small if small <= SECTOR => small.next_power_of_two(),
            large => large.next_multiple_of(SECTOR),
        };
        let blocks = bytes.div_ceil(block_bytes);
        let recoveries = (blocks * u64::from(percent.clamp(1, 100))).div_ceil(100) + 1;
        Self::of_blocks(bytes, block_bytes, recoveries)
    }

    /// That with blocks of so many bytes, and so many recovery blocks.
    pub(crate) fn of_blocks(
        bytes: u64,
        block_bytes: u64,
        recoveries: u64,
    ) -> Result<Self, ParityError> {
        let is_possible = bytes > 0
            && (4..=LARGEST).contains(&block_bytes)
            && block_bytes.is_multiple_of(4)
            && bytes.div_ceil(block_bytes) <= MOST_CONSTANTS
            && recoveries <= u64::from(u16::MAX);
        if is_possible {
            Ok(Self { bytes, block_bytes, recoveries })
        } else {
            Err(ParityError::Size { bytes })
        }
    }

    /// Size in bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Size in bytes of a block. The last one of the file may be shorter.
    pub fn block_bytes(&self) -> u64 {
        self.block_bytes
    }

    /// Number of blocks of the file; at most 32,768.
    pub fn blocks(&self) -> usize {
        usize::try_from(self.bytes.div_ceil(self.block_bytes)).unwrap_or(usize::MAX)
    }

    /// Number of recovery blocks; at most 65,535.
    pub fn recoveries(&self) -> usize {
        usize::try_from(self.recoveries).unwrap_or(usize::MAX)
    }

    /// Bytes of this block that are in the file.
    pub(crate) fn length_of(&self, block: usize) -> u64 {
        self.block_bytes.min(self.bytes.saturating_sub(self.start_of(block)))
    }

    /// Where this block begins in the file.
    pub(crate) fn start_of(&self, block: usize) -> u64 {
        (block as u64).saturating_mul(self.block_bytes)
    }

    /// The number of copies of what the recovery blocks are described by: at the beginning, at the end, and between them, if
    /// they are little beside the recovery blocks.
    fn copies(&self, description: u64) -> u64 {
        let fitting = self.recoveries * self.block_bytes / (8 * description.max(1));
        let most = 3 + u64::from(self.recoveries.checked_ilog2().unwrap_or(0));
        fitting.clamp(3, most).min(self.recoveries + 1)
    }

    /// Where each part begins, and the size of all of it. `description` is the size in bytes of a copy of the description.
    pub(crate) fn parts(&self, description: u64) -> (Vec<(u64, Part)>, u64) {
        let copies = self.copies(description);
        let (mut parts, mut position) = (Vec::new(), 0);
        let mut copy = 0;
        for recovery in 0..=self.recoveries {
            // The last copy comes after the last recovery block.
            if copy < copies && recovery == copy * self.recoveries / (copies - 1).max(1) {
                parts.push((position, Part::Description));
                position += description;
                copy += 1;
            }
            if recovery < self.recoveries {
                parts.push((position, Part::Recovery(u16::try_from(recovery).unwrap_or(0))));
                position += packet::RECOVERY_HEADER + self.block_bytes;
            }
        }
        (parts, position)
    }
}

/// A part of a parity file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All packets but those of recovery blocks.
    Description,
    /// The packet of the recovery block with this exponent.
    Recovery(u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_by_table() {
        for (bytes, percent, block_bytes, blocks, recoveries) in [
            (1, 5, 1024, 1, 2),
            (10_000, 5, 1024, 10, 2),
            (2_048_000, 5, 1024, 2000, 101),
            (2_048_001, 5, 2048, 1001, 52),
            (100_000_000, 5, 53_248, 1879, 95),
            (100_000_000, 100, 53_248, 1879, 1880),
            (1 << 40, 1, 549_756_928, 2000, 21),
        ] {
            let layout = Layout::new(bytes, percent).unwrap();
            let found = (layout.block_bytes(), layout.blocks(), layout.recoveries());
            assert_eq!(found, (block_bytes, blocks, recoveries), "{bytes} {percent}");
        }
        assert!(Layout::new(0, 5).is_err() && Layout::new(u64::MAX, 5).is_err());
    }

    #[test]
    fn the_description_is_at_both_ends_and_every_recovery_block_is_there() {
        for (bytes, percent) in [(1, 1), (5000, 1), (5000, 100), (3 << 20, 7), (1 << 30, 5)] {
            let layout = Layout::new(bytes, percent).unwrap();
            let (parts, size) = layout.parts(1000);
            let recoveries = parts.iter().filter_map(|(_, part)| match part {
                Part::Recovery(exponent) => Some(usize::from(*exponent)),
                Part::Description => None,
            });
            assert!(recoveries.eq(0..layout.recoveries()));
            assert_eq!(parts[0], (0, Part::Description));
            assert_eq!(*parts.last().unwrap(), (size - 1000, Part::Description));
            assert!(parts.len() - layout.recoveries() >= 3);
        }
    }
}
