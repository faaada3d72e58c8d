//! Where the frames of an archive end, and what its directory says of them.
//!
//! Invariant: where a frame ends depends on the entries in it, not on those before it, so that an entry that is new
//! changes few frames. A frame begins with the header of an entry, or within a large entry that it has alone. A frame that
//! was copied from an earlier archive is the one that would have been made.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use super::tar_head::Head;
use super::tar_writer::{Next, Reused, TarOutput, Upcoming};
use crate::archive::directory::DirectoryWriter;
use crate::archive::names;
use crate::archive::reusable::Reusable;
use crate::codec::seekable::{FrameOutput, SeekableWriter, encoder_name};
use crate::codec::{Codec, Encoder, encoder, seekable_encoder};
use crate::model::manifest::{OWN_NAMES, is_of_rests};
use crate::model::{Digest, Entry, Kind, RelPath};

/// An entry of this many bytes has frames of its own.
const LARGE_BYTES: u64 = 1 << 20;
/// Bytes in a frame of a large entry; its last one has fewer.
const PIECE_BYTES: u64 = 4 << 20;
/// Bytes after which, on average, a frame of smaller entries ends.
const MEAN_BYTES: u64 = 4 << 20;
/// With this size a frame of smaller entries ends in any case.
const MOST_BYTES: u64 = 8 << 20;

/// Compresses an archive while it is written.
pub(super) enum ArchiveEncoder<'a> {
    /// Into frames that can be decoded alone.
    Frames(Box<FrameEncoder<Box<dyn FrameOutput + 'a>>>),
    /// Into one stream: the codec has no frames.
    Stream(Box<dyn Encoder + 'a>),
}

/// Compresses an archive into frames.
pub(super) struct FrameEncoder<W> {
    frames: SeekableWriter<W>,
    directory: DirectoryWriter,
    /// What the directory calls the encoder.
    name: String,
    segment: Option<Segment>,
    reusable: Option<Reusable>,
}

/// Entries that share frames, or one that has frames of its own, as far as they are known.
struct Segment {
    last: Begun,
    /// Number of frames before the one that is being written.
    frames: usize,
    /// Bytes of the frame that is being written.
    frame_bytes: u64,
    /// What it is made of: the tar, with the digest of each file instead of its data. `None` for what is never made again.
    made_of: Option<Sha256>,
}

/// The entry that is being written.
struct Begun {
    /// `None` for the manifest, and the restorer behind it.
    path: Option<RelPath>,
    bytes: u64,
    is_large: bool,
}

impl Begun {
    fn new(name: &[u8], entry: &Entry) -> Self {
        if OWN_NAMES.iter().any(|own| name == own.as_bytes()) {
            return Self::manifest();
        }
        let contents = match (&entry.extents, &entry.kind) {
            (Some(extents), _) => extents.iter().map(|extent| extent.length).sum(),
            (None, Kind::File { size }) => *size,
            (None, _) => 0,
        };
        let attributes = entry.metadata.xattrs.values().map(|value| value.len() as u64);
        let is_large = attributes.fold(contents, u64::saturating_add) >= LARGE_BYTES;
        // The rest of a file that is made of pieces, in the place of the file.
        let is_rest = name != entry.path.as_bytes()
            && RelPath::new(name).is_ok_and(|name| is_of_rests(&name));
        let is_large = is_large || is_rest;
        Self { path: Some(entry.path.clone()), bytes: 0, is_large }
    }

    fn manifest() -> Self {
        Self { path: None, bytes: 0, is_large: true }
    }

    /// Does its frame end with it? With a probability that grows with its size, so that frames have [`MEAN_BYTES`] on
    /// average; its path decides, so that it is the same next time.
    fn is_last_of_frame(&self) -> bool {
        let Some(path) = &self.path else { return true };
        let digest = Digest::of(path.as_bytes());
        let drawn =
            digest.as_bytes()[..4].iter().fold(0, |drawn, &byte| drawn << 8 | u128::from(byte));
        self.is_large || drawn * u128::from(MEAN_BYTES) < u128::from(self.bytes) << 32
    }
}

impl Segment {
    /// One that begins with this entry.
    fn new(first: Begun) -> Self {
        let made_of = first.path.is_some().then(Sha256::new);
        Self { last: first, frames: 0, frame_bytes: 0, made_of }
    }

    /// Does it end before this entry?
    fn ends_before(&self, next: &Begun) -> bool {
        next.is_large || self.last.is_last_of_frame() || self.frame_bytes >= MOST_BYTES
    }

    /// It consists of these bytes, too.
    fn consists_of(&mut self, bytes: &[u8]) {
        if let Some(made_of) = &mut self.made_of {
            made_of.update(bytes);
        }
    }

    fn made_of(self) -> Option<Digest> {
        self.made_of.map(|made_of| Digest::from_bytes(made_of.finalize().into()))
    }
}

impl<'a> ArchiveEncoder<'a> {
    /// Writes an archive into `output`; see [`encoder`]. What `reusable` has is not compressed again.
    pub(super) fn new(
        codec: Codec,
        output: Box<dyn FrameOutput + 'a>,
        level: Option<i32>,
        threads: usize,
        reusable: Option<Reusable>,
    ) -> io::Result<Self> {
        Ok(match codec {
            Codec::Zstd => Self::Frames(Box::new(FrameEncoder {
                frames: seekable_encoder(output, level, threads)?,
                directory: DirectoryWriter::default(),
                name: encoder_name(level),
                segment: None,
                reusable,
            })),
            _ => Self::Stream(encoder(codec, output, level, threads)?),
        })
    }

    /// Bytes that were copied from the earlier archive.
    pub(super) fn reused_bytes(&self) -> u64 {
        match self {
            Self::Frames(encoder) => encoder.frames.copied_bytes(),
            Self::Stream(_) => 0,
        }
    }

    /// Number of damaged segments of the earlier archive.
    pub(super) fn damaged(&self) -> u64 {
        match self {
            Self::Frames(encoder) => encoder.reusable.as_ref().map_or(0, Reusable::damaged),
            Self::Stream(_) => 0,
        }
    }

    /// Writes what comes first after the tar: `names` gives the content of the frame of names, if there is to be one, for an
    /// archive that has so many bytes.
    pub(super) fn add_names(
        &mut self,
        names: impl FnOnce(u64) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<()> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Frames(encoder) => encoder.add_names(names),
        }
    }

    /// Writes what else comes after the tar; the archive is complete then.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Stream(encoder) => encoder.finish(),
            Self::Frames(encoder) => encoder.finish(),
        }
    }
}

