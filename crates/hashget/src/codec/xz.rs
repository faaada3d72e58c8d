//! xz: concatenated streams, padding between them, blocks decoded in parallel.
//!
//! Invariant: liblzma never takes much more memory than the window limit.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream};

use super::decode::{Input, peek};
use super::{BytesAfterEnd, Codec, LimitExceeded, damaged, truncated};

/// Memory that liblzma needs besides the dictionary.
pub(super) const OVERHEAD: u64 = 2 << 20;

/// Number of xz readers in this process. It influences speed only: multi-threaded decoding of one package
/// costs copies and fresh memory, which is a loss while other packages keep the cores busy.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Decodes xz streams to the end of the input.
pub(super) struct XzReader<'a> {
    input: Input<'a>,
    /// The stream that is being decoded; `None` between streams.
    stream: Option<Stream>,
    /// Is this the first stream?
    is_first: bool,
    window_bytes: u64,
    threads: u32,
}

impl<'a> XzReader<'a> {
    pub(super) fn new(input: Input<'a>, window_bytes: u64, threads: usize) -> io::Result<Self> {
        let others = READERS.fetch_add(1, Ordering::Relaxed);
        // liblzma's own limit is 16384.
        let threads = u32::try_from(threads.saturating_sub(others)).unwrap_or(u32::MAX);
        let threads = threads.clamp(1, 256);
        let mut reader = Self { input, stream: None, is_first: true, window_bytes, threads };
        reader.stream = Some(reader.start()?);
        Ok(reader)
    }

    fn start(&self) -> io::Result<Stream> {
        let memory = self.window_bytes.saturating_add(OVERHEAD);
        if self.threads == 1 {
            return Ok(Stream::new_stream_decoder(memory, 0)?);
        }
        // Blocks too large to be kept in memory are decoded one by one instead.
        let builder = &mut MtStreamBuilder::new();
        builder.threads(self.threads).memlimit_threading(memory).memlimit_stop(memory);
        Ok(builder.decoder()?)
    }

    /// Skips the padding after a stream. `false` if nothing follows.
    fn next_stream(&mut self) -> io::Result<bool> {
        let mut padding = 0_u64;
        loop {
            match peek(&mut self.input)? {
                Some(0) => {
                    self.input.consume(1);
                    padding += 1;
                }
                _ if !padding.is_multiple_of(4) => {
                    return Err(damaged(Codec::Xz, "padding is not a multiple of 4 bytes"));
                }
                None => return Ok(false),
                Some(_) => {
                    self.stream = Some(self.start()?);
                    self.is_first = false;
                    return Ok(true);
                }
            }
        }
    }

    fn explain(&self, error: Error) -> io::Error {
        match error {
            Error::MemLimit => {
                let what = "bytes of an xz dictionary".to_owned();
                LimitExceeded { what, limit: self.window_bytes }.into_io()
            }
            Error::Format if !self.is_first => BytesAfterEnd(Codec::Xz).into_io(),
            other => damaged(Codec::Xz, io::Error::from(other)),
        }
    }
}

impl Drop for XzReader<'_> {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Read for XzReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(stream) = &mut self.stream else {
                if self.next_stream()? {
                    continue;
                }
                return Ok(0);
            };
            let at_end = peek(&mut self.input)?.is_none();
            let input = self.input.fill_buf()?;
            let (read_before, written_before) = (stream.total_in(), stream.total_out());
            let action = if at_end { Action::Finish } else { Action::Run };
            let outcome = stream.process(input, buffer, action);
            let consumed = count(stream.total_in() - read_before);
            let written = count(stream.total_out() - written_before);
            self.input.consume(consumed);
            let status = outcome.map_err(|error| self.explain(error))?;
            if status == Status::StreamEnd {
                self.stream = None;
            }
            if written > 0 {
                return Ok(written);
            }
            // liblzma returns this only after two calls without progress.
            if status == Status::MemNeeded {
                return Err(truncated(Codec::Xz));
            }
        }
    }
}

/// A number of bytes within a buffer.
fn count(bytes: u64) -> usize {
    usize::try_from(bytes).expect("no more bytes than a buffer has")
}
