//! The seek table at the end of a stream of zstd frames: where each frame begins.
//!
//! Invariant: a table is used only if its lengths add up to the bytes that are before it. Nothing that a stream says of a length is
//! allocated before the bytes are there.
//!
//! Source: `contrib/seekable_format/zstd_seekable_compression_format.md` of the zstd project, version 0.1.0.

use std::io::{self, Read};

use super::{Codec, damaged};

/// Reads bytes of a stream from a position on, until the buffer is full or the stream ends; how many were read.
pub(crate) type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> io::Result<usize>;

/// Begins a skippable frame; the last four bits of the first byte are free.
pub(super) const SKIPPABLE_FRAME: u32 = 0x184D_2A50;
/// The skippable frame of the seek table, the last frame of all.
pub(super) const TABLE_FRAME: u32 = 0x184D_2A5E;
/// Ends the seek table.
const TABLE_MAGIC: u32 = 0x8F92_EAB1;
/// The end of the table: number of frames, descriptor, magic number.
const FOOTER_BYTES: usize = 9;
/// The start of every skippable frame: magic number, length.
const SKIPPABLE_HEADER_BYTES: usize = 8;
/// Bytes of a skippable frame that are read at once; most have no more.
const AT_ONCE: usize = 1 << 20;
/// No frame is shorter.
const SHORTEST_FRAME: u64 = 8;
/// Descriptor bit: each row has a checksum, too.
const HAS_CHECKSUMS: u8 = 0x80;
/// Descriptor bits that must be zero.
const RESERVED: u8 = 0x7c;
/// The format allows no more frames.
pub(super) const MOST_FRAMES: u32 = 0x0800_0000;

/// Lengths of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameLengths {
    /// Bytes in the compressed stream.
    pub(crate) compressed: u32,
    /// Bytes that it decodes to; 0 for a skippable frame.
    pub(crate) decoded: u32,
}

/// The seek table of these frames.
pub(super) fn rows(frames: &[FrameLengths]) -> Vec<u8> {
    let row = |frame: &FrameLengths| [frame.compressed.to_le_bytes(), frame.decoded.to_le_bytes()];
    let mut table: Vec<u8> = frames.iter().flat_map(row).flatten().collect();
    let count = u32::try_from(frames.len()).expect("there are at most MOST_FRAMES");
    table.extend_from_slice(&count.to_le_bytes());
    table.push(0);
    table.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
    table
}

/// A frame, and where it begins in the compressed stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Position of its first byte in the compressed stream.
    pub(crate) start: u64,
    /// Its lengths.
    pub(crate) lengths: FrameLengths,
}

impl Frame {
    /// Is there nothing to decode in it? Then it is one that decoders skip.
    pub(crate) fn is_skippable(&self) -> bool {
        self.lengths.decoded == 0
    }
}

/// The frames that the seek table at the end of a stream of `size` bytes names; `None` if there is no such table.
///
/// # Errors
/// Reading failed, or the table contradicts the stream's size.
pub(crate) fn seek_table(read_at: ReadAt<'_>, size: u64) -> io::Result<Option<Vec<Frame>>> {
    let Some(end) = size.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER_BYTES];
    read_exact_at(read_at, &mut footer, end)?;
    let [n0, n1, n2, n3, descriptor, magic @ ..] = footer;
    let count = u32::from_le_bytes([n0, n1, n2, n3]);
    if u32::from_le_bytes(magic) != TABLE_MAGIC || descriptor & RESERVED != 0 || count > MOST_FRAMES
    {
        return Ok(None);
    }
    let row_bytes: usize = if descriptor & HAS_CHECKSUMS == 0 { 8 } else { 12 };
    let content = u64::from(count) * row_bytes as u64 + FOOTER_BYTES as u64;
    let contradiction = || damaged(Codec::Zstd, "its seek table does not fit its size");
    let start =
        size.checked_sub(content + SKIPPABLE_HEADER_BYTES as u64).ok_or_else(contradiction)?;
    if u64::from(count) > start / SHORTEST_FRAME {
        return Err(contradiction());
    }
    let mut header = [0; SKIPPABLE_HEADER_BYTES];
    read_exact_at(read_at, &mut header, start)?;
    if header[..4] != TABLE_FRAME.to_le_bytes()
        || u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]])) != content
    {
        return Err(contradiction());
    }
    let table = Stretch { read_at, next: start + SKIPPABLE_HEADER_BYTES as u64, end };
    let frames = frames(io::BufReader::with_capacity(1 << 16, table), count, row_bytes)?;
    let is_right = frames
        .last()
        .is_none_or(|frame| frame.start + u64::from(frame.lengths.compressed) == start);
    if is_right { Ok(Some(frames)) } else { Err(contradiction()) }
}

