//! Zstandard in frames that can be decoded alone, with the seek table of the zstd project's seekable format.
//!
//! Invariant: a frame depends on its own bytes and the level, on nothing before it and on no number of threads; every
//! zstd decoder reads all of it as one stream.

use std::collections::VecDeque;
use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, Write};
use std::sync::Arc;

use twox_hash::XxHash3_64;

use super::blocks::Blocks;
use super::encode::Encoder;
use super::seek_table::{self, Frame, FrameLengths, MOST_FRAMES, SKIPPABLE_FRAME, TABLE_FRAME};

/// Frames end by themselves at this size; whoever chooses where they end ends them before.
const MOST_BYTES: usize = 32 << 20;
/// Bytes of frames that wait for each thread.
const BYTES_PER_THREAD: usize = 4 << 20;
/// From this level on the compressor gets a window that holds a whole frame.
const STRONG_LEVEL: i32 = 19;
const STRONG_WINDOW_LOG: u32 = 25;
/// The blocks of the file systems that can share them between files, in bytes.
const SHARED_BLOCK: u64 = 4096;
/// Frames of this compressed size begin at a multiple of [`SHARED_BLOCK`], so that copies can share their blocks. What
/// lies before smaller ones would be too much: here, it is 2 KiB on average.
const LEAST_ALIGNED: u64 = 64 << 10;
/// Tells the frames before them, which hold zeros, from other skippable frames.
pub(crate) const FILLING: u8 = 9;
/// A skippable frame has as many bytes and more.
const LEAST_SKIPPABLE: u64 = 8;
/// Bytes of one of them at most: where a shorter one than [`LEAST_SKIPPABLE`] is missing, a block more is filled.
pub(crate) const LONGEST_FILLING: u32 = 4096 + 7;

/// What frames are written to that may also be copied from another file.
pub(crate) trait FrameOutput: Write {
    /// Appends `length` bytes of `source` that begin at `start`, such that both files share the disk blocks. How many
    /// bytes it appended, from the first on: none if sharing is not possible.
    fn share(&mut self, source: &File, start: u64, length: u64) -> u64;
}

impl<T: FrameOutput + ?Sized> FrameOutput for Box<T> {
    fn share(&mut self, source: &File, start: u64, length: u64) -> u64 {
        (**self).share(source, start, length)
    }
}

/// Takes pieces of a file.
pub(crate) type TakePiece<'t> = &'t mut dyn FnMut(&[u8]) -> io::Result<()>;

/// A file in which frames lie.
pub(crate) trait FrameSource {
    /// The file.
    fn file(&self) -> &File;

    /// Passes the `length` bytes from `start` on to `take`.
    ///
    /// # Errors
    /// They cannot be read; or those of `take`.
    fn read(&self, start: u64, length: u64, take: TakePiece<'_>) -> io::Result<()>;
}

/// A frame that lies compressed in a file.
pub(crate) struct StoredFrame<'f> {
    /// The file.
    pub(crate) source: &'f dyn FrameSource,
    /// Where it lies.
    pub(crate) frame: Frame,
    /// The checksum of its bytes when they were written.
    pub(crate) checksum: u64,
}

impl StoredFrame<'_> {
    /// Are its bytes those that were written?
    pub(crate) fn is_whole(&self) -> bool {
        self.read(0, &mut |_| Ok(())).is_ok_and(|checksum| checksum == self.checksum)
    }

    /// Its bytes, if they are those that were written.
    pub(crate) fn whole(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let checksum = self.read(0, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        checksum.is_ok_and(|checksum| checksum == self.checksum).then_some(bytes)
    }

    /// Passes its bytes from the one with the number `from` on to `take`; their checksum.
    fn read(&self, from: u64, take: TakePiece<'_>) -> io::Result<u64> {
        let mut checksum = XxHash3_64::new();
        let Frame { start, lengths } = self.frame;
        let left = u64::from(lengths.compressed) - from;
        self.source.read(start + from, left, &mut |piece| {
            checksum.write(piece);
            take(piece)
        })?;
        Ok(checksum.finish())
    }
}

