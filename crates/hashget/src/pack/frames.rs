//! Where the frames of an archive end, and what its directory says of them.
//!
//! Invariant: where a frame ends depends on the entries in it, not on those before it, so that an entry that is new
//! changes few frames. A frame begins with the header of an entry, or within a large entry that it has alone.

use std::io::{self, Write};

use super::tar_writer::TarOutput;
use crate::archive::directory::DirectoryWriter;
use crate::archive::names;
use crate::codec::seekable::SeekableWriter;
use crate::codec::{Codec, Encoder, encoder, seekable_encoder};
use crate::model::manifest::MANIFEST_NAME;
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
    Frames(FrameEncoder<Box<dyn Write + 'a>>),
    /// Into one stream: the codec has no frames.
    Stream(Box<dyn Encoder + 'a>),
}

/// Compresses an archive into frames.
pub(super) struct FrameEncoder<W> {
    frames: SeekableWriter<W>,
    directory: DirectoryWriter,
    entry: Begun,
    frame_bytes: u64,
}

/// The entry that is being written.
#[derive(Default)]
struct Begun {
    /// `None` for the manifest.
    path: Option<RelPath>,
    bytes: u64,
    is_large: bool,
}

impl Begun {
    fn new(name: &[u8], entry: &Entry) -> Self {
        let is_manifest = name == MANIFEST_NAME.as_bytes();
        let contents = match (&entry.extents, &entry.kind) {
            (Some(extents), _) => extents.iter().map(|extent| extent.length).sum(),
            (None, Kind::File { size }) => *size,
            (None, _) => 0,
        };
        let attributes = entry.metadata.xattrs.values().map(|value| value.len() as u64);
        let is_large = is_manifest || attributes.fold(contents, u64::saturating_add) >= LARGE_BYTES;
        let path = (!is_manifest).then(|| entry.path.clone());
        Self { path, bytes: 0, is_large }
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

impl<'a> ArchiveEncoder<'a> {
    /// Writes an archive into `output`; see [`encoder`].
    pub(super) fn new(
        codec: Codec,
        output: Box<dyn Write + 'a>,
        level: Option<i32>,
        threads: usize,
    ) -> io::Result<Self> {
        Ok(match codec {
            Codec::Zstd => Self::Frames(FrameEncoder {
                frames: seekable_encoder(output, level, threads)?,
                directory: DirectoryWriter::default(),
                entry: Begun::default(),
                frame_bytes: 0,
            }),
            _ => Self::Stream(encoder(codec, output, level, threads)?),
        })
    }

    /// Writes what comes after the tar; the archive is complete then. `names` gives the content of the frame of names, if
    /// there is to be one, for an archive that has so many bytes.
    pub(super) fn finish(
        self,
        names: impl FnOnce(u64) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<()> {
        match self {
            Self::Stream(encoder) => encoder.finish(),
            Self::Frames(encoder) => encoder.finish(names),
        }
    }
}

impl<W: Write> FrameEncoder<W> {
    fn begin(&mut self, entry: Begun) -> io::Result<()> {
        let ended = std::mem::replace(&mut self.entry, entry);
        let ends = self.entry.is_large || ended.is_last_of_frame();
        if ends || self.frame_bytes >= MOST_BYTES { self.end_frame() } else { Ok(()) }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.frame_bytes = 0;
        self.frames.end_frame()
    }

    fn finish(mut self, names: impl FnOnce(u64) -> io::Result<Option<Vec<u8>>>) -> io::Result<()> {
        if let Some(content) = names(self.frames.complete()?)? {
            self.frames.skippable(names::NUMBER, &content)?;
        }
        let (number, content) = self.directory.finish()?;
        self.frames.skippable(number, &content)?;
        self.frames.finish()
    }
}

impl<W: Write> Write for FrameEncoder<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.frame_bytes == 0 {
            self.directory.frame(self.entry.path.clone());
        }
        let room = if self.entry.is_large { PIECE_BYTES - self.frame_bytes } else { u64::MAX };
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.frames.write(&buffer[..room])?;
        self.frame_bytes += count as u64;
        self.entry.bytes += count as u64;
        if self.entry.is_large && self.frame_bytes == PIECE_BYTES {
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
    fn announce(&mut self, name: &[u8], entry: &Entry) -> io::Result<()> {
        match self {
            Self::Frames(encoder) => encoder.begin(Begun::new(name, entry)),
            Self::Stream(_) => Ok(()),
        }
    }
}
