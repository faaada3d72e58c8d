//! Where an archive is written.
//!
//! Invariant: it is open before the tree is read, so that a name that cannot be written to is reported at once; and what
//! is open is not part of the tree. No archive has the parity of another one.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::PackError;
use crate::codec::seekable::FrameOutput;
use crate::model::escaped;
use crate::monitor::{Monitor, ProblemKind};
use crate::parity::{PendingParity, Share, parity_of, remove_stale};
use crate::storage::{ArchiveSink, FileSink, StreamSink};

/// Where an archive is written.
pub enum Output<'a> {
    /// To a file, which appears under its name once it is complete. An existing file is replaced then.
    File(PathBuf),
    /// The same, with parity beside it.
    FileWithParity(PathBuf, Share),
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
    parity: Option<PendingParity>,
    bytes: u64,
    /// Device and inode of the files that are written, and of those that they replace: they are not part of the tree.
    pub(super) files: Vec<(u64, u64)>,
}

impl<'a> Output<'a> {
    /// Opens it; `None` for a dry run.
    pub(super) fn open(self) -> Result<Option<OpenOutput<'a>>, PackError> {
        let open =
            |sink, files| Ok(Some(OpenOutput { sink, path: None, parity: None, bytes: 0, files }));
        match self {
            Self::Nothing => Ok(None),
            Self::Sink(sink) => open(sink, Vec::new()),
            Self::Open(file) => {
                let files = identity(file.metadata()).into_iter().collect();
                open(Box::new(StreamSink::new(file)), files)
            }
            Self::File(path) => OpenOutput::of_file(path, None).map(Some),
            Self::FileWithParity(path, share) => OpenOutput::of_file(path, Some(share)).map(Some),
        }
    }
}

/// Device and inode of a regular file.
fn identity(found: io::Result<std::fs::Metadata>) -> Option<(u64, u64)> {
    let found = found.ok().filter(std::fs::Metadata::is_file)?;
    Some((found.dev(), found.ino()))
}

/// The bytes that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    /// Size of the archive.
    pub(super) archive: u64,
    /// Size of its parity; `None` if there is none.
    pub(super) parity: Option<u64>,
}

impl OpenOutput<'_> {
    fn of_file(path: PathBuf, share: Option<Share>) -> Result<Self, PackError> {
        let output = |path: &Path| {
            let path = path.to_owned();
            |error| PackError::Output { path, error }
        };
        let parity_path = parity_of(&path);
        let sink = FileSink::create(&path).map_err(output(&path))?;
        let parity = share.map(|share| PendingParity::create(sink.file(), &path, share));
        let parity = parity.transpose().map_err(output(&parity_path))?;
        let written = [Some(sink.file()), parity.as_ref().map(PendingParity::file)];
        let written = written.into_iter().flatten().map(File::metadata);
        let replaced = [&path, &parity_path].into_iter().map(|path| path.metadata());
        let files = written.chain(replaced).filter_map(identity).collect();
        Ok(Self { sink: Box::new(sink), path: Some(path), parity, bytes: 0, files })
    }

    /// Completes the archive, and its parity.
    pub(super) fn commit(self, jobs: usize, monitor: &dyn Monitor) -> Result<Written, PackError> {
        let Some(path) = self.path else {
            self.sink.commit().map_err(PackError::Write)?;
            return Ok(Written { archive: self.bytes, parity: None });
        };
        let is_wanted = self.parity.is_some();
        let parity = match self.parity {
            Some(parity) => parity.computed(jobs, monitor)?,
            None => None,
        };
        match remove_stale(&path) {
            Ok(true) if !is_wanted => {
                let object = escaped(parity_of(&path).as_os_str().as_bytes());
                let message = "removed: it was for the archive that had this name before";
                monitor.problem(ProblemKind::Note, object, message);
            }
            Ok(_) => {}
            Err(error) => {
                return Err(PackError::StaleParity { path: parity_of(&path), error });
            }
        }
        self.sink.commit().map_err(|error| PackError::Output { path, error })?;
        let parity = parity.and_then(|(parity, bytes)| parity.commit(monitor).then_some(bytes));
        Ok(Written { archive: self.bytes, parity })
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
