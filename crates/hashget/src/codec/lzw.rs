//! The format of the program compress (`.Z`): codes of a growing width, each of which stands for bytes that came before.
//!
//! Invariant: a code that stands for nothing yet is an error. The format has no checksum and no end mark: data that were cut off
//! between two codes look whole.

use std::io::{self, BufRead, Read};

use super::decode::peek;
use super::{Codec, damaged, truncated};

/// Begins the data; the third byte says how wide codes become, and whether there is a code that clears all others.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x9d];
const HAS_CLEAR: u8 = 0x80;
const RESERVED: u8 = 0x60;
/// Width of the first codes in bits, and of the widest that there can be. Where all have the first width, no two programs agree
/// on what follows.
const FIRST_WIDTH: u32 = 9;
const WIDEST: u32 = 16;
/// The code that clears all others, if there is one.
const CLEAR: u16 = 256;
/// Codes are written by eights: where their width changes, what is left of eight is filled up.
const TOGETHER: u32 = 8;

/// How wide codes become, and whether one of them clears the others; `None` if these bytes do not begin such data.
pub(super) fn header(head: &[u8]) -> Option<(u32, bool)> {
    let (magic, flags) =
        head.split_first_chunk::<2>().map(|(magic, rest)| (magic, rest.first()))?;
    let flags = *flags?;
    let widest = u32::from(flags & !(HAS_CLEAR | RESERVED));
    let is_one =
        *magic == MAGIC && flags & RESERVED == 0 && (FIRST_WIDTH + 1..=WIDEST).contains(&widest);
    is_one.then_some((widest, flags & HAS_CLEAR != 0))
}

/// Decodes to the end of the input.
pub(super) struct LzwReader<R> {
    codes: Codes<R>,
    has_clear: bool,
    /// What each code from 256 on stands for: what another code does, and one byte.
    starts: Vec<u16>,
    ends: Vec<u8>,
    /// The next code that will stand for something.
    next: u32,
    /// The code before, and the first byte that it stands for.
    before: Option<(u16, u8)>,
    /// Bytes that are not passed on yet, the first of them last.
    pending: Vec<u8>,
}

/// Reads codes.
struct Codes<R> {
    input: R,
    widest: u32,
    width: u32,
    /// Codes since the width changed.
    count: u32,
    /// Bits that were read and are in no code yet, and how many.
    bits: u32,
    left: u32,
}

impl<R: BufRead> Codes<R> {
    /// The next code; `None` at the end.
    fn next(&mut self) -> io::Result<Option<u16>> {
        while self.left < self.width {
            let Some(byte) = peek(&mut self.input)? else {
                // The last byte is filled up with zeros.
                let is_end = self.left < 8 && self.bits == 0;
                return if is_end { Ok(None) } else { Err(truncated(Codec::Compress)) };
            };
            self.input.consume(1);
            self.bits |= u32::from(byte) << self.left;
            self.left += 8;
        }
        let [low, high, ..] = (self.bits & ((1 << self.width) - 1)).to_le_bytes();
        self.bits >>= self.width;
        self.left -= self.width;
        self.count += 1;
        Ok(Some(u16::from_le_bytes([low, high])))
    }

    /// Codes have another width from here on.
    fn change_width(&mut self, width: u32) -> io::Result<()> {
        let filling = (self.count.next_multiple_of(TOGETHER) - self.count) * self.width;
        let bytes = u64::from(filling.saturating_sub(self.left) / 8);
        io::copy(&mut self.input.by_ref().take(bytes), &mut io::sink())?;
        (self.bits, self.left, self.count, self.width) = (0, 0, 0, width);
        Ok(())
    }
}

