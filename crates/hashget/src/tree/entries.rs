//! The entries of a tree in order, with the first name of every hard-linked file.
//!
//! Invariant: entries are sorted by the bytes of their paths. Each [`Kind::HardLink`] refers to an entry that
//! is not a link; its index is stored in four bytes for each entry, so that no search is needed.

use std::collections::HashMap;
use std::ops::Deref;

use super::find::Finder;
use crate::model::{Digest, Entry, Kind, Metadata, RelPath, TreeDigest, entry_digest};
use crate::parallel;

/// The entries of a tree. Dereferences to a slice, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    sorted: Vec<Entry>,
    /// For each entry the index of the first name of its file; for all but links that is its own index.
    first_names: Vec<u32>,
    /// First names of the files that have further names, ascending. Usually there are few.
    linked: Vec<u32>,
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.sorted
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.sorted.iter()
    }
}

impl IntoIterator for Entries {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.sorted.into_iter()
    }
}

/// Converts an index: indices of entries are stored in four bytes.
fn compact(index: usize) -> u32 {
    u32::try_from(index).expect("a tree has fewer than 2^32 entries")
}

impl Entries {
    /// The entries of a tree, in any order. A link whose file is not among them counts as a file.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        if !entries.is_sorted_by(|one, next| one.path < next.path) {
            entries.sort_by(|one, other| one.path.cmp(&other.path));
        }
        let mut all = Self { sorted: entries, ..Self::default() };
        all.find_first_names();
        all
    }

    /// Like [`new`](Self::new), for sorted entries in which each name of a hard-linked file is still a file.
    /// `several_names` has these names, ascending, with the identity of their file. All but the first become
    /// links.
    pub(super) fn linked_by<File: Eq + std::hash::Hash>(
        mut sorted: Vec<Entry>,
        several_names: Vec<(usize, File)>,
    ) -> Self {
        let mut first_names: Vec<u32> = (0..compact(sorted.len())).collect();
        let mut files: HashMap<File, Vec<usize>> = HashMap::new();
        let mut linked = Vec::new();
        for (index, file) in several_names {
            let firsts = files.entry(file).or_default();
            let first = firsts.iter().find(|&&first| is_same_file(&sorted[first], &sorted[index]));
            match first.copied() {
                Some(first) => {
                    link(&mut sorted, index, first);
                    first_names[index] = compact(first);
                    linked.push(compact(first));
                }
                None => firsts.push(index),
            }
        }
        let mut entries = Self { sorted, first_names, linked };
        entries.sort_linked();
        entries
    }

    fn find_first_names(&mut self) {
        let mut first_names = Vec::with_capacity(self.sorted.len());
        let mut linked = Vec::new();
        for (index, entry) in self.sorted.iter().enumerate() {
            let first = match &entry.kind {
                Kind::HardLink { target } => self.position(target),
                _ => None,
            };
            linked.extend(first.map(compact));
            first_names.push(compact(first.unwrap_or(index)));
        }
        (self.first_names, self.linked) = (first_names, linked);
        self.sort_linked();
    }

    fn sort_linked(&mut self) {
        self.linked.sort_unstable();
        self.linked.dedup();
    }

    /// The index of the entry at `path`.
    pub fn position(&self, path: &RelPath) -> Option<usize> {
        self.sorted.binary_search_by(|entry| entry.path.cmp(path)).ok()
    }

    /// The entry at `path`.
    pub fn at(&self, path: &RelPath) -> Option<&Entry> {
        self.position(path).map(|index| &self.sorted[index])
    }

    /// A finder for a series of lookups, fastest if each entry lies near the one before.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder::new(&self.sorted)
    }

    /// The index of the entry that has the contents and metadata of this one; a different one for hard links.
    pub fn first_name(&self, entry: usize) -> usize {
        self.first_names[entry] as usize
    }

    /// The entry that has the contents and metadata of this one.
    pub fn file(&self, entry: usize) -> &Entry {
        &self.sorted[self.first_name(entry)]
    }

    /// Has this file further names?
    pub fn has_links(&self, first_name: usize) -> bool {
        self.linked.binary_search(&compact(first_name)).is_ok()
    }

    /// Everything at and below `path`, as a range of indices. The range may contain other entries, since in
    /// path order other names may lie between a folder and its contents: `a-b` between `a` and `a/b`.
    pub fn below(&self, path: &RelPath) -> std::ops::Range<usize> {
        if path.is_root() {
            return 0..self.sorted.len();
        }
        let first = self.sorted.partition_point(|entry| entry.path < *path);
        let end = [path.as_bytes(), b"0"].concat();
        let after = self.sorted.partition_point(|entry| entry.path.as_bytes() < &end[..]);
        first..after.max(first)
    }

    /// Replaces an entry by another one with the same path that is not a link.
    pub(crate) fn replace(&mut self, index: usize, entry: Entry) {
        self.first_names[index] = compact(index);
        self.sorted[index] = entry;
    }

    /// Gives one entry other metadata.
    pub(crate) fn set_metadata(&mut self, index: usize, metadata: Metadata) {
        self.sorted[index].metadata = metadata;
    }

    /// Makes an entry a further name of another one that is not a link.
    pub(crate) fn make_link(&mut self, index: usize, first: usize) {
        link(&mut self.sorted, index, first);
        self.first_names[index] = compact(first);
        self.linked.push(compact(first));
        self.sort_linked();
    }

    /// Keeps the entries for which `keep`, called with their index, is true. If a file is dropped, its links
    /// must be dropped, too.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut index = 0..;
        self.sorted.retain(|_| keep(index.next().expect("indices do not end")));
        self.find_first_names();
    }

    /// The tree digest of all entries.
    pub fn tree_digest(&self) -> Digest {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let digest = |index: usize| {
            let file = self.file(index);
            entry_digest(&self.sorted[index].path, file, &file.path)
        };
        let length = self.sorted.len().div_ceil(threads).max(1);
        let part = |number: usize| -> Vec<Digest> {
            let start = number * length;
            (start..(start + length).min(self.sorted.len())).map(digest).collect()
        };
        let parts = parallel::on_threads(self.sorted.len().div_ceil(length), part);
        TreeDigest::of_sorted(parts.iter().flatten())
    }
}

