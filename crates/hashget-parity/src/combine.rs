//! Sums of products of blocks: recovery blocks from the blocks of a file, and lost blocks from what is left.
//!
//! Blocks are worked on by columns: a thread takes the same bytes of every block, and no other thread needs them.
//!
//! Invariant: the memory of all threads together is bounded, and each byte of the blocks is read once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bits::{CHUNK, Planes, Rows, Subsets, rows};
use crate::error::ParityError;

/// Bytes that all threads together take, at most.
const MEMORY: usize = 256 << 20;
/// Bytes of a block that a thread works on at a time, at most.
const MOST_OF_BLOCK: u64 = 256 << 10;
/// Blocks whose products are added to all sums at once: sums are in slower memory than what is added.
const TOGETHER: usize = 8;

/// Reads bytes of a block, from a position in it on; or writes them.
type Read<'a> = dyn Fn(usize, u64, &mut [u8]) -> Result<(), ParityError> + Sync + 'a;
type Write<'a> = dyn Fn(usize, u64, &[u8]) -> Result<(), ParityError> + Sync + 'a;

/// Sums of products, one for each output, of all inputs.
pub(crate) struct Combination<'a> {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Bytes of each block; a multiple of 4.
    pub(crate) block_bytes: u64,
    /// The factor of an input (second) in an output (first).
    pub(crate) factor: &'a (dyn Fn(usize, usize) -> u16 + Sync),
    pub(crate) read: &'a Read<'a>,
    pub(crate) write: &'a Write<'a>,
    pub(crate) proceed: &'a crate::Proceed<'a>,
}

impl Combination<'_> {
    /// Computes all of them.
    pub(crate) fn compute(&self, threads: usize) -> Result<(), ParityError> {
        if self.outputs == 0 {
            return Ok(());
        }
        let width = self.width(threads);
        for_each(threads, self.block_bytes.div_ceil(width), |column| {
            let first = column * width;
            let length = width.min(self.block_bytes - first);
            self.column(first, usize::try_from(length).unwrap_or(CHUNK))
        })
    }

    /// Bytes of a block in a column.
    fn width(&self, threads: usize) -> u64 {
        let chunk = CHUNK as u64;
        let room = MEMORY / threads.max(1) / (self.outputs + TOGETHER);
        // Several for each thread, so that none waits long for the last one.
        let share = self.block_bytes.div_ceil(threads as u64 * 4);
        let width = share.min(MOST_OF_BLOCK).next_multiple_of(chunk);
        width.min(room as u64 / chunk * chunk).max(chunk)
    }

    fn column(&self, first: u64, length: usize) -> Result<(), ParityError> {
        let chunks = length.div_ceil(CHUNK);
        // Those of one chunk beside each other.
        let mut sums = vec![Planes::ZERO; chunks * self.outputs];
        let mut subsets = vec![Subsets::ZERO; TOGETHER];
        let mut blocks = vec![vec![0; length]; TOGETHER];
        let inputs: Vec<usize> = (0..self.inputs).collect();
        for inputs in inputs.chunks(TOGETHER) {
            for (&input, block) in inputs.iter().zip(&mut blocks) {
                (self.read)(input, first, block)?;
            }
            let rows: Vec<Rows> = (0..self.outputs)
                .flat_map(|output| inputs.iter().map(move |&input| (output, input)))
                .map(|(output, input)| rows((self.factor)(output, input)))
                .collect();
            for (chunk, sums) in sums.chunks_mut(self.outputs).enumerate() {
                let bytes = chunk * CHUNK..length.min((chunk + 1) * CHUNK);
                for (subsets, block) in subsets.iter_mut().zip(&blocks).take(inputs.len()) {
                    subsets.fill(&Planes::read(&block[bytes.clone()]));
                }
                for (rows, sum) in rows.chunks(inputs.len()).zip(sums) {
                    for (rows, subsets) in rows.iter().zip(&subsets) {
                        subsets.add_products(rows, sum);
                    }
                }
            }
            if !(self.proceed)(length as u64 * inputs.len() as u64) {
                return Err(ParityError::Stopped);
            }
        }
        for output in 0..self.outputs {
            let block = &mut blocks[0];
            for (chunk, bytes) in block.chunks_mut(CHUNK).enumerate() {
                sums[chunk * self.outputs + output].write(bytes);
            }
            (self.write)(output, first, block)?;
        }
        Ok(())
    }
}

/// Calls `work` for each number below `count`, on up to `threads` threads. After the first error no further number is taken.
pub(crate) fn for_each(
    threads: usize,
    count: u64,
    work: impl Fn(u64) -> Result<(), ParityError> + Sync,
) -> Result<(), ParityError> {
    let (next, failure) = (AtomicU64::new(0), Mutex::new(None));
    let until_done = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            if let Err(error) = work(number) {
                next.store(count, Ordering::Relaxed);
                failure.lock().expect("storing an error does not panic").get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1).min(usize::try_from(count).unwrap_or(usize::MAX)) {
            scope.spawn(until_done);
        }
        until_done();
    });
    failure.into_inner().expect("storing an error does not panic").map_or(Ok(()), Err)
}