/// A checksum of a compressed frame, against damage of the disk.
pub(crate) fn frame_checksum(compressed: &[u8]) -> u64 {
    XxHash3_64::oneshot(compressed)
}

/// What, besides the bytes, decides what a frame is compressed to: equal names give equal frames.
pub(crate) fn encoder_name(level: Option<i32>) -> String {
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    format!("zstd {}, level {level}", zstd::zstd_safe::version_string())
}

/// Compresses into frames.
pub(crate) struct SeekableWriter<W> {
    frames: Blocks<W>,
    pending: Vec<u8>,
    written: Written,
}

/// What has been written.
#[derive(Default)]
struct Written {
    table: Vec<FrameLengths>,
    /// A checksum of each frame that is no skippable one.
    checksums: Vec<u64>,
    bytes: u64,
    /// Those of frames that were copied.
    copied: u64,
    /// Decoded lengths of the frames that are being compressed.
    waiting: VecDeque<u32>,
}

impl Written {
    /// Writes the first frame that waits.
    fn frame(&mut self, output: &mut impl Write, compressed: &[u8]) -> io::Result<()> {
        let decoded = self.waiting.pop_front().expect("each frame waits before it is written");
        self.align(output, compressed.len() as u64)?;
        output.write_all(compressed)?;
        self.checksums.push(frame_checksum(compressed));
        self.row(compressed.len(), decoded)
    }

    fn row(&mut self, compressed: usize, decoded: u32) -> io::Result<()> {
        self.add(FrameLengths { compressed: length(compressed)?, decoded });
        Ok(())
    }

    fn add(&mut self, lengths: FrameLengths) {
        self.table.push(lengths);
        self.bytes += u64::from(lengths.compressed);
    }

    fn skippable(&mut self, output: &mut impl Write, number: u8, content: &[u8]) -> io::Result<()> {
        let frame = skippable(SKIPPABLE_FRAME + u32::from(number), content)?;
        output.write_all(&frame)?;
        self.row(frame.len(), 0)
    }

    /// Fills up to where a frame of this compressed size is to begin.
    fn align(&mut self, output: &mut impl Write, compressed: u64) -> io::Result<()> {
        let missing = self.bytes.next_multiple_of(SHARED_BLOCK) - self.bytes;
        if compressed < LEAST_ALIGNED || missing == 0 {
            return Ok(());
        }
        let missing = if missing < LEAST_SKIPPABLE { missing + SHARED_BLOCK } else { missing };
        let zeros = usize::try_from(missing - LEAST_SKIPPABLE).map_err(io::Error::other)?;
        self.skippable(output, FILLING, &vec![0; zeros])
    }
}

impl<W: Write> SeekableWriter<W> {
    /// Starts `threads` threads, which end with the writer.
    pub(super) fn new(output: W, level: i32, threads: usize) -> io::Result<Self> {
        let compress = Arc::new(move |bytes: &[u8]| frame(bytes, level));
        let frames = Blocks::new(output, "zstd", threads, threads * BYTES_PER_THREAD, compress)?;
        Ok(Self { frames, pending: Vec::new(), written: Written::default() })
    }

