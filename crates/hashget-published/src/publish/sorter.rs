//! Sorting keys that may be too many for memory: first into buckets on the disk, then each bucket.
//!
//! Invariant: every pair that was pushed comes out, in ascending order, in tables as [`Cutter`] makes them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::cutter::Cutter;
use super::write::Keys;
use crate::table::KEY_BITS;

/// By how many of the first bits buckets differ.
const BUCKET_BITS: u32 = 8;

/// Bytes of a pair on the disk: six of the key, four of the number.
const PAIR: usize = 10;

/// Bytes of a bucket that are gathered before they are written.
const GATHERED: usize = 64 << 10;

/// Gathers pairs of a key and the number of a package.
pub(super) struct KeySorter {
    scratch: PathBuf,
    buckets: Vec<Bucket>,
    count: u64,
}

#[derive(Default)]
struct Bucket {
    gathered: Vec<u8>,
    /// Made once there is more than is gathered in memory.
    file: Option<File>,
}

impl KeySorter {
    /// With buckets in the folder `scratch`.
    pub(super) fn new(scratch: &Path) -> Self {
        let buckets = (0..1u32 << BUCKET_BITS).map(|_| Bucket::default()).collect();
        Self { scratch: scratch.to_owned(), buckets, count: 0 }
    }
}

impl Keys for KeySorter {
    fn push(&mut self, key: u64, package: u32) -> io::Result<()> {
        let bucket = usize::try_from(key >> (KEY_BITS - BUCKET_BITS)).unwrap_or(0);
        let bucket = &mut self.buckets[bucket];
        bucket.gathered.extend_from_slice(&key.to_be_bytes()[2..]);
        bucket.gathered.extend_from_slice(&package.to_be_bytes());
        self.count += 1;
        if bucket.gathered.len() >= GATHERED {
            let file = match &mut bucket.file {
                Some(file) => file,
                none => none.insert(tempfile::tempfile_in(&self.scratch)?),
            };
            file.write_all(&bucket.gathered)?;
            bucket.gathered.clear();
        }
        Ok(())
    }
}

impl KeySorter {
    /// Passes the pairs of each table on, in order.
    pub(super) fn finish(
        self,
        table: impl FnMut(&[(u64, u32)]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut cutter = Cutter::new(self.count, table);
        for bucket in self.buckets {
            let mut pairs = bucket.read()?;
            pairs.sort_unstable();
            for pair in pairs {
                cutter.push(pair)?;
            }
        }
        cutter.finish()
    }
}

impl Bucket {
    fn read(self) -> io::Result<Vec<(u64, u32)>> {
        let mut bytes = Vec::new();
        if let Some(mut file) = self.file {
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut bytes)?;
        }
        bytes.extend_from_slice(&self.gathered);
        let pair = |pair: &[u8]| {
            let key = pair[..6].iter().fold(0, |key, byte| key << 8 | u64::from(*byte));
            (key, pair[6..].iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        };
        Ok(bytes.chunks_exact(PAIR).map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cutter::MOST_ROWS;
    use super::*;

    #[test]
    fn pairs_come_out_sorted_once_and_capped() {
        let scratch = tempfile::tempdir().unwrap();
        let mut sorter = KeySorter::new(scratch.path());
        let mut expected = Vec::new();
        // A sequence that jumps over all keys.
        for number in 0..200_000u64 {
            let key = number.wrapping_mul(0x9E37_79B9_7F4A) & ((1 << KEY_BITS) - 1);
            sorter.push(key, u32::try_from(number % 7).unwrap()).unwrap();
            sorter.push(key, u32::try_from(number % 7).unwrap()).unwrap();
            expected.push((key, u32::try_from(number % 7).unwrap()));
        }
        for package in (0..100).rev() {
            sorter.push(42, package).unwrap();
        }
        expected.extend((0..16).map(|package| (42, package)));
        expected.sort_unstable();
        expected.dedup();
        let mut found = Vec::new();
        let mut tables = 0;
        sorter
            .finish(|pairs| {
                tables += 1;
                found.extend_from_slice(pairs);
                Ok(())
            })
            .unwrap();
        assert_eq!(tables, 1);
        assert!(found == expected);
    }

    #[test]
    fn many_keys_are_cut_where_the_first_bits_change() {
        for (bits, shift) in [(4, 44), (8, 40), (12, 36)] {
            let scratch = tempfile::tempdir().unwrap();
            let mut sorter = KeySorter::new(scratch.path());
            for number in 0..50_000u64 {
                let key = number.wrapping_mul(0x9E37_79B9_7F4A) & ((1 << KEY_BITS) - 1);
                sorter.push(key, 1).unwrap();
            }
            // As if there were so many.
            sorter.count = MOST_ROWS << bits;
            let mut last: Option<u64> = None;
            let mut rows = 0;
            sorter
                .finish(|pairs| {
                    let (first, end) = (pairs[0].0 >> shift, pairs[pairs.len() - 1].0 >> shift);
                    assert_eq!(first, end);
                    assert!(last.is_none_or(|last| last < first), "{bits}: {last:?} {first}");
                    last = Some(end);
                    rows += pairs.len();
                    Ok(())
                })
                .unwrap();
            assert_eq!(rows, 50_000);
        }
    }
}
