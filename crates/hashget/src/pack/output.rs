//! Where an archive is written.
//!
//! Invariant: it is open before the tree is read, so that a name that cannot be written to is reported at once; and what
//! is open is not part of the tree.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::PackError;
use crate::codec::seekable::FrameOutput;
use crate::storage::{ArchiveSink, FileSink, StreamSink};

/// Where an archive is written.
pub enum Output<'a> {
    /// To a file, which appears under its name once it is complete. An existing file is replaced then.
    File(PathBuf),
    /// To what is open: a pipe, a device, a file to which standard output was redirected.
    Open(File),
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
    /// Device and inode of the file that is written, and of the one that it replaces: they are not part of the tree.
    pub(super) files: Vec<(u64, u64)>,
}

impl<'a> Output<'a> {
    /// Opens it; `None` for a dry run.
    pub(super) fn open(self) -> Result<Option<OpenOutput<'a>>, PackError> {
        let open = |sink, path, files| Ok(Some(OpenOutput { sink, path, bytes: 0, files }));
        match self {
            Self::Nothing => Ok(None),
            Self::Sink(sink) => open(sink, None, Vec::new()),
            Self::Open(file) => {
                let files = identity(file.metadata()).into_iter().collect();
                open(Box::new(StreamSink::new(file)), None, files)
            }
            Self::File(path) => match FileSink::create(&path) {
                Ok(sink) => {
                    let (new, old) = (sink.file().metadata(), path.metadata());
                    let files = [new, old].into_iter().filter_map(identity).collect();
                    open(Box::new(sink), Some(path), files)
                }
                Err(error) => Err(PackError::Output { path, error }),
            },
        }
    }
}

/// Device and inode of a regular file.
fn identity(found: io::Result<std::fs::Metadata>) -> Option<(u64, u64)> {
    let found = found.ok().filter(std::fs::Metadata::is_file)?;
    Some((found.dev(), found.ino()))
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

impl FrameOutput for &mut OpenOutput<'_> {
    fn share(&mut self, source: &File, start: u64, length: u64) -> u64 {
        let shared = self.sink.share(source, start, length);
        self.bytes += shared;
        shared
    }
}
