//! What archives are written to: a file, a stream.
//!
//! Invariant: whatever ends a sink without [`ArchiveSink::commit`] aborts it, and one that a write failed on cannot be
//! committed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::copy_file_range;

use super::stretches::can_share;
use crate::pending_file::PendingFile;

/// A new archive's mode, less the process's umask.
const MODE: u32 = 0o666;

/// That of an archive that root makes: what only root could read is not for everybody.
const MODE_OF_ROOT: u32 = 0o600;

/// Takes the bytes of one archive. Every implementation passes the same conformance suite.
///
/// Its size is not known before it is written. Dropping a sink aborts it: nothing is left under the archive's name,
/// and what was there before is still there. (What went into a pipe cannot be taken back.)
pub trait ArchiveSink: Write + Send {
    /// Appends `length` bytes of `source` that begin at `start`, such that both files share the blocks of the disk if the
    /// file system can do that. How many bytes it appended, from the first on: fewer, or none, if it cannot.
    fn share(&mut self, source: &File, start: u64, length: u64) -> u64 {
        let _ = (source, start, length);
        0
    }

    /// Ends the archive: it is durable, and visible under its name, when this returns.
    ///
    /// # Errors
    /// It could not be completed, or an earlier write failed. The sink is aborted then.
    fn commit(self: Box<Self>) -> io::Result<()>;
}

/// Passes writes on until one fails.
struct Writing<W> {
    inner: W,
    failed: bool,
}

impl<W> Writing<W> {
    fn new(inner: W) -> Self {
        Self { inner, failed: false }
    }

    /// What was written to, if no write failed.
    fn finish(self) -> io::Result<W> {
        if self.failed {
            return Err(io::Error::other("it is incomplete: writing it failed"));
        }
        Ok(self.inner)
    }

    /// Remembers a failure. An interrupted call is no failure: it is made again.
    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let fails = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        self.failed |= result.as_ref().err().is_some_and(fails);
        result
    }
}

impl<W: Write> Write for Writing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.noted(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.noted(result)
    }
}

/// Writes an archive into a file, which appears when it is complete. A file of that name is replaced then, and its owner
/// and mode stay; a new file that root writes is for root alone.
pub struct FileSink {
    path: PathBuf,
    file: Writing<PendingFile>,
    /// Can its file system share blocks between files?
    can_share: bool,
}

impl FileSink {
    /// A sink for the file at `path`.
    ///
    /// # Errors
    /// `path` is no name for a file, or no file can be created in its folder.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mode = if rustix::process::geteuid().is_root() { MODE_OF_ROOT } else { MODE };
        let file = PendingFile::replacing(path, mode)?;
        let can_share = can_share(file.file());
        Ok(Self { path: path.to_owned(), file: Writing::new(file), can_share })
    }
}

impl FileSink {
    /// The file that is being written.
    pub(crate) fn file(&self) -> &File {
        self.file.inner.file()
    }
}

impl Write for FileSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl ArchiveSink for FileSink {
    fn share(&mut self, source: &File, start: u64, length: u64) -> u64 {
        if !self.can_share {
            return 0;
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let copied = copy_file_range(source, Some(&mut { start }), self.file(), None, length);
        // Whatever is wrong with the disk, writing says it.
        copied.map_or(0, |count| count as u64)
    }

    fn commit(self: Box<Self>) -> io::Result<()> {
        self.file.finish()?.commit(&self.path)
    }
}

/// Writes an archive into a stream: standard output, a pipe, a tape. There is no name to appear under; whoever reads the
/// stream sees that an aborted archive is cut off.
pub struct StreamSink<W> {
    stream: Writing<W>,
}

impl<W: Write + Send> StreamSink<W> {
    /// A sink for `stream`.
    pub fn new(stream: W) -> Self {
        Self { stream: Writing::new(stream) }
    }
}

impl<W: Write + Send> Write for StreamSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<W: Write + Send> ArchiveSink for StreamSink<W> {
    fn commit(self: Box<Self>) -> io::Result<()> {
        self.stream.finish()?.flush()
    }
}
