//! The tables of a published HashDB: Parquet files whose pages can be proven one by one.
//!
//! Invariant: a table is written in one way, with one row group, and one that was written in another way is not read. Parquet's
//! own reader sees proven bytes only.

mod key_table;
mod keys;
mod pack;
mod pages;
mod read;
mod write;

pub(crate) use key_table::{KeyTable, Probe};
pub(crate) use keys::{KEY_BITS, cut, name_key, url_key};
pub(crate) use pack::{LIST, PackTable, PackWriter, RECORD, Row};
pub(crate) use pages::{Fetched, PageId};
pub(crate) use read::OpenTable;
pub(crate) use write::write_keys;

use std::sync::Arc;

use bytes::Bytes;
use hashget::model::Digest;
use parquet::data_type::ByteArrayType;

use crate::error::PublishedError;
use crate::manifest::{Table, Tail};

/// Reads a table whose last `tail` bytes are its tail, as a pack if it is one, otherwise as a table of keys, without comparing the digests
/// of its pages: as if whoever signed it meant harm. For fuzzing.
///
/// # Errors
/// It is no such table.
#[doc(hidden)]
pub fn read_unproven(bytes: &[u8], tail: usize, rows: u64) -> Result<u64, PublishedError> {
    let start = bytes.len().saturating_sub(tail);
    let last = Bytes::copy_from_slice(&bytes[start..]);
    let table = Table {
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        rows,
        tail: Tail { size: last.len() as u64, sha256: Digest::of(&last) },
        filter: None,
        first: 0,
    };
    let stretches = [(0, Bytes::copy_from_slice(bytes))].into();
    let fetched = Arc::new(Fetched { size: table.size, stretches });
    let mut values = 0;
    match PackTable::open(&table, last.clone()) {
        Ok(pack) => {
            for column in [0, 1] {
                for page in 0..pack.0.pages(column) {
                    let id = PageId { column, page };
                    for value in pack.0.decode::<ByteArrayType>(id, &fetched)? {
                        _ = pack.record(0, value.data());
                        values += 1;
                    }
                }
            }
        }
        Err(_) => {
            let keys = KeyTable::open(&table, last)?;
            for page in 0..keys.open.pages(0) {
                values += keys.pairs(page, &fetched)?.len() as u64;
            }
        }
    }
    Ok(values)
}
