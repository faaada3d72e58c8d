//! The type of a file, in the mode that formats store.
//!
//! Invariant: the numbers are those of Unix, which all formats and Linux agree on.

use rustix::fs::FileType;

/// The bits of a mode that tell the type.
const BITS: u64 = 0o170_000;

/// The type that this mode tells. One without a type, or with one that nobody knows, is [`FileType::Unknown`].
pub(super) fn file_type(mode: u64) -> FileType {
    let bits = u32::try_from(mode & BITS).expect("they are among the lowest 16");
    FileType::from_raw_mode(bits)
}

/// Does this mode tell a type?
pub(super) fn has_type(mode: u64) -> bool {
    mode & BITS != 0
}