impl<W: FrameOutput> FrameEncoder<W> {
    fn begin(&mut self, entry: Begun) -> io::Result<()> {
        if self.segment.as_ref().is_some_and(|segment| segment.ends_before(&entry)) {
            self.end_segment()?;
        }
        match &mut self.segment {
            Some(segment) => segment.last = entry,
            None => self.segment = Some(Segment::new(entry)),
        }
        Ok(())
    }

    /// The zeros that end the tar get a frame of their own, which readers take for a part of the last segment.
    fn begin_end(&mut self) -> io::Result<()> {
        self.end_segment()?;
        let path = self.directory.last_frame().cloned();
        let last = Begun { path, ..Begun::manifest() };
        self.segment = Some(Segment { last, frames: 0, frame_bytes: 0, made_of: None });
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.end_frame()?;
        if let Some(segment) = self.segment.take() {
            self.directory.end_segment(segment.made_of());
        }
        Ok(())
    }

    /// Ends the frame. Of a large entry that has changed, the earlier archive may have it.
    fn end_frame(&mut self) -> io::Result<()> {
        let Self { frames, segment: Some(segment), reusable, .. } = self else { return Ok(()) };
        let path = segment.last.path.as_ref().filter(|_| segment.last.is_large);
        frames.end_frame_as(|bytes| reusable.as_ref()?.piece(path?, segment.frames, bytes))?;
        segment.frames += 1;
        segment.frame_bytes = 0;
        Ok(())
    }

