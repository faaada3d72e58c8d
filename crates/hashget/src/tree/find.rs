//! Finding entries by path, one after the other.
//!
//! Invariant: the searched entries are sorted by the bytes of their paths.

use std::cmp::Ordering;

use crate::model::Entry;

/// Entries further from the last result are searched for among all entries: such searches always start at the
/// same positions, which stay in the CPU caches.
const NEARBY: usize = 256;

/// Finds entries one after the other, fastest if each lies near the one before, as members of a package do.
/// Needs no memory, unlike an index of all paths.
pub(crate) struct Finder<'a> {
    entries: &'a [Entry],
    /// Where the last search ended.
    last: usize,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(entries: &'a [Entry]) -> Self {
        Self { entries, last: 0 }
    }

    /// The index of the entry at `path`.
    pub(crate) fn find(&mut self, path: &[u8]) -> Option<usize> {
        let compare = |index: usize| self.entries[index].path.as_bytes().cmp(path);
        // The entry lies in this range, if anywhere; the step doubles until the range is certain.
        let all = self.entries.len();
        let (mut low, mut high) = (0, all);
        let (mut at, mut step) = (self.last.min(all.checked_sub(1)?), 1);
        loop {
            let next = match compare(at) {
                Ordering::Equal => {
                    self.last = at;
                    return Some(at);
                }
                Ordering::Less => {
                    low = at + 1;
                    (high == all && at + step < all).then_some(at + step)
                }
                Ordering::Greater => {
                    high = at;
                    (low == 0).then(|| at.checked_sub(step)).flatten()
                }
            };
            match next {
                None => break,
                Some(_) if step > NEARBY => {
                    (low, high) = (0, all);
                    break;
                }
                Some(next) => at = next,
            }
            step *= 2;
        }
        let searched = &self.entries[low..high];
        let found = searched.binary_search_by(|entry| entry.path.as_bytes().cmp(path));
        self.last = low + found.unwrap_or_else(|place| place);
        found.is_ok().then_some(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Metadata, RelPath};

    #[test]
    fn each_entry_is_found_wherever_the_last_search_ended_and_no_other_is() {
        for count in [0, 1, 2, 3, 10, 100, 600] {
            let path = |number: usize| RelPath::new(format!("{number:04}")).unwrap();
            let entry = |number| Entry {
                path: path(number),
                kind: Kind::Fifo,
                metadata: Metadata::default(),
                sha256: None,
                extents: None,
            };
            // Every second name exists.
            let entries: Vec<Entry> = (0..count).map(|number| entry(2 * number + 1)).collect();
            for last in 0..=2 * count {
                for wanted in 0..=2 * count {
                    let mut finder = Finder::new(&entries);
                    finder.find(path(last).as_bytes());
                    let found = finder.find(path(wanted).as_bytes());
                    let expected = (wanted % 2 == 1).then_some(wanted / 2);
                    assert_eq!(found, expected, "{wanted} after {last} of {count}");
                }
            }
        }
    }
}
