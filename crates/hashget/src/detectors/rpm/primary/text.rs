//! The text of a list, as it is read: valid, and no more of one package than the limit.
//!
//! Invariant: what comes out is UTF-8, whatever goes in.

use std::io::{BufRead, Read};

/// Stands for what cannot be read.
pub(super) const REPLACEMENT: &str = "\u{fffd}";
/// Size limit of one package in a list; reading stops at a larger one.
pub(super) const MAX_PACKAGE: usize = 16 << 20;

/// Replaces bytes that are not UTF-8 by [`REPLACEMENT`]: the lists of old repositories have texts in Latin-1.
pub(super) struct Utf8Lossy<R> {
    inner: R,
    /// Text that was not read yet: `text[at..]`.
    text: Vec<u8>,
    at: usize,
    /// The start of a character whose other bytes come next.
    cut: Vec<u8>,
}

impl<R: BufRead> Utf8Lossy<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, text: Vec::new(), at: 0, cut: Vec::new() }
    }

    /// Converts the next bytes; there is no text afterwards if there are none.
    fn refill(&mut self) -> std::io::Result<()> {
        self.at = 0;
        self.text.clear();
        while self.text.is_empty() {
            let next = self.inner.fill_buf()?;
            let (count, bytes) = (next.len(), [&self.cut, next].concat());
            self.inner.consume(count);
            self.cut.clear();
            let mut chunks = bytes.utf8_chunks().peekable();
            while let Some(chunk) = chunks.next() {
                self.text.extend_from_slice(chunk.valid().as_bytes());
                let bad = chunk.invalid();
                if count > 0 && chunks.peek().is_none() && is_start(bad) {
                    self.cut = bad.to_vec();
                } else if !bad.is_empty() {
                    self.text.extend_from_slice(REPLACEMENT.as_bytes());
                }
            }
            if count == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Are these bytes the start of a character, or nothing?
fn is_start(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

impl<R: BufRead> Read for Utf8Lossy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Utf8Lossy<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at == self.text.len() {
            self.refill()?;
        }
        Ok(&self.text[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

/// Reads a limited number of bytes, and then fails.
pub(super) struct Metered<R> {
    inner: R,
    left: usize,
}

impl<R> Metered<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, left: MAX_PACKAGE }
    }

    /// The next package begins.
    pub(super) fn restart(&mut self) {
        self.left = MAX_PACKAGE;
    }
}

impl<R: BufRead> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let bytes = self.inner.fill_buf()?;
        if self.left == 0 && !bytes.is_empty() {
            let problem = format!("it has a package of more than {MAX_PACKAGE} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, problem));
        }
        Ok(&bytes[..bytes.len().min(self.left)])
    }

    fn consume(&mut self, count: usize) {
        self.left -= count;
        self.inner.consume(count);
    }
}
