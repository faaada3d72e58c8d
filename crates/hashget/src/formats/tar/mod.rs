//! tar archives as packages, with any compression or none (including `.crate` files).
//!
//! Invariant: recognised by a first header with a valid checksum, inside the compression.

mod entry;
mod header;
mod pax;
mod reader;
mod sparse;

use std::io::{self, Read};

pub use entry::{RawKind, TarEntry};
pub use reader::TarReader;

use super::content::{Head, visit};
use super::{Format, FormatError, Input, Visitor};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{Kind, Member, RelPath};
use header::{BLOCK, Header};

/// Compressed or not; `.crate` is that of cargo.
const ENDINGS: &[&str] = &[
    ".crate",
    ".tar",
    ".tar.bz2",
    ".tar.gz",
    ".tar.lz",
    ".tar.lz4",
    ".tar.lzma",
    ".tar.xz",
    ".tar.z",
    ".tar.zst",
    ".taz",
    ".tb2",
    ".tbz",
    ".tbz2",
    ".tgz",
    ".tlz",
    ".txz",
    ".tzst",
];

/// The format.
pub(super) struct Tar;

impl Format for Tar {
    fn name(&self) -> &'static str {
        "tar"
    }

    fn endings(&self) -> &'static [&'static str] {
        ENDINGS
    }

    fn recognises(&self, head: &[u8]) -> bool {
        match Codec::recognise(head) {
            Codec::None => first_name(head).is_some(),
            codec => first_name(&codec::first_bytes(codec, head, BLOCK)).is_some(),
        }
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        visit_all(self.name(), input.into_reader(), limits, b"", visitor)
    }
}

/// The name in the first header of an uncompressed tar archive.
pub(super) fn first_name(head: &[u8]) -> Option<Vec<u8>> {
    let block: &[u8; BLOCK] = head.first_chunk()?;
    Header::parse(block).ok().map(|header| header.name())
}

/// The second header, if the size of the first entry leads to one.
pub(super) fn second_header(head: &[u8]) -> Option<&[u8]> {
    let block: &[u8; BLOCK] = head.first_chunk()?;
    let size = Header::parse(block).ok()?.size().ok()?;
    let blocks = usize::try_from(size.div_ceil(BLOCK as u64)).ok()?;
    head.get(blocks.checked_add(1)?.checked_mul(BLOCK)?..)
}

/// Opens a tar archive that may be compressed.
pub(super) fn open<'a>(
    packed: Box<dyn Read + 'a>,
    limits: &Limits,
) -> io::Result<TarReader<Box<dyn Read + 'a>>> {
    let head = Head::read(packed, BLOCK)?;
    let codec = Codec::recognise(&head.bytes);
    let unpacked = codec::decoder(codec, Box::new(head.into_reader()), limits, limits.threads)?;
    Ok(TarReader::new(unpacked, limits))
}

/// Visits all entries of a tar archive that may be compressed, with `prefix` before their paths and the
/// targets of hard links. Errors name `format`.
pub(super) fn visit_all(
    format: &'static str,
    packed: Box<dyn Read + '_>,
    limits: &Limits,
    prefix: &[u8],
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let archive = open(packed, limits).map_err(|error| FormatError::reading(format, error))?;
    let mut archive = archive.ending_at_zeros();
    while let Some(mut entry) = archive.next().map_err(|error| error.of_format(format))? {
        match member(&mut entry, prefix) {
            Ok(Some(member)) => visit(format, visitor, member, &mut entry)?,
            Ok(None) => {}
            Err(reason) => visitor.bad_member(&[prefix, &entry.path].concat(), &reason),
        }
    }
    if archive.more_follows() {
        visitor.bad_member(prefix, "it follows a block of zeros, which ends the archive");
    }
    Ok(())
}

/// `entry` as a member; `None` for the top folder, or the reason if it cannot be one.
pub(super) fn member<R>(
    entry: &mut TarEntry<'_, R>,
    prefix: &[u8],
) -> Result<Option<Member>, String> {
    let path = RelPath::normalise(&entry.path).map_err(|error| error.reason().to_owned())?;
    if path.is_root() {
        let is_folder = entry.kind == RawKind::Directory;
        return if is_folder { Ok(None) } else { Err("its name is empty".to_owned()) };
    }
    let below = |path: &RelPath| {
        RelPath::new([prefix, path.as_bytes()].concat()).map_err(|error| error.to_string())
    };
    let kind = match &entry.kind {
        RawKind::File { size } => Kind::File { size: *size },
        RawKind::Directory => Kind::Directory,
        RawKind::Symlink { target } if target.contains(&0) => {
            return Err("its target has a NUL byte".to_owned());
        }
        RawKind::Symlink { target } => Kind::Symlink { target: target.as_slice().into() },
        RawKind::HardLink { target } => {
            let target = RelPath::normalise(target).map_err(|error| error.to_string())?;
            if target.is_root() {
                return Err("it is a hard link to the top folder".to_owned());
            }
            Kind::HardLink { target: below(&target)? }
        }
        RawKind::CharDevice { major, minor } => Kind::CharDevice { major: *major, minor: *minor },
        RawKind::BlockDevice { major, minor } => Kind::BlockDevice { major: *major, minor: *minor },
        RawKind::Fifo => Kind::Fifo,
    };
    Ok(Some(Member {
        path: below(&path)?,
        kind,
        metadata: std::mem::take(&mut entry.metadata),
        sha256: None,
        // Cloned, since the entry needs them to read its contents.
        extents: entry.extents.clone(),
    }))
}