impl<R: BufRead> LzwReader<R> {
    /// Reads the header.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut head = Vec::new();
        input.by_ref().take(3).read_to_end(&mut head)?;
        let wrong = || damaged(Codec::Compress, "it does not begin as such");
        let (widest, has_clear) = header(&head).ok_or_else(wrong)?;
        let codes = Codes { input, widest, width: FIRST_WIDTH, count: 0, bits: 0, left: 0 };
        let size = 1 << widest;
        Ok(Self {
            codes,
            has_clear,
            starts: vec![0; size],
            ends: vec![0; size],
            next: u32::from(CLEAR) + u32::from(has_clear),
            before: None,
            pending: Vec::new(),
        })
    }

    /// Decodes the next code into `pending`; false at the end.
    fn decode(&mut self) -> io::Result<bool> {
        let codes = &mut self.codes;
        if self.next >= 1 << codes.width && codes.width < codes.widest {
            codes.change_width(codes.width + 1)?;
        }
        let Some(code) = codes.next()? else { return Ok(false) };
        if code == CLEAR && self.has_clear {
            codes.change_width(FIRST_WIDTH)?;
            (self.next, self.before) = (u32::from(CLEAR) + 1, None);
            return Ok(true);
        }
        let mut rest = code;
        match self.before {
            Some((before, first)) if u32::from(code) == self.next => {
                self.pending.push(first);
                rest = before;
            }
            Some(_) if u32::from(code) < self.next => {}
            None if code < CLEAR => {}
            _ => return Err(damaged(Codec::Compress, "a code stands for nothing yet")),
        }
        while rest >= CLEAR {
            self.pending.push(self.ends[usize::from(rest)]);
            rest = self.starts[usize::from(rest)];
        }
        let [first, _] = rest.to_le_bytes();
        self.pending.push(first);
        if let Some((before, _)) = self.before
            && self.next < 1 << self.codes.widest
        {
            let place = self.next as usize;
            (self.starts[place], self.ends[place]) = (before, first);
            self.next += 1;
        }
        self.before = Some((code, first));
        Ok(true)
    }
}

impl<R: BufRead> Read for LzwReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            if let Some(byte) = self.pending.pop() {
                buffer[count] = byte;
                count += 1;
            } else if !self.decode()? {
                break;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        LzwReader::new(bytes)?.read_to_end(&mut decoded)?;
        Ok(decoded)
    }

    /// Codes of nine bits.
    fn codes(codes: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x9d, 0x90];
        let (mut bits, mut count) = (0, 0);
        for code in codes {
            bits |= code << count;
            count += 9;
            while count >= 8 {
                bytes.push(bits.to_le_bytes()[0]);
                bits >>= 8;
                count -= 8;
            }
        }
        if count > 0 {
            bytes.push(bits.to_le_bytes()[0]);
        }
        bytes
    }

    #[test]
    fn codes_stand_for_what_came_before() {
        let (a, b) = (u32::from(b'a'), u32::from(b'b'));
        assert_eq!(decoded(&codes(&[])).unwrap(), b"");
        assert_eq!(decoded(&codes(&[a, b, 257, 259])).unwrap(), b"abababa");
        // A code may stand for itself without its end.
        assert_eq!(decoded(&codes(&[a, 257, 258])).unwrap(), b"aaaaaa");
        for wrong in [&[257][..], &[a, 258], &[a, 256, 0, 0, 0, 0, 0, 0, 257]] {
            let error = decoded(&codes(wrong)).unwrap_err();
            assert!(error.to_string().contains("stands for nothing"), "{wrong:?}: {error}");
        }
        // What is left of eight codes is filled up where all are cleared.
        let cleared = [a, b, 257, 256, 0, 0, 0, 0, b, 257];
        assert_eq!(decoded(&codes(&cleared)).unwrap(), b"ababbbb");
    }

    #[test]
    fn a_header_says_what_there_is() {
        assert_eq!(header(&[0x1f, 0x9d, 0x90]), Some((16, true)));
        assert_eq!(header(&[0x1f, 0x9d, 0x0a]), Some((10, false)));
        for wrong in
            [&[0x1f, 0x9d][..], &[0x1f, 0x9d, 0x89], &[0x1f, 0x9d, 0x91], &[0x1f, 0x9d, 0xd0]]
        {
            assert_eq!(header(wrong), None, "{wrong:?}");
        }
    }
}