/// Can two entries with the same device and inode number be names of one file? Some file systems give different files
/// the same number.
fn is_same_file(one: &Entry, other: &Entry) -> bool {
    (&one.kind, &one.metadata, &one.sha256, &one.extents)
        == (&other.kind, &other.metadata, &other.sha256, &other.extents)
}

/// Makes the entry at `index` a link to the one at `first`.
fn link(entries: &mut [Entry], index: usize, first: usize) {
    let target = entries[first].path.clone();
    let entry = &mut entries[index];
    entry.kind = Kind::HardLink { target };
    entry.sha256 = None;
    entry.extents = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    fn entry(name: &str, target: Option<&str>) -> Entry {
        let kind = target.map_or(Kind::Fifo, |target| Kind::HardLink { target: path(target) });
        let (metadata, sha256, extents) = (Metadata::default(), None, None);
        Entry { path: path(name), kind, metadata, sha256, extents }
    }

    #[test]
    fn links_know_their_file_and_files_their_links() {
        let entries = [("d", Some("b")), ("b", None), ("c", None), ("e", Some("gone"))];
        let entries = entries.map(|(name, target)| entry(name, target));
        let mut entries = Entries::new(entries.to_vec());
        let names = |entries: &Entries| -> Vec<usize> {
            (0..entries.len()).map(|index| entries.first_name(index)).collect()
        };
        assert_eq!(names(&entries), [0, 1, 0, 3]);
        assert!(entries.has_links(0) && !entries.has_links(1));
        assert_eq!(entries.file(2).path, path("b"));
        assert_eq!((entries.position(&path("c")), entries.at(&path("x"))), (Some(1), None));
        entries.make_link(3, 1);
        entries.replace(2, entry("d", None));
        assert_eq!(names(&entries), [0, 1, 2, 1]);
        entries.retain(|index| index != 0);
        assert_eq!(names(&entries), [0, 1, 0]);
    }

    #[test]
    fn what_lies_below_a_path_is_a_range() {
        let names = ["a", "a-b", "a/b", "a/b/c", "a0", "b"];
        let entries = Entries::new(names.iter().map(|name| entry(name, None)).collect());
        assert_eq!(entries.below(&path("a")), 0..4);
        assert_eq!(entries.below(&path("a/b")), 2..4);
        assert_eq!(entries.below(&path("aa")), 5..5);
        assert_eq!(entries.below(&RelPath::root()), 0..6);
    }
}
