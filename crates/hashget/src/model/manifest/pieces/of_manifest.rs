//! The pieces of a manifest, with the entries of their files.
//!
//! Invariant: the entries are in the order of the files.

use super::super::{Manifest, ManifestError, PIECES};
use super::{PiecedFile, Pieces, field};
use crate::model::{Amount, Entry, RelPath};

impl Manifest {
    /// Has the archive rests, so that what is below their folder is no part of the tree?
    pub(crate) fn has_pieces(&self) -> bool {
        self.needs.has(&PIECES)
    }

    /// The files that are made of pieces; none if the manifest has none.
    pub fn pieces(&self) -> Option<&Pieces> {
        self.pieces.as_ref().filter(|pieces| !pieces.is_empty())
    }

    /// The files that are made of pieces, and their bytes that come from packages.
    pub fn amount_of_pieces(&self) -> Amount {
        self.pieces().map(|pieces| pieces.amount(&|path| self.size_of(path))).unwrap_or_default()
    }

    /// The bytes of these files that come from each package.
    pub(crate) fn bytes_of_pieces(&self) -> Vec<u64> {
        let packages = &self.packages;
        let bytes =
            self.pieces().map(|one| one.bytes_of_packages(packages, &|path| self.size_of(path)));
        bytes.unwrap_or_else(|| vec![0; packages.len()])
    }

    /// The size of the archived file at `path`.
    pub(crate) fn size_of(&self, path: &RelPath) -> u64 {
        let row = self.archived.position(path);
        row.and_then(|row| self.archived.entry(row).ok()).map_or(0, |entry| entry.size())
    }

    /// The entries of the files that are made of pieces, in the order of these.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub fn pieced_entries(&self) -> Result<Vec<Entry>, ManifestError> {
        let Some(pieces) = self.pieces() else { return Ok(Vec::new()) };
        let entry = |file: PiecedFile| {
            let row = self.archived.position(&file.path);
            let missing = || field("path", format!("{}: it is no entry of archived", file.path));
            self.archived.entry(row.ok_or_else(missing)?)
        };
        pieces.files().map(entry).collect()
    }

    /// The same of what is put together for them: of a compressed file, its decoded form.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub(crate) fn assembled_entries(&self) -> Result<Vec<Entry>, ManifestError> {
        let Some(pieces) = self.pieces() else { return Ok(Vec::new()) };
        let entries = self.pieced_entries()?.into_iter().enumerate();
        let assembled = |(index, entry)| match pieces.encoding(index) {
            Some(encoded) => encoded.decoded(&entry),
            None => entry,
        };
        Ok(entries.map(assembled).collect())
    }
}
