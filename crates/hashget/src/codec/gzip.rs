//! Multi-threaded gzip: the input is split into blocks, and each block becomes a gzip member.
//!
//! Invariant: the split depends only on the length of the input and the calls of `flush`. Members are written
//! in the order of the blocks, whichever is compressed first.

use std::collections::VecDeque;
use std::io::{self, Write};

use crossbeam_channel::{Receiver, Sender, bounded};
use flate2::Compression;

use super::encode::Encoder;

/// Bytes of input in one member. Starting anew for each costs about 1 byte in 500.
const BLOCK: usize = 1 << 20;

/// Compresses into gzip members, which together are an ordinary gzip file.
pub(super) struct GzipWriter<W> {
    output: W,
    level: Compression,
    pending: Vec<u8>,
    /// Has no member been started? Even empty input needs one member.
    empty: bool,
    /// Members that are being compressed, in order.
    members: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    /// Where blocks are sent; without workers they are compressed on this thread.
    workers: Option<Sender<Block>>,
    most: usize,
}

/// Input for one member, and the channel that receives the member.
struct Block {
    bytes: Vec<u8>,
    done: Sender<io::Result<Vec<u8>>>,
}

fn member(bytes: &[u8], level: Compression) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}

impl<W: Write> GzipWriter<W> {
    /// Starts `threads` threads, which end with the writer.
    pub(super) fn new(output: W, level: Compression, threads: usize) -> io::Result<Self> {
        let workers = if threads > 1 { Some(start(level, threads)?) } else { None };
        let (pending, members) = (Vec::with_capacity(BLOCK), VecDeque::new());
        Ok(Self { output, level, pending, empty: true, members, workers, most: 2 * threads })
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.empty = false;
        let bytes = std::mem::replace(&mut self.pending, Vec::with_capacity(BLOCK));
        let Some(workers) = &self.workers else {
            return self.output.write_all(&member(&bytes, self.level)?);
        };
        let (done, result) = bounded(1);
        workers.send(Block { bytes, done }).map_err(|_| gone())?;
        self.members.push_back(result);
        self.write_members(self.most)
    }

    /// Waits for members and writes them until at most `left` remain.
    fn write_members(&mut self, left: usize) -> io::Result<()> {
        while self.members.len() > left
            && let Some(member) = self.members.pop_front()
        {
            self.output.write_all(&member.recv().map_err(|_| gone())??)?;
        }
        Ok(())
    }

    fn write_all_blocks(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.end_block()?;
        }
        self.write_members(0)
    }
}

fn start(level: Compression, threads: usize) -> io::Result<Sender<Block>> {
    let (workers, blocks) = bounded::<Block>(threads);
    for _ in 0..threads {
        let blocks = blocks.clone();
        std::thread::Builder::new().name("gzip".to_owned()).spawn(move || {
            for Block { bytes, done } in blocks {
                // If the writer was dropped, nothing waits for the result.
                let _ = done.send(member(&bytes, level));
            }
        })?;
    }
    Ok(workers)
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses ended early")
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
        self.write_all_blocks()?;
        self.output.flush()
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
