//! The cpio archives that stand uncompressed at the start of what Linux starts from, before one that is compressed.
//!
//! Invariant: nothing is believed of what follows them.

use std::io::{self, BufRead, Read};

use super::header::{Form, MAGIC};
use super::{CpioReader, Entry, FORMAT};

/// Bytes of a name.
const MOST_NAME_BYTES: u64 = 4096;

/// Where the archives at the start of `input`, and the zeros behind each of them, end; 0 if there is none, `None` if nothing follows
/// them, or one is damaged.
pub(crate) fn end_of_plain_archives(input: &mut dyn BufRead) -> Option<u64> {
    let mut input = Counted { inner: input, bytes: 0 };
    loop {
        if input.bytes > 0 {
            input.skip_zeros().ok()?;
        }
        let end = input.bytes;
        let mut start = [0; MAGIC];
        input.read_exact(&mut start).ok()?;
        if Form::recognise(&start).is_none() {
            return Some(end);
        }
        let mut archive = CpioReader::new((&start[..]).chain(&mut input), FORMAT, MOST_NAME_BYTES);
        while let Some(entry) = archive.next().ok()? {
            if let Entry::Listed(_) = entry {
                return None;
            }
        }
    }
}

/// Counts what was taken.
struct Counted<'i> {
    inner: &'i mut dyn BufRead,
    bytes: u64,
}

impl Counted<'_> {
    fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.inner.fill_buf()?;
            let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
            let is_end = buffer.is_empty() || zeros < buffer.len();
            self.inner.consume(zeros);
            self.bytes += zeros as u64;
            if is_end {
                return Ok(());
            }
        }
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in [("early", content), ("TRAILER!!!", &b""[..])] {
            let size = content.len();
            let length = name.len() + 1;
            let zeros = "00000000".repeat(4);
            bytes.extend(
                format!("070701{zeros}0000000100000000{size:08x}{zeros}{length:08x}00000000")
                    .bytes(),
            );
            bytes.extend(name.bytes());
            bytes.push(0);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn archives_and_zeros_are_passed() {
        let end = |bytes: &[u8]| end_of_plain_archives(&mut &*bytes);
        let compressed = [0x28, 0xb5, 0x2f, 0xfd, 4, 0, 0];
        assert_eq!(end(&compressed), Some(0));
        let mut bytes = archive(b"microcode");
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        assert_eq!(end(&bytes), None, "nothing follows");
        bytes.extend(archive(b""));
        bytes.resize(bytes.len().next_multiple_of(1024), 0);
        let before = bytes.len() as u64;
        bytes.extend(compressed);
        assert_eq!(end(&bytes), Some(before));
        // Within the contents, after the first header.
        assert_eq!(end(&bytes[..120]), None);
        assert_eq!(end(b""), None);
    }
}
