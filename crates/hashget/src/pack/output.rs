//! Where an archive goes.
//!
//! Invariant: a file has its name only once it is complete and on the disk.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::PackError;
use crate::pending_file::PendingFile;

/// An archive's mode, less the process's umask.
const MODE: u32 = 0o666;

/// Where an archive goes.
pub enum Output<'a> {
    /// Into a file, under its name only when complete. An existing one is replaced then.
    File(PathBuf),
    /// Into a pipe.
    Stream(Box<dyn Write + Send + 'a>),
    /// Nowhere: a dry run.
    Nothing,
}

/// An archive that is being written.
pub(super) struct OutputFile<'a> {
    target: Target<'a>,
    bytes: u64,
}

enum Target<'a> {
    File { path: PathBuf, file: PendingFile },
    Stream(Box<dyn Write + Send + 'a>),
}

impl<'a> Output<'a> {
    /// Device and inode of the file that will be replaced: it is not part of the tree.
    pub(super) fn existing_file(&self) -> Option<(u64, u64)> {
        let Self::File(path) = self else { return None };
        let metadata = fs_err::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    }

    /// Opens it; `None` for a dry run.
    pub(super) fn create(self) -> Result<Option<OutputFile<'a>>, PackError> {
        let target = match self {
            Self::Nothing => return Ok(None),
            Self::Stream(stream) => Target::Stream(stream),
            Self::File(path) => {
                let file = PendingFile::create(&path, MODE)
                    .map_err(|error| PackError::Output { path: path.clone(), error })?;
                Target::File { path, file }
            }
        };
        Ok(Some(OutputFile { target, bytes: 0 }))
    }
}

impl OutputFile<'_> {
    /// What the encoder writes to.
    pub(super) fn writer(&mut self) -> impl Write + '_ {
        self
    }

    /// Makes a file durable and gives it its name; returns how many bytes were written.
    pub(super) fn finish(self) -> Result<u64, PackError> {
        match self.target {
            Target::Stream(mut stream) => stream.flush().map_err(PackError::Write)?,
            Target::File { path, file } => {
                file.commit(&path).map_err(|error| PackError::Output { path, error })?;
            }
        }
        Ok(self.bytes)
    }
}

impl Write for OutputFile<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = match &mut self.target {
            Target::File { file, .. } => file.write(buffer)?,
            Target::Stream(stream) => stream.write(buffer)?,
        };
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::File { file, .. } => file.flush(),
            Target::Stream(stream) => stream.flush(),
        }
    }
}
