//! An open table: its tail is proven and parsed, so that pages can be found, proven and decoded.
//!
//! Invariant: a page is decoded only after its digest was compared. A panic of Parquet's reader is an error of the file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hashget::model::Digest;
use parquet::basic::Compression;
use parquet::column::page::PageReader as _;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;

use super::pages::{Fetched, PageId};
use super::write::PAGES;
use crate::error::PublishedError;
use crate::manifest::Table;

/// Bytes of a page's digest that are kept.
pub(crate) const PAGE_DIGEST: usize = 16;

/// Bytes of the largest page that is read, and rows in one.
const MOST_PAGE: u64 = 64 << 20;
const MOST_ROWS: u64 = 1 << 20;

/// A table whose tail is proven.
#[derive(Debug)]
pub(crate) struct OpenTable {
    table: Table,
    metadata: ParquetMetaData,
    /// By column.
    pages: Vec<Vec<PageEntry>>,
}

/// Where a page is, and what proves it.
#[derive(Debug)]
struct PageEntry {
    place: PageLocation,
    digest: [u8; PAGE_DIGEST],
}

impl OpenTable {
    /// Opens a table with these columns, by its tail, whose digest was compared.
    pub(crate) fn open(
        table: &Table,
        tail: Bytes,
        columns: &[&str],
    ) -> Result<Self, PublishedError> {
        let Some(start) = table.size.checked_sub(tail.len() as u64) else {
            return Err(PublishedError::damaged(table.file(), "its tail is longer than itself"));
        };
        let fetched = Fetched { size: table.size, stretches: [(start, tail)].into() };
        let metadata = guarded(table, || {
            ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Required)
                .parse_and_finish(&fetched)
        })?;
        let damaged = |problem: &str| PublishedError::damaged(table.file(), problem);
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<&str> = schema.columns().iter().map(|column| column.name()).collect();
        if names != columns {
            return Err(damaged(&format!("its columns are {names:?}, expected {columns:?}")));
        }
        let pages = pages(table, &metadata).map_err(|problem| damaged(&problem))?;
        Ok(Self { table: table.clone(), metadata, pages })
    }

    /// The table as the manifest names it.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The number of pages of a column.
    pub(crate) fn pages(&self, column: usize) -> usize {
        self.pages[column].len()
    }

    /// The page of a column that has this row.
    pub(crate) fn page_of(&self, column: usize, row: u64) -> PageId {
        let row = i64::try_from(row).unwrap_or(i64::MAX);
        let after = self.pages[column].partition_point(|page| page.place.first_row_index <= row);
        PageId { column, page: after.saturating_sub(1) }
    }

    /// The first row of a page, and the one behind its last.
    pub(crate) fn rows_of(&self, id: PageId) -> (u64, u64) {
        let first = |page: usize| {
            let at = self.pages[id.column].get(page);
            at.map_or(self.table.rows, |page| unsigned(page.place.first_row_index))
        };
        (first(id.page), first(id.page + 1))
    }

    /// Where a page is in the file: its first byte, and how many it has.
    pub(crate) fn place_of(&self, id: PageId) -> (u64, u64) {
        let PageEntry { place, .. } = &self.pages[id.column][id.page];
        (unsigned(place.offset), unsigned(place.compressed_page_size.into()))
    }

    /// Are these the bytes of the page?
    pub(crate) fn proves(&self, id: PageId, bytes: &[u8]) -> bool {
        Digest::of(bytes).as_bytes()[..PAGE_DIGEST] == self.pages[id.column][id.page].digest
    }

    /// The smallest and the largest value of a page of a column of numbers.
    pub(crate) fn bounds_of(&self, id: PageId) -> Option<(i64, i64)> {
        match self.metadata.page_index()?.column_index(0, id.column)? {
            ColumnIndexMetaData::INT64(index) => {
                Some((*index.min_value(id.page)?, *index.max_value(id.page)?))
            }
            _ => None,
        }
    }

    /// The values of a page, of whose bytes `fetched` has those that were proven.
    pub(crate) fn decode<T: DataType>(
        &self,
        id: PageId,
        fetched: &Arc<Fetched>,
    ) -> Result<Vec<T::T>, PublishedError> {
        let (first, end) = self.rows_of(id);
        let rows = usize::try_from(end - first).unwrap_or(usize::MAX);
        let values = guarded(&self.table, || {
            let column = self.metadata.row_group(0).column(id.column);
            let locations = self.pages[id.column].iter().map(|page| page.place.clone()).collect();
            let total = usize::try_from(self.table.rows).unwrap_or(usize::MAX);
            let mut pages =
                SerializedPageReader::new(Arc::clone(fetched), column, total, Some(locations))?;
            for _ in 0..id.page {
                pages.skip_next_page()?;
            }
            let reader = get_column_reader(column.column_descr_ptr(), Box::new(pages));
            let mut reader: ColumnReaderImpl<T> = get_typed_column_reader(reader);
            let mut values = Vec::new();
            reader.read_records(rows, None, None, &mut values)?;
            Ok(values)
        })?;
        if values.len() != rows {
            let problem = "a page has another number of values than its index says";
            return Err(PublishedError::damaged(self.table.file(), problem));
        }
        Ok(values)
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// By column: where each page is, and what proves it.
fn pages(table: &Table, metadata: &ParquetMetaData) -> Result<Vec<Vec<PageEntry>>, String> {
    let [group] = metadata.row_groups() else {
        return Err(format!("it has {} row groups, expected one", metadata.num_row_groups()));
    };
    if u64::try_from(group.num_rows()) != Ok(table.rows) {
        return Err(format!("it has {} rows, expected {}", group.num_rows(), table.rows));
    }
    let plain = |column: &parquet::file::metadata::ColumnChunkMetaData| {
        column.compression() == Compression::UNCOMPRESSED
            && column.dictionary_page_offset().is_none()
            && column.column_descr().max_def_level() == 0
            && column.column_descr().max_rep_level() == 0
    };
    if !group.columns().iter().all(plain) {
        return Err("a column is compressed, optional, or has a dictionary".to_owned());
    }
    let values = metadata.file_metadata().key_value_metadata();
    let digests = values.into_iter().flatten().find(|one| one.key == PAGES);
    let digests = digests.and_then(|one| BASE64_STANDARD.decode(one.value.as_ref()?).ok());
    let digests = digests.ok_or_else(|| format!("it has no \"{PAGES}\" in base64"))?;
    let mut digests = digests.chunks_exact(PAGE_DIGEST).filter_map(|one| one.try_into().ok());
    let index = metadata.page_index().ok_or("it has no page index")?;
    let mut pages = Vec::with_capacity(group.num_columns());
    for column in 0..group.num_columns() {
        let locations = index.offset_index(0, column).ok_or("a column has no offset index")?;
        let with_digest = |place: &PageLocation| {
            Some(PageEntry { place: place.clone(), digest: digests.next()? })
        };
        let column: Option<Vec<_>> = locations.page_locations().iter().map(with_digest).collect();
        let column = column.ok_or("it has fewer digests than pages")?;
        check_pages(table, &column)?;
        pages.push(column);
    }
    if digests.next().is_some() {
        return Err("it has more digests than pages".to_owned());
    }
    Ok(pages)
}

/// Are the pages one behind the other, within the file, and do they have all rows, none of them too many?
fn check_pages(table: &Table, pages: &[PageEntry]) -> Result<(), String> {
    let mut end = 4;
    let mut rows = Vec::with_capacity(pages.len() + 1);
    for PageEntry { place: page, .. } in pages {
        let (offset, size) = (unsigned(page.offset), unsigned(page.compressed_page_size.into()));
        if offset < end || size == 0 || size > MOST_PAGE || page.first_row_index < 0 {
            return Err("its pages are not one behind the other, or one is above 64 MiB".to_owned());
        }
        end = offset.saturating_add(size);
        rows.push(unsigned(page.first_row_index));
    }
    rows.push(table.rows);
    let starts = rows[0] == 0;
    let ascends = rows.is_sorted_by(|one, next| one < next && next - one <= MOST_ROWS);
    (starts && ascends && end <= table.size)
        .then_some(())
        .ok_or_else(|| "its pages have other rows, or one has more than 1,048,576".to_owned())
}

/// What Parquet's reader makes of proven bytes. It has panicked on damaged files; whoever signed such a file gets an error all
/// the same.
fn guarded<T>(
    table: &Table,
    read: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, PublishedError> {
    let damaged = |problem: String| PublishedError::damaged(table.file(), problem);
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| damaged(error.to_string())),
        Err(_) => Err(damaged("Parquet's reader gave up on it".to_owned())),
    }
}
