//! Reading a file's contents: its digest, its holes, and whether it held still meanwhile.
//!
//! Invariant: the digest is of the bytes that went to the sink; a file with holes is digested and
//! written without them (see "holes" in `docs/format.md`).

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

use rustix::fs::{SeekFrom as DataSeek, seek};
use rustix::io::Errno;

use super::inspect::{Stamp, stamp_of};
use crate::model::{Digest, Extent, HashingReader};

/// What was read of a file.
#[derive(Debug, Clone)]
pub struct Contents {
    /// The digest of what was read.
    pub sha256: Digest,
    /// The data of a file with holes.
    pub extents: Option<Vec<Extent>>,
    /// How the file was right before it was read.
    pub stamp: Stamp,
    /// Was it the same right after?
    pub steady: bool,
}

/// Reads an open regular file from its start, telling `progress` the bytes as they are read.
pub fn read_contents(
    file: &mut File,
    allocated: u64,
    sink: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<Contents> {
    let stamp = stamp_of(file)?;
    let extents = if allocated < stamp.size { data_extents(file, stamp.size)? } else { None };
    file.seek(SeekFrom::Start(0))?;
    let (sha256, bytes) = match &extents {
        None => copy(Read::by_ref(file).take(stamp.size), sink, progress)?,
        Some(extents) => copy(ExtentReader { file, extents, done: 0 }, sink, progress)?,
    };
    let expected = extents
        .as_ref()
        .map_or(stamp.size, |extents| extents.iter().map(|extent| extent.length).sum());
    let steady = bytes == expected && stamp_of(file)? == stamp;
    Ok(Contents { sha256, extents, stamp, steady })
}

fn copy(
    input: impl Read,
    sink: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> io::Result<(Digest, u64)> {
    let mut input = HashingReader::new(input);
    let mut buffer = [0; 128 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(input.finish()),
            Ok(count) => {
                sink.write_all(&buffer[..count])?;
                progress(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the data of a file lies; `None` when it has no hole.
fn data_extents(file: &File, size: u64) -> io::Result<Option<Vec<Extent>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match seek(file, DataSeek::Data(at)) {
            Ok(offset) => offset.min(size),
            Err(Errno::NXIO) => break,
            // A file system that cannot tell has no holes for us.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, DataSeek::Hole(offset))?.min(size);
        if end > offset {
            extents.push(Extent { offset, length: end - offset });
        }
        at = end.max(offset + 1);
    }
    let whole = matches!(extents[..], [Extent { offset: 0, length }] if length == size);
    Ok((!whole).then_some(extents))
}

/// Reads the data of a file, hole after hole skipped.
struct ExtentReader<'a> {
    file: &'a File,
    extents: &'a [Extent],
    /// Bytes of the first extent that are read.
    done: u64,
}

impl Read for ExtentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        while let Some(extent) = self.extents.first() {
            let left = extent.length - self.done;
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = self.file.read_at(&mut buffer[..length], extent.offset + self.done)?;
            if left > 0 && count > 0 {
                self.done += count as u64;
                return Ok(count);
            }
            if left > 0 {
                return Ok(0);
            }
            self.extents = &self.extents[1..];
            self.done = 0;
        }
        Ok(0)
    }
}
