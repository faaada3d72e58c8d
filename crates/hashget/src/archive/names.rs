//! The names of what packages give, which an archive may keep so that it can be listed without them.
//!
//! Invariant: they only serve to list. What is restored is what the placements say; names that contradict the manifest's
//! form are not used.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::directory::Directory;
use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::Entry;
use crate::model::manifest::{EntryColumns, EntryTable, Link, ManifestError};
use crate::storage::ArchiveSource;

/// Tells their skippable frame from others.
pub(crate) const NUMBER: u8 = 8;
/// zstd's level: a higher one takes seconds for a server and saves little.
const LEVEL: i32 = 9;
const FORMAT: &str = "hashget-names";
const VERSION: u32 = 1;

/// What is written.
#[derive(Serialize)]
pub(crate) struct NamesColumns<'a> {
    format: &'static str,
    version: u32,
    entries: EntryColumns<'a>,
    package: &'a [u32],
    links: &'a [Link],
}

impl<'a> NamesColumns<'a> {
    /// `entries` are what packages give, without further names of files; `package` has the index in the manifest for each of
    /// them. `links` are further names that packages give.
    pub(crate) fn new(entries: EntryColumns<'a>, package: &'a [u32], links: &'a [Link]) -> Self {
        Self { format: FORMAT, version: VERSION, entries, package, links }
    }

    /// The compressed content of the skippable frame; `None` if it is longer than `most` bytes.
    ///
    /// # Errors
    /// zstd failed: out of memory.
    pub(crate) fn to_bytes(&self, most: u64) -> io::Result<Option<Vec<u8>>> {
        let mut encoder =
            zstd::stream::write::Encoder::new(Limited { bytes: Vec::new(), most }, LEVEL)?;
        encoder.include_checksum(true)?;
        let mut json = io::BufWriter::with_capacity(1 << 16, &mut encoder);
        let written = serde_json::to_writer(&mut json, self).map_err(io::Error::from);
        let written = written.and_then(|()| json.flush());
        drop(json);
        match written.and_then(|()| encoder.finish()) {
            Ok(output) => Ok(Some(output.bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Bytes up to a limit.
struct Limited {
    bytes: Vec<u8>,
    most: u64,
}

impl Write for Limited {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + buffer.len()) as u64 > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is read.
#[derive(Deserialize)]
struct NamesTable {
    format: String,
    version: u32,
    entries: EntryTable,
    package: Vec<u32>,
    links: Vec<Link>,
}

fn parse(content: impl Read, limits: &Limits) -> io::Result<NamesTable> {
    let limits = Limits { unpacked_bytes: limits.manifest_bytes, ..limits.clone() };
    let json = decoder(Codec::Zstd, Box::new(content), &limits, 1)?;
    Ok(serde_json::from_reader(io::BufReader::new(json))?)
}

/// Can the content of the frame be read?
///
/// # Errors
/// It is damaged.
pub(crate) fn check(content: impl Read, limits: &Limits) -> io::Result<()> {
    parse(content, limits).map(drop)
}

/// The entries that packages give, by name.
#[derive(Debug)]
pub(crate) struct GivenNames {
    entries: EntryTable,
    package: Vec<u32>,
    pub(super) links: Vec<Link>,
}

impl GivenNames {
    /// The names that an archive keeps; `None` if it keeps none, cannot be read at random, or what it keeps does not fit a
    /// manifest with this number of packages.
    pub(crate) fn read(
        archive: &dyn ArchiveSource,
        packages: usize,
        limits: &Limits,
    ) -> Option<Self> {
        let directory = Directory::open(archive, limits)?;
        let table = directory.skippable(NUMBER, |content| parse(content, limits));
        let NamesTable { format, version, entries, package, links } = table.ok().flatten()?;
        let fits = format == FORMAT
            && version == VERSION
            && entries.check("entries").is_ok()
            && package.len() == entries.len()
            && package.iter().all(|&package| (package as usize) < packages)
            && links.is_sorted_by(|a, b| a.path < b.path);
        fits.then_some(Self { entries, package, links })
    }

    /// How many there are, without further names.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of the path in this row.
    pub(super) fn path(&self, row: usize) -> &[u8] {
        self.entries.path(row)
    }

    /// The entry in this row, and the index of the package that gives it.
    pub(super) fn get(&self, row: usize) -> Result<(Entry, usize), ManifestError> {
        Ok((self.entries.entry(row)?, self.package[row] as usize))
    }
}
