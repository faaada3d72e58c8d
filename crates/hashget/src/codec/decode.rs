//! Decoders for untrusted bytes.
//!
//! Invariant: [`Limits`] bound the output: its size, its ratio to the input, and the memory for windows.
//! After an error or the end there is no further output.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use super::lz4::Lz4Reader;
use super::lzw::LzwReader;
use super::streams::Streams;
use super::xz::XzReader;
use super::{BytesAfterEnd, Codec, LimitExceeded, damaged, truncated};
use crate::limits::Limits;

/// Size of the buffers on both sides: compressed input and decompressed output.
const BUFFER: usize = 128 * 1024;

/// A decoder's input as the codecs take it.
pub(super) type Input<'a> = BufReader<Metered<'a>>;

/// Decodes all of `input`: every gzip member, every zstd and LZ4 frame (skippable frames are skipped), every
/// xz stream (with padding), every bzip2 stream. `threads` is used for xz files with several blocks.
///
/// # Errors
/// Errors of the reader: kind `UnexpectedEof` if the data ends too early, `InvalidData` if it is damaged or
/// exceeds a limit ([`LimitExceeded`]); errors of `input` are passed on unchanged. Error of this function
/// itself: the codec's library could not start (out of memory).
pub fn decoder<'a>(
    codec: Codec,
    input: Box<dyn Read + 'a>,
    limits: &Limits,
    threads: usize,
) -> io::Result<Box<dyn Read + 'a>> {
    let (input, meter) = metered(input);
    let decoder: Box<dyn Read + 'a> = match codec {
        Codec::None => Box::new(input),
        Codec::Gzip => {
            let start = |input| Ok(Box::new(flate2::bufread::GzDecoder::new(input)) as Box<_>);
            Box::new(Streams::new(codec, input, Box::new(start))?)
        }
        Codec::Zstd => {
            // 10 is the smallest window, 31 the largest.
            let window = limits.window_bytes.max(1).ilog2().clamp(10, 31);
            let start = move |input| {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?.single_frame();
                decoder.window_log_max(window)?;
                Ok(Box::new(decoder) as Box<_>)
            };
            Box::new(Streams::new(codec, input, Box::new(start))?)
        }
        Codec::Xz => Box::new(XzReader::new(input, limits.window_bytes, threads)?),
        Codec::Bzip2 => {
            let start = |input| Ok(Box::new(bzip2::bufread::BzDecoder::new(input)) as Box<_>);
            Box::new(Streams::new(codec, input, Box::new(start))?)
        }
        Codec::Lz4 => Box::new(Lz4Reader::new(input)),
        Codec::Compress => Box::new(LzwReader::new(input)?),
        Codec::Lzip | Codec::Lzma => {
            let memory = limits.window_bytes.saturating_add(super::xz::OVERHEAD);
            let start = move |input| {
                let stream = match codec {
                    Codec::Lzip => Stream::new_lzip_decoder(memory, 0)?,
                    _ => Stream::new_lzma_decoder(memory)?,
                };
                Ok(Box::new(XzDecoder::new_stream(input, stream)) as Box<_>)
            };
            Box::new(Streams::new(codec, input, Box::new(start))?)
        }
    };
    Ok(guarded(codec, decoder, meter, limits))
}

/// Decodes the one gzip member at the start of `input`, and leaves what follows it there.
pub(crate) fn gzip_member<'a>(input: &'a mut dyn BufRead, limits: &Limits) -> Box<dyn Read + 'a> {
    let meter = Rc::new(Meter::default());
    let input = MeteredBuffer { inner: input, meter: Rc::clone(&meter) };
    let decoder = flate2::bufread::GzDecoder::new(input);
    guarded(Codec::Gzip, Box::new(decoder), meter, limits)
}

/// Decodes deflated data without a header and a checksum. What follows their end is not read.
pub(crate) fn raw_deflate<'a>(input: Box<dyn Read + 'a>, limits: &Limits) -> Box<dyn Read + 'a> {
    let (input, meter) = metered(input);
    guarded(Codec::Gzip, Box::new(flate2::bufread::DeflateDecoder::new(input)), meter, limits)
}

/// Counts what is read of `input`.
fn metered<'a>(input: Box<dyn Read + 'a>) -> (Input<'a>, Rc<Meter>) {
    let meter = Rc::new(Meter::default());
    let metered = Metered { inner: input, meter: Rc::clone(&meter) };
    (BufReader::with_capacity(BUFFER, metered), meter)
}

