//! What the ledger says in the end: the summary, the tree digest, and each entry of the tree.
//!
//! Invariant: only what is in its place counts.

use super::State;
use crate::model::manifest::ManifestError;
use crate::model::{Digest, Entry, Kind, RelPath, path_of};
use crate::restore::Summary;
use crate::restore::proof::Proof;

impl State<'_> {
    /// Every entry that is in its place, with the digest of its contents. Further names are not among them.
    pub(in crate::restore) fn entries(
        &self,
    ) -> impl Iterator<Item = Result<Entry, ManifestError>> + '_ {
        let rows = self.table.entries().enumerate().filter_map(|(row, entry)| {
            let sha256 = self.digest_in_place(row)?;
            Some(entry.map(|(entry, _)| Entry { sha256, ..entry }))
        });
        let placed = self.placed.iter().map(|(name, placed)| Ok(placed.entry(path_of(name))));
        let folders = self.folders.iter().map(|(path, folder)| {
            let (kind, metadata) = (Kind::Directory, folder.metadata.clone());
            Ok(Entry { path: path.clone(), kind, metadata, sha256: None, extents: None })
        });
        rows.chain(placed).chain(folders)
    }

    /// What would lie in something that is no folder is missing: no disk could have it there.
    pub(in crate::restore) fn refuse_what_lies_in_files(&mut self) {
        let rows = self.table.paths().enumerate();
        let rows = rows.filter(|(row, _)| self.is_in_place(*row)).map(|(_, path)| path_of(path));
        let all = rows.chain(self.placed.paths()).chain(self.folders.keys().cloned());
        let lies_in_file =
            |path: &RelPath| path.parent().is_some_and(|folder| self.is_placed(&folder));
        let refused: Vec<RelPath> = all.filter(lies_in_file).collect();
        for path in refused {
            self.add_missing(path, "what it would lie in is no folder");
        }
    }

    /// Computes the tree digest and the summary. `links` are the further names
    /// that were made; `expected` is the tree digest that the manifest has.
    pub(in crate::restore) fn summarise(
        &self,
        links: &[(RelPath, RelPath)],
        expected: Option<Digest>,
    ) -> Result<Summary, ManifestError> {
        let mut summary = Summary {
            files_from_packages: self.files_from_packages,
            bytes_from_packages: self.bytes_from_packages,
            kept_files: self.kept_files,
            files_without_digest: self.files_without_digest,
            packages_used: self.packages_used,
            ..Summary::default()
        };
        let mut proof = Proof::new(links);
        for (row, entry) in self.table.entries().enumerate() {
            let Some(sha256) = self.digest_in_place(row) else { continue };
            let entry = Entry { sha256, ..entry?.0 };
            proof.add(self.table.path(row), &entry, &mut summary);
        }
        for (name, placed) in self.placed.iter() {
            proof.add(name, &placed.entry(path_of(name)), &mut summary);
        }
        for (path, folder) in &self.folders {
            let (kind, sha256, extents) = (Kind::Directory, None, None);
            let (name, path, metadata) = (path.as_bytes(), path.clone(), folder.metadata.clone());
            proof.add(name, &Entry { path, kind, metadata, sha256, extents }, &mut summary);
        }
        let proven = !self.contradicted && expected.is_some_and(|digest| proof.finish() == digest);
        let is_whole = self.missing.is_empty() && self.left.is_empty();
        summary.proven = expected.filter(|_| is_whole).map(|_| proven);
        summary.missing = self.missing.clone();
        for path in &self.left {
            summary.left.add(path);
        }
        summary.missing_from_archive = self.not_there.values().map(|group| group.entries).sum();
        summary.missing.sort_unstable();
        Ok(summary)
    }
}
