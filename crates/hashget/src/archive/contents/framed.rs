//! The archive's own files, read by the frames that hold them.
//!
//! Invariant: only frames that have something of what is read are decoded, and those of a segment once to find its files. A few decoded ones are
//! kept.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::tree::{ArchiveTree, NodeId};
use super::failure::ContentsError;
use super::holes::read_part;
use crate::archive::ArchiveError;
use crate::archive::directory::{Directory, decoded, frame_bytes};
use crate::archive::stream::tar_of_archive;
use crate::codec::seek_table::Frame;
use crate::formats::tar::RawKind;
use crate::limits::Limits;
use crate::model::manifest::Renamed;
use crate::model::{Extent, Kind, RelPath};
use crate::storage::{ArchiveSource, RandomRead};

/// Decoded frames are kept up to so many bytes.
const KEPT_BYTES: usize = 48 << 20;

/// Of a segment up to this size all files are found at once; in a larger one lies a large file.
const SMALL_SEGMENT: u64 = 16 << 20;

/// Frames are decoded by several threads at once, but never the same one twice at once.
const AT_ONCE: usize = 16;

/// What messages call the archive.
pub(super) const ARCHIVE: &str = "the archive";

/// An archive of frames.
pub(super) struct Framed {
    frames: Vec<Frame>,
    /// The frames that hold whole entries, each with the path of the first of these: those of the manifest are left out.
    segments: Vec<(RelPath, Range<usize>)>,
    /// Where what each frame decodes to begins in the tar; one more at the end.
    starts: Vec<u64>,
    renamed: Vec<Renamed>,
    limits: Limits,
    kept: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
    located: Mutex<HashMap<NodeId, Location>>,
    /// Each is held while a frame of its numbers is decoded.
    decoding: [Mutex<()>; AT_ONCE],
}

/// Where the contents of a file lie in the tar.
#[derive(Debug, Clone)]
struct Location {
    start: u64,
    /// Of a file with holes: where its data goes.
    extents: Option<Arc<[Extent]>>,
}

impl Framed {
    /// `None` if the archive has no frames that can be read by themselves.
    pub(super) fn open(
        archive: &dyn ArchiveSource,
        renamed: &[Renamed],
        limits: &Limits,
    ) -> Option<Self> {
        let directory = Directory::open(archive, limits)?;
        let segments = directory
            .segments()
            .filter_map(|segment| Some((directory.first_entry(&segment)?.clone(), segment.0)));
        let segments = segments.collect();
        let frames = directory.into_frames();
        let mut starts = vec![0];
        for frame in &frames {
            starts.push(starts[starts.len() - 1] + u64::from(frame.lengths.decoded));
        }
        Some(Self {
            frames,
            segments,
            starts,
            renamed: renamed.to_vec(),
            limits: Limits { unpacked_bytes: u64::MAX, ..limits.clone() },
            kept: Mutex::default(),
            located: Mutex::default(),
            decoding: Default::default(),
        })
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<Vec<u8>>)>> {
        self.kept.lock().expect("no holder of this lock panics")
    }

    /// What a frame decodes to, if that is known.
    fn known(&self, frame: usize) -> Option<Arc<Vec<u8>>> {
        let mut kept = self.kept();
        let at = kept.iter().position(|(number, _)| *number == frame)?;
        let found = kept.remove(at)?;
        let bytes = Arc::clone(&found.1);
        kept.push_back(found);
        Some(bytes)
    }

    fn frame(
        &self,
        archive: &dyn RandomRead,
        number: usize,
    ) -> Result<Arc<Vec<u8>>, ContentsError> {
        let decoding = self.decoding[number % AT_ONCE].lock();
        let _alone = decoding.expect("no holder of this lock panics");
        if let Some(bytes) = self.known(number) {
            return Ok(bytes);
        }
        let frame = &self.frames[number];
        let stored = frame_bytes(archive, frame)
            .map_err(|error| ContentsError::Archive(ArchiveError::Read { error }))?;
        let bytes =
            decoded(&stored, &self.limits).map_err(|error| ContentsError::Frame { error })?;
        if bytes.len() as u64 != u64::from(frame.lengths.decoded) {
            let error = io::Error::new(io::ErrorKind::InvalidData, "a frame has another length");
            return Err(ContentsError::Frame { error });
        }
        let bytes = Arc::new(bytes);
        let mut kept = self.kept();
        kept.push_back((number, Arc::clone(&bytes)));
        let mut all: usize = kept.iter().map(|(_, bytes)| bytes.len()).sum();
        while all > KEPT_BYTES && kept.len() > 1 {
            all -= kept.pop_front().map_or(0, |(_, bytes)| bytes.len());
        }
        Ok(bytes)
    }

    /// The frame that has this byte of the tar.
    fn frame_of(&self, position: u64) -> Option<usize> {
        let frame = self.starts.partition_point(|&start| start <= position).checked_sub(1)?;
        (frame < self.frames.len()).then_some(frame)
    }

