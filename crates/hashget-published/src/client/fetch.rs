//! Fetching pages of a table: those that lie close to each other in one request, each proven.
//!
//! Invariant: what is returned has every page that was wanted, and each of them has the digest that the table's tail says.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hashget::monitor::Monitor;
use hashget::parallel;

use crate::error::PublishedError;
use crate::proven::Edition;
use crate::table::{Fetched, OpenTable, PageId};

/// Bytes between two wanted stretches that are fetched with them rather than asked around: what a request costs.
const GAP: u64 = 16 << 10;

/// Requests at once.
const REQUESTS: usize = 8;

/// Stretches that are wanted, joined where less than `gap` bytes lie between them: for each, where it begins and ends. `wanted` has
/// where each begins and how many bytes it has.
pub(super) fn joined(mut wanted: Vec<(u64, u64)>, gap: u64) -> Vec<(u64, u64)> {
    wanted.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, count) in wanted {
        let end = first.saturating_add(count);
        match joined.last_mut() {
            Some((_, last)) if first <= last.saturating_add(gap) => *last = (*last).max(end),
            _ => joined.push((first, end)),
        }
    }
    joined
}

/// The stretches `wanted` of a file, by where they begin; nothing proves them.
pub(super) fn stretches(
    edition: &Edition,
    file: &str,
    wanted: Vec<(u64, u64)>,
    gap: u64,
    monitor: &dyn Monitor,
) -> Result<Fetched, PublishedError> {
    let fetched = Mutex::new(Fetched { size: u64::MAX, ..Fetched::default() });
    parallel::for_each(REQUESTS, joined(wanted, gap).into_iter(), |(first, end)| {
        let bytes = edition.files.part(file, first, end - first, monitor)?;
        let mut fetched = fetched.lock().expect("storing bytes does not panic");
        fetched.stretches.insert(first, Bytes::from(bytes));
        Ok::<(), PublishedError>(())
    })?;
    Ok(fetched.into_inner().expect("storing bytes does not panic"))
}

/// These pages of a table; all of them, if `whole`.
pub(super) fn pages(
    edition: &Edition,
    table: &OpenTable,
    wanted: &[PageId],
    whole: bool,
    monitor: &dyn Monitor,
) -> Result<Arc<Fetched>, PublishedError> {
    let size = table.table().size;
    if whole || edition.has_whole(table.table()) {
        let bytes = edition.whole(table.table(), monitor)?;
        return Ok(Arc::new(Fetched { size, stretches: [(0, bytes)].into() }));
    }
    let file = table.table().file();
    for _ in 0..2 {
        let places = wanted.iter().map(|page| table.place_of(*page)).collect();
        let fetched = stretches(edition, &file, places, GAP, monitor)?;
        if let Some(stretches) = proven(table, wanted, &fetched) {
            return Ok(Arc::new(Fetched { size, stretches }));
        }
        // A mirror may be changing at this moment.
    }
    Err(PublishedError::damaged(file, "the bytes of a page are not those that were signed"))
}

/// The pages themselves, without what lies between them; `None` if one is not what was signed.
fn proven(
    table: &OpenTable,
    wanted: &[PageId],
    fetched: &Fetched,
) -> Option<std::collections::BTreeMap<u64, Bytes>> {
    use parquet::file::reader::ChunkReader as _;
    let page = |id: &PageId| {
        let (first, count) = table.place_of(*id);
        let bytes = fetched.get_bytes(first, usize::try_from(count).ok()?).ok()?;
        table.proves(*id, &bytes).then_some((first, bytes))
    };
    wanted.iter().map(page).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_are_close_are_one() {
        assert_eq!(joined(vec![], 10), []);
        assert_eq!(joined(vec![(50, 5), (0, 10), (20, 10)], 10), [(0, 30), (50, 55)]);
        assert_eq!(joined(vec![(0, 100), (10, 5), (101, 1)], 0), [(0, 100), (101, 102)]);
        assert_eq!(joined(vec![(u64::MAX - 1, 5)], 10), [(u64::MAX - 1, u64::MAX)]);
    }
}
