//! The program that travels in an archive and restores it without hashget.
//!
//! Invariant: what travels is the file of the repository, byte by byte.

use crate::model::Metadata;

/// The program. `docs/format.md` says how it is used.
pub(super) const TEXT: &[u8] = include_bytes!("../../../../contrib/restore.py");

/// Its metadata in the archive: whoever unpacks it can run it.
pub(super) fn metadata() -> Metadata {
    Metadata { mode: 0o755, ..Metadata::default() }
}