    /// Fills the buffer with bytes of the tar; `get` gives decoded frames.
    fn fill<E: From<ContentsError>>(
        &self,
        buffer: &mut [u8],
        first: u64,
        get: &dyn Fn(usize) -> Result<Arc<Vec<u8>>, E>,
    ) -> Result<(), E> {
        let mut filled = 0;
        while filled < buffer.len() {
            let position = first.saturating_add(filled as u64);
            let ends_early = || ContentsError::Frame { error: io::ErrorKind::UnexpectedEof.into() };
            let frame = self.frame_of(position).ok_or_else(ends_early)?;
            let bytes = get(frame)?;
            let within = usize::try_from(position - self.starts[frame]).unwrap_or(usize::MAX);
            let rest = bytes.get(within..).unwrap_or_default();
            let count = rest.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
        }
        Ok(())
    }

    /// Reads a part of a file that lies at `location`.
    fn read_at<E: From<ContentsError>>(
        &self,
        location: &Location,
        part: &Range<u64>,
        get: &dyn Fn(usize) -> Result<Arc<Vec<u8>>, E>,
    ) -> Result<Vec<u8>, E> {
        let fill = &mut |buffer: &mut [u8], first| self.fill(buffer, first, get);
        read_part(location.start, location.extents.as_deref(), part, fill)
    }

    /// A part of a file, if all that it takes is known already.
    pub(super) fn at_hand(&self, file: NodeId, part: &Range<u64>) -> Option<Vec<u8>> {
        let location = self.located().get(&file).cloned()?;
        let known = |frame: usize| self.known(frame).ok_or(NotAtHand);
        self.read_at(&location, part, &known).ok()
    }

    /// A part of a file.
    pub(super) fn read(
        &self,
        archive: &dyn RandomRead,
        tree: &ArchiveTree,
        file: NodeId,
        part: &Range<u64>,
    ) -> Result<Vec<u8>, ContentsError> {
        let known = self.located().get(&file).cloned();
        let location = match known {
            Some(location) => location,
            None => self.locate(archive, tree, file)?,
        };
        self.read_at(&location, part, &|frame| self.frame(archive, frame))
    }

    fn located(&self) -> MutexGuard<'_, HashMap<NodeId, Location>> {
        self.located.lock().expect("no holder of this lock panics")
    }

    /// Finds where a file lies, and those that lie beside it.
    fn locate(
        &self,
        archive: &dyn RandomRead,
        tree: &ArchiveTree,
        file: NodeId,
    ) -> Result<Location, ContentsError> {
        let missing = || ContentsError::Missing { place: ARCHIVE.to_owned() };
        let segment = self.segment_of(&tree.path(file)).ok_or_else(missing)?;
        let (position, failure) = (Cell::new(self.starts[segment.start]), RefCell::new(None));
        let end = self.starts[segment.end];
        let is_small = end - position.get() <= SMALL_SEGMENT;
        let (framed, position_of) = (self, &position);
        let frames = TarOfFrames { framed, archive, position: position_of, end, failure: &failure };
        let mut tar = tar_of_archive(frames, &self.limits);
        let mut found = None;
        while found.is_none() || is_small {
            let entry = match tar.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    let error = failure.take().unwrap_or(ContentsError::Tar { error });
                    return found.unwrap_or(Err(error));
                }
            };
            let Some(node) =
                path_in_tree(&entry.path, &self.renamed).and_then(|path| tree.find(&path))
            else {
                continue;
            };
            let (RawKind::File { size }, Some(packed)) = (&entry.kind, tree.node(node)) else {
                continue;
            };
            let location = Location {
                start: position.get(),
                extents: entry.extents.as_deref().map(Arc::from),
            };
            let location = if packed.kind == (Kind::File { size: *size }) {
                self.located().insert(node, location.clone());
                Ok(location)
            } else {
                Err(other_size(*size))
            };
            if node == file {
                found = Some(location);
            }
        }
        found.unwrap_or_else(|| Err(missing()))
    }

    /// The frames with the entries among which this path is.
    fn segment_of(&self, path: &RelPath) -> Option<Range<usize>> {
        let after = self.segments.partition_point(|(first, _)| first <= path);
        Some(self.segments[after.checked_sub(1)?].1.clone())
    }
}

/// What the entry of a tar is called in the tree.
pub(super) fn path_in_tree(name: &[u8], renamed: &[Renamed]) -> Option<RelPath> {
    let stored = RelPath::normalise(name).ok()?;
    Some(renamed.iter().find_map(|renamed| renamed.path_in_tree(&stored)).unwrap_or(stored))
}

/// What the archive has of a file is not what its manifest says.
pub(super) fn other_size(bytes: u64) -> ContentsError {
    let what = format!("{bytes} bytes; it changed while it was packed");
    ContentsError::OtherFile { place: ARCHIVE.to_owned(), what }
}

/// Something would have to be read first.
struct NotAtHand;

impl From<ContentsError> for NotAtHand {
    fn from(_: ContentsError) -> Self {
        Self
    }
}

/// Reads the tar from a position on.
struct TarOfFrames<'f> {
    framed: &'f Framed,
    archive: &'f dyn RandomRead,
    position: &'f Cell<u64>,
    end: u64,
    /// Why reading failed: the tar reader would hide it.
    failure: &'f RefCell<Option<ContentsError>>,
}

impl Read for TarOfFrames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let position = self.position.get();
        let left = usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let get = |frame: usize| self.framed.frame(self.archive, frame);
        self.framed.fill(&mut buffer[..count], position, &get).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure.replace(Some(error));
            told
        })?;
        self.position.set(position + count as u64);
        Ok(count)
    }
}
