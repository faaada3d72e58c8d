//! Cutting sorted keys into tables.
//!
//! Invariant: pairs come in ascending order, and go out so: each once, with at most [`MOST_PACKAGES`] packages of a key, those with
//! the lowest numbers. The pairs of one table are in memory, not more.

use std::io;

use crate::table::KEY_BITS;

/// Packages of one key that are kept.
pub(super) const MOST_PACKAGES: usize = 16;

/// Rows that a table of keys has at most, on average.
pub(super) const MOST_ROWS: u64 = 4_000_000;

/// Gathers the pairs of a table, and passes them on.
pub(super) struct Cutter<F> {
    /// Tables differ in the bits of a key above these.
    shift: u32,
    pairs: Vec<(u64, u32)>,
    last: Option<(u64, u32)>,
    /// Packages of the last key, so far.
    packages: usize,
    table: F,
}

impl<F: FnMut(&[(u64, u32)]) -> io::Result<()>> Cutter<F> {
    /// For so many pairs, repetitions included. `table` gets the pairs of each table.
    pub(super) fn new(count: u64, table: F) -> Self {
        let bits = [0, 4, 8, 12].into_iter().find(|bits| count >> bits <= MOST_ROWS).unwrap_or(12);
        Self { shift: KEY_BITS - bits, pairs: Vec::new(), last: None, packages: 0, table }
    }

    /// Adds a pair that is not lower than the last one.
    pub(super) fn push(&mut self, pair: (u64, u32)) -> io::Result<()> {
        debug_assert!(self.last <= Some(pair), "pairs ascend");
        let last_key = self.last.map(|(key, _)| key);
        if self.last.replace(pair) == Some(pair) {
            return Ok(());
        }
        self.packages = if last_key == Some(pair.0) { self.packages + 1 } else { 1 };
        if self.packages > MOST_PACKAGES {
            return Ok(());
        }
        if last_key.is_some_and(|key| key >> self.shift != pair.0 >> self.shift) {
            (self.table)(&self.pairs)?;
            self.pairs.clear();
        }
        self.pairs.push(pair);
        Ok(())
    }

    /// Passes the last table on.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.pairs.is_empty() { Ok(()) } else { (self.table)(&self.pairs) }
    }
}
