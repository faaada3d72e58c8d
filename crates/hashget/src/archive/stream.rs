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

/// Bytes of the names and attributes of one entry of an archive. `pack` writes no entry that needs more.
pub(crate) const HEADER_BYTES: u64 = 64 << 20;

/// The limits for an archive, which its owner chose to read and whose trees may be as large as they like. Limits on
/// the number of entries and on their size are for packages, which come from strangers; the ratio of compression stays
/// limited.
fn of_archives(limits: &Limits) -> Limits {
    Limits {
        entries: u64::MAX,
        unpacked_bytes: u64::MAX,
        header_bytes: limits.header_bytes.max(HEADER_BYTES),
        ..limits.clone()
    }
}

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
    let decoder = codec::decoder(codec, all, &of_archives(limits), limits.threads);
    let decoder = decoder.map_err(|error| ArchiveError::Read { error })?;
    Ok(tar_of_archive(decoder, limits))
}

/// The uncompressed tar of an archive.
pub(crate) fn tar_of_archive<R: Read>(tar: R, limits: &Limits) -> TarReader<R> {
    TarReader::new(tar, &of_archives(limits)).lenient()
}
