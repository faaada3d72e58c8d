//! The entry table of what is archived, written straight from the entries of a tree.
//!
//! Invariant: the JSON is that of an [`EntryTable`](super::EntryTable) of the same entries. That table would
//! take more memory than the entries themselves, so it is never made of a whole tree.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::Pieces;
use super::table::{LinkTarget, device_of, holes_of, target_of, xattrs_to_map};
use crate::model::{Entry, Kind, effective_mode};

/// Some entries of a tree, to be written as an entry table.
#[derive(Debug, Clone, Copy)]
pub struct EntryColumns<'a> {
    entries: &'a [Entry],
    chosen: &'a [bool],
    digests: bool,
    pieces: Option<&'a Pieces>,
}

/// A column: the values are made while they are written.
struct Column<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Column<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

impl<'a> EntryColumns<'a> {
    /// Those of `entries` for which `chosen` says so: sorted by path, no hard link among them. With the
    /// digests of files, or without.
    pub fn new(entries: &'a [Entry], chosen: &'a [bool], digests: bool) -> Self {
        Self { entries, chosen, digests, pieces: None }
    }

    /// With the digests of these files in any case: nothing else proves them.
    #[must_use]
    pub fn with_pieces(self, pieces: Option<&'a Pieces>) -> Self {
        Self { pieces, ..self }
    }

    fn rows(self) -> impl Iterator<Item = &'a Entry> + Clone {
        self.entries.iter().zip(self.chosen).filter(|(_, chosen)| **chosen).map(|(entry, _)| entry)
    }
}

impl Serialize for EntryColumns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = || self.rows();
        let seconds = || {
            rows().scan(0_i64, |before, entry| {
                let seconds = entry.metadata.mtime.seconds;
                Some(seconds.wrapping_sub(std::mem::replace(before, seconds)))
            })
        };
        let size = |entry: &Entry| match entry.kind {
            Kind::File { size } => Some(size),
            _ => None,
        };
        let is_pieced =
            |entry: &Entry| self.pieces.is_some_and(|one| one.position(&entry.path).is_some());
        let digest = |entry: &Entry| entry.sha256.filter(|_| self.digests || is_pieced(entry));
        let xattrs = |entry: &Entry| {
            let xattrs = &entry.metadata.xattrs;
            (!xattrs.is_empty()).then(|| xattrs_to_map(xattrs))
        };
        let mut table = serializer.serialize_struct("EntryTable", 13)?;
        table.serialize_field("path", &Column(|| rows().map(|entry| &entry.path)))?;
        let letters: String = rows().map(|entry| entry.kind.letter()).collect();
        table.serialize_field("type", &letters)?;
        let mode = |entry: &Entry| effective_mode(&entry.kind, entry.metadata.mode);
        table.serialize_field("mode", &Column(|| rows().map(mode)))?;
        table.serialize_field("uid", &Column(|| rows().map(|entry| entry.metadata.uid)))?;
        table.serialize_field("gid", &Column(|| rows().map(|entry| entry.metadata.gid)))?;
        table.serialize_field("seconds", &Column(seconds))?;
        let nanoseconds = |entry: &Entry| entry.metadata.mtime.nanoseconds;
        table.serialize_field("nanoseconds", &Column(|| rows().map(nanoseconds)))?;
        if rows().any(|entry| size(entry).is_some()) {
            table.serialize_field("size", &Column(|| rows().map(size)))?;
        }
        if rows().any(|entry| digest(entry).is_some()) {
            table.serialize_field("sha256", &Column(|| rows().map(digest)))?;
        }
        let target = |entry: &Entry| -> Option<LinkTarget> { target_of(&entry.kind) };
        if rows().any(|entry| matches!(entry.kind, Kind::Symlink { .. })) {
            table.serialize_field("target", &Column(|| rows().map(target)))?;
        }
        let device = |entry: &Entry| device_of(&entry.kind);
        if rows().any(|entry| device(entry).is_some()) {
            table.serialize_field("device", &Column(|| rows().map(device)))?;
        }
        if rows().any(|entry| !entry.metadata.xattrs.is_empty()) {
            table.serialize_field("xattrs", &Column(|| rows().map(xattrs)))?;
        }
        if rows().any(|entry| entry.extents.is_some()) {
            table.serialize_field("holes", &Column(|| rows().map(holes_of)))?;
        }
        table.end()
    }
}
