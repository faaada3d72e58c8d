//! Packs: tables with a package a row, its record and its member list.
//!
//! Invariant: a row is read only with the digest of its page; its list must then have the digest that its record says.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::pages::{Fetched, PageId};
use super::read::OpenTable;
use super::write::{column, properties, schema, table};
use crate::error::PublishedError;
use crate::manifest::Table;
use crate::record::PublishedRecord;

/// The columns of packs.
pub(crate) const PACK_COLUMNS: [&str; 2] = ["record", "list"];

/// The number of the column of records.
pub(crate) const RECORD: usize = 0;

/// The number of the column of lists.
pub(crate) const LIST: usize = 1;

const SCHEMA: &str = "message packs { required binary record (JSON); required binary list; }";

/// Bytes of records and of lists after which a page ends.
const RECORD_PAGE: usize = 8 << 10;
const LIST_PAGE: usize = 2 << 10;

/// Packages of a pack, and bytes of its lists, after which it ends.
pub(crate) const MOST_ROWS: usize = 4096;
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// A package to be written.
pub(crate) struct Row {
    pub(crate) record: PublishedRecord,
    /// Its member list, as it is stored.
    pub(crate) list: Vec<u8>,
}

/// Gathers rows until they fill a pack.
#[derive(Default)]
pub(crate) struct PackWriter {
    records: Vec<ByteArray>,
    lists: Vec<ByteArray>,
    bytes: usize,
}

impl PackWriter {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a row; `true` if the pack is full.
    pub(crate) fn push(&mut self, row: Row) -> bool {
        let record = serde_json::to_vec(&row.record).expect("a record is plain data");
        self.bytes += row.list.len() + record.len();
        self.records.push(record.into());
        self.lists.push(row.list.into());
        self.records.len() >= MOST_ROWS || self.bytes >= MOST_BYTES
    }

    /// Writes the pack, and begins the next one.
    pub(crate) fn finish(&mut self, tables: &Path, scratch: &Path) -> io::Result<Table> {
        let rows = std::mem::take(self);
        let (record, list) = (ColumnPath::from("record"), ColumnPath::from("list"));
        let builder = properties()
            .set_encoding(Encoding::PLAIN)
            .set_write_batch_size(1)
            .set_column_data_page_size_limit(record, RECORD_PAGE)
            .set_column_data_page_size_limit(list, LIST_PAGE);
        let (schema, properties) = (schema(SCHEMA), Arc::new(builder.build()));
        let columns = vec![
            values(&schema, RECORD, &properties, scratch, &rows.records)?,
            values(&schema, LIST, &properties, scratch, &rows.lists)?,
        ];
        table(&schema, &properties, columns, rows.records.len() as u64, tables)
    }
}

fn values(
    schema: &SchemaDescriptor,
    number: usize,
    properties: &WriterPropertiesPtr,
    scratch: &Path,
    values: &[ByteArray],
) -> io::Result<super::write::Column> {
    let fill = |writer: &mut ColumnWriterImpl<'_, ByteArrayType>| {
        for value in values {
            writer.write_batch(std::slice::from_ref(value), None, None)?;
        }
        Ok(())
    };
    column::<ByteArrayType>(schema, number, properties, scratch, fill)
}

/// An open pack.
#[derive(Debug)]
pub(crate) struct PackTable(pub(crate) OpenTable);

impl PackTable {
    pub(crate) fn open(table: &Table, tail: Bytes) -> Result<Self, PublishedError> {
        OpenTable::open(table, tail, &PACK_COLUMNS).map(Self)
    }

    /// The values of a page, and the row of the first one.
    pub(crate) fn values(
        &self,
        page: PageId,
        fetched: &Arc<Fetched>,
    ) -> Result<(u64, Vec<ByteArray>), PublishedError> {
        let values = self.0.decode::<ByteArrayType>(page, fetched)?;
        Ok((self.0.rows_of(page).0, values))
    }

    /// The record in the value of a row.
    pub(crate) fn record(&self, row: u64, value: &[u8]) -> Result<PublishedRecord, PublishedError> {
        let damaged = |problem: String| {
            PublishedError::damaged(self.0.table().file(), format!("row {row}: {problem}"))
        };
        let record: PublishedRecord =
            serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        match record.problem() {
            Some(problem) => Err(damaged(problem.to_owned())),
            None => Ok(record),
        }
    }
}
