//! Reading long stretches of a file once, piece by piece.
//!
//! Invariant: what is passed on are the bytes of the file, in order; whether they come from the disk or from the page cache is a matter
//! of time alone.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use rustix::fs::{OFlags, fstatfs};

/// File systems that can share blocks between files: btrfs, XFS, bcachefs, ZFS (`linux/magic.h`, and their own sources).
/// Others would copy the bytes, which are in memory already.
const SHARING: [u64; 4] = [0x9123_683e, 0x5846_5342, 0xca45_1a4e, 0x2fc1_2fc1];

/// Bytes of a piece that comes from the page cache: few enough to stay in the processor's cache until they are used.
const CACHED_PIECE: usize = 256 << 10;
/// Bytes of a piece that comes from the disk, where each request has its price.
const DIRECT_PIECE: usize = 1 << 20;
/// Requests to the disk begin at multiples of this, and so does the memory for their answers. (No disk of today has longer blocks.)
const BLOCK: usize = 4096;

/// Is this file on a file system that can share blocks between files?
pub(crate) fn can_share(file: &File) -> bool {
    fstatfs(file).is_ok_and(|found| SHARING.contains(&found.f_type.cast_unsigned()))
}

/// A file of which long stretches are read.
///
/// Where its blocks can be shared, what is read is only looked at, and then nobody needs it in the page cache: putting it there takes
/// several times as long as looking at it.
pub(crate) struct Stretches {
    file: File,
    /// The file, to be read past the page cache.
    direct: RefCell<Option<File>>,
    buffer: RefCell<Vec<u8>>,
}

impl Stretches {
    /// The stretches of `file`.
    pub(crate) fn of(file: File) -> Self {
        let direct = if can_share(&file) { open_direct(&file) } else { None };
        let bytes = if direct.is_some() { DIRECT_PIECE + BLOCK } else { CACHED_PIECE };
        Self { file, direct: RefCell::new(direct), buffer: RefCell::new(vec![0; bytes]) }
    }

    /// The file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Passes the `length` bytes from `start` on to `take`.
    ///
    /// # Errors
    /// The disk failed, or the file ends before; or those of `take`.
    pub(crate) fn read(
        &self,
        start: u64,
        length: u64,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        let (mut next, end) = (start, start.saturating_add(length));
        while next < end {
            let left = usize::try_from(end - next).unwrap_or(usize::MAX);
            let piece = self.piece(next, left, &mut buffer)?;
            take(piece)?;
            next += piece.len() as u64;
        }
        Ok(())
    }

    /// The next piece, of `most` bytes at most.
    fn piece<'b>(&self, start: u64, most: usize, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let before = usize::try_from(start % BLOCK as u64).expect("less than a block");
        let mut direct = self.direct.borrow_mut();
        if let Some(file) = direct.as_ref() {
            let skipped = buffer.as_ptr().align_offset(BLOCK);
            let wanted = (before + most).next_multiple_of(BLOCK).min(DIRECT_PIECE);
            let read = file.read_at(&mut buffer[skipped..skipped + wanted], start - before as u64);
            match read {
                Ok(count) if count > before => {
                    let count = (count - before).min(most);
                    return Ok(&buffer[skipped + before..][..count]);
                }
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                // Not as this disk, or this file system, wants it.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => *direct = None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(&[]),
                Err(error) => return Err(error),
            }
        }
        let piece = &mut buffer[..most.min(CACHED_PIECE)];
        self.file.read_exact_at(piece, start)?;
        Ok(piece)
    }
}

/// The same file, to be read past the page cache; `None` if its file system cannot do that.
fn open_direct(file: &File) -> Option<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::DIRECT.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn of(bytes: &[u8], folder: &str, is_direct: bool) -> Stretches {
        let mut file = tempfile::tempfile_in(folder).unwrap();
        file.write_all(bytes).unwrap();
        file.sync_all().unwrap();
        let stretches = Stretches::of(file);
        if is_direct {
            *stretches.direct.borrow_mut() = open_direct(&stretches.file);
            *stretches.buffer.borrow_mut() = vec![0; DIRECT_PIECE + BLOCK];
        }
        stretches
    }

    #[test]
    fn any_stretch_of_a_file_is_read() {
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|number| (number % 251) as u8).collect();
        // The folder of the tests is on a disk; `/dev/shm` is in memory, and has no direct reads on older kernels.
        for (folder, is_direct) in [(".", true), (".", false), ("/dev/shm", true)] {
            let stretches = of(&bytes, folder, is_direct);
            for (start, length) in
                [(0, 3_000_001), (1, 1), (4095, 2), (4096, 4096), (999_999, 2_000_002), (5, 0)]
            {
                let mut found = Vec::new();
                let mut take = |piece: &[u8]| {
                    found.extend_from_slice(piece);
                    Ok(())
                };
                stretches.read(start, length, &mut take).unwrap();
                let first = usize::try_from(start).unwrap();
                let last = first + usize::try_from(length).unwrap();
                assert!(found == bytes[first..last], "{folder} {is_direct} {start} {length}");
            }
            for (start, length) in [(3_000_000, 2), (3_000_001, 1), (4_000_000, 10)] {
                let error = stretches.read(start, length, &mut |_| Ok(())).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{start} {length}");
            }
        }
    }
}
