//! The frames of an earlier archive that another one may copy, compressed as they are.
//!
//! Invariant: a frame is given only if its bytes have the checksum that was taken when it was written, and it is known to
//! decode to what is to be written: its segment is made of the same, or it was decoded and compared.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use super::directory::{parsed_checksum, read};
use crate::codec::seek_table::Frame;
use crate::codec::seekable::{FrameSource, StoredFrame, TakePiece, encoder_name};
use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::{Digest, RelPath};
use crate::storage::{ArchiveSource as _, Stretches};

/// Bytes that are decoded and compared at once.
const COMPARED_BYTES: usize = 128 << 10;

/// Takes a frame of a file.
pub(crate) type CopyFrame<'c> = &'c mut dyn FnMut(&StoredFrame<'_>) -> io::Result<()>;

/// An earlier archive.
pub(crate) struct Reusable {
    archive: Stretches,
    segments: HashMap<Digest, Vec<CheckedFrame>>,
    /// The frames of each entry that has several, in order.
    pieces: HashMap<RelPath, Vec<CheckedFrame>>,
    limits: Limits,
    damaged: Cell<u64>,
}

/// A frame, and its checksum.
#[derive(Clone, Copy)]
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
        let mut pieces: HashMap<RelPath, Vec<CheckedFrame>> = HashMap::new();
        let (mut current, mut piece) = (None, None);
        let rows = frames.into_iter().zip(document.made_of).zip(document.checksums);
        let entries = document.frames.iter().map(Some);
        let before = std::iter::once(None).chain(entries.clone());
        // The last frame has the zeros that end the tar.
        let last = document.frames.len().saturating_sub(1);
        for (((frame, made_of), checksum), (entry, before)) in
            rows.zip(entries.zip(before)).take(last)
        {
            let Some(checksum) = parsed_checksum(&checksum) else { return Ok(None) };
            let found = CheckedFrame { frame, checksum };
            // A further frame of a segment begins within the same entry.
            current = made_of.or(current.filter(|_| entry == before));
            if let Some(current) = current {
                segments.entry(current).or_default().push(found);
            }
            if let Some(path) = entry.and_then(Option::as_ref)
                && entry == before
            {
                let pieces = pieces.entry(path.clone()).or_insert_with(|| Vec::from_iter(piece));
                pieces.push(found);
            }
            piece = Some(found);
        }
        let (archive, limits) = (Stretches::of(archive), limits.clone());
        Ok(Some(Self { archive, segments, pieces, limits, damaged: Cell::new(0) }))
    }

    /// Passes each frame of the segment that was made of this to `copy`. Nothing is passed and the result is false if there is none, or
    /// it is damaged: all are looked at before the first is passed on.
    ///
    /// # Errors
    /// Those of `copy`.
    pub(crate) fn copy(&self, made_of: &Digest, copy: CopyFrame<'_>) -> io::Result<bool> {
        let Some(frames) = self.segments.get(made_of) else { return Ok(false) };
        if !frames.iter().all(|frame| self.stored(*frame).is_whole()) {
            self.damaged.set(self.damaged.get() + 1);
            return Ok(false);
        }
        frames.iter().try_for_each(|frame| copy(&self.stored(*frame)))?;
        Ok(true)
    }

    /// The frame with this `number` of those that the entry `path` has alone, if it holds `bytes`.
    pub(crate) fn piece(
        &self,
        path: &RelPath,
        number: usize,
        bytes: &[u8],
    ) -> Option<StoredFrame<'_>> {
        let found = *self.pieces.get(path)?.get(number)?;
        let stored = self.stored(found);
        let lengths = found.frame.lengths;
        if usize::try_from(lengths.decoded) != Ok(bytes.len()) {
            return None;
        }
        let Some(compressed) = stored.whole() else {
            self.damaged.set(self.damaged.get() + 1);
            return None;
        };
        let decoder = decoder(Codec::Zstd, Box::new(&compressed[..]), &self.limits, 1).ok()?;
        decodes_to(decoder, bytes).then_some(stored)
    }

    fn stored(&self, CheckedFrame { frame, checksum }: CheckedFrame) -> StoredFrame<'_> {
        StoredFrame { source: &self.archive, frame, checksum }
    }

    /// Number of segments, and of frames of changed entries, that were to be copied and are damaged.
    pub(crate) fn damaged(&self) -> u64 {
        self.damaged.get()
    }
}

/// Does it give these bytes, and no more? It is read up to the first difference.
fn decodes_to(mut decoder: impl Read, mut bytes: &[u8]) -> bool {
    let mut buffer = vec![0; COMPARED_BYTES];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return bytes.is_empty(),
            Ok(count) => match bytes.strip_prefix(&buffer[..count]) {
                Some(rest) => bytes = rest,
                None => return false,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
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
