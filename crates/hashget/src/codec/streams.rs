//! Compressed streams one after the other, as gzip, zstd, bzip2 and lzip have them.
//!
//! Invariant: zeros may follow the last stream (a tape's padding, the rest of a block device); anything else that follows
//! is [`BytesAfterEnd`].

use std::io::{self, BufRead as _, Read};

use super::decode::{Input, peek};
use super::{BytesAfterEnd, Codec};

/// A decoder of one stream.
pub(super) trait OneStream<'a>: Read {
    /// What follows the stream.
    fn into_rest(self: Box<Self>) -> Input<'a>;
}

impl<'a> OneStream<'a> for flate2::bufread::GzDecoder<Input<'a>> {
    fn into_rest(self: Box<Self>) -> Input<'a> {
        self.into_inner()
    }
}

impl<'a> OneStream<'a> for zstd::stream::read::Decoder<'static, Input<'a>> {
    fn into_rest(self: Box<Self>) -> Input<'a> {
        self.finish()
    }
}

impl<'a> OneStream<'a> for bzip2::bufread::BzDecoder<Input<'a>> {
    fn into_rest(self: Box<Self>) -> Input<'a> {
        self.into_inner()
    }
}

impl<'a> OneStream<'a> for liblzma::bufread::XzDecoder<Input<'a>> {
    fn into_rest(self: Box<Self>) -> Input<'a> {
        self.into_inner()
    }
}

/// Starts the decoder of a stream.
type Start<'a> = Box<dyn Fn(Input<'a>) -> io::Result<Box<dyn OneStream<'a> + 'a>> + 'a>;

/// Decodes streams to the end of the input.
pub(super) struct Streams<'a> {
    codec: Codec,
    start: Start<'a>,
    stream: Option<Box<dyn OneStream<'a> + 'a>>,
    /// Is this not the first stream, and has nothing come out of it? Then it may be none.
    is_doubtful: bool,
}

impl<'a> Streams<'a> {
    pub(super) fn new(codec: Codec, input: Input<'a>, start: Start<'a>) -> io::Result<Self> {
        let stream = Some(start(input)?);
        Ok(Self { codec, start, stream, is_doubtful: false })
    }
}

impl Read for Streams<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = &mut self.stream {
            let is_foreign = |error: &io::Error| {
                !matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted)
            };
            let count = match stream.read(buffer) {
                Err(error) if self.is_doubtful && is_foreign(&error) => {
                    return Err(BytesAfterEnd(self.codec).instead_of(error));
                }
                other => other?,
            };
            if count > 0 {
                self.is_doubtful = false;
                return Ok(count);
            }
            let Some(stream) = self.stream.take() else { break };
            let mut input = stream.into_rest();
            match peek(&mut input)? {
                None => {}
                Some(0) => expect_zeros(self.codec, &mut input)?,
                Some(_) => {
                    self.stream = Some((self.start)(input)?);
                    self.is_doubtful = true;
                }
            }
        }
        Ok(0)
    }
}

/// Reads to the end of the input, of which only zeros may be left.
pub(super) fn expect_zeros(codec: Codec, input: &mut Input<'_>) -> io::Result<()> {
    while peek(input)?.is_some() {
        let bytes = input.fill_buf()?;
        if bytes.iter().any(|&byte| byte != 0) {
            return Err(BytesAfterEnd(codec).into_io());
        }
        let count = bytes.len();
        input.consume(count);
    }
    Ok(())
}
