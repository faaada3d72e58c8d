//! Writes an ordinary tar: POSIX pax interchange format, deterministic.
//!
//! Invariant: the same entries give the same bytes, and every pax reader restores exactly these entries.

use std::io::{self, Read, Write};

use super::tar_head::{BLOCK, Head};
use crate::model::{Digest, Entry};

/// What a tar is written to.
pub(super) trait TarOutput: Write {
    /// Takes note that the bytes of this entry follow, under `name`, and that they begin with `head`.
    ///
    /// # Errors
    /// Writing what came before failed.
    fn announce(&mut self, name: &[u8], entry: &Entry, head: &[u8]) -> io::Result<()>;

    /// Takes note of the digest of the data of the regular file that was written last.
    fn digested(&mut self, sha256: &Digest);

    /// Writes the first entries of `next` without their being read, if an earlier archive has them in frames of their own;
    /// `None` if not.
    ///
    /// # Errors
    /// Writing failed, or the earlier archive could not be read to its end.
    fn reuse(&mut self, next: Next<'_>) -> io::Result<Option<Reused>>;

    /// Takes note that the end of the tar follows.
    ///
    /// # Errors
    /// As of [`Self::announce`].
    fn announce_end(&mut self) -> io::Result<()>;
}

/// An entry as it is going to be written, if it does not change until then.
pub(super) struct Upcoming {
    /// Its name in the tar.
    pub(super) name: Vec<u8>,
    /// The entry, with the digest of its data if it is a regular file.
    pub(super) entry: Entry,
}

/// The entries that come next; `None` for one whose contents are not known.
pub(super) type Next<'n> = &'n mut dyn Iterator<Item = Option<Upcoming>>;

/// What was written without being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reused {
    /// Number of entries.
    pub(super) entries: usize,
    /// Their bytes in the tar.
    pub(super) tar_bytes: u64,
}

/// Writes entries, then two zero blocks.
pub(super) struct TarWriter<W> {
    output: W,
    written: u64,
}

impl<W: TarOutput> TarWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, written: 0 }
    }

    /// Writes one entry under `name`. `content` returns the data of a regular file: all of it, or only that
    /// of its extents; for other entries it is not read.
    ///
    /// # Errors
    /// Writing or reading failed, or `content` is shorter than the entry; then the archive is broken.
    pub(super) fn entry(
        &mut self,
        name: &[u8],
        entry: &Entry,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let size = self.head(name, entry)?;
        let copied = io::copy(&mut content.take(size), &mut self.output)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.fill(size)
    }

    /// Like [`Self::entry`], for a file without holes whose data `write` writes.
    ///
    /// # Errors
    /// Writing failed, or the written data does not have the length of the entry; then the archive is broken.
    pub(super) fn written_entry(
        &mut self,
        name: &[u8],
        entry: &Entry,
        write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let size = self.head(name, entry)?;
        let mut data =
            io::BufWriter::with_capacity(1 << 16, Counted { inner: &mut self.output, bytes: 0 });
        write(&mut data)?;
        let bytes = data.into_inner().map_err(io::IntoInnerError::into_error)?.bytes;
        if bytes != size {
            return Err(io::Error::other("an entry has not got the length that its header says"));
        }
        self.fill(size)
    }

    /// Says which digest the data of the last entry has.
    pub(super) fn digested(&mut self, sha256: &Digest) {
        self.output.digested(sha256);
    }

    /// See [`TarOutput::reuse`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn reuse(&mut self, next: Next<'_>) -> io::Result<Option<Reused>> {
        let reused = self.output.reuse(next)?;
        self.written += reused.map_or(0, |reused| reused.tar_bytes);
        Ok(reused)
    }

    /// Writes what comes before the data; returns the number of bytes that must follow it.
    fn head(&mut self, name: &[u8], entry: &Entry) -> io::Result<u64> {
        let head = Head::new(name, entry);
        self.output.announce(name, entry, &head.bytes)?;
        self.output.write_all(&head.bytes)?;
        self.written += head.bytes.len() as u64;
        Ok(head.data)
    }

    /// Pads the last block after `size` bytes.
    fn fill(&mut self, size: u64) -> io::Result<()> {
        let padded = size.next_multiple_of(BLOCK as u64);
        io::copy(&mut io::repeat(0).take(padded - size), &mut self.output)?;
        self.written += padded;
        Ok(())
    }

    /// Ends the archive, padded to a record of 20 blocks as tar programs expect.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.output.announce_end()?;
        let record = 20 * BLOCK as u64;
        let end = (self.written + 2 * BLOCK as u64).next_multiple_of(record);
        io::copy(&mut io::repeat(0).take(end - self.written), &mut self.output)?;
        Ok(self.output)
    }
}

/// Passes bytes through and counts them.
struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
