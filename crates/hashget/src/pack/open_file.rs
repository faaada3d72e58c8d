//! The contents of files on their way into the archive.
//!
//! Invariant: exactly as many bytes go into the tar as the entry's header says, and the digest is of these
//! bytes.

use std::io::{self, Read};

use super::PackError;
use super::tar_writer::{TarOutput, TarWriter};
use crate::model::{Digest, Entry, Extent, HashingReader, Kind, RelPath};
use crate::monitor::{Monitor, Running};
use crate::tree::{ContentsReader, Held, InspectedFile, Stamp, TreeRoot, inspect_open_file};

/// Size limit: smaller files are read completely before they are written, so that a file that changes while
/// it is read can be read again.
const SMALL: u64 = 4 << 20;
/// How often a small file is read if it keeps changing.
const TRIES: usize = 3;

/// A file that is open to be archived.
pub(super) enum OpenFile {
    /// It was read completely.
    Small { data: Vec<u8>, held: Held },
    /// It will be read while it is written; so many bytes, holes included, go into the archive.
    Large { reader: Box<ContentsReader>, size: u64 },
}

impl OpenFile {
    /// Opens a file, and reads it if it is small. The scan read `scanned_size` bytes of it.
    pub(super) fn open(
        root: &TreeRoot,
        path: &RelPath,
        scanned_size: u64,
    ) -> io::Result<(InspectedFile, Self)> {
        let (mut file, mut to_end) = (root.open_file(path)?, false);
        for attempt in 1.. {
            if !file.metadata()?.is_file() {
                break;
            }
            let inspected = inspect_open_file(&file)?;
            let before = inspected.stamp;
            let (mut reader, size) = if to_end {
                (ContentsReader::to_end(file, before), scanned_size)
            } else {
                (ContentsReader::new(file)?, before.size)
            };
            if size > SMALL {
                return Ok((inspected, Self::Large { reader: Box::new(reader), size }));
            }
            let mut data = Vec::new();
            // No more than is small, whatever comes out of a file that is made while it is read.
            (&mut reader).take(SMALL + 1).read_to_end(&mut data)?;
            let (mut held, again) = reader.finish()?;
            held.steady &= held.stamp == before && data.len() as u64 <= SMALL;
            if held.steady || attempt == TRIES {
                return Ok((inspected, Self::Small { data, held }));
            }
            (file, to_end) = (again, held.size_is_wrong);
        }
        Err(io::Error::other("it is no regular file any more"))
    }

    /// Its stamp when it was opened.
    pub(super) fn stamp(&self) -> &Stamp {
        match self {
            Self::Small { held, .. } => &held.stamp,
            Self::Large { reader, .. } => reader.stamp(),
        }
    }

    /// Its size in bytes, holes included.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Small { held, .. } => held.size,
            Self::Large { size, .. } => *size,
        }
    }

    /// Where the data of a file with holes lies.
    pub(super) fn extents(&self) -> Option<&[Extent]> {
        match self {
            Self::Small { held, .. } => held.extents.as_deref(),
            Self::Large { reader, .. } => reader.extents(),
        }
    }

    /// Writes the entry. Returns the digest of its contents in the tar, and, if the file changed, why they
    /// may be a state that the file never had.
    pub(super) fn store<W: TarOutput>(
        self,
        tar: &mut TarWriter<W>,
        name: &[u8],
        entry: &Entry,
        listeners: Listeners<'_>,
    ) -> Result<(Digest, Option<String>), PackError> {
        let changed = |steady: bool| (!steady).then(|| "it changed while it was read".to_owned());
        match self {
            Self::Small { data, held } => {
                let (digest, error) = store_data(tar, name, entry, &mut &*data, listeners)?;
                Ok((digest, error.or_else(|| changed(held.steady))))
            }
            Self::Large { mut reader, size } => {
                let (digest, error) = store_data(tar, name, entry, &mut *reader, listeners)?;
                let steady =
                    reader.finish().is_ok_and(|(held, _)| held.steady && held.size == size);
                Ok((digest, error.or_else(|| changed(steady))))
            }
        }
    }
}

/// Writes an entry with exactly as much data as its header says: zeros where reading ended early.
pub(super) fn store_data<W: TarOutput>(
    tar: &mut TarWriter<W>,
    name: &[u8],
    entry: &Entry,
    data: &mut dyn Read,
    listeners: Listeners<'_>,
) -> Result<(Digest, Option<String>), PackError> {
    let size = if let Kind::File { size } = entry.kind { size } else { 0 };
    let length = entry
        .extents
        .as_ref()
        .map_or(size, |extents| extents.iter().map(|extent| extent.length).sum());
    let mut zero_fill = ZeroFill { inner: data, error: None };
    let content = (&mut zero_fill).chain(io::repeat(0)).take(length);
    let mut hashing = HashingReader::new(CountingReader { content, listeners });
    let written = tar.entry(name, entry, &mut hashing);
    listeners.1.check_interrupted()?;
    written.map_err(PackError::Write)?;
    listeners.0.advance(size.saturating_sub(length), 0);
    let (digest, _) = hashing.finish();
    tar.digested(&digest);
    Ok((digest, zero_fill.error.map(|error| format!("it could not be read to its end: {error}"))))
}

/// The progress that is updated, and the monitor that may interrupt.
#[derive(Clone, Copy)]
pub(super) struct Listeners<'a>(pub(super) &'a Running<'a>, pub(super) &'a dyn Monitor);

/// Reads contents and updates the progress meanwhile.
struct CountingReader<'a, R> {
    content: R,
    listeners: Listeners<'a>,
}

impl<R: Read> Read for CountingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Listeners(progress, monitor) = self.listeners;
        monitor.check_interrupted().map_err(io::Error::other)?;
        let count = self.content.read(buffer)?;
        progress.advance(count as u64, 0);
        Ok(count)
    }
}

/// Ends at the first read error and keeps it: the header of the entry has already been written.
struct ZeroFill<'a> {
    inner: &'a mut dyn Read,
    error: Option<io::Error>,
}

impl Read for ZeroFill<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Ok(0);
        }
        match self.inner.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.error = Some(error);
                Ok(0)
            }
            result => result,
        }
    }
}
