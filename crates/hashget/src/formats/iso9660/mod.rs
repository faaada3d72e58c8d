//! ISO 9660: images of installers, live systems and data discs, with the names of Rock Ridge, else of Joliet, else their own.
//!
//! Invariant: every folder is read once, and everything that is listed in one is a member, reported, or an error. What the
//! image says of itself never makes reading longer than the limits and the size of the image allow.

mod entry;
mod image;
mod names;
mod record;
mod rock_ridge;
mod volume;
mod walk;

use super::{Format, FormatError, Input, PartReader, RandomAccess, Visitor};
use crate::limits::Limits;
use crate::model::RelPath;
use walk::Walk;

const FORMAT: &str = "iso9660";
/// Where the descriptors of an image begin, and how: a type, the standard's name, its version.
const DESCRIPTORS: usize = 0x8000;
const STANDARD: &[u8] = b"CD001\x01";

/// The format.
pub(super) struct Iso9660;

impl Format for Iso9660 {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".iso"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.get(DESCRIPTORS + 1..).is_some_and(|descriptor| descriptor.starts_with(STANDARD))
    }

    fn readable_in_parts(&self) -> Option<&dyn PartReader> {
        Some(self)
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
        input.with_file(limits.unpacked_bytes, FORMAT, |mut file| {
            self.read_members(&mut file, &|_| true, limits, visitor)
        })
    }
}

impl PartReader for Iso9660 {
    fn read_members(
        &self,
        package: &mut dyn RandomAccess,
        wanted: &dyn Fn(&RelPath) -> bool,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        Walk::new(package, wanted, limits, visitor)?.visit_all()
    }
}

/// What is wrong while an entry of a folder is read.
enum Trouble {
    /// The entry cannot be a member, for this reason; the others are read.
    Entry(&'static str),
    /// The image cannot be read any further.
    Image(FormatError),
}

impl From<&'static str> for Trouble {
    fn from(reason: &'static str) -> Self {
        Self::Entry(reason)
    }
}

impl From<FormatError> for Trouble {
    fn from(error: FormatError) -> Self {
        Self::Image(error)
    }
}

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}