    fn add_names(
        &mut self,
        names: impl FnOnce(u64) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<()> {
        self.end_segment()?;
        if let Some(content) = names(self.frames.complete()?)? {
            self.frames.skippable(names::NUMBER, &content)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.end_segment()?;
        let (number, content) = self.directory.finish(&self.name, self.frames.checksums())?;
        self.frames.skippable(number, &content)?;
        self.frames.finish()
    }

    /// See [`TarOutput::reuse`].
    fn reuse(&mut self, next: Next<'_>) -> io::Result<Option<Reused>> {
        if self.reusable.is_none() {
            return Ok(None);
        }
        let Some(Some(first)) = next.next() else { return Ok(None) };
        let begun = Begun::new(&first.name, &first.entry);
        if self.segment.as_ref().is_some_and(|segment| !segment.ends_before(&begun)) {
            return Ok(None);
        }
        let path = begun.path.clone();
        let Some((reused, Some(made_of))) = upcoming_segment(first, begun, next) else {
            return Ok(None);
        };
        self.end_segment()?;
        let Self { frames, directory, reusable: Some(reusable), .. } = self else {
            return Ok(None);
        };
        let is_copied = reusable.copy(&made_of, &mut |stored| {
            directory.frame(path.clone());
            frames.copy(stored)
        })?;
        if !is_copied {
            return Ok(None);
        }
        directory.end_segment(Some(made_of));
        Ok(Some(reused))
    }
}

/// The segment that begins with the entry `first`, and what it is made of; `None` if that is not known.
fn upcoming_segment(
    first: Upcoming,
    begun: Begun,
    next: Next<'_>,
) -> Option<(Reused, Option<Digest>)> {
    let mut segment = Segment::new(begun);
    let mut found = Reused::default();
    let mut upcoming = first;
    loop {
        let Upcoming { name, entry } = &upcoming;
        let head = Head::new(name, entry);
        segment.consists_of(&head.bytes);
        if let Kind::File { .. } = entry.kind {
            segment.consists_of(entry.sha256?.as_bytes());
        }
        segment.frame_bytes += head.tar_bytes();
        segment.last.bytes = head.tar_bytes();
        found.entries += 1;
        found.tar_bytes += head.tar_bytes();
        match next.next() {
            None => return Some((found, segment.made_of())),
            Some(item) => upcoming = item?,
        }
        let begun = Begun::new(&upcoming.name, &upcoming.entry);
        if segment.ends_before(&begun) {
            return Some((found, segment.made_of()));
        }
        segment.last = begun;
    }
}

impl<W: FrameOutput> Write for FrameEncoder<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let Some(segment) = self.segment.as_mut().filter(|_| !buffer.is_empty()) else {
            return Ok(0);
        };
        if segment.frame_bytes == 0 {
            self.directory.frame(segment.last.path.clone());
        }
        let is_large = segment.last.is_large;
        let room = if is_large { PIECE_BYTES - segment.frame_bytes } else { u64::MAX };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.frames.write(&buffer[..room])?;
        segment.frame_bytes += count as u64;
        segment.last.bytes += count as u64;
        if is_large && segment.frame_bytes == PIECE_BYTES {
            self.end_frame()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.frames.flush()
    }
}

impl Write for ArchiveEncoder<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Frames(encoder) => encoder.write(buffer),
            Self::Stream(encoder) => encoder.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Frames(encoder) => encoder.flush(),
            Self::Stream(encoder) => encoder.flush(),
        }
    }
}

impl TarOutput for ArchiveEncoder<'_> {
    fn announce(&mut self, name: &[u8], entry: &Entry, head: &[u8]) -> io::Result<()> {
        let Self::Frames(encoder) = self else { return Ok(()) };
        encoder.begin(Begun::new(name, entry))?;
        if let Some(segment) = &mut encoder.segment {
            segment.consists_of(head);
        }
        Ok(())
    }

    fn digested(&mut self, sha256: &Digest) {
        if let Self::Frames(encoder) = self
            && let Some(segment) = &mut encoder.segment
        {
            segment.consists_of(sha256.as_bytes());
        }
    }

    fn reuse(&mut self, next: Next<'_>) -> io::Result<Option<Reused>> {
        match self {
            Self::Frames(encoder) => encoder.reuse(next),
            Self::Stream(_) => Ok(None),
        }
    }

    fn announce_end(&mut self) -> io::Result<()> {
        match self {
            Self::Frames(encoder) => encoder.begin_end(),
            Self::Stream(_) => Ok(()),
        }
    }
}
