//! Reading a whole edition: whether every byte is what was signed, and every row what it must be.
//!
//! Invariant: nothing is called right that was not read. Keys and names are made anew from the packages and compared with those in
//! the tables.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hashget::model::total_bytes;
use hashget::monitor::{Monitor, Step, Total};
use parquet::data_type::ByteArrayType;

use super::sorter::KeySorter;
use super::write::{OTHER_LIST, add_files, add_own};
use crate::error::PublishedError;
use crate::manifest::{Layer, Table};
use crate::proven::Edition;
use crate::record::PublishedRecord;
use crate::table::{Fetched, KeyTable, PackTable, PageId, Probe, name_key};

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Number of packages.
    pub packages: u64,
    /// Number of their members.
    pub members: u64,
    /// Number of pairs of keys.
    pub keys: u64,
    /// Number of bytes of the tables.
    pub bytes: u64,
}

/// Reads everything that an edition is made of. `scratch` is a folder for what is sorted.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(
    edition: &Edition,
    scratch: &Path,
    monitor: &dyn Monitor,
) -> Result<Verified, PublishedError> {
    let total = total_bytes(edition.manifest.tables().map(|table| table.size));
    let name = edition.files.location().to_owned();
    let progress = monitor.begin(Step::Check, name, Total::bytes(total));
    let mut verified = Verified { bytes: total, ..Verified::default() };
    for layer in &edition.manifest.layers {
        let mut keys = KeySorter::new(scratch);
        for collection in &layer.collections {
            let mut names = Vec::new();
            let mut kinds = BTreeSet::new();
            let mut number = collection.first;
            for table in &collection.packs {
                let (pack, fetched) =
                    (open_pack(edition, table, monitor)?, whole(edition, table, monitor)?);
                for row in rows(&pack, &fetched)? {
                    let (record, list) = row?;
                    verified.packages += 1;
                    verified.members += record.members;
                    add(&mut keys, &record, &list, number, table)?;
                    for name in record.signatures() {
                        names.push((name_key(&name), number));
                        kinds.insert(name.kind);
                    }
                    number += 1;
                }
                progress.advance(table.size, 0);
            }
            if !kinds.iter().eq(&collection.kinds) {
                let problem = format!("the kinds of names in {} are {kinds:?}", collection.name);
                return Err(PublishedError::damaged("manifest", problem));
            }
            names.sort_unstable();
            names.dedup();
            compare(
                edition,
                std::slice::from_ref(&collection.names),
                &mut names.into_iter(),
                monitor,
            )?;
        }
        verified.keys += compare_keys(edition, layer, keys, monitor)?;
    }
    Ok(verified)
}

fn open_pack(
    edition: &Edition,
    table: &Table,
    monitor: &dyn Monitor,
) -> Result<PackTable, PublishedError> {
    PackTable::open(table, edition.tail(table, monitor)?)
}

fn whole(
    edition: &Edition,
    table: &Table,
    monitor: &dyn Monitor,
) -> Result<Arc<Fetched>, PublishedError> {
    let bytes = edition.whole_once(table, monitor)?;
    Ok(Arc::new(Fetched { size: table.size, stretches: [(0, bytes)].into() }))
}

type ReadRow = Result<(PublishedRecord, Vec<u8>), PublishedError>;

/// The rows of a pack, each page proven.
fn rows(
    pack: &PackTable,
    fetched: &Arc<Fetched>,
) -> Result<impl Iterator<Item = ReadRow>, PublishedError> {
    let mut columns = [Vec::new(), Vec::new()];
    for (column, values) in columns.iter_mut().enumerate() {
        for page in 0..pack.0.pages(column) {
            let page = PageId { column, page };
            check_page(&pack.0, page, fetched)?;
            values.extend(pack.0.decode::<ByteArrayType>(page, fetched)?);
        }
    }
    let [records, lists] = columns;
    let row = |(row, (record, list)): (
        u64,
        (parquet::data_type::ByteArray, parquet::data_type::ByteArray),
    )| { Ok((pack.record(row, record.data())?, list.data().to_vec())) };
    Ok((0..).zip(records.into_iter().zip(lists)).map(row))
}

fn check_page(
    table: &crate::table::OpenTable,
    page: PageId,
    fetched: &Fetched,
) -> Result<(), PublishedError> {
    use parquet::file::reader::ChunkReader as _;
    let (first, count) = table.place_of(page);
    let bytes = fetched.get_bytes(first, usize::try_from(count).unwrap_or(usize::MAX));
    match bytes {
        Ok(bytes) if table.proves(page, &bytes) => Ok(()),
        _ => {
            let problem = "the digest of a page in its tail is not that of the page";
            Err(PublishedError::damaged(table.table().file(), problem))
        }
    }
}

/// Checks the list of a package, and adds its keys.
fn add(
    keys: &mut KeySorter,
    record: &PublishedRecord,
    list: &[u8],
    number: u32,
    table: &Table,
) -> Result<(), PublishedError> {
    let damaged = |problem: String| {
        PublishedError::damaged(table.file(), format!("package {}: {problem}", record.sha256))
    };
    let read = add_files(keys, number, list)?.map_err(damaged)?;
    if read != (record.list, record.members) {
        return Err(damaged(OTHER_LIST.to_owned()));
    }
    Ok(add_own(keys, number, record)?)
}

/// Compares the keys of a layer with those that its packages have; how many there are.
fn compare_keys(
    edition: &Edition,
    layer: &Layer,
    keys: KeySorter,
    monitor: &dyn Monitor,
) -> Result<u64, PublishedError> {
    let (mut tables, mut count, mut result) = (layer.keys.iter(), 0, Ok(()));
    keys.finish(|pairs| {
        count += pairs.len() as u64;
        if result.is_ok() {
            let table = tables.next().map(std::slice::from_ref).unwrap_or_default();
            result = compare(edition, table, &mut pairs.iter().copied(), monitor);
        }
        Ok(())
    })?;
    result?;
    match tables.next() {
        Some(table) => Err(PublishedError::damaged(table.file(), "its keys are of no package")),
        None => Ok(count),
    }
}

/// Are the pairs of a table these ones?
fn compare(
    edition: &Edition,
    tables: &[Table],
    expected: &mut dyn Iterator<Item = (u64, u32)>,
    monitor: &dyn Monitor,
) -> Result<(), PublishedError> {
    let [table] = tables else {
        let problem = "it has fewer tables of keys than its packages need";
        return Err(PublishedError::damaged("manifest", problem));
    };
    let open = KeyTable::open(table, edition.tail(table, monitor)?)?;
    let fetched = whole(edition, table, monitor)?;
    let other = || {
        let problem = "its pairs are not those that follow from the packages";
        PublishedError::damaged(table.file(), problem)
    };
    let mut first = None;
    for page in 0..open.open.pages(0) {
        for column in [0, 1] {
            check_page(&open.open, PageId { column, page }, &fetched)?;
        }
        for pair in open.pairs(page, &fetched)? {
            if expected.next() != Some(pair) {
                return Err(other());
            }
            first.get_or_insert(pair.0);
            if table.filter.is_some_and(|filter| !Probe::new(filter, pair.0).is_in(&fetched)) {
                let problem = "its filter does not have all its keys";
                return Err(PublishedError::damaged(table.file(), problem));
            }
        }
    }
    if first.unwrap_or(0) != table.first {
        let problem = format!("its first key is {first:?}, and its table says {}", table.first);
        return Err(PublishedError::damaged(table.file(), problem));
    }
    expected.next().map_or(Ok(()), |_| Err(other()))
}
