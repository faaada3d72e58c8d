//! Opening an archive: a tar of any compression.
//!
//! Invariant: the compression is recognised by the first bytes, never by a name.

use std::io::{self, Read};

use super::ArchiveError;
use crate::codec::{self, Codec};
use crate::formats::FormatError;
use crate::formats::tar::TarReader;
use crate::limits::Limits;

/// Number of first bytes by which the compression is recognised.
const HEAD_BYTES: u64 = 4096;

/// The entries of an archive, decompressed.
pub(crate) type TarStream<'a> = TarReader<Box<dyn Read + 'a>>;

/// The first bytes of an archive.
pub(crate) fn first_bytes(archive: &mut (dyn Read + Send)) -> Result<Vec<u8>, ArchiveError> {
    let mut head = Vec::new();
    let read = archive.take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|error| ArchiveError::Read { error })?;
    if head.is_empty() {
        let error = FormatError::Damaged { format: "tar", problem: "it is empty".into() };
        return Err(ArchiveError::NotAnArchive { error });
    }
    Ok(head)
}

/// The tar that begins with `head` and goes on with `archive`.
pub(crate) fn open_tar<'a>(
    head: Vec<u8>,
    archive: &'a mut (dyn Read + Send),
    limits: &Limits,
) -> Result<TarStream<'a>, ArchiveError> {
    let codec = Codec::recognise(&head);
    let all = Box::new(io::Cursor::new(head).chain(archive));
    let decoder = codec::decoder(codec, all, limits, limits.threads);
    let decoder = decoder.map_err(|error| ArchiveError::Read { error })?;
    Ok(TarReader::new(decoder, limits))
}
