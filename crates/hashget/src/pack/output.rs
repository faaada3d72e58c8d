//! Where an archive is written.
//!
//! Invariant: nothing is opened before the tree is scanned and planned, since the archive may lie in the
//! tree.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::PackError;
use crate::storage::{ArchiveSink, FileSink};

/// Where an archive is written.
pub enum Output<'a> {
    /// To a file, which appears under its name once it is complete. An existing file is replaced then.
    File(PathBuf),
    /// To another sink.
    Sink(Box<dyn ArchiveSink + 'a>),
    /// Nowhere: a dry run.
    Nothing,
}

/// An archive that is being written. Dropping it aborts it.
pub(super) struct OpenOutput<'a> {
    sink: Box<dyn ArchiveSink + 'a>,
    /// The file's path, for messages.
    path: Option<PathBuf>,
    bytes: u64,
}

impl<'a> Output<'a> {
    /// Device and inode of the file that will be replaced, which is not part of the tree.
    pub(super) fn existing_file(&self) -> Option<(u64, u64)> {
        let Self::File(path) = self else { return None };
        let metadata = fs_err::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    }

    /// Opens it; `None` for a dry run.
    pub(super) fn open(self) -> Result<Option<OpenOutput<'a>>, PackError> {
        let (sink, path): (Box<dyn ArchiveSink>, _) = match self {
            Self::Nothing => return Ok(None),
            Self::Sink(sink) => return Ok(Some(OpenOutput { sink, path: None, bytes: 0 })),
            Self::File(path) => match FileSink::create(&path) {
                Ok(sink) => (Box::new(sink), path),
                Err(error) => return Err(PackError::Output { path, error }),
            },
        };
        Ok(Some(OpenOutput { sink, path: Some(path), bytes: 0 }))
    }
}

impl OpenOutput<'_> {
    /// Completes the archive; returns the number of bytes written.
    pub(super) fn commit(self) -> Result<u64, PackError> {
        match (self.sink.commit(), self.path) {
            (Ok(()), _) => Ok(self.bytes),
            (Err(error), Some(path)) => Err(PackError::Output { path, error }),
            (Err(error), None) => Err(PackError::Write(error)),
        }
    }
}

impl Write for OpenOutput<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
