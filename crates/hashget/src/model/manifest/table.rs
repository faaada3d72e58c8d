//! Entry tables: entries as columns, which compress far better than one object each.
//!
//! Invariant: all columns of a table have the length of `path`; optional ones may be absent as a whole.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::ManifestError;
use super::sparse::Sparse;
use crate::model::{
    Digest, Entry, Extent, Kind, Metadata, PathList, RelPath, Timestamp, Xattrs, effective_mode,
    path_of,
};

/// Entries with their whole metadata, as columns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EntryTable {
    path: PathList,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<Option<RelPath>>,
    #[serde(rename = "type")]
    kind: String,
    mode: Vec<u32>,
    uid: Vec<u32>,
    gid: Vec<u32>,
    /// In memory each is the time itself.
    #[serde(with = "super::differences")]
    seconds: Vec<i64>,
    nanoseconds: Vec<u32>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    size: Sparse<u64>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    sha256: Sparse<Digest>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    target: Sparse<LinkTarget>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    device: Sparse<[u32; 2]>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    xattrs: Sparse<XattrMap>,
    #[serde(skip_serializing_if = "Sparse::is_empty")]
    holes: Sparse<Vec<[u64; 2]>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkTarget(#[serde(with = "crate::model::bytes_as_text")] Box<[u8]>);

/// Name of an attribute to base64 of its value.
pub(crate) type XattrMap = BTreeMap<String, String>;

/// Attribute names as JSON keys: UTF-8 as it is; other bytes are `base64:...`.
pub(crate) fn xattrs_to_map(xattrs: &Xattrs) -> XattrMap {
    let key = |name: &[u8]| match std::str::from_utf8(name) {
        Ok(text) if !text.starts_with("base64:") => text.to_owned(),
        _ => format!("base64:{}", BASE64_STANDARD.encode(name)),
    };
    xattrs.iter().map(|(name, value)| (key(name), BASE64_STANDARD.encode(value))).collect()
}

pub(super) fn xattrs_from_map(map: &XattrMap) -> Result<Xattrs, ManifestError> {
    let decode = |text: &str| {
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| ManifestError::field("xattrs", format!("bad base64: {error}")))
    };
    map.iter()
        .map(|(name, value)| {
            let name = match name.strip_prefix("base64:") {
                Some(encoded) => decode(encoded)?,
                None => name.clone().into_bytes(),
            };
            Ok((name.into(), decode(value)?.into()))
        })
        .collect()
}

