//! The directory of an archive: with which entry each frame begins, and how its frames are read by themselves.
//!
//! Invariant: it only helps to find an entry. Whatever it says, what is read there is checked like anything else of the
//! archive.

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::stream::{TarStream, tar_of_archive};
use crate::codec::seek_table::{Frame, ReadAt, seek_table, skippable_content};
use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::RelPath;
use crate::storage::{ArchiveSource, RandomRead};

/// Zeros that end a tar, in bytes.
const END_OF_TAR: u64 = 1024;
/// Tells its skippable frame from others.
const NUMBER: u8 = 7;
/// zstd's level for the directory.
const LEVEL: i32 = 19;
/// Bytes that a frame may decode to; those of `pack` have much fewer. An archive with larger ones is read in order.
const MOST_DECODED_BYTES: u64 = 64 << 20;
/// The directories of archives of a petabyte are smaller.
const MOST_BYTES: u64 = 1 << 30;

/// What the skippable frame holds: JSON, compressed with zstd.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    frames: Vec<Option<RelPath>>,
}

const FORMAT: &str = "hashget-directory";
const VERSION: u32 = 1;

/// Collects the directory of an archive that is being written.
#[derive(Debug, Default)]
pub(crate) struct DirectoryWriter {
    frames: Vec<Option<RelPath>>,
}

impl DirectoryWriter {
    /// The next frame begins with the header of this entry, or within it; `None` is the manifest.
    pub(crate) fn frame(&mut self, entry: Option<RelPath>) {
        self.frames.push(entry);
    }

    /// The number and content of the skippable frame.
    ///
    /// # Errors
    /// zstd failed: out of memory.
    pub(crate) fn finish(self) -> io::Result<(u8, Vec<u8>)> {
        let document =
            Document { format: FORMAT.to_owned(), version: VERSION, frames: self.frames };
        let json = serde_json::to_vec(&document)?;
        Ok((NUMBER, zstd::bulk::compress(&json, LEVEL)?))
    }
}

/// The frames of an archive that can be decoded alone, and the entries that they begin with.
pub(crate) struct Directory<'a> {
    archive: &'a dyn RandomRead,
    frames: Vec<(Frame, Option<RelPath>)>,
    /// Frames that decoders skip.
    skippable: Vec<Frame>,
    limits: Limits,
    /// Did the disk or the network fail?
    failed: Cell<bool>,
}

/// Frames that hold whole entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment(Range<usize>);

impl<'a> Directory<'a> {
    /// Reads the directory at the end of an archive; `None` if there is none of a version that is known, or it cannot be
    /// read: then the archive is read in order.
    pub(crate) fn open(archive: &'a dyn ArchiveSource, limits: &Limits) -> Option<Self> {
        let (random, size) = (archive.random()?, archive.size()?);
        let (frames, skippable) = read(random, size, limits).ok().flatten()?;
        let limits = Limits { unpacked_bytes: u64::MAX, ..limits.clone() };
        Some(Self { archive: random, frames, skippable, limits, failed: Cell::new(false) })
    }

    /// All of the archive, in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment> {
        let begins = |&frame: &usize| frame == 0 || self.entry(frame) != self.entry(frame - 1);
        let beginnings = (0..self.frames.len()).filter(begins);
        let ends = (1..self.frames.len()).filter(begins).chain([self.frames.len()]);
        beginnings.zip(ends).map(|(begin, end)| Segment(begin..end))
    }

    fn entry(&self, frame: usize) -> Option<&RelPath> {
        self.frames.get(frame)?.1.as_ref()
    }

    /// The first entry of the segment, by its path in the tree; `None` if it is the manifest.
    pub(crate) fn first_entry(&self, segment: &Segment) -> Option<&RelPath> {
        self.entry(segment.0.start)
    }

    /// The first entry after the segment; `None` if there is none but perhaps a manifest.
    pub(crate) fn entry_after(&self, segment: &Segment) -> Option<&RelPath> {
        self.entry(segment.0.end)
    }

    /// The entries of the segment. `progress` is told how many bytes of the archive were read.
    pub(crate) fn tar<'d>(&'d self, segment: &Segment, progress: &'d dyn Fn(u64)) -> TarStream<'d> {
        let Range { start: next, end } = segment.0;
        let current = io::Cursor::default();
        let frames = FrameReader { directory: self, next, end, current, progress };
        // A tar ends with zeros; the last segment has its own.
        let zeros = if end < self.frames.len() { END_OF_TAR } else { 0 };
        tar_of_archive(Box::new(frames.chain(io::repeat(0).take(zeros))), &self.limits)
    }

    /// The content of the skippable frame with this number, if there is one.
    ///
    /// # Errors
    /// Reading failed.
    pub(crate) fn skippable(&self, number: u8) -> io::Result<Option<Vec<u8>>> {
        let read_at: ReadAt<'_> = &|buffer, first| self.archive.read_at(buffer, first);
        for frame in &self.skippable {
            if let Some(content) = skippable_content(read_at, frame, number)? {
                return Ok(Some(content));
            }
        }
        Ok(None)
    }

    /// Did the disk or the network fail? Then what could not be read is not damaged.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get()
    }
}