fn frames(mut rows: impl Read, count: u32, row_bytes: usize) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut start = 0;
    for _ in 0..count {
        let mut row = [0; 12];
        rows.read_exact(&mut row[..row_bytes])?;
        let [c0, c1, c2, c3, d0, d1, d2, d3, ..] = row;
        let compressed = u32::from_le_bytes([c0, c1, c2, c3]);
        let decoded = u32::from_le_bytes([d0, d1, d2, d3]);
        frames.push(Frame { start, lengths: FrameLengths { compressed, decoded } });
        start += u64::from(compressed);
    }
    Ok(frames)
}

/// Does a seek table end here, although [`seek_table`] finds none? Then its last bytes are damaged. Looks at the last MiB.
///
/// # Errors
/// Reading failed.
pub(crate) fn has_damaged_end(read_at: ReadAt<'_>, size: u64) -> io::Result<bool> {
    let first = size.saturating_sub(1 << 20);
    let mut end = vec![0; usize::try_from(size - first).map_err(io::Error::other)?];
    read_exact_at(read_at, &mut end, first)?;
    let begins_table = |at: usize| {
        let Some(content) = end[at..].split_at_checked(SKIPPABLE_HEADER_BYTES).map(|(_, it)| it)
        else {
            return false;
        };
        end[at..at + 4] == TABLE_FRAME.to_le_bytes()
            && end[at + 4..at + SKIPPABLE_HEADER_BYTES] == (content.len() as u64).to_le_bytes()[..4]
    };
    Ok((0..end.len()).any(begins_table))
}

/// The content of a skippable frame: it is read when it is asked for, since it may have 4 GiB.
pub(crate) type Content<'a> = io::BufReader<Stretch<'a>>;

/// Number and content of the skippable frame that is at `frame`; `None` if another kind of frame is there.
///
/// # Errors
/// Reading failed.
pub(crate) fn skippable_frame<'a>(
    read_at: ReadAt<'a>,
    frame: &Frame,
) -> io::Result<Option<(u8, Content<'a>)>> {
    let length = u64::from(frame.lengths.compressed);
    let Some(content) = length.checked_sub(SKIPPABLE_HEADER_BYTES as u64) else { return Ok(None) };
    let bytes = Stretch { read_at, next: frame.start, end: frame.start.saturating_add(length) };
    let at_once = usize::try_from(length).map_or(AT_ONCE, |length| length.min(AT_ONCE));
    let mut bytes = io::BufReader::with_capacity(at_once, bytes);
    let mut header = [0; SKIPPABLE_HEADER_BYTES];
    bytes.read_exact(&mut header)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3] = header;
    let number = u32::from_le_bytes([m0, m1, m2, m3]).wrapping_sub(SKIPPABLE_FRAME);
    let number = u8::try_from(number).ok().filter(|number| *number < 16);
    let is_right = u64::from(u32::from_le_bytes([l0, l1, l2, l3])) == content;
    Ok(number.filter(|_| is_right).map(|number| (number, bytes)))
}

/// A part of a stream, in order.
pub(crate) struct Stretch<'a> {
    read_at: ReadAt<'a>,
    next: u64,
    end: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = (self.read_at)(&mut buffer[..room], self.next)?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.next += count as u64;
        Ok(count)
    }
}

/// Fills `buffer` from position `first` on.
fn read_exact_at(read_at: ReadAt<'_>, buffer: &mut [u8], first: u64) -> io::Result<()> {
    match read_at(buffer, first)? == buffer.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
