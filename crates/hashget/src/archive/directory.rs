//! The directory of an archive: with which entry each frame begins, and how its frames are read by themselves.
//!
//! Invariant: it only helps to find an entry. Whatever it says, what is read there is checked like anything else of the
//! archive.

use std::cell::Cell;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::stream::{TarStream, tar_of_archive};
use crate::codec::seek_table::{Frame, ReadAt, seek_table, skippable_content};
use crate::codec::{Codec, decoder};
use crate::limits::Limits;
use crate::model::RelPath;
use crate::model::manifest::MANIFEST_NAME;
use crate::storage::{ArchiveSource, RandomRead};

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
    limits: Limits,
    /// The frame that was read last.
    position: Cell<usize>,
}

impl<'a> Directory<'a> {
    /// Reads the directory at the end of an archive; `None` if there is none of a version that is known, or it cannot be
    /// read: then the archive is read in order.
    pub(crate) fn open(archive: &'a dyn ArchiveSource, limits: &Limits) -> Option<Self> {
        let (random, size) = (archive.random()?, archive.size()?);
        let frames = read(random, size, limits).ok().flatten()?;
        let limits = Limits { unpacked_bytes: u64::MAX, ..limits.clone() };
        Some(Self { archive: random, frames, limits, position: Cell::new(0) })
    }

    /// The tar from the header on that `frame` begins with. `progress` is told how many bytes of the archive were read.
    pub(crate) fn tar_from<'d>(&'d self, frame: usize, progress: &'d dyn Fn(u64)) -> TarStream<'d> {
        let reader =
            FrameReader { directory: self, next: frame, current: io::Cursor::default(), progress };
        tar_of_archive(Box::new(reader), &self.limits)
    }

    /// The next frame after the one that was read last that begins with the header of an entry.
    pub(crate) fn next_entry(&self) -> Option<usize> {
        (self.position.get() + 1..self.frames.len())
            .find(|&frame| self.frames[frame].1 != self.frames[frame - 1].1)
    }

    /// What `frame` begins with, as a person calls it.
    pub(crate) fn name(&self, frame: usize) -> String {
        match &self.frames[frame].1 {
            None => MANIFEST_NAME.to_owned(),
            Some(path) => path.to_string(),
        }
    }

    /// The frame that was read last.
    pub(crate) fn position(&self) -> usize {
        self.position.get()
    }
}

/// The frames that the seek table and the directory name.
fn read(
    archive: &dyn RandomRead,
    size: u64,
    limits: &Limits,
) -> io::Result<Option<Vec<(Frame, Option<RelPath>)>>> {
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
    frames.retain(|frame| !frame.is_skippable());
    let is_known = document.format == FORMAT && document.version == VERSION;
    let is_small = |frame: &Frame| u64::from(frame.lengths.decoded) <= MOST_DECODED_BYTES;
    let is_usable =
        is_known && frames.len() == document.frames.len() && frames.iter().all(is_small);
    Ok(is_usable.then(|| frames.into_iter().zip(document.frames).collect()))
}

/// Decodes one frame after the other. Nothing of a damaged one comes out.
struct FrameReader<'d> {
    directory: &'d Directory<'d>,
    next: usize,
    current: io::Cursor<Vec<u8>>,
    progress: &'d dyn Fn(u64),
}

impl FrameReader<'_> {
    fn decode(&self, frame: &Frame) -> io::Result<Vec<u8>> {
        let Frame { start, lengths, .. } = *frame;
        let end = start + u64::from(lengths.compressed);
        let archive = self.directory.archive;
        let bytes = Section { archive, next: start, end, progress: self.progress };
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
            let Some((frame, _)) = self.directory.frames.get(self.next) else { return Ok(count) };
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.directory.position.set(self.next);
            self.next += 1;
            self.current = io::Cursor::new(self.decode(frame)?);
        }
    }
}

/// Some bytes of the archive.
struct Section<'d> {
    archive: &'d dyn RandomRead,
    next: u64,
    end: u64,
    progress: &'d dyn Fn(u64),
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = self.archive.read_at(&mut buffer[..room], self.next)?;
        self.next += count as u64;
        (self.progress)(count as u64);
        Ok(count)
    }
}
