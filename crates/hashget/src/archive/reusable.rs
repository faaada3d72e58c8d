//! The frames of an earlier archive that another one may copy, compressed as they are.
//!
//! Invariant: a frame is given only if its bytes have the checksum that was taken when it was written; a damaged one is never
//! passed on.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io;

use super::directory::{parsed_checksum, read};
use crate::codec::seek_table::Frame;
use crate::codec::seekable::{FrameSource, StoredFrame, TakePiece, encoder_name};
use crate::limits::Limits;
use crate::model::Digest;
use crate::storage::{ArchiveSource as _, Stretches};

/// Takes a frame of a file.
pub(crate) type CopyFrame<'c> = &'c mut dyn FnMut(&StoredFrame<'_>) -> io::Result<()>;

/// An earlier archive.
pub(crate) struct Reusable {
    archive: Stretches,
    segments: HashMap<Digest, Vec<CheckedFrame>>,
    damaged: Cell<u64>,
}

/// A frame, and its checksum.
struct CheckedFrame {
    frame: Frame,
    checksum: u64,
}

impl Reusable {
    /// The frames of `archive` that an encoder of this `level` would write again; `None` if it has none.
    ///
    /// # Errors
    /// The archive cannot be read, or its directory is damaged.
    pub(crate) fn open(
        archive: File,
        level: Option<i32>,
        limits: &Limits,
    ) -> io::Result<Option<Self>> {
        let Some(size) = archive.size() else { return Ok(None) };
        let Some((frames, _, document)) = read(&archive, size, limits)? else { return Ok(None) };
        let is_complete = [document.made_of.len(), document.checksums.len()] == [frames.len(); 2];
        if !is_complete || document.encoder != encoder_name(level) {
            return Ok(None);
        }
        let mut segments: HashMap<Digest, Vec<CheckedFrame>> = HashMap::new();
        let mut current = None;
        let rows = frames.into_iter().zip(document.made_of).zip(document.checksums);
        let entries = document.frames.iter().map(Some);
        let before = std::iter::once(None).chain(entries.clone());
        // The last frame has the zeros that end the tar.
        let last = document.frames.len().saturating_sub(1);
        for (((frame, made_of), checksum), (entry, before)) in
            rows.zip(entries.zip(before)).take(last)
        {
            // A further frame of a segment begins within the same entry.
            current = made_of.or(current.filter(|_| entry == before));
            if let Some(current) = current {
                let Some(checksum) = parsed_checksum(&checksum) else { return Ok(None) };
                segments.entry(current).or_default().push(CheckedFrame { frame, checksum });
            }
        }
        Ok(Some(Self { archive: Stretches::of(archive), segments, damaged: Cell::new(0) }))
    }

    /// Passes each frame of the segment that was made of this to `copy`. Nothing is passed and the result is false if there is none, or
    /// it is damaged: all are looked at before the first is passed on.
    ///
    /// # Errors
    /// Those of `copy`.
    pub(crate) fn copy(&self, made_of: &Digest, copy: CopyFrame<'_>) -> io::Result<bool> {
        let Some(frames) = self.segments.get(made_of) else { return Ok(false) };
        let stored = |&CheckedFrame { frame, checksum }: &CheckedFrame| StoredFrame {
            source: &self.archive,
            frame,
            checksum,
        };
        if !frames.iter().all(|frame| stored(frame).is_whole()) {
            self.damaged.set(self.damaged.get() + 1);
            return Ok(false);
        }
        frames.iter().try_for_each(|frame| copy(&stored(frame)))?;
        Ok(true)
    }

    /// Number of segments that were to be copied and are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.get()
    }
}

impl FrameSource for Stretches {
    fn file(&self) -> &File {
        self.file()
    }

    fn read(&self, start: u64, length: u64, take: TakePiece<'_>) -> io::Result<()> {
        self.read(start, length, take)
    }
}
