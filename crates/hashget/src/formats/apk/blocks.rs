//! The blocks of an Alpine package of version 3, one after the other, inside its compression.
//!
//! Invariant: a block's contents have exactly the size in its header; blocks begin at multiples of eight bytes.

use std::io::{self, BufRead, Read};

use super::{FORMAT, damaged, reading};
use crate::codec::{self, Codec};
use crate::formats::FormatError;
use crate::limits::Limits;

/// The two upper bits of a block's first word.
const ADB: u32 = 0;
const SIGNATURE: u32 = 1;
const DATA: u32 = 2;
const LONG: u32 = 3;

/// The type of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// What the package says of itself and of its files.
    Adb,
    /// Signatures of that.
    Signature,
    /// The contents of one file.
    Data,
}

/// Reads blocks; after [`Blocks::next`], the contents of that block.
pub(super) struct Blocks<'a> {
    reader: Box<dyn Read + 'a>,
    /// Unread bytes of the current block, and of the padding after it.
    left: u64,
    padding: u64,
}

impl<'a> Blocks<'a> {
    /// The blocks of the package in `input`, of which nothing has been read.
    pub(super) fn new(
        mut input: Box<dyn BufRead + 'a>,
        limits: &Limits,
    ) -> Result<Self, FormatError> {
        let mut start = [0; 4];
        input.read_exact(&mut start).map_err(reading)?;
        let method = match &start {
            b"ADB." => 0,
            b"ADBd" => 1,
            b"ADBc" => {
                let mut method = [0; 2];
                input.read_exact(&mut method).map_err(reading)?;
                method[0]
            }
            _ => return Err(damaged("it does not begin as a package of version 3")),
        };
        let mut reader = match method {
            0 => codec::decoder(Codec::None, input, limits, 1),
            1 => Ok(codec::raw_deflate(input, limits)),
            2 => codec::decoder(Codec::Zstd, input, limits, limits.threads),
            other => {
                let problem = format!("it is compressed by method {other}");
                return Err(FormatError::Unsupported { format: FORMAT, problem });
            }
        }
        .map_err(reading)?;
        let mut schema = [0; 8];
        let schema = if method == 0 && &start == b"ADB." { &mut schema[4..] } else { &mut schema };
        reader.read_exact(schema).map_err(reading)?;
        if !schema.ends_with(b"pckg") {
            return Err(damaged("it is no package"));
        }
        Ok(Self { reader, left: 0, padding: 0 })
    }

    /// The type of the next block and its size in bytes; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(BlockKind, u64)>, FormatError> {
        io::copy(self, &mut io::sink()).map_err(reading)?;
        // That of the last block may be missing.
        let padding = std::mem::take(&mut self.padding);
        io::copy(&mut self.reader.by_ref().take(padding), &mut io::sink()).map_err(reading)?;
        let mut word = Vec::new();
        self.reader.by_ref().take(4).read_to_end(&mut word).map_err(reading)?;
        if word.is_empty() {
            return Ok(None);
        }
        let word = word.first_chunk().ok_or_else(|| damaged("the header of a block is cut off"))?;
        let word = u32::from_le_bytes(*word);
        let (mut kind, mut size, mut header) = (word >> 30, u64::from(word & 0x3fff_ffff), 4);
        if kind == LONG {
            let mut rest = [0; 12];
            self.reader.read_exact(&mut rest).map_err(reading)?;
            kind = word & 0x3fff_ffff;
            size = rest[4..].iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
            header = 16;
        }
        let kind = match kind {
            ADB => BlockKind::Adb,
            SIGNATURE => BlockKind::Signature,
            DATA => BlockKind::Data,
            other => return Err(damaged(&format!("a block is of the unknown type {other}"))),
        };
        self.padding = size.wrapping_neg() % 8;
        let too_small = || damaged("a block is smaller than its header");
        self.left = size.checked_sub(header).ok_or_else(too_small)?;
        Ok(Some((kind, self.left)))
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = "the file ends within a block";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
