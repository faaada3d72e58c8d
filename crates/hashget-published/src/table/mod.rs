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
pub(crate) use pack::{PackTable, PackWriter, Row};
pub(crate) use pages::{Fetched, PageId};
pub(crate) use read::OpenTable;
pub(crate) use write::write_keys;
