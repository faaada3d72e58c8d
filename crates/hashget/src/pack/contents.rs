//! The distinct contents of a tree, numbered.
//!
//! Invariant: numbers ascend with the digests. All matching and planning works with the numbers, so that each
//! digest of a package is looked up only once.

use super::claims::Claims;
use crate::model::{Digest, Kind, Member, total_bytes};
use crate::tree::Entries;

/// The number for contents that the tree does not have.
pub(super) const NONE: u32 = u32::MAX;

/// The first bits of a digest, stored with each name: two contents almost never share them.
fn head(digest: &Digest) -> u64 {
    u64::from_be_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

/// The contents of all files that may be left out.
///
/// Sorted lists take a fifth of the memory of a hash map, and integers sort quickly. The fields of one
/// content are stored together, since planning is bound by cache misses.
pub(super) struct Contents<'a> {
    entries: &'a Entries,
    /// One row for each content, and one more at the end.
    rows: Vec<Row>,
    /// The further names of every content, one content after the other.
    further: Vec<u32>,
    /// For each value of a digest's first bits, the first content with that value or a greater one.
    buckets: Vec<u32>,
    /// The number of bits by which a head is shifted to get an index into `buckets`.
    shift: u32,
}

/// One content.
struct Row {
    head: u64,
    /// Its first name: an entry with the digest.
    file: u32,
    /// Where its further names begin.
    further: u32,
}

impl<'a> Contents<'a> {
    pub(super) fn new(claims: &Claims<'a>) -> Self {
        let entries = claims.entries;
        let digest = |first: u32| entries[first as usize].sha256.as_ref();
        // The head of the digest, the index of the name, and that of the entry with the digest: a different
        // one for hard links.
        let mut names: Vec<(u64, u32, u32)> = (0..entries.len())
            .filter_map(|index| {
                let first = entries.first_name(index);
                let sha256 = entries[first].sha256.filter(|_| claims.may_leave_out(first))?;
                Some((head(&sha256), compact(index), compact(first)))
            })
            .collect();
        names.sort_unstable_by(|a, b| {
            let digests = || digest(a.2).cmp(&digest(b.2));
            a.0.cmp(&b.0).then_with(digests).then(a.1.cmp(&b.1))
        });
        let same =
            |a: &(u64, u32, u32), b: &(u64, u32, u32)| a.0 == b.0 && digest(a.2) == digest(b.2);
        let count = names.chunk_by(same).count();
        let mut rows = Vec::with_capacity(count + 1);
        let mut further = Vec::with_capacity(names.len() - count);
        for content in names.chunk_by(same) {
            // The first name of a file comes before its links.
            let (head, file, _) = content[0];
            rows.push(Row { head, file, further: compact(further.len()) });
            further.extend(content[1..].iter().map(|(_, index, _)| index));
        }
        drop(names);
        // About two contents for each bucket.
        let bits = (rows.len() / 2).max(2).ilog2();
        let shift = u64::BITS - bits;
        let mut buckets = Vec::with_capacity((1 << bits) + 1);
        for (content, row) in rows.iter().enumerate() {
            let bucket = usize::try_from(row.head >> shift).unwrap_or(usize::MAX);
            while buckets.len() <= bucket {
                buckets.push(compact(content));
            }
        }
        buckets.resize((1 << bits) + 1, compact(rows.len()));
        rows.push(Row { head: u64::MAX, file: NONE, further: compact(further.len()) });
        Self { entries, rows, further, buckets, shift }
    }

    /// The numbers of all contents.
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        0..compact(self.rows.len() - 1)
    }

    /// The digest of a content.
    pub(super) fn digest(&self, content: u32) -> Digest {
        let file = self.rows[content as usize].file;
        self.entries[file as usize].sha256.expect("only files with a digest are here")
    }

    /// Number of bytes saved by leaving out a content.
    pub(super) fn weight(&self, content: u32) -> u64 {
        let size = |name: usize| match self.entries[name].kind {
            Kind::File { size } => size,
            _ => 0,
        };
        total_bytes(self.names(content).map(size))
    }

    /// The number of the contents with this digest, or [`NONE`] if the tree does not have them.
    pub(super) fn number(&self, digest: &Digest) -> u32 {
        let head = head(digest);
        let bucket = usize::try_from(head >> self.shift).unwrap_or(usize::MAX);
        (self.buckets[bucket]..self.buckets[bucket + 1])
            .find(|&content| {
                self.rows[content as usize].head == head && self.digest(content) == *digest
            })
            .unwrap_or(NONE)
    }

    /// The number of a member's contents.
    pub(super) fn number_of(&self, member: &Member) -> u32 {
        member.sha256.map_or(NONE, |sha256| self.number(&sha256))
    }

    /// The entries with these contents, ascending; none for [`NONE`].
    pub(super) fn names(&self, content: u32) -> impl Iterator<Item = usize> + Clone + '_ {
        let at = (content != NONE).then_some(content as usize);
        let further = at.map_or(&[][..], |at| {
            &self.further[self.rows[at].further as usize..self.rows[at + 1].further as usize]
        });
        let first = at.map(|at| self.rows[at].file);
        first.into_iter().chain(further.iter().copied()).map(|name| name as usize)
    }
}

/// Converts an index to four bytes.
fn compact(index: usize) -> u32 {
    u32::try_from(index).expect("a tree has fewer than 2^32 entries")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Entry, Metadata, RelPath};
    use crate::pack::verdict::{Reason, Verdict};

    fn file(name: usize, text: &str) -> Entry {
        Entry {
            path: RelPath::new(format!("{name:05}")).unwrap(),
            kind: Kind::File { size: text.len() as u64 },
            metadata: Metadata::default(),
            sha256: Some(Digest::of(text.as_bytes())),
            extents: None,
        }
    }

    #[test]
    fn every_content_has_a_number_and_what_is_not_there_has_none() {
        for count in [0, 1, 2, 3, 100, 5000] {
            // Every third entry has the contents of the one before.
            let text =
                |index: usize| format!("text {}", if index % 3 == 2 { index - 1 } else { index });
            let entries: Vec<Entry> = (0..count).map(|index| file(index, &text(index))).collect();
            let entries = Entries::new(entries);
            let verdicts = (0..count).map(|_| Verdict::Archived(Reason::Unknown)).collect();
            let contents = Contents::new(&Claims::new(&entries, verdicts));
            for (index, entry) in entries.iter().enumerate() {
                let sha256 = entry.sha256.unwrap();
                let number = contents.number(&sha256);
                assert_eq!(contents.digest(number), sha256);
                assert!(contents.names(number).any(|name| name == index));
                let names = contents.names(number).count() as u64;
                assert_eq!(contents.weight(number), names * text(index).len() as u64);
            }
            assert_eq!(contents.number(&Digest::of(b"another")), NONE);
            assert_eq!(contents.names(NONE).count(), 0);
            let digests: Vec<Digest> = contents.numbers().map(|at| contents.digest(at)).collect();
            assert!(digests.is_sorted_by(|a, b| a < b));
        }
    }
}
