//! Reading a file's contents: its digest, its holes, and whether it changed while it was read.
//!
//! Invariant: a file with holes is digested and written without them (see "holes" in `docs/format.md`).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{SeekFrom as DataSeek, seek};
use rustix::io::Errno;

use super::inspect::{Stamp, stamp_of};
use crate::model::{Digest, Extent, HashingReader};

/// The state of a file while it was read.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where the data of a file with holes lies.
    pub extents: Option<Vec<Extent>>,
    /// The stamp of the file before it was read.
    pub stamp: Stamp,
    /// Its size in bytes, holes included: that of the stamp, unless it was read to its end.
    pub size: u64,
    /// Was all of it read, and was the stamp the same afterwards?
    pub steady: bool,
    /// Does it end elsewhere than where the file system says, although nobody changed it? Files that are made when they
    /// are read are like that.
    pub size_is_wrong: bool,
}

/// Reads a file to its end through `buffer` and reports the bytes to `progress`. Returns the digest of what was read,
/// and the file.
pub(super) fn read_contents(
    reader: ContentsReader,
    buffer: &mut [u8],
    progress: &mut dyn FnMut(u64),
) -> io::Result<(Digest, Held, File)> {
    let mut reader = HashingReader::new(reader);
    loop {
        match reader.read(buffer) {
            Ok(0) => break,
            Ok(count) => progress(count as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (sha256, _, reader) = reader.into_parts();
    let (held, file) = reader.finish()?;
    Ok((sha256, held, file))
}

/// Reads the contents of a file without its holes.
pub struct ContentsReader {
    data: ExtentReader,
    extents: Option<Vec<Extent>>,
    stamp: Stamp,
    /// Bytes read so far, and expected in all; `None`: as many as there are.
    bytes: u64,
    expected: Option<u64>,
}

impl ContentsReader {
    /// Starts at the beginning of an open regular file.
    pub fn new(file: File) -> io::Result<Self> {
        let (stamp, allocated) = stamp_of(&file)?;
        Self::with_stamp(file, stamp, allocated)
    }

    /// The same for a file whose stamp and number of allocated bytes are known.
    pub(super) fn with_stamp(file: File, stamp: Stamp, allocated: u64) -> io::Result<Self> {
        let extents = if allocated < stamp.size {
            data_extents(&file, stamp.size, MOST_EXTENTS)?
        } else {
            None
        };
        let data = match extents.clone() {
            Some(extents) => ExtentReader::new(file, extents),
            None => ExtentReader::whole(file, stamp.size),
        };
        let expected = Some(data.extents.iter().map(|extent| extent.length).sum());
        Ok(Self { data, extents, stamp, bytes: 0, expected })
    }

    /// The same for a file whose size is not what the file system reports: it is read to its end.
    pub(crate) fn to_end(file: File, stamp: Stamp) -> Self {
        let data = ExtentReader::new(file, vec![Extent { offset: 0, length: u64::MAX }]);
        Self { data, extents: None, stamp, bytes: 0, expected: None }
    }

    /// The stamp of the file before it was read.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Where the data of a file with holes lies.
    pub fn extents(&self) -> Option<&[Extent]> {
        self.extents.as_deref()
    }

    /// The state of the file, if it was read to its end; with the file.
    pub fn finish(self) -> io::Result<(Held, File)> {
        let Self { data, extents, stamp, bytes, expected } = self;
        let ExtentReader { file, end, .. } = data;
        let is_whole = expected.is_none_or(|expected| bytes == expected) && end != End::Further;
        let is_same = stamp_of(&file)?.0 == stamp;
        let size = if expected.is_some() { stamp.size } else { bytes };
        let (steady, size_is_wrong) =
            (is_same && is_whole, is_same && !is_whole && extents.is_none());
        Ok((Held { extents, stamp, size, steady, size_is_wrong }, file))
    }
}

impl Read for ContentsReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.data.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Limit on the extents of a file; one with more counts as a file without holes, since readers of archives limit their
/// number.
const MOST_EXTENTS: usize = 500_000;

/// Where the data of a file lies; `None` when it has no hole, or more than `most` extents.
fn data_extents(file: &File, size: u64, most: usize) -> io::Result<Option<Vec<Extent>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match seek(file, DataSeek::Data(at)) {
            Ok(offset) => offset.min(size),
            Err(Errno::NXIO) => break,
            // The file system does not report holes.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, DataSeek::Hole(offset))?.min(size);
        if end > offset {
            extents.push(Extent { offset, length: end - offset });
        }
        if extents.len() > most {
            return Ok(None);
        }
        at = end.max(offset + 1);
    }
    let whole = matches!(extents[..], [Extent { offset: 0, length }] if length == size);
    Ok((!whole).then_some(extents))
}

/// Where a file without holes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// That does not matter.
    Any,
    /// Not where it was read to so far; it should end here.
    Expected(u64),
    /// Where its size says.
    Found,
    /// Further on than its size says.
    Further,
}

/// Reads the data of a file and skips the holes.
struct ExtentReader {
    file: File,
    extents: Vec<Extent>,
    /// The extent that is being read.
    current: usize,
    /// Bytes of it that are read.
    done: u64,
    end: End,
}

impl ExtentReader {
    fn new(file: File, extents: Vec<Extent>) -> Self {
        Self { file, extents, current: 0, done: 0, end: End::Any }
    }

    /// Reads all of a file without holes, and finds out whether it ends there.
    fn whole(file: File, size: u64) -> Self {
        let extents = vec![Extent { offset: 0, length: size }];
        Self { end: End::Expected(size), ..Self::new(file, extents) }
    }

    /// Reads at `offset`, at most `left` bytes and, where that is the end, one more: mostly this shows without a
    /// further call that nothing follows.
    fn read_at(&mut self, buffer: &mut [u8], offset: u64, left: u64) -> io::Result<usize> {
        let End::Expected(end) = self.end else {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            return self.file.read_at(&mut buffer[..length], offset);
        };
        let length = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX);
        let length = length.min(buffer.len());
        let count = self.file.read_at(&mut buffer[..length], offset)?;
        let read_to = offset + count as u64;
        if read_to > end {
            self.end = End::Further;
            return Ok(count - 1);
        }
        if read_to == end && count < length {
            self.end = End::Found;
        }
        Ok(count)
    }
}

impl Read for ExtentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(extent) = self.extents.get(self.current) {
            let left = extent.length - self.done;
            if left > 0 {
                let count = self.read_at(buffer, extent.offset + self.done, left)?;
                self.done += count as u64;
                return Ok(count);
            }
            self.current += 1;
            self.done = 0;
        }
        if let End::Expected(end) = self.end {
            let more = self.file.read_at(&mut [0], end)?;
            self.end = if more == 0 { End::Found } else { End::Further };
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_too_many_extents_has_none() {
        let file = tempfile::tempfile().unwrap();
        for number in 0..5_u64 {
            file.write_all_at(&[1; 4096], number << 20).unwrap();
        }
        let size = file.metadata().unwrap().len();
        let Some(extents) = data_extents(&file, size, 5).unwrap() else {
            eprintln!("skipped: a file system without holes");
            return;
        };
        assert_eq!(extents.len(), 5);
        assert!(data_extents(&file, size, 4).unwrap().is_none());
    }
}
