//! rpm headers: tagged values in one block, in packages and in rpm's own database.
//!
//! Invariant: a value is returned only if it lies completely within the header; no memory is allocated for
//! sizes that a header merely declares.

use std::collections::BTreeMap;
use std::io::Read;

use super::{FormatError, damaged, reading};

/// The start of a header in a file: magic number, version, four unused bytes.
const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// Size of one index entry in bytes.
const ENTRY: usize = 16;
/// Size limit: larger headers are hostile. Those of the largest packages have about 20 MiB.
const MOST_BYTES: u64 = 64 << 20;

const CHAR: u32 = 1;
const INT8: u32 = 2;
const INT16: u32 = 3;
const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const TRANSLATED: u32 = 9;

/// A header: values by their tags.
pub(super) struct RpmHeader {
    index: BTreeMap<u32, Entry>,
    data: Vec<u8>,
}

/// The position of a value.
#[derive(Clone, Copy)]
struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

impl RpmHeader {
    /// Reads the header at the start of `input`, as in packages; returns it and its size in bytes.
    pub(super) fn read(input: &mut dyn Read) -> Result<(Self, u64), FormatError> {
        let mut intro = [0; 16];
        input.read_exact(&mut intro).map_err(reading)?;
        if !intro.starts_with(&MAGIC) {
            return Err(damaged("a header does not begin as one"));
        }
        let length = length(&intro[8..])?;
        let mut bytes = intro[8..].to_vec();
        input.take(length - 8).read_to_end(&mut bytes).map_err(reading)?;
        Ok((Self::parse(bytes)?, length + 8))
    }

    /// Parses a header as in rpm's database: two lengths, the index, the values.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] and [`FormatError::Limit`].
    pub(super) fn parse(mut bytes: Vec<u8>) -> Result<Self, FormatError> {
        let expected = length(&bytes)?;
        if bytes.len() as u64 != expected {
            let problem = format!("a header of {expected} bytes has {}", bytes.len());
            return Err(damaged(problem));
        }
        let end = 8 + number(&bytes, 0) * ENTRY;
        let data = bytes.split_off(end);
        let mut index = BTreeMap::new();
        for entry in bytes[8..].chunks_exact(ENTRY) {
            let value =
                Entry { kind: word(entry, 4), offset: number(entry, 8), count: number(entry, 12) };
            index.insert(word(entry, 0), value);
        }
        Ok(Self { index, data })
    }

    /// Number of values of the tag; 0 if it is absent.
    pub(super) fn count(&self, tag: u32) -> usize {
        self.index.get(&tag).map_or(0, |entry| entry.count)
    }

    /// The text of the tag (the first one, if there are several or it is translated).
    pub(super) fn text(&self, tag: u32) -> Option<&[u8]> {
        let entry = self.index.get(&tag)?;
        if ![STRING, STRING_ARRAY, TRANSLATED].contains(&entry.kind) || entry.count == 0 {
            return None;
        }
        text_at(&self.data, entry.offset)
    }

    /// All texts of the tag; `None` if it has none, or they lie outside the header.
    pub(super) fn texts(&self, tag: u32) -> Option<Texts<'_>> {
        let entry = self.index.get(&tag)?;
        if ![STRING, STRING_ARRAY].contains(&entry.kind) {
            return None;
        }
        let mut starts = Vec::new();
        let mut at = entry.offset;
        for _ in 0..entry.count {
            starts.push(u32::try_from(at).ok()?);
            at += text_at(&self.data, at)?.len() + 1;
        }
        Some(Texts { data: &self.data, starts })
    }

    /// All numbers of the tag, whatever their width; `None` as in [`Self::texts`].
    pub(super) fn numbers(&self, tag: u32) -> Option<Numbers<'_>> {
        let entry = self.index.get(&tag)?;
        let width = match entry.kind {
            INT16 => 2,
            INT32 => 4,
            INT64 => 8,
            _ => return None,
        };
        let end = entry.count.checked_mul(width)?.checked_add(entry.offset)?;
        Some(Numbers { bytes: self.data.get(entry.offset..end)?, width })
    }

    /// All bytes of the tag; `None` as in [`Self::texts`].
    pub(super) fn bytes(&self, tag: u32) -> Option<&[u8]> {
        let entry = self.index.get(&tag).filter(|entry| [CHAR, INT8].contains(&entry.kind))?;
        self.data.get(entry.offset..entry.offset.checked_add(entry.count)?)
    }
}

/// Texts of a tag.
pub(super) struct Texts<'a> {
    data: &'a [u8],
    starts: Vec<u32>,
}

impl<'a> Texts<'a> {
    /// The text with this index.
    pub(super) fn get(&self, at: usize) -> Option<&'a [u8]> {
        text_at(self.data, usize::try_from(*self.starts.get(at)?).ok()?)
    }
}

/// Numbers of a tag.
#[derive(Clone, Copy, Default)]
pub(super) struct Numbers<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl Numbers<'_> {
    /// The number with this index.
    pub(super) fn get(&self, at: usize) -> Option<u64> {
        let start = at.checked_mul(self.width)?;
        let bytes = self.bytes.get(start..start.checked_add(self.width)?)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

/// Size of the header that begins with these two lengths, including them.
fn length(lengths: &[u8]) -> Result<u64, FormatError> {
    if lengths.len() < 8 {
        return Err(damaged("a header has less than its lengths"));
    }
    let bytes = 8 + u64::from(word(lengths, 0)) * ENTRY as u64 + u64::from(word(lengths, 4));
    if bytes > MOST_BYTES {
        return Err(FormatError::Limit {
            what: "bytes of an rpm header".into(),
            limit: MOST_BYTES,
        });
    }
    Ok(bytes)
}

fn text_at(data: &[u8], at: usize) -> Option<&[u8]> {
    let rest = data.get(at..)?;
    rest.iter().position(|&byte| byte == 0).map(|end| &rest[..end])
}

/// Four bytes as a big-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

/// The same, as an index; a number that is too large is beyond the end of every header.
fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(word(bytes, at)).unwrap_or(usize::MAX)
}
