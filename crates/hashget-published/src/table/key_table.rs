//! Tables of keys: which packages a cut digest may lead to.
//!
//! Invariant: an answer may name a package that does not have what was asked for, but it never misses one of the table that does.

use std::sync::Arc;

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::data_type::{Int32Type, Int64Type};
use parquet::file::reader::ChunkReader as _;
use twox_hash::XxHash64;

use super::pages::{Fetched, PageId};
use super::read::OpenTable;
use super::write::KEY_COLUMNS;
use crate::error::PublishedError;
use crate::manifest::{Filter, Table};

/// Bytes of a block of a filter.
const BLOCK: u64 = 32;

/// The block of a filter that says whether a key may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe {
    /// Where the block is in the file.
    pub(crate) offset: u64,
    key: i64,
}

impl Probe {
    /// The block for this key.
    pub(crate) fn new(filter: Filter, key: u64) -> Self {
        let key = key.cast_signed();
        let hash = XxHash64::oneshot(0, &key.to_le_bytes());
        // A filter has fewer than 2^32 blocks: a table is no larger than 1 GiB.
        let block = ((hash >> 32) * (filter.size / BLOCK)) >> 32;
        Self { offset: filter.offset + block * BLOCK, key }
    }

    /// Number of bytes of a block.
    pub(crate) fn bytes() -> u64 {
        BLOCK
    }

    /// Does its block, which is among these stretches of the file, say that the key may be there?
    pub(crate) fn is_in(&self, blocks: &Fetched) -> bool {
        // A filter of one block, whichever it is: only the other half of the hash matters within it.
        let block = blocks.get_bytes(self.offset, 32);
        block.is_ok_and(|block| Sbbf::new(&block).check(&self.key))
    }
}

/// An open table of keys.
#[derive(Debug)]
pub(crate) struct KeyTable {
    pub(crate) open: OpenTable,
    /// The smallest and the largest key of each page.
    bounds: Vec<(i64, i64)>,
}

impl KeyTable {
    pub(crate) fn open(table: &Table, tail: Bytes) -> Result<Self, PublishedError> {
        let open = OpenTable::open(table, tail, &KEY_COLUMNS)?;
        let damaged = |problem: &str| PublishedError::damaged(table.file(), problem);
        let pages = open.pages(0);
        let starts = |column| (0..pages).map(move |page| PageId { column, page });
        let same = pages == open.pages(1)
            && starts(0).zip(starts(1)).all(|(h, p)| open.rows_of(h) == open.rows_of(p));
        if !same {
            return Err(damaged("its columns have pages of different rows"));
        }
        let bounds: Option<Vec<_>> = starts(0).map(|page| open.bounds_of(page)).collect();
        let bounds = bounds.ok_or_else(|| damaged("its keys have no column index"))?;
        let ascends = bounds.iter().all(|(low, high)| low <= high)
            && bounds.is_sorted_by(|(_, high), (low, _)| high <= low);
        if !ascends {
            return Err(damaged("its keys are not in ascending order"));
        }
        Ok(Self { open, bounds })
    }

    /// The pages that may have this key: of each, that of the keys; the one of the packages has the same number.
    pub(crate) fn pages_of(&self, key: u64) -> impl Iterator<Item = usize> {
        let key = key.cast_signed();
        let first = self.bounds.partition_point(|(_, high)| *high < key);
        let pages = self.bounds.iter().enumerate().skip(first);
        pages.take_while(move |(_, (low, _))| *low <= key).map(|(page, _)| page)
    }

    /// The pairs in a page.
    pub(crate) fn pairs(
        &self,
        page: usize,
        fetched: &Arc<Fetched>,
    ) -> Result<Vec<(u64, u32)>, PublishedError> {
        let h = self.open.decode::<Int64Type>(PageId { column: 0, page }, fetched)?;
        let p = self.open.decode::<Int32Type>(PageId { column: 1, page }, fetched)?;
        let pairs = h.into_iter().zip(p);
        Ok(pairs.map(|(h, p)| (h.cast_unsigned(), p.cast_unsigned())).collect())
    }
}
