//! Compressing blocks on several threads, each block alone.
//!
//! Invariant: compressed blocks are written in the order in which the blocks came, whichever was compressed first.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Compresses one block.
pub(super) type Compress = Arc<dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Send + Sync>;

/// Writes the compressed form of a block to the output.
pub(super) type WriteBlock<'w, W> = &'w mut dyn FnMut(&mut W, &[u8]) -> io::Result<()>;

/// Compresses blocks, and has the compressed form of each written to `output`.
pub(super) struct Blocks<W> {
    output: W,
    compress: Compress,
    /// Where blocks are sent; without threads they are compressed on this one.
    workers: Option<Sender<Block>>,
    /// Blocks that are being compressed, in order: their lengths and results.
    waiting: VecDeque<(usize, Receiver<io::Result<Vec<u8>>>)>,
    waiting_bytes: usize,
    most_bytes: usize,
}

/// A block, and the channel that receives its compressed form.
struct Block {
    bytes: Vec<u8>,
    done: Sender<io::Result<Vec<u8>>>,
}

impl<W> Blocks<W> {
    /// Starts `threads` threads of this `name`, which end with this value; none if it is one. At most `most_bytes` of
    /// blocks wait to be written, or one block.
    pub(super) fn new(
        output: W,
        name: &str,
        threads: usize,
        most_bytes: usize,
        compress: Compress,
    ) -> io::Result<Self> {
        let workers = if threads > 1 { Some(start(name, threads, &compress)?) } else { None };
        let waiting = VecDeque::new();
        Ok(Self { output, compress, workers, waiting, waiting_bytes: 0, most_bytes })
    }

    /// Takes the next block. `write` gets the compressed form of each block that is ready meanwhile.
    pub(super) fn put(&mut self, bytes: Vec<u8>, write: WriteBlock<'_, W>) -> io::Result<()> {
        let Some(workers) = &self.workers else {
            return write(&mut self.output, &(self.compress)(&bytes)?);
        };
        let length = bytes.len();
        let (done, result) = bounded(1);
        workers.send(Block { bytes, done }).map_err(|_| gone())?;
        self.waiting.push_back((length, result));
        self.waiting_bytes += length;
        self.write_until(self.most_bytes, write)
    }

    /// Waits for all blocks and writes them; gives the output.
    pub(super) fn complete(&mut self, write: WriteBlock<'_, W>) -> io::Result<&mut W> {
        self.write_until(0, write)?;
        Ok(&mut self.output)
    }

    /// Waits for blocks and writes them until no more than `most_bytes` remain.
    fn write_until(&mut self, most_bytes: usize, write: WriteBlock<'_, W>) -> io::Result<()> {
        while (self.waiting_bytes > most_bytes || most_bytes == 0)
            && let Some((length, result)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= length;
            let compressed = result.recv().map_err(|_| gone())??;
            write(&mut self.output, &compressed)?;
        }
        Ok(())
    }
}

fn start(name: &str, threads: usize, compress: &Compress) -> io::Result<Sender<Block>> {
    let (workers, blocks) = bounded::<Block>(1);
    for _ in 0..threads {
        let (blocks, compress) = (blocks.clone(), Arc::clone(compress));
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for Block { bytes, done } in blocks {
                // If the writer was dropped, nothing waits for the result.
                let _ = done.send(compress(&bytes));
            }
        })?;
    }
    Ok(workers)
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses ended early")
}
