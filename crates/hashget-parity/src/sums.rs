//! Checksums of a file and of its blocks.
//!
//! Invariant: a block that is shorter than the others counts as one with zeros behind it.

use md5::{Digest as _, Md5};

use crate::combine::for_each;
use crate::error::ParityError;
use crate::layout::Layout;
use crate::packet::Sum;
use crate::reading::{Proceed, ReadAt};

/// Bytes that are read at a time.
pub(crate) const PIECE: usize = 1 << 18;
/// Bytes at the beginning of a file that have a checksum of their own.
const HEAD: u64 = 16 << 10;

/// The checksums of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockSums {
    pub(crate) md5: Sum,
    pub(crate) crc32: u32,
}

/// The checksums of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSums {
    pub(crate) md5: Sum,
    /// Of its first 16 KiB.
    pub(crate) head: Sum,
    pub(crate) blocks: Vec<BlockSums>,
}

/// Passes bytes `first..first + length` of the file to `take`, in order; how many there were.
pub(crate) fn read_through(
    file: &(impl ReadAt + ?Sized),
    first: u64,
    length: u64,
    proceed: &Proceed<'_>,
    mut take: impl FnMut(&[u8]),
) -> Result<u64, ParityError> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(PIECE).min(PIECE)];
    let mut done = 0;
    while done < length {
        let wanted = usize::try_from(length - done).unwrap_or(PIECE).min(PIECE);
        let count = file.read_at(&mut buffer[..wanted], first + done).map_err(ParityError::Read)?;
        take(&buffer[..count]);
        done += count as u64;
        if !proceed(count as u64) {
            return Err(ParityError::Stopped);
        }
        if count < wanted {
            break;
        }
    }
    Ok(done)
}

/// MD5 of the first `length` bytes of the file; `None` if there are fewer.
pub(crate) fn md5_of(
    file: &(impl ReadAt + ?Sized),
    length: u64,
    proceed: &Proceed<'_>,
) -> Result<Option<Sum>, ParityError> {
    let mut md5 = Md5::new();
    let count = read_through(file, 0, length, proceed, |bytes| md5.update(bytes))?;
    Ok((count == length).then(|| md5.finalize().into()))
}

/// MD5 of `length` bytes of a parity file from `first` on, or of fewer if it ends.
pub(crate) fn md5_between(
    parity: &(impl ReadAt + ?Sized),
    first: u64,
    length: u64,
) -> Result<Sum, ParityError> {
    let mut md5 = Md5::new();
    read_through(parity, first, length, &|_| true, |bytes| md5.update(bytes))
        .map_err(as_of_parity)?;
    Ok(md5.finalize().into())
}

/// What could not be read was the parity.
fn as_of_parity(error: ParityError) -> ParityError {
    match error {
        ParityError::Read(error) => ParityError::ReadParity(error),
        other => other,
    }
}

/// The checksums of what is at `first` in the file, as a block that has `length` bytes there.
pub(crate) fn sums_at(
    file: &(impl ReadAt + ?Sized),
    first: u64,
    length: u64,
    layout: &Layout,
) -> Result<BlockSums, ParityError> {
    let (mut md5, mut crc32) = (Md5::new(), crc32fast::Hasher::new());
    let mut take = |bytes: &[u8]| {
        md5.update(bytes);
        crc32.update(bytes);
    };
    let mut missing =
        layout.block_bytes() - read_through(file, first, length, &|_| true, &mut take)?;
    while missing > 0 {
        let zeros = usize::try_from(missing).unwrap_or(PIECE).min(PIECE);
        take(&vec![0; zeros]);
        missing -= zeros as u64;
    }
    Ok(BlockSums { md5: md5.finalize().into(), crc32: crc32.finalize() })
}

impl FileSums {
    /// Those of a file. `proceed` is told of the file's bytes twice: the checksum of the whole and those of blocks are
    /// computed beside each other.
    pub(crate) fn of(
        file: &(impl ReadAt + ?Sized),
        layout: &Layout,
        threads: usize,
        proceed: &Proceed<'_>,
    ) -> Result<Self, ParityError> {
        let blocks = std::sync::Mutex::new(vec![BlockSums::default(); layout.blocks()]);
        let whole = std::sync::Mutex::new(None);
        // Number 0 is the file as a whole, which takes longest.
        for_each(threads, layout.blocks() as u64 + 1, |number| {
            let Some(block) = number.checked_sub(1).and_then(|block| usize::try_from(block).ok())
            else {
                let head = md5_of(file, layout.bytes().min(HEAD), &|_| true)?;
                let sums = head.zip(md5_of(file, layout.bytes(), proceed)?);
                *whole.lock().expect("storing a checksum does not panic") = sums;
                return Ok(());
            };
            let length = layout.length_of(block);
            let sums = sums_at(file, layout.start_of(block), length, layout)?;
            blocks.lock().expect("storing a checksum does not panic")[block] = sums;
            if proceed(length) { Ok(()) } else { Err(ParityError::Stopped) }
        })?;
        let whole = whole.into_inner().expect("storing a checksum does not panic");
        let ended = || ParityError::Read(std::io::ErrorKind::UnexpectedEof.into());
        let (head, md5) = whole.ok_or_else(ended)?;
        let blocks = blocks.into_inner().expect("storing a checksum does not panic");
        Ok(Self { md5, head, blocks })
    }
}
