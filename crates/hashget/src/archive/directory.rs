//! The directory of an archive: with which entry each frame begins, and how its frames are read by themselves.
//!
//! Invariant: it only helps to find an entry. Whatever it says, what is read there is checked like anything else of the
//! archive.

mod document;

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;

use document::Document;

use super::names;
use super::stream::{TarStream, tar_of_archive};
use crate::codec::seek_table::{Frame, ReadAt, has_damaged_end, seek_table, skippable_frame};
use crate::codec::seekable::{FILLING, LONGEST_FILLING};
use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::{Digest, RelPath};
use crate::storage::{ArchiveSource, RandomRead};

/// Zeros that end a tar, in bytes.
const END_OF_TAR: u64 = 1024;
/// Tells its skippable frame from others.
const NUMBER: u8 = 7;
/// Bytes that a frame may have, and decode to; those of `pack` have much fewer. An archive with larger ones is read in order.
const MOST_FRAME_BYTES: u32 = 64 << 20;

/// Collects the directory of an archive that is being written.
#[derive(Debug, Default)]
pub(crate) struct DirectoryWriter {
    frames: Vec<Option<RelPath>>,
    made_of: Vec<Option<Digest>>,
}

impl DirectoryWriter {
    /// The next frame begins with the header of this entry, or within it; `None` is the manifest.
    pub(crate) fn frame(&mut self, entry: Option<RelPath>) {
        self.frames.push(entry);
    }

    /// What the last frame begins with.
    pub(crate) fn last_frame(&self) -> Option<&RelPath> {
        self.frames.last()?.as_ref()
    }

    /// The frames since the last call are a segment, which was made of what has this digest.
    pub(crate) fn end_segment(&mut self, made_of: Option<Digest>) {
        if self.made_of.len() < self.frames.len() {
            self.made_of.push(made_of);
            self.made_of.resize(self.frames.len(), None);
        }
    }

    /// The number and content of the skippable frame, for frames with these checksums.
    ///
    /// # Errors
    /// zstd failed: out of memory.
    pub(crate) fn finish(self, encoder: &str, checksums: &[u64]) -> io::Result<(u8, Vec<u8>)> {
        let checksums = checksums.iter().map(|checksum| written_checksum(*checksum)).collect();
        let document = Document::new(self.frames, encoder, self.made_of, checksums);
        Ok((NUMBER, document.to_bytes()?))
    }
}

/// A checksum of a frame, as the directory has it.
fn written_checksum(checksum: u64) -> String {
    format!("{checksum:016x}")
}

/// The checksum of a frame, if the text is one.
pub(super) fn parsed_checksum(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok().filter(|checksum| written_checksum(*checksum) == text)
}

/// The frames of an archive that can be decoded alone, and the entries that they begin with.
pub(crate) struct Directory<'a> {
    archive: &'a dyn RandomRead,
    frames: Vec<(Frame, Option<RelPath>)>,
    /// Frames behind the tar that decoders skip.
    behind: Vec<Frame>,
    limits: Limits,
    /// Did the disk or the network fail?
    failed: Cell<bool>,
    /// Did a frame decode to another length than the seek table says?
    wrong_length: Cell<bool>,
}

/// Frames that hold whole entries, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment(pub(crate) Range<usize>);