/// Enforces the limits on `decoder`.
fn guarded<'a>(
    codec: Codec,
    decoder: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
    limits: &Limits,
) -> Box<dyn Read + 'a> {
    let guarded = Guarded {
        codec,
        decoder,
        meter,
        unpacked: 0,
        unpacked_limit: limits.unpacked_bytes,
        window_limit: limits.window_bytes,
        ratio_limit: limits.ratio,
        over: false,
    };
    Box::new(BufReader::with_capacity(BUFFER, guarded))
}

/// The first decompressed bytes, at most `count`, of compressed bytes that begin with `head`; fewer if `head`
/// is damaged or too short. Windows are as large as the codec allows: a package that exceeds a limit is recognised, too, so
/// that reading it names the limit. (Of the memory, only what the first bytes fill is used.)
pub(crate) fn first_bytes(codec: Codec, head: &[u8], count: usize) -> Vec<u8> {
    let limits = &Limits { window_bytes: 4 << 30, ..Limits::default() };
    if codec == Codec::Lz4 && !super::is_skippable(head) {
        return super::lz4::first_bytes(head, count).unwrap_or_default();
    }
    let mut bytes = Vec::new();
    if let Ok(decoder) = decoder(codec, Box::new(head), limits, 1) {
        // An error only means that fewer bytes could be decompressed; they are in `bytes`.
        let _ = decoder.take(count as u64).read_to_end(&mut bytes);
    }
    bytes
}

/// How many bytes a decoder has read, and whether its input failed.
#[derive(Default)]
struct Meter {
    bytes: Cell<u64>,
    failed: Cell<bool>,
}

/// Counts what a decoder reads.
pub(super) struct Metered<'a> {
    inner: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|error| {
            self.meter.failed.set(error.kind() != io::ErrorKind::Interrupted);
        })?;
        self.meter.bytes.set(self.meter.bytes.get().saturating_add(count as u64));
        Ok(count)
    }
}

/// Counts what a decoder consumes from a buffer that others read as well.
struct MeteredBuffer<'a> {
    inner: &'a mut dyn BufRead,
    meter: Rc<Meter>,
}

impl Read for MeteredBuffer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for MeteredBuffer<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf().inspect_err(|error| {
            self.meter.failed.set(error.kind() != io::ErrorKind::Interrupted);
        })
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.meter.bytes.set(self.meter.bytes.get().saturating_add(count as u64));
    }
}

/// Enforces the limits on a decoder, and makes its errors uniform.
struct Guarded<'a> {
    codec: Codec,
    decoder: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
    unpacked: u64,
    unpacked_limit: u64,
    window_limit: u64,
    ratio_limit: u64,
    over: bool,
}

impl Guarded<'_> {
    fn check(&self) -> io::Result<()> {
        let packed = self.meter.bytes.get().max(1);
        if self.unpacked > self.unpacked_limit {
            let what = "unpacked bytes".to_owned();
            return Err(LimitExceeded { what, limit: self.unpacked_limit }.into_io());
        }
        if self.unpacked > Limits::RATIO_FLOOR && self.unpacked / packed > self.ratio_limit {
            let what = format!("unpacked bytes for each byte of {} data", self.codec.name());
            return Err(LimitExceeded { what, limit: self.ratio_limit }.into_io());
        }
        Ok(())
    }

    fn explain(&self, error: io::Error) -> io::Error {
        let is_explained = LimitExceeded::in_io(&error).is_some() || BytesAfterEnd::is_in(&error);
        if self.meter.failed.get() || is_explained {
            return error;
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return truncated(self.codec);
        }
        let text = error.to_string();
        if self.codec == Codec::Zstd && text.contains("incomplete frame") {
            truncated(self.codec)
        } else if self.codec == Codec::Zstd && text.contains("too much memory") {
            let what = "bytes of a zstd window".to_owned();
            LimitExceeded { what, limit: self.window_limit }.into_io()
        } else if is_memory_limit(&error) {
            let what = "bytes of an lzma dictionary".to_owned();
            LimitExceeded { what, limit: self.window_limit }.into_io()
        } else {
            damaged(self.codec, text)
        }
    }
}

/// Did liblzma stop at its memory limit?
fn is_memory_limit(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    matches!(inner, Some(liblzma::stream::Error::MemLimit))
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.over || buffer.is_empty() {
            return Ok(0);
        }
        let count = match self.decoder.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.over = true;
                return Err(self.explain(error));
            }
        };
        self.unpacked = self.unpacked.saturating_add(count as u64);
        self.over = count == 0;
        self.check().inspect_err(|_| self.over = true)?;
        Ok(count)
    }
}

/// The next byte, without consuming it; `None` at the end.
pub(super) fn peek(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        match input.fill_buf() {
            Ok(bytes) => return Ok(bytes.first().copied()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
