//! Writing tables: each column on its own, so that the digests of its pages are known before the footer is written.
//!
//! Invariant: the same rows give the same bytes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::model::{Digest, HashingReader};
use hashget::pending_file::PendingFile;
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::{
    ColumnCloseResult, ColumnWriterImpl, get_column_writer, get_typed_column_writer,
};
use parquet::data_type::{DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use super::read::PAGE_DIGEST;
use crate::manifest::{Filter, Table, Tail};

/// The key of the metadata that has the digests of pages.
pub(crate) const PAGES: &str = "hashget.pages";

/// Who wrote a file does not depend on the version of a library.
const CREATED_BY: &str = "hashget-published version 1";

/// The columns of tables of keys.
pub(crate) const KEY_COLUMNS: [&str; 2] = ["h", "p"];

const KEY_SCHEMA: &str = "message keys { required int64 h; required int32 p; }";

/// False answers of a filter: at most one of so many questions, before its size is rounded up to a power of two.
const FALSE_ANSWERS: f64 = 0.01;

/// One column that was written: its bytes, and what Parquet knows of them.
pub(crate) struct Column {
    pages: File,
    closed: ColumnCloseResult,
}

/// The properties that all tables have.
pub(crate) fn properties() -> parquet::file::properties::WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
}

/// A schema by its text.
pub(crate) fn schema(text: &str) -> Arc<SchemaDescriptor> {
    let message = parse_message_type(text).expect("it is written here");
    Arc::new(SchemaDescriptor::new(Arc::new(message)))
}

/// Writes one column: `fill` gets its writer.
pub(crate) fn column<T: DataType>(
    schema: &SchemaDescriptor,
    number: usize,
    properties: &WriterPropertiesPtr,
    scratch: &Path,
    fill: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<(), ParquetError>,
) -> io::Result<Column> {
    let file = tempfile::tempfile_in(scratch)?;
    let mut output = TrackedWrite::new(file.try_clone()?);
    let closed = {
        let pages = Box::new(SerializedPageWriter::new(&mut output));
        let writer = get_column_writer(schema.column(number), Arc::clone(properties), pages);
        let mut writer = get_typed_column_writer::<T>(writer);
        fill(&mut writer).and_then(|()| writer.close()).map_err(io::Error::other)?
    };
    output.flush()?;
    Ok(Column { pages: file, closed })
}

/// Makes a file of columns, and gives it its name in the folder `tables`: that of its digest.
pub(crate) fn table(
    schema: &SchemaDescriptor,
    properties: &WriterPropertiesPtr,
    columns: Vec<Column>,
    rows: u64,
    tables: &Path,
) -> io::Result<Table> {
    let digests = page_digests(&columns)?;
    let output = PendingFile::create_in(tables, 0o644)?;
    let root = Arc::clone(&schema.root_schema_ptr());
    let mut writer = SerializedFileWriter::new(output.file(), root, Arc::clone(properties))
        .map_err(io::Error::other)?;
    let mut group = writer.next_row_group().map_err(io::Error::other)?;
    for Column { mut pages, closed } in columns {
        pages.seek(SeekFrom::Start(0))?;
        group.append_column(&pages, closed).map_err(io::Error::other)?;
    }
    group.close().map_err(io::Error::other)?;
    let filter = writer.flushed_row_groups().first().and_then(filter_of);
    let pages = BASE64_STANDARD.encode(digests);
    writer.append_key_value_metadata(KeyValue::new(PAGES.to_owned(), pages));
    let body = writer.bytes_written() as u64;
    writer.close().map_err(io::Error::other)?;
    name(output, tables, body, rows, filter)
}

/// The digests of all pages, one behind the other.
fn page_digests(columns: &[Column]) -> io::Result<Vec<u8>> {
    let mut digests = Vec::new();
    for Column { pages, closed } in columns {
        let index = closed.offset_index.as_ref();
        let index = index.ok_or_else(|| io::Error::other("Parquet made no offset index"))?;
        for page in index.page_locations() {
            let mut bytes = vec![0; usize::try_from(page.compressed_page_size).unwrap_or(0)];
            pages.read_exact_at(&mut bytes, u64::try_from(page.offset).unwrap_or(0))?;
            digests.extend_from_slice(&Digest::of(&bytes).as_bytes()[..PAGE_DIGEST]);
        }
    }
    Ok(digests)
}

/// Where the blocks of the first column's filter are: behind a short header, to the end of what Parquet says is the filter.
fn filter_of(group: &RowGroupMetaData) -> Option<Filter> {
    let column = group.column(0);
    let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
    let length = u64::try_from(column.bloom_filter_length()?).ok()?;
    // The header has less than 32 bytes.
    let size = length / 32 * 32;
    Some(Filter { offset: offset + length - size, size })
}

/// Gives the file its name: that of its digest.
fn name(
    output: PendingFile,
    tables: &Path,
    body: u64,
    rows: u64,
    filter: Option<Filter>,
) -> io::Result<Table> {
    let mut file = output.file();
    file.rewind()?;
    let mut hashing = HashingReader::new(file);
    io::copy(&mut hashing, &mut io::sink())?;
    let (sha256, size) = hashing.finish();
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(body))?;
    file.read_to_end(&mut tail)?;
    let tail = Tail { size: tail.len() as u64, sha256: Digest::of(&tail) };
    let table = Table { sha256, size, rows, tail, filter, first: 0 };
    output.commit(&tables.join(format!("{sha256}.parquet")))?;
    Ok(table)
}

/// Writes a table of keys: pairs in ascending order, each once. Pages have `rows_in_page` rows; with a filter, if `filtered`.
pub(crate) fn write_keys(
    pairs: &[(u64, u32)],
    rows_in_page: usize,
    filtered: bool,
    tables: &Path,
    scratch: &Path,
) -> io::Result<Table> {
    debug_assert!(pairs.is_sorted(), "keys are sorted");
    let h = ColumnPath::from("h");
    let mut builder = properties()
        .set_encoding(Encoding::DELTA_BINARY_PACKED)
        .set_data_page_row_count_limit(rows_in_page)
        .set_write_batch_size(rows_in_page)
        .set_column_statistics_enabled(h.clone(), EnabledStatistics::Page);
    if filtered {
        builder = builder
            .set_column_bloom_filter_enabled(h.clone(), true)
            .set_column_bloom_filter_fpp(h.clone(), FALSE_ANSWERS)
            .set_column_bloom_filter_max_ndv(h, pairs.len().max(1) as u64);
    }
    let (schema, properties) = (schema(KEY_SCHEMA), Arc::new(builder.build()));
    let mut batch: Vec<i64> = Vec::with_capacity(rows_in_page);
    let first = column::<Int64Type>(&schema, 0, &properties, scratch, |writer| {
        for rows in pairs.chunks(rows_in_page) {
            batch.clear();
            batch.extend(rows.iter().map(|(h, _)| h.cast_signed()));
            writer.write_batch(&batch, None, None)?;
        }
        Ok(())
    })?;
    let mut batch: Vec<i32> = Vec::with_capacity(rows_in_page);
    let second = column::<Int32Type>(&schema, 1, &properties, scratch, |writer| {
        for rows in pairs.chunks(rows_in_page) {
            batch.clear();
            batch.extend(rows.iter().map(|(_, p)| p.cast_signed()));
            writer.write_batch(&batch, None, None)?;
        }
        Ok(())
    })?;
    let written = table(&schema, &properties, vec![first, second], pairs.len() as u64, tables)?;
    Ok(Table { first: pairs.first().map_or(0, |(h, _)| *h), ..written })
}