impl<'a> Directory<'a> {
    /// Reads the directory at the end of an archive; `None` if there is none of a version that is known, or it cannot be
    /// read: then the archive is read in order.
    pub(crate) fn open(archive: &'a dyn ArchiveSource, limits: &Limits) -> Option<Self> {
        let (random, size) = (archive.random()?, archive.size()?);
        let (frames, mut behind, document) = read(random, size, limits).ok().flatten()?;
        // What fills up between frames has nothing.
        behind.retain(|frame| frames.last().is_none_or(|last| frame.start > last.start));
        let frames = frames.into_iter().zip(document.frames).collect();
        let limits = Limits { unpacked_bytes: u64::MAX, ..limits.clone() };
        let (failed, wrong_length) = Default::default();
        Some(Self { archive: random, frames, behind, limits, failed, wrong_length })
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

    /// Where the first entry of the tree begins, behind the manifest and the restorer; `None` if there is no entry.
    pub(crate) fn end_of_head(&self) -> Option<u64> {
        let mut entries = self.frames.iter().filter(|(_, entry)| entry.is_some());
        entries.next().map(|(frame, _)| frame.start)
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

    /// Reads the content of the skippable frame behind the tar with this number, if there is one.
    ///
    /// # Errors
    /// Reading failed, and those of `read`.
    pub(crate) fn skippable<T>(
        &self,
        number: u8,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let read_at: ReadAt<'_> = &|buffer, first| self.archive.read_at(buffer, first);
        for frame in &self.behind {
            match skippable_frame(read_at, frame)? {
                Some((found, mut content)) if found == number => {
                    return read(&mut content).map(Some);
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// All frames that have something, in order.
    pub(crate) fn into_frames(self) -> Vec<Frame> {
        self.frames.into_iter().map(|(frame, _)| frame).collect()
    }

    /// Did a frame decode to another length than the seek table says? No entry depends on that.
    pub(crate) fn has_wrong_length(&self) -> bool {
        self.wrong_length.get()
    }

    /// Did the disk or the network fail? Then what could not be read is not damaged.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.get()
    }
}

/// Frames, those that decoders skip, and what the directory says.
type Frames = (Vec<Frame>, Vec<Frame>, Document);

/// The frames that the seek table and the directory name; `None` if there is no directory of a version that is known.
pub(super) fn read(
    archive: &dyn RandomRead,
    size: u64,
    limits: &Limits,
) -> io::Result<Option<Frames>> {
    let read_at: ReadAt<'_> = &|buffer, first| archive.read_at(buffer, first);
    let Some(mut frames) = seek_table(read_at, size)? else { return Ok(None) };
    let Some(last) = frames.pop() else { return Ok(None) };
    let Some((NUMBER, content)) = skippable_frame(read_at, &last)? else { return Ok(None) };
    let (skippable, frames): (Vec<_>, Vec<_>) = frames.into_iter().partition(Frame::is_skippable);
    let document = Document::read(content, frames.len(), limits)?;
    if !document.is_known() {
        return Ok(None);
    }
    if frames.len() != document.frames.len() || !last.is_skippable() {
        return wrong("the directory has other frames than the seek table");
    }
    let is_small =
        |frame: &Frame| frame.lengths.decoded.max(frame.lengths.compressed) <= MOST_FRAME_BYTES;
    if !frames.iter().all(is_small) {
        return wrong("the seek table has a frame that is too long");
    }
    Ok(Some((frames, skippable, document)))
}

/// What is wrong with that of an archive on which no file depends: frames that decoders skip, and the end of the seek table;
/// `None` if nothing is, or there are none.
pub(crate) fn damage_beside_entries(
    archive: &dyn ArchiveSource,
    limits: &Limits,
) -> Option<io::Error> {
    let (random, size) = (archive.random()?, archive.size()?);
    let read_at: ReadAt<'_> = &|buffer, first| random.read_at(buffer, first);
    let looked = || match seek_table(read_at, size)? {
        Some(_) => match read(random, size, limits)? {
            Some((_, skippable, _)) => {
                skippable.iter().try_for_each(|frame| check_skippable(read_at, frame, limits))
            }
            None => Ok(()),
        },
        None if has_damaged_end(read_at, size)? => wrong("the end of the seek table is damaged"),
        None => Ok(()),
    };
    let is_damage = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
    };
    looked().err().filter(is_damage)
}

fn wrong<T>(what: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()))
}

fn check_skippable(read_at: ReadAt<'_>, frame: &Frame, limits: &Limits) -> io::Result<()> {
    match skippable_frame(read_at, frame)? {
        Some((names::NUMBER, content)) => names::check(content, limits),
        Some((FILLING, _)) if frame.lengths.compressed > LONGEST_FILLING => {
            wrong("the filling is too long")
        }
        Some((FILLING, content)) => match content.bytes().find(|byte| !matches!(byte, Ok(0))) {
            Some(byte) => byte.and_then(|_| wrong("the filling is not zeros")),
            None => Ok(()),
        },
        // A later version may have others.
        _ => Ok(()),
    }
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
        let Directory { archive, failed, wrong_length, limits, .. } = self.directory;
        let bytes = frame_bytes(*archive, frame).inspect_err(|_| failed.set(true))?;
        (self.progress)(u64::from(frame.lengths.compressed));
        let decoded = decoded(&bytes, limits)?;
        if decoded.len() as u64 != u64::from(frame.lengths.decoded) {
            wrong_length.set(true);
        }
        Ok(decoded)
    }
}

/// The bytes of a frame; fewer if the archive ends within it.
///
/// # Errors
/// The disk or the network failed.
pub(crate) fn frame_bytes(archive: &dyn RandomRead, frame: &Frame) -> io::Result<Vec<u8>> {
    let length = usize::try_from(frame.lengths.compressed).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = archive.read_at(&mut bytes, frame.start)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// What the bytes of a frame decode to.
///
/// # Errors
/// It is damaged. Its checksum proves it, whatever the seek table says of its length.
pub(crate) fn decoded(frame: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
    let decoder = decoder(Codec::Zstd, Box::new(frame), limits, 1)?;
    let mut decoded = Vec::new();
    decoder.take(u64::from(MOST_FRAME_BYTES)).read_to_end(&mut decoded)?;
    decoded.shrink_to_fit();
    Ok(decoded)
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
            // Two frames are never held.
            self.current = io::Cursor::default();
            self.current = io::Cursor::new(self.decode(frame)?);
        }
    }
}
