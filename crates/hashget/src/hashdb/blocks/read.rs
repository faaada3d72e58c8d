//! Reading the blocks of a package.
//!
//! Invariant: nothing is passed on of a file that is damaged; it is read twice, first for its digest.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{BEGINNING, BLOCK_BYTES};
use crate::model::{Digest, HashingReader, RelPath};

/// The blocks of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberBlocks {
    /// Its path in the package.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// Of each whole block, its checksum and its digest.
    pub blocks: Vec<(u64, Digest)>,
    /// The digest of the bytes behind the last whole block, if there are any.
    pub tail: Option<Digest>,
}

/// Bytes of a digest.
const DIGEST: usize = 32;
/// Bytes of what stands for a block.
const ROW: usize = 8 + DIGEST;

pub(super) fn read(
    path: &Path,
    package: &Digest,
    visit: &mut dyn FnMut(MemberBlocks),
) -> io::Result<bool> {
    let open = || match fs_err::File::open(path) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let Some(file) = open()? else { return Ok(false) };
    let length = file.metadata()?.len();
    let Some(summed) = length.checked_sub(DIGEST as u64) else { return Ok(false) };
    let mut input = BufReader::with_capacity(1 << 16, file);
    let (sum, _, rest) = {
        let mut hashing = HashingReader::new((&mut input).take(summed));
        io::copy(&mut hashing, &mut io::sink())?;
        hashing.into_parts()
    };
    let mut expected = Vec::new();
    rest.into_inner().take(DIGEST as u64).read_to_end(&mut expected)?;
    if expected != sum.as_bytes() {
        return Ok(false);
    }
    let Some(file) = open()? else { return Ok(false) };
    let mut input = Input(BufReader::with_capacity(1 << 16, file).take(summed));
    if input.bytes(BEGINNING.len())? != BEGINNING || input.bytes(DIGEST)? != package.as_bytes() {
        return Ok(false);
    }
    while let Some(member) = input.member()? {
        visit(member);
    }
    Ok(true)
}

struct Input<R>(R);

impl<R: Read> Input<R> {
    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let mut bytes = [0; COUNT];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next member; `None` behind the last one.
    fn member(&mut self) -> io::Result<Option<MemberBlocks>> {
        let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
        let length = u32::from_le_bytes(self.array()?);
        if length == 0 {
            return Ok(None);
        }
        let name = self.bytes(usize::try_from(length).map_err(wrong)?)?;
        let path = RelPath::new(name).map_err(io::Error::other)?;
        let size = u64::from_le_bytes(self.array()?);
        let count = usize::try_from(size / BLOCK_BYTES as u64).map_err(wrong)?;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let row: [u8; ROW] = self.array()?;
            let (checksum, digest) = row.split_at(8);
            let checksum = u64::from_le_bytes(checksum.try_into().expect("8 bytes"));
            blocks.push((checksum, Digest::from_bytes(digest.try_into().expect("32 bytes"))));
        }
        let has_tail = !size.is_multiple_of(BLOCK_BYTES as u64);
        let tail = has_tail.then(|| self.array().map(Digest::from_bytes)).transpose()?;
        Ok(Some(MemberBlocks { path, size, blocks, tail }))
    }
}
