//! Zstandard in frames that can be decoded alone, with the seek table of the zstd project's seekable format.
//!
//! Invariant: a frame depends on its own bytes and the level, on nothing before it and on no number of threads; every
//! zstd decoder reads all of it as one stream.

use std::io::{self, Write};
use std::sync::Arc;

use super::blocks::Blocks;
use super::encode::Encoder;
use super::seek_table::{self, FrameLengths, MOST_FRAMES, SKIPPABLE_FRAME, TABLE_FRAME};

/// Frames end by themselves at this size; whoever chooses where they end ends them before.
const MOST_BYTES: usize = 32 << 20;
/// Bytes of frames that wait for each thread.
const BYTES_PER_THREAD: usize = 4 << 20;
/// From this level on the compressor gets a window that holds a whole frame.
const STRONG_LEVEL: i32 = 19;
const STRONG_WINDOW_LOG: u32 = 25;

/// Compresses into frames.
pub(crate) struct SeekableWriter<W> {
    frames: Blocks<W>,
    pending: Vec<u8>,
    /// Decoded lengths of the frames that are not written yet are at its end, without compressed lengths.
    table: Vec<FrameLengths>,
    written: usize,
}

impl<W: Write> SeekableWriter<W> {
    /// Starts `threads` threads, which end with the writer.
    pub(super) fn new(output: W, level: i32, threads: usize) -> io::Result<Self> {
        let compress = Arc::new(move |bytes: &[u8]| frame(bytes, level));
        let frames = Blocks::new(output, "zstd", threads, threads * BYTES_PER_THREAD, compress)?;
        Ok(Self { frames, pending: Vec::new(), table: Vec::new(), written: 0 })
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
        self.table.push(FrameLengths { compressed: 0, decoded: length(bytes.len())? });
        let (table, written) = (&mut self.table, &mut self.written);
        self.frames.put(bytes, &mut |compressed| note(table, written, compressed))
    }

    /// Ends the frame, and waits for all frames to be written; how many bytes they have.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn complete(&mut self) -> io::Result<u64> {
        self.end_frame()?;
        let (table, written) = (&mut self.table, &mut self.written);
        self.frames.complete(&mut |bytes| note(table, written, bytes))?;
        Ok(self.table.iter().map(|frame| u64::from(frame.compressed)).sum())
    }

    /// Writes a frame that decoders skip, with `content`; `number` (0 to 13) tells whose it is.
    ///
    /// # Errors
    /// Those of the output; `content` is longer than 4 GiB.
    pub(crate) fn skippable(&mut self, number: u8, content: &[u8]) -> io::Result<()> {
        self.complete()?;
        let frame = skippable(SKIPPABLE_FRAME + u32::from(number), content)?;
        self.frames.complete(&mut |_| ())?.write_all(&frame)?;
        self.table.push(FrameLengths { compressed: length(frame.len())?, decoded: 0 });
        self.written = self.table.len();
        Ok(())
    }

    /// Ends the last frame, and writes the seek table.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.table.is_empty() || !self.pending.is_empty() {
            self.put_frame()?;
        }
        let (table, written) = (&mut self.table, &mut self.written);
        let output = self.frames.complete(&mut |bytes| note(table, written, bytes))?;
        // A stream of more frames is an ordinary stream, without a table.
        if length(table.len())? <= MOST_FRAMES {
            output.write_all(&skippable(TABLE_FRAME, &seek_table::rows(table))?)?;
        }
        output.flush()
    }
}

/// Takes note of the compressed length of the next frame that was written.
fn note(table: &mut [FrameLengths], written: &mut usize, compressed: usize) {
    table[*written].compressed = u32::try_from(compressed).expect("a frame of this size is small");
    *written += 1;
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
        self.end_frame()?;
        let (table, written) = (&mut self.table, &mut self.written);
        self.frames.complete(&mut |bytes| note(table, written, bytes))?.flush()
    }
}

impl<W: Write> Encoder for SeekableWriter<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Self::finish(*self)
    }
}