/// Frames with what they begin with, and those that decoders skip.
type Frames = (Vec<(Frame, Option<RelPath>)>, Vec<Frame>);

/// The frames that the seek table and the directory name.
fn read(archive: &dyn RandomRead, size: u64, limits: &Limits) -> io::Result<Option<Frames>> {
    let read_at: ReadAt<'_> = &|buffer, first| archive.read_at(buffer, first);
    let Some(mut frames) = seek_table(read_at, size)? else { return Ok(None) };
    let Some(content) = (match frames.pop() {
        Some(last) if last.is_skippable() => skippable_content(read_at, &last, NUMBER)?,
        _ => None,
    }) else {
        return Ok(None);
    };
    let limits = Limits { unpacked_bytes: MOST_BYTES, ..limits.clone() };
    let json = decoder(Codec::Zstd, Box::new(&content[..]), &limits, 1)?;
    let document: Document = serde_json::from_reader(json)?;
    let (skippable, frames): (Vec<_>, Vec<_>) = frames.into_iter().partition(Frame::is_skippable);
    let is_known = document.format == FORMAT && document.version == VERSION;
    let is_small = |frame: &Frame| u64::from(frame.lengths.decoded) <= MOST_DECODED_BYTES;
    let is_usable =
        is_known && frames.len() == document.frames.len() && frames.iter().all(is_small);
    Ok(is_usable.then(|| (frames.into_iter().zip(document.frames).collect(), skippable)))
}

/// Decodes one frame after the other. Nothing of a damaged one comes out.
struct FrameReader<'d> {
    directory: &'d Directory<'d>,
    next: usize,
    end: usize,
    current: io::Cursor<Vec<u8>>,
    progress: &'d dyn Fn(u64),
}

impl FrameReader<'_> {
    fn decode(&self, frame: &Frame) -> io::Result<Vec<u8>> {
        let Frame { start, lengths, .. } = *frame;
        let end = start + u64::from(lengths.compressed);
        let (directory, progress) = (self.directory, self.progress);
        let bytes = Section { directory, next: start, end, progress };
        let mut decoder = decoder(Codec::Zstd, Box::new(bytes), &self.directory.limits, 1)?;
        let mut decoded = Vec::new();
        decoder.by_ref().take(MOST_DECODED_BYTES + 1).read_to_end(&mut decoded)?;
        match decoded.len() as u64 == u64::from(lengths.decoded) {
            true => Ok(decoded),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a frame is not as long as the seek table says",
            )),
        }
    }
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 || buffer.is_empty() || self.next == self.end {
                return Ok(count);
            }
            let (frame, _) = &self.directory.frames[self.next];
            self.next += 1;
            self.current = io::Cursor::new(self.decode(frame)?);
        }
    }
}

/// Some bytes of the archive.
struct Section<'d> {
    directory: &'d Directory<'d>,
    next: u64,
    end: u64,
    progress: &'d dyn Fn(u64),
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let Directory { archive, failed, .. } = self.directory;
        let read = archive.read_at(&mut buffer[..room], self.next);
        let count = read.inspect_err(|_| failed.set(true))?;
        self.next += count as u64;
        (self.progress)(count as u64);
        Ok(count)
    }
}
