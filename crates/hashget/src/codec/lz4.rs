//! LZ4 frames, one after the other.
//!
//! Invariant: a frame without its end mark is an error (the library alone would treat it as the end).

use std::io::{self, Read};

use lz4_flex::frame::FrameDecoder;

use super::decode::{Input, peek};
use super::streams::expect_zeros;
use super::{BytesAfterEnd, Codec, LZ4_MAGIC, is_skippable, truncated};

/// Decodes LZ4 frames to the end of the input.
pub(super) struct Lz4Reader<'a> {
    state: State<'a>,
}

enum State<'a> {
    Between(Input<'a>),
    Within(Box<FrameDecoder<Framed<'a>>>),
    Over,
}

/// The input from a frame's magic number on, which has already been consumed.
struct Framed<'a> {
    magic: &'static [u8],
    input: Input<'a>,
    /// Did the input end inside the frame?
    ended: bool,
}

impl Read for Framed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.magic.is_empty() {
            return self.magic.read(buffer);
        }
        let count = self.input.read(buffer)?;
        self.ended |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

impl<'a> Lz4Reader<'a> {
    pub(super) fn new(input: Input<'a>) -> Self {
        Self { state: State::Between(input) }
    }
}

/// Starts the next frame, after skipping skippable ones; [`State::Over`] at the end of the input.
fn next_frame(mut input: Input<'_>) -> io::Result<State<'_>> {
    loop {
        match peek(&mut input)? {
            None => return Ok(State::Over),
            Some(0) => {
                expect_zeros(Codec::Lz4, &mut input)?;
                return Ok(State::Over);
            }
            Some(_) => {}
        }
        let mut magic = [0; 4];
        input.read_exact(&mut magic)?;
        if magic == LZ4_MAGIC {
            let framed = Framed { magic: &LZ4_MAGIC, input, ended: false };
            // A new decoder for each frame: block sizes may differ between frames.
            return Ok(State::Within(Box::new(FrameDecoder::new(framed))));
        }
        if !is_skippable(&magic) {
            return Err(BytesAfterEnd(Codec::Lz4).into_io());
        }
        let mut length = [0; 4];
        input.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        if io::copy(&mut input.by_ref().take(length), &mut io::sink())? < length {
            return Err(truncated(Codec::Lz4));
        }
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Ok(0),
                State::Between(input) => self.state = next_frame(input)?,
                State::Within(mut decoder) => {
                    let count = decoder.read(buffer)?;
                    if count > 0 {
                        self.state = State::Within(decoder);
                        return Ok(count);
                    }
                    let framed = decoder.into_inner();
                    if framed.ended {
                        return Err(truncated(Codec::Lz4));
                    }
                    self.state = State::Between(framed.input);
                }
            }
        }
    }
}

/// The first bytes, at most `count`, of a frame's first block, even if `head` does not contain the whole
/// block (a block may have 4 MiB, and the library decodes only whole blocks). `head` begins with the frame.
pub(super) fn first_bytes(head: &[u8], count: usize) -> Option<Vec<u8>> {
    let flags = *head.get(4)?;
    // Magic number, flags, block size; then the content size and the dictionary id, if present.
    let mut at = 6;
    at += if flags & 0x08 != 0 { 8 } else { 0 };
    at += if flags & 0x01 != 0 { 4 } else { 0 };
    at += 1;
    let size = u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?);
    let length = usize::try_from(size & 0x7fff_ffff).ok()?;
    let block = &head[at + 4..];
    let block = &block[..length.min(block.len())];
    if size & 0x8000_0000 != 0 {
        return Some(block[..count.min(block.len())].to_vec());
    }
    sequences(block, count)
}

/// Decodes the sequences of an LZ4 block until there are `count` bytes, or the block ends.
fn sequences(block: &[u8], count: usize) -> Option<Vec<u8>> {
    let mut bytes = block.iter().copied();
    let mut output = Vec::new();
    while output.len() < count {
        let Some(token) = bytes.next() else { break };
        for _ in 0..run_length(token >> 4, &mut bytes)? {
            output.push(bytes.next()?);
            if output.len() == count {
                return Some(output);
            }
        }
        let Some(low) = bytes.next() else { break };
        let offset = usize::from(u16::from_le_bytes([low, bytes.next()?]));
        let length = run_length(token & 15, &mut bytes)? + 4;
        let start = output.len().checked_sub(offset).filter(|_| offset > 0)?;
        for index in 0..length.min(count - output.len()) {
            output.push(output[start + index]);
        }
    }
    Some(output)
}

/// A length of four bits, plus the bytes that follow if all four bits are set.
fn run_length(bits: u8, bytes: &mut impl Iterator<Item = u8>) -> Option<usize> {
    let mut length = usize::from(bits);
    if bits == 15 {
        loop {
            let more = bytes.next()?;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}
