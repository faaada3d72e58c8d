//! One entry of a tar archive, and its contents.
//!
//! Invariant: contents have exactly the size of the entry; an archive that ends too early is an error.

use std::io::{self, Read};

use super::reader::TarReader;
use crate::model::{Extent, MemberMetadata};

/// The type of an entry; link targets raw, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RawKind {
    /// A regular file.
    File {
        /// Logical size in bytes, holes counted.
        size: u64,
    },
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Another name of an earlier entry.
    HardLink {
        /// That entry's name.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One entry. Reading it returns its contents, with holes as zeros; what is left unread is skipped.
pub struct TarEntry<'a, R> {
    /// Its raw name: it may be absolute, contain `..` or end in `/`.
    pub path: Vec<u8>,
    /// Its type.
    pub kind: RawKind,
    /// Its metadata.
    pub metadata: MemberMetadata,
    /// Where its data lies, if it is stored sparse.
    pub extents: Option<Vec<Extent>>,
    pub(super) archive: &'a mut TarReader<R>,
    pub(super) position: u64,
    /// The first extent that has not been read completely.
    pub(super) extent: usize,
}

/// The stored contents of the current entry.
pub(super) struct Contents<'a, R>(pub(super) &'a mut TarReader<R>);

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let archive = &mut *self.0;
        if archive.stored_left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let length = up_to(buffer.len(), archive.stored_left);
        let count = archive.reader.read(&mut buffer[..length])?;
        if count == 0 {
            let problem = format!("the archive ends within an entry (at byte {})", archive.offset);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        archive.stored_left -= count as u64;
        archive.offset += count as u64;
        Ok(count)
    }
}

impl<R: Read> TarEntry<'_, R> {
    /// The contents as stored: of a sparse file only the data, extent after extent. Only for an entry that
    /// has not been read yet.
    pub fn stored(&mut self) -> impl Read + '_ {
        Contents(self.archive)
    }
}

impl<R: Read> Read for TarEntry<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let RawKind::File { size } = self.kind else { return Ok(0) };
        let Some(extents) = &self.extents else { return Contents(self.archive).read(buffer) };
        let passed = |extent: &&Extent| extent.offset + extent.length <= self.position;
        self.extent += extents[self.extent..].iter().take_while(passed).count();
        let next = extents.get(self.extent);
        let data = next.map_or(size, |extent| extent.offset);
        let count = if self.position < data {
            let length = up_to(buffer.len(), data - self.position);
            buffer[..length].fill(0);
            length
        } else if let Some(extent) = next {
            let length = up_to(buffer.len(), extent.offset + extent.length - self.position);
            Contents(self.archive).read(&mut buffer[..length])?
        } else {
            0
        };
        self.position += count as u64;
        Ok(count)
    }
}

/// The smaller of the two.
fn up_to(length: usize, bytes: u64) -> usize {
    usize::try_from(bytes).map_or(length, |bytes| length.min(bytes))
}