impl EntryTable {
    /// Makes a table of entries, which must be sorted by path and hold no hard link.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut table = Self::default();
        for entry in entries {
            let metadata = &entry.metadata;
            table.path.push(&entry.path);
            table.kind.push_str(entry.kind.letter());
            table.mode.push(effective_mode(&entry.kind, metadata.mode));
            table.uid.push(metadata.uid);
            table.gid.push(metadata.gid);
            table.seconds.push(metadata.mtime.seconds);
            table.nanoseconds.push(metadata.mtime.nanoseconds);
            let size = match entry.kind {
                Kind::File { size } => Some(size),
                _ => None,
            };
            table.holes.push(holes_of(entry));
            table.size.push(size);
            table.sha256.push(entry.sha256);
            table.target.push(target_of(&entry.kind));
            table.device.push(device_of(&entry.kind));
            table
                .xattrs
                .push((!metadata.xattrs.is_empty()).then(|| xattrs_to_map(&metadata.xattrs)));
        }
        table.drop_empty_columns();
        table
    }

    /// The same table with the members that the entries come from; `None` is the package itself.
    #[must_use]
    pub fn with_from(mut self, from: Vec<Option<RelPath>>) -> Self {
        assert_eq!(from.len(), self.path.len(), "one source for each entry");
        self.from = from;
        self
    }

    /// The same table without digests.
    #[must_use]
    pub fn without_digests(mut self) -> Self {
        self.sha256 = Sparse::default();
        self
    }

    fn drop_empty_columns(&mut self) {
        self.size.drop_if_nothing();
        self.sha256.drop_if_nothing();
        self.target.drop_if_nothing();
        self.device.drop_if_nothing();
        self.xattrs.drop_if_nothing();
        self.holes.drop_if_nothing();
    }

    /// Has it no entries?
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.path.len()
    }

    pub(super) fn has_from(&self) -> bool {
        self.from.len() == self.path.len()
    }

    /// Is this entry a device?
    pub(crate) fn is_device(&self, row: usize) -> bool {
        matches!(self.kind.as_bytes().get(row), Some(b'b' | b'c'))
    }

    /// The bytes of the paths, sorted.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.path.iter()
    }

    /// The bytes of the path in this row.
    pub(crate) fn path(&self, row: usize) -> &[u8] {
        self.path.get(row)
    }

    /// The row of the entry at `path`.
    pub fn position(&self, path: &RelPath) -> Option<usize> {
        self.position_of(path.as_bytes())
    }

    /// The row of the entry at the path with these bytes.
    pub(crate) fn position_of(&self, path: &[u8]) -> Option<usize> {
        self.path.position_in_sorted(path)
    }

    /// The digest of the file in this row.
    pub(crate) fn digest(&self, row: usize) -> Option<Digest> {
        self.sha256.get(row).copied()
    }

    /// Do the columns fit one another? `name` is that of the table.
    ///
    /// # Errors
    /// They do not.
    pub(crate) fn check(&self, name: &str) -> Result<(), ManifestError> {
        let count = self.path.len();
        let required = [
            ("type", self.kind.len()),
            ("mode", self.mode.len()),
            ("uid", self.uid.len()),
            ("gid", self.gid.len()),
            ("seconds", self.seconds.len()),
            ("nanoseconds", self.nanoseconds.len()),
        ];
        let optional = [
            ("from", self.from.len()),
            ("size", self.size.len()),
            ("sha256", self.sha256.len()),
            ("target", self.target.len()),
            ("device", self.device.len()),
            ("xattrs", self.xattrs.len()),
            ("holes", self.holes.len()),
        ];
        let bad = required
            .into_iter()
            .find(|&(_, length)| length != count)
            .or_else(|| optional.into_iter().find(|&(_, length)| length != count && length != 0));
        if let Some((column, length)) = bad {
            return Err(ManifestError::field(
                format!("{name}.{column}"),
                format!("has {length} values for {count} entries"),
            ));
        }
        if !self.path.iter().is_sorted_by(|a, b| a < b) {
            return Err(ManifestError::field(
                format!("{name}.path"),
                "paths must be sorted and each occur once",
            ));
        }
        Ok(())
    }

    /// The members that entries come from.
    pub fn from(&self) -> impl Iterator<Item = &RelPath> {
        self.from.iter().flatten()
    }

    /// The entries, with the members they come from (`None`: the package itself, or a table without
    /// `from`).
    pub fn entries(&self) -> impl Iterator<Item = Result<(Entry, Option<RelPath>), ManifestError>> {
        let entry = |row| Ok((self.entry(row)?, self.from.get(row).cloned().flatten()));
        (0..self.len()).map(entry)
    }

    /// The entry in a row.
    ///
    /// # Errors
    /// A column has no value that the entry needs.
    pub(crate) fn entry(&self, index: usize) -> Result<Entry, ManifestError> {
        let path = path_of(self.path.get(index));
        let missing = |column: &str| {
            ManifestError::field(column, format!("{path} has no value, which its type needs"))
        };
        let device = || self.device.get(index).copied().ok_or_else(|| missing("device"));
        let kind = match self.kind.as_bytes()[index] {
            b'f' => {
                Kind::File { size: self.size.get(index).copied().ok_or_else(|| missing("size"))? }
            }
            b'd' => Kind::Directory,
            b'l' => Kind::Symlink {
                target: self.target.get(index).ok_or_else(|| missing("target"))?.0.clone(),
            },
            b'c' => device().map(|[major, minor]| Kind::CharDevice { major, minor })?,
            b'b' => device().map(|[major, minor]| Kind::BlockDevice { major, minor })?,
            b'p' => Kind::Fifo,
            _ => return Err(ManifestError::field("type", format!("{path} has an unknown type"))),
        };
        let size = if let Kind::File { size } = kind { size } else { 0 };
        let extents = match self.holes.get(index) {
            Some(holes) => Some(extents_between(holes, size).ok_or_else(|| {
                ManifestError::field("holes", format!("{path}: holes must ascend within the file"))
            })?),
            None => None,
        };
        let nanoseconds = self.nanoseconds[index];
        if nanoseconds >= 1_000_000_000 || self.mode[index] > 0o7777 {
            return Err(ManifestError::field(
                "mode or nanoseconds",
                format!("{path}: out of range"),
            ));
        }
        let xattrs = match self.xattrs.get(index) {
            Some(map) => xattrs_from_map(map)?,
            None => Xattrs::default(),
        };
        Ok(Entry {
            path,
            kind,
            metadata: Metadata {
                mode: self.mode[index],
                uid: self.uid[index],
                gid: self.gid[index],
                mtime: Timestamp { seconds: self.seconds[index], nanoseconds },
                xattrs,
            },
            sha256: self.sha256.get(index).copied(),
            extents,
        })
    }
}

pub(super) fn target_of(kind: &Kind) -> Option<LinkTarget> {
    match kind {
        Kind::Symlink { target } => Some(LinkTarget(target.clone())),
        _ => None,
    }
}

pub(super) fn device_of(kind: &Kind) -> Option<[u32; 2]> {
    match kind {
        Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
            Some([*major, *minor])
        }
        _ => None,
    }
}

/// What lies between the extents of a file with holes: `[offset, length]` each.
pub(super) fn holes_of(entry: &Entry) -> Option<Vec<[u64; 2]>> {
    let size = if let Kind::File { size } = entry.kind { size } else { 0 };
    entry.extents.as_ref().map(|extents| holes(extents, size))
}

fn holes(extents: &[Extent], size: u64) -> Vec<[u64; 2]> {
    let mut holes = Vec::new();
    let mut end = 0;
    for extent in extents {
        if extent.offset > end {
            holes.push([end, extent.offset - end]);
        }
        end = extent.offset + extent.length;
    }
    if size > end {
        holes.push([end, size - end]);
    }
    holes
}

/// What lies between holes, or `None` if they overlap or leave the file.
fn extents_between(holes: &[[u64; 2]], size: u64) -> Option<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut end = 0;
    for &[offset, length] in holes {
        if offset < end {
            return None;
        }
        if offset > end {
            extents.push(Extent { offset: end, length: offset - end });
        }
        end = offset.checked_add(length).filter(|&end| end <= size)?;
    }
    if size > end {
        extents.push(Extent { offset: end, length: size - end });
    }
    Some(extents)
}
