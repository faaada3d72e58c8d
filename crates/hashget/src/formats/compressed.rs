//! Single compressed files: databases, models, images, manual pages. The package has one member.
//!
//! Invariant: the member has all that the compressed bytes decode to, to their end; they are decoded twice, first to learn the
//! size, so that nothing is kept on the disk.

use std::io::{self, BufReader, Read, Seek as _, SeekFrom};

use super::content::visit;
use super::{Format, FormatError, Input, Visitor};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{Kind, Member, MemberMetadata, RelPath};

const FORMAT: &str = "compressed";
/// The path of the one member.
const MEMBER: &str = "contents";
/// This many bytes identify a codec, unless skippable frames come first.
const HEAD: u64 = 1 << 16;

/// The format.
pub(super) struct Compressed;

impl Format for Compressed {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".bz2", ".gz", ".lz", ".lz4", ".lzma", ".xz", ".zst"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        match Codec::recognise(head) {
            Codec::None => false,
            // Two or three bytes are no proof; data that come out of them are.
            codec @ (Codec::Gzip | Codec::Lzma | Codec::Compress) => {
                !codec::first_bytes(codec, head, 1).is_empty()
            }
            _ => true,
        }
    }

    /// Packages are full of compressed manual pages, which no tree has in another form.
    fn is_opened_within(&self) -> bool {
        false
    }

    fn is_found_by_version_one(&self, _: &RelPath) -> bool {
        false
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let reading = |error| FormatError::reading(FORMAT, error);
        input.with_file(limits.unpacked_bytes, FORMAT, |mut file| {
            let mut head = Vec::new();
            (&mut file).take(HEAD).read_to_end(&mut head).map_err(reading)?;
            let codec = Codec::recognise(&head);
            if codec == Codec::None {
                let problem = "it does not begin as compressed data".into();
                return Err(FormatError::Damaged { format: FORMAT, problem });
            }
            file.seek(SeekFrom::Start(0)).map_err(reading)?;
            let unpacked = codec::decoder(codec, Box::new(&mut file), limits, limits.threads);
            let size =
                io::copy(&mut unpacked.map_err(reading)?, &mut io::sink()).map_err(reading)?;
            if limits.entries == 0 {
                return Err(FormatError::Limit { what: "entries".into(), limit: limits.entries });
            }
            file.seek(SeekFrom::Start(0)).map_err(reading)?;
            let packed = Box::new(BufReader::new(file));
            let mut unpacked =
                codec::decoder(codec, packed, limits, limits.threads).map_err(reading)?;
            let path = RelPath::new(MEMBER).map_err(|error| FormatError::Visitor(error.into()))?;
            let (kind, metadata) = (Kind::File { size }, MemberMetadata::default());
            let member = Member { path, kind, metadata, sha256: None, extents: None };
            visit(FORMAT, visitor, member, &mut unpacked)
        })
    }
}
