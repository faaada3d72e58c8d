//! The program that travels in an archive and restores it without hashget.
//!
//! Invariant: what travels is `contrib/restore.py`, byte by byte: `restore.py` of this crate is a link to it, since a package
//! of the crate has no files outside of it.

use crate::model::Metadata;

/// The program. `docs/format.md` says how it is used.
pub(super) const TEXT: &[u8] = include_bytes!("../../restore.py");

/// Its metadata in the archive: whoever unpacks it can run it.
pub(super) fn metadata() -> Metadata {
    Metadata { mode: 0o755, ..Metadata::default() }
}