    /// Ends the frame: what is written next is decoded without what came before. Nothing happens if the frame is empty.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn end_frame(&mut self) -> io::Result<()> {
        if self.pending.is_empty() { Ok(()) } else { self.put_frame() }
    }

    fn put_frame(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let written = &mut self.written;
        written.waiting.push_back(length(bytes.len())?);
        self.frames.put(bytes, &mut |output, compressed| written.frame(output, compressed))
    }

    /// Ends the frame, and waits for all frames to be written; gives the output.
    fn settle(&mut self) -> io::Result<(&mut W, &mut Written)> {
        self.end_frame()?;
        let Self { frames, written, .. } = self;
        let output = frames.complete(&mut |output, frame| written.frame(output, frame))?;
        Ok((output, written))
    }

    /// Ends the frame, and waits for all frames to be written; how many bytes they have.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn complete(&mut self) -> io::Result<u64> {
        self.settle().map(|(_, written)| written.bytes)
    }

    /// Checksums of all frames, in order, but for those that decoders skip. All frames must be [complete](Self::complete).
    pub(crate) fn checksums(&self) -> &[u64] {
        &self.written.checksums
    }

    /// Writes a frame that decoders skip, with `content`; `number` (0 to 13) tells whose it is.
    ///
    /// # Errors
    /// Those of the output; `content` is longer than 4 GiB.
    pub(crate) fn skippable(&mut self, number: u8, content: &[u8]) -> io::Result<()> {
        let (output, written) = self.settle()?;
        written.skippable(output, number, content)
    }

    /// Ends the last frame, and writes the seek table.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.complete()?;
        if self.written.table.is_empty() {
            self.put_frame()?;
        }
        let (output, written) = self.settle()?;
        // A stream of more frames is an ordinary stream, without a table.
        if length(written.table.len())? <= MOST_FRAMES {
            output.write_all(&skippable(TABLE_FRAME, &seek_table::rows(&written.table))?)?;
        }
        output.flush()
    }
}

impl<W: FrameOutput> SeekableWriter<W> {
    /// Ends the frame. If `find` has one that lies compressed in a file and decodes to the same bytes, that is copied.
    ///
    /// # Errors
    /// Those of the output, and of [`Self::copy`].
    pub(crate) fn end_frame_as<'f>(
        &mut self,
        find: impl FnOnce(&[u8]) -> Option<StoredFrame<'f>>,
    ) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match find(&self.pending) {
            Some(stored) => {
                self.pending.clear();
                self.copy(&stored)
            }
            None => self.put_frame(),
        }
    }

    /// Ends the frame, and appends one that lies compressed in a file and is whole. Of what can be shared nothing is read.
    ///
    /// # Errors
    /// Those of the output; or the frame cannot be read, or is no longer whole.
    pub(crate) fn copy(&mut self, stored: &StoredFrame<'_>) -> io::Result<()> {
        let (output, written) = self.settle()?;
        let Frame { start, lengths } = stored.frame;
        let length = u64::from(lengths.compressed);
        written.align(output, length)?;
        let can_share = length >= LEAST_ALIGNED && start.is_multiple_of(SHARED_BLOCK);
        let whole_blocks = if can_share { length - length % SHARED_BLOCK } else { 0 };
        let mut shared = 0;
        while shared < whole_blocks {
            match output.share(stored.source.file(), start + shared, whole_blocks - shared) {
                0 => break,
                count => shared += count,
            }
        }
        let checksum = stored.read(shared, &mut |piece| output.write_all(piece))?;
        // What is shared was whole a moment ago, and of the few bytes behind it there is no checksum.
        if shared == 0 && checksum != stored.checksum {
            return Err(io::Error::other("the earlier archive changed while it was copied from"));
        }
        written.checksums.push(stored.checksum);
        written.add(lengths);
        written.copied += length;
        Ok(())
    }

    /// Bytes of frames that were copied.
    pub(crate) fn copied_bytes(&self) -> u64 {
        self.written.copied
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::Error::other("a frame is longer than 4 GiB"))
}

fn frame(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.include_checksum(true)?;
    if level >= STRONG_LEVEL {
        compressor.window_log(STRONG_WINDOW_LOG)?;
    }
    let mut compressed = compressor.compress(bytes)?;
    compressed.shrink_to_fit();
    Ok(compressed)
}

fn skippable(magic: u32, content: &[u8]) -> io::Result<Vec<u8>> {
    let length = length(content.len())?;
    Ok([&magic.to_le_bytes()[..], &length.to_le_bytes(), content].concat())
}

impl<W: Write> Write for SeekableWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = buffer.len().min(MOST_BYTES - self.pending.len());
        self.pending.extend_from_slice(&buffer[..count]);
        if self.pending.len() == MOST_BYTES {
            self.put_frame()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()?.0.flush()
    }
}

impl<W: Write> Encoder for SeekableWriter<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Self::finish(*self)
    }
}
