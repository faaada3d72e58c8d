//! Multi-threaded gzip: the input is split into blocks, and each block becomes a gzip member.
//!
//! Invariant: the split depends only on the length of the input and the calls of `flush`.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::Compression;

use super::blocks::Blocks;
use super::encode::Encoder;

/// Bytes of input in one member. Starting anew for each costs about 1 byte in 500.
const BLOCK: usize = 1 << 20;

/// Compresses into gzip members, which together are an ordinary gzip file.
pub(super) struct GzipWriter<W> {
    members: Blocks<W>,
    pending: Vec<u8>,
    /// Has no member been started? Even empty input needs one member.
    empty: bool,
}

fn member(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

impl<W: Write> GzipWriter<W> {
    /// Starts `threads` threads, which end with the writer.
    pub(super) fn new(output: W, level: Compression, threads: usize) -> io::Result<Self> {
        let compress = Arc::new(move |bytes: &[u8]| member(bytes, level));
        let members = Blocks::new(output, "gzip", threads, 2 * threads * BLOCK, compress)?;
        Ok(Self { members, pending: Vec::with_capacity(BLOCK), empty: true })
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.empty = false;
        let bytes = std::mem::replace(&mut self.pending, Vec::with_capacity(BLOCK));
        self.members.put(bytes, &mut |output, member| output.write_all(member))
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = buffer.len().min(BLOCK - self.pending.len());
        self.pending.extend_from_slice(&buffer[..count]);
        if self.pending.len() == BLOCK {
            self.end_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.end_block()?;
        }
        self.members.complete(&mut |output, member| output.write_all(member))?.flush()
    }
}

impl<W: Write> Encoder for GzipWriter<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.empty && self.pending.is_empty() {
            self.end_block()?;
        }
        self.flush()
    }
}
