//! The frames of an earlier archive that another one may copy, compressed as they are.
//!
//! Invariant: a frame is given only if its bytes have the checksum that was taken when it was written; a damaged one is never
//! passed on.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io;

use super::directory::{read, written_checksum};
use crate::codec::seek_table::Frame;
use crate::codec::seekable::{encoder_name, frame_checksum};
use crate::limits::Limits;
use crate::model::Digest;
use crate::storage::{ArchiveSource as _, RandomRead};

/// Frames in memory at the same time, in bytes; of longer segments each frame is read twice.
const KEPT_BYTES: u64 = 64 << 20;

/// Takes a frame of a file, with its bytes.
pub(crate) type CopyFrame<'c> = &'c mut dyn FnMut(&File, &Frame, &[u8]) -> io::Result<()>;

/// An earlier archive.
pub(crate) struct Reusable {
    archive: File,
    segments: HashMap<Digest, Vec<CheckedFrame>>,
    damaged: Cell<u64>,
}

/// A frame, and its checksum.
struct CheckedFrame {
    frame: Frame,
    checksum: String,
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
                segments.entry(current).or_default().push(CheckedFrame { frame, checksum });
            }
        }
        Ok(Some(Self { archive, segments, damaged: Cell::new(0) }))
    }

    /// Passes each frame of the segment that was made of this to `copy`, with its bytes. Nothing is passed and the result is
    /// false if there is none, or it is damaged.
    ///
    /// # Errors
    /// Those of `copy`; or a frame can no longer be read.
    pub(crate) fn copy(&self, made_of: &Digest, copy: CopyFrame<'_>) -> io::Result<bool> {
        let Some(frames) = self.segments.get(made_of) else { return Ok(false) };
        let bytes: u64 = frames.iter().map(|it| u64::from(it.frame.lengths.compressed)).sum();
        let mut kept = Vec::new();
        for frame in frames {
            match self.read(frame) {
                Some(bytes_of_frame) if bytes <= KEPT_BYTES => kept.push(bytes_of_frame),
                Some(_) => {}
                None => {
                    self.damaged.set(self.damaged.get() + 1);
                    return Ok(false);
                }
            }
        }
        for (number, frame) in frames.iter().enumerate() {
            let read;
            let bytes = match kept.get(number) {
                Some(bytes) => bytes,
                None => {
                    let gone =
                        || io::Error::other("the earlier archive changed while it was copied from");
                    read = self.read(frame).ok_or_else(gone)?;
                    &read
                }
            };
            copy(&self.archive, &frame.frame, bytes)?;
        }
        Ok(true)
    }

    /// The bytes of a frame, if they are those that were written.
    fn read(&self, CheckedFrame { frame, checksum }: &CheckedFrame) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(frame.lengths.compressed).ok()?];
        let count = RandomRead::read_at(&self.archive, &mut bytes, frame.start).ok()?;
        let is_whole =
            count == bytes.len() && written_checksum(frame_checksum(&bytes)) == *checksum;
        is_whole.then_some(bytes)
    }

    /// Number of segments that were to be copied and are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.get()
    }
}
