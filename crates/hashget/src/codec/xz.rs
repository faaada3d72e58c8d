//! xz: concatenated streams, padding between them, blocks decoded in parallel.
//!
//! Invariant: liblzma never takes much more memory than the window limit.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream};

use super::decode::{Input, peek};
use super::windows::Window;
use super::{BytesAfterEnd, Codec, LimitExceeded, damaged, truncated};

/// Memory that liblzma needs besides the dictionary.
pub(super) const OVERHEAD: u64 = 2 << 20;

/// How many times the dictionary a thread needs that decodes a block beside others: what comes out is kept, and xz makes blocks of
/// three times the dictionary.
const OF_A_BLOCK: u64 = 4;
/// Bytes for each of several threads of one reader: enough for blocks of xz's default level.
const OF_A_THREAD: u64 = 48 << 20;

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
    /// Room for what the first block needs; the others have the same, or nearly.
    window: Option<Window>,
}

impl<'a> XzReader<'a> {
    pub(super) fn new(input: Input<'a>, window_bytes: u64, threads: usize) -> io::Result<Self> {
        let others = READERS.fetch_add(1, Ordering::Relaxed);
        // liblzma's own limit is 16384.
        let threads = u32::try_from(threads.saturating_sub(others)).unwrap_or(u32::MAX);
        let threads = threads.clamp(1, 256);
        let (stream, window) = (None, None);
        let mut reader = Self { input, stream, is_first: true, window_bytes, threads, window };
        reader.stream = Some(reader.start()?);
        Ok(reader)
    }

    fn start(&self) -> io::Result<Stream> {
        let memory = self.window_bytes.saturating_add(OVERHEAD);
        if self.threads == 1 {
            return Ok(Stream::new_stream_decoder(memory, 0)?);
        }
        let for_threads = most_for(self.threads, self.window_bytes).saturating_add(OVERHEAD);
        let builder = &mut MtStreamBuilder::new();
        builder.threads(self.threads).memlimit_threading(for_threads).memlimit_stop(memory);
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
            if self.window.is_none() {
                let bytes = dictionary_bytes(input).unwrap_or(0).min(self.window_bytes);
                let bytes = memory(bytes, self.threads, self.window_bytes);
                self.window = Some(Window::wait_for(bytes));
            }
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

/// Bytes that all threads of a reader may take. Blocks that need more are decoded one by one instead.
fn most_for(threads: u32, window_bytes: u64) -> u64 {
    (OF_A_THREAD * u64::from(threads)).min(window_bytes)
}

/// Bytes that a reader of so many threads takes, with a dictionary of so many bytes.
fn memory(dictionary: u64, threads: u32, window_bytes: u64) -> u64 {
    let (block, most) = (dictionary.saturating_mul(OF_A_BLOCK), most_for(threads, window_bytes));
    match threads {
        2.. if block <= most => block.saturating_mul(threads.into()).min(most),
        _ => dictionary,
    }
}

/// Bytes of the dictionary that the first block of a stream needs, as the block's header says; `None` if it does not begin like
/// that. (The .xz file format, 1.2.0, sections 2.1.1, 3.1 and 5.3.1.)
fn dictionary_bytes(stream: &[u8]) -> Option<u64> {
    const STREAM_HEADER: usize = 12;
    const LZMA2: u64 = 0x21;
    let header = stream.get(STREAM_HEADER..)?;
    let (flags, mut rest) = (*header.get(1)?, header.get(2..)?);
    for is_there in [flags & 0x40 != 0, flags & 0x80 != 0] {
        if is_there {
            (_, rest) = number(rest)?;
        }
    }
    for _ in 0..=flags & 3 {
        let (filter, after) = number(rest)?;
        let (length, properties) = number(after)?;
        if filter == LZMA2 {
            let bits = u32::from(*properties.first()?);
            return (bits <= 40).then(|| u64::from(2 | bits & 1) << (bits / 2 + 11));
        }
        rest = properties.get(usize::try_from(length).ok()?..)?;
    }
    None
}

/// A number of the format: seven bits in each byte, the lowest first.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 + bytes.iter().take(9).position(|byte| byte & 0x80 == 0)?;
    let value =
        bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, &bytes[length..]))
}

/// A number of bytes within a buffer.
fn count(bytes: u64) -> usize {
    usize::try_from(bytes).expect("no more bytes than a buffer has")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn large_blocks_are_decoded_one_by_one_and_take_no_more_than_their_dictionary() {
        let in_mebibytes =
            |dictionary: u64, threads| memory(dictionary << 20, threads, 256 << 20) >> 20;
        assert_eq!([1, 2, 8].map(|threads| in_mebibytes(8, threads)), [8, 64, 256]);
        assert_eq!([1, 2, 8].map(|threads| in_mebibytes(16, threads)), [16, 96, 256]);
        assert_eq!([1, 2, 4].map(|threads| in_mebibytes(64, threads)), [64, 64, 64]);
    }

    #[test]
    fn the_dictionary_is_known_from_the_first_block() {
        // Levels of xz and their dictionaries, in MiB (`man xz`).
        for (level, mebibytes) in [(1, 1), (3, 4), (6, 8), (8, 32), (9, 64)] {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), level);
            encoder.write_all(b"something").unwrap();
            let stream = encoder.finish().unwrap();
            assert_eq!(dictionary_bytes(&stream), Some(mebibytes << 20), "level {level}");
            for length in 0..17 {
                assert_eq!(dictionary_bytes(&stream[..length]), None, "{length} bytes");
            }
        }
        assert_eq!(dictionary_bytes(&[0xff; 100]), None);
    }
}
