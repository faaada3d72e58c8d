//! The proof over a whole tree: its digest, from the records of its entries.
//!
//! Invariant: an entry counts under each of its names, and with the first of them.

use std::collections::HashMap;

use super::{Summary, count};
use crate::model::{Digest, Entry, Kind, RelPath, TreeDigest, add_bytes, entry_digest};

/// The tree digest, entry by entry.
pub(super) struct Proof<'l> {
    /// Entries with further names, and those, sorted.
    further: HashMap<&'l RelPath, Vec<&'l RelPath>>,
    tree: TreeDigest<'l>,
}

impl<'l> Proof<'l> {
    /// `links` are the further names, each with what it names.
    pub(super) fn new(links: &'l [(RelPath, RelPath)]) -> Self {
        let mut further: HashMap<_, Vec<_>> = HashMap::new();
        for (path, to) in links {
            further.entry(to).or_default().push(path);
        }
        Self { further, tree: TreeDigest::default() }
    }

    /// Adds the entry at the path with the bytes `name`, under all its names.
    pub(super) fn add(&mut self, name: &'l [u8], entry: &Entry, summary: &mut Summary) {
        let names = self.further.get(&entry.path).map_or(&[][..], Vec::as_slice);
        let first = names.iter().copied().chain([&entry.path]).min().unwrap_or(&entry.path);
        let all = 1 + count(names.len());
        summary.entries += all;
        if let Kind::File { size } = entry.kind {
            summary.files += all;
            add_bytes(&mut summary.bytes, size);
        }
        self.tree.add(name, entry_digest(&entry.path, entry, first));
        for name in names {
            self.tree.add(name.as_bytes(), entry_digest(name, entry, first));
        }
    }

    /// The digest of all that was added.
    pub(super) fn finish(self) -> Digest {
        self.tree.finish()
    }
}
