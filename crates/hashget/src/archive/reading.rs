//! One pass over an archive: its manifest and its own entries, in the order in which they are stored.
//!
//! Invariant: nothing is written and nothing is believed. Names that leave the tree are reported and never passed on, and an
//! archive that does not reach its end is an error.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::directory::Directory;
use super::stream::{self, TarStream};
use super::{ArchiveError, manifest_path, read_manifest_text};
use crate::formats::tar::{RawKind, TarEntry};
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, RESTORER_NAME, is_of_rests, rest_number};
use crate::model::{Extent, Kind, MemberMetadata, RelPath, escaped};
use crate::monitor::{Monitor, ProblemKind, Step, Total};
use crate::storage::ArchiveSource;
use crate::wording::one_line;

/// One of the archive's own entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its path in the archive. In the tree it may have another one: see [`Manifest::renamed`](crate::model::manifest::Manifest).
    pub path: RelPath,
    /// What it is. A hard link names an earlier entry of the archive.
    pub kind: Kind,
    /// Its metadata, as the tar has it.
    pub metadata: MemberMetadata,
    /// Where the data lies in a file with holes.
    pub extents: Option<Vec<Extent>>,
}

/// What an archive's parts are passed to.
pub trait ArchiveVisitor {
    /// Why it stops reading.
    type Error: From<ArchiveError>;

    /// What is read is a manifest alone, without an archive around it.
    fn is_manifest_alone(&mut self) {}

    /// Receives a manifest. An archive may have two: then the last one counts.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn manifest(&mut self, manifest: AnyManifest) -> Result<ControlFlow<()>, Self::Error>;

    /// Does it want the entry that is stored under this path? What it does not want may be skipped without being read.
    fn wants(&mut self, path: &RelPath) -> bool {
        let _ = path;
        true
    }

    /// May it want an entry whose path in the tree is `first` or comes after it, and before `next`, if there is one? Where it
    /// wants none, the archive is not read if that is possible.
    fn wants_between(&mut self, first: &RelPath, next: Option<&RelPath>) -> bool {
        let _ = (first, next);
        true
    }

    /// Receives an entry that it wants. `content` gives the data of a regular file, without its holes. What is left unread
    /// is skipped.
    ///
    /// # Errors
    /// Any error stops the reading. One of `content` is passed on as [`ArchiveError::Read`].
    fn entry(
        &mut self,
        entry: StoredEntry,
        content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, Self::Error>;

    /// Receives the rest with this number, of a file that is made of pieces. What is left unread is skipped.
    ///
    /// # Errors
    /// Any error stops the reading. One of `content` is passed on as [`ArchiveError::Read`].
    fn rest(&mut self, number: u32, content: &mut dyn Read) -> Result<(), Self::Error> {
        let _ = (number, content);
        Ok(())
    }

    /// Is told that frames of the archive are damaged: the entries from `first` on, and before `next`, may be missing. Is the
    /// rest to be read? Otherwise the damage is an error.
    fn goes_on(&mut self, first: &RelPath, next: Option<&RelPath>, problem: &str) -> bool {
        let _ = (first, next, problem);
        false
    }

    /// Is told that the seek table says another length of a frame than it has. No entry depends on that.
    fn wrong_length(&mut self) {}

    /// Receives the name of an entry that no archive of ours has, safe for a terminal, and what is wrong with it.
    fn refused(&mut self, name: &str, reason: &str) {
        let _ = (name, reason);
    }
}

/// Reads an archive (of any compression), or what is a manifest itself, from where it stands until `visitor` has enough.
///
/// # Errors
/// See [`ArchiveError`]; and what the visitor stops with.
pub fn read_archive<V: ArchiveVisitor>(
    archive: &mut dyn ArchiveSource,
    name: &str,
    limits: &Limits,
    visitor: &mut V,
    monitor: &dyn Monitor,
) -> Result<(), V::Error> {
    let total = Total { bytes: archive.size(), things: None };
    let progress = monitor.begin(Step::Read, escaped(name.as_bytes()), total);
    let passed = |bytes| progress.advance(bytes, 0);
    let reading = Reading {
        limits,
        visitor,
        monitor,
        name,
        last: None,
        has_restorer: false,
        has_pieces: false,
    };
    let (outcome, has_failed) = match Directory::open(archive, limits) {
        Some(directory) => (reading.read_segments(&directory, &passed), directory.has_failed()),
        None => {
            let mut watched = Watched { archive, failed: false, monitor, passed: &passed };
            (reading.read(&mut watched), watched.failed)
        }
    };
    match outcome {
        // What the disk or the network did is no damage.
        Err(Stop::Damage { error, .. }) if has_failed => Err(ArchiveError::Read { error }.into()),
        Err(Stop::Damage { after, error }) => {
            monitor.check_interrupted().map_err(ArchiveError::from)?;
            let after = after.map_or("its start".to_owned(), |path| format!("\"{path}\""));
            Err(ArchiveError::Damaged { after, error }.into())
        }
        Err(Stop::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// The archive's bytes, counted, until the monitor asks to stop.
struct Watched<'w> {
    archive: &'w mut dyn ArchiveSource,
    /// Did reading the archive itself fail?
    failed: bool,
    monitor: &'w dyn Monitor,
    passed: &'w (dyn Fn(u64) + Sync),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.monitor.interrupted() {
            return Err(io::Error::other(crate::monitor::Interrupted));
        }
        let count = match self.archive.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            other => other.inspect_err(|_| self.failed = true)?,
        };
        (self.passed)(count as u64);
        Ok(count)
    }
}

/// Why reading stopped.
enum Stop<E> {
    /// What came after this entry cannot be read.
    Damage {
        after: Option<RelPath>,
        error: io::Error,
    },
    Error(E),
}

impl<E: From<ArchiveError>> From<ArchiveError> for Stop<E> {
    fn from(error: ArchiveError) -> Self {
        Self::Error(error.into())
    }
}

struct Reading<'r, V> {
    limits: &'r Limits,
    visitor: &'r mut V,
    monitor: &'r dyn Monitor,
    name: &'r str,
    /// The last entry that was read to its end.
    last: Option<RelPath>,
    /// Does the restorer travel in the archive?
    has_restorer: bool,
    /// Has it rests of files that are made of pieces?
    has_pieces: bool,
}

impl<V: ArchiveVisitor> Reading<'_, V> {
    fn read(mut self, archive: &mut Watched<'_>) -> Result<(), Stop<V::Error>> {
        let head = stream::first_bytes(archive)?;
        if head.first() == Some(&b'{') {
            let whole = (&head[..]).chain(archive);
            let manifest = read_manifest_text(whole, self.limits)?;
            self.visitor.is_manifest_alone();
            return self.visitor.manifest(manifest).map(drop).map_err(Stop::Error);
        }
        let mut tar = stream::open_tar(head, archive, self.limits)?;
        self.entries(&mut tar).map(drop)
    }

    /// Reads those segments that the visitor wants something of.
    fn read_segments(
        mut self,
        directory: &Directory<'_>,
        passed: &dyn Fn(u64),
    ) -> Result<(), Stop<V::Error>> {
        for segment in directory.segments() {
            let after = directory.entry_after(&segment);
            let first = directory.first_entry(&segment);
            if !first.is_none_or(|first| self.visitor.wants_between(first, after)) {
                continue;
            }
            match self.entries(&mut directory.tar(&segment, passed)) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(Stop::Damage { after: last, error }) => {
                    let problem = one_line(&error);
                    let goes_on = first.is_some_and(|first| {
                        !directory.has_failed() && self.visitor.goes_on(first, after, &problem)
                    });
                    if !goes_on {
                        return Err(Stop::Damage { after: last, error });
                    }
                    self.last = first.cloned();
                }
                Err(stop) => return Err(stop),
            }
        }
        if directory.has_wrong_length() {
            self.visitor.wrong_length();
        }
        Ok(())
    }

    fn entries(&mut self, tar: &mut TarStream<'_>) -> Result<ControlFlow<()>, Stop<V::Error>> {
        let mut first = self.last.is_none();
        loop {
            self.monitor.check_interrupted().map_err(ArchiveError::from)?;
            match tar.next() {
                Ok(Some(mut entry)) => {
                    first = false;
                    if self.entry(&mut entry)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(None) => {
                    if tar.bytes_follow() {
                        let message = "other bytes follow the end of the archive: they are ignored";
                        self.monitor.problem(ProblemKind::Note, self.name, message);
                    }
                    return Ok(ControlFlow::Continue(()));
                }
                Err(error) if first => return Err(ArchiveError::NotAnArchive { error }.into()),
                Err(error) => return Err(self.damage(io::Error::other(error))),
            }
        }
    }

    fn damage(&mut self, error: io::Error) -> Stop<V::Error> {
        Stop::Damage { after: self.last.take(), error }
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut TarEntry<'_, R>,
    ) -> Result<ControlFlow<()>, Stop<V::Error>> {
        let stored = match stored(entry) {
            Ok(stored) => stored,
            Err(reason) => {
                self.visitor.refused(&escaped(&entry.path), &reason);
                return Ok(ControlFlow::Continue(()));
            }
        };
        let path = stored.path.clone();
        let outcome = if path == manifest_path() {
            self.manifest(entry)?
        } else if self.has_restorer && path.as_bytes() == RESTORER_NAME.as_bytes() {
            ControlFlow::Continue(())
        } else if self.has_pieces && is_of_rests(&path) {
            self.rest(&stored, entry)?;
            ControlFlow::Continue(())
        } else if self.visitor.wants(&path) {
            let mut content = Failing::new(entry.stored());
            let outcome = self.visitor.entry(stored, &mut content);
            match content.failure {
                Some(error) => return Err(self.damage(error)),
                None => outcome.map_err(Stop::Error)?,
            }
        } else {
            ControlFlow::Continue(())
        };
        self.last = Some(path);
        Ok(outcome)
    }

    fn rest<R: Read>(
        &mut self,
        stored: &StoredEntry,
        entry: &mut TarEntry<'_, R>,
    ) -> Result<(), Stop<V::Error>> {
        let (Kind::File { .. }, Some(number)) = (&stored.kind, rest_number(&stored.path)) else {
            return Ok(());
        };
        let mut content = Failing::new(entry);
        let outcome = self.visitor.rest(number, &mut content);
        match content.failure {
            Some(error) => Err(self.damage(error)),
            None => outcome.map_err(Stop::Error),
        }
    }

    fn manifest(&mut self, content: &mut dyn Read) -> Result<ControlFlow<()>, Stop<V::Error>> {
        let mut content = Failing::new(content);
        let manifest = read_manifest_text(&mut content, self.limits);
        if let Some(error) = content.failure {
            return Err(self.damage(error));
        }
        let manifest = manifest?;
        self.has_restorer |= manifest.has_restorer();
        self.has_pieces |= manifest.has_pieces();
        self.visitor.manifest(manifest).map_err(Stop::Error)
    }
}

/// What a tar entry is; or what is wrong with it.
fn stored<R>(entry: &TarEntry<'_, R>) -> Result<StoredEntry, String> {
    let below = |raw: &[u8]| match raw.first() {
        Some(b'/') => Err("its name is absolute".to_owned()),
        _ => RelPath::normalise(raw).map_err(|error| error.to_string()),
    };
    let path = below(&entry.path)?;
    let kind = match entry.kind.clone() {
        RawKind::File { size } => Kind::File { size },
        RawKind::Directory => Kind::Directory,
        RawKind::Symlink { target } => Kind::Symlink { target: target.into() },
        RawKind::HardLink { target } => {
            Kind::HardLink { target: below(&target).map_err(|reason| format!("a link: {reason}"))? }
        }
        RawKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
        RawKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
        RawKind::Fifo => Kind::Fifo,
    };
    let is_file = matches!(kind, Kind::File { .. });
    if path == manifest_path() && !is_file {
        return Err("a manifest is a regular file".to_owned());
    }
    if path.is_root() && kind != Kind::Directory {
        return Err("the top folder is a folder".to_owned());
    }
    let (metadata, extents) = (entry.metadata.clone(), entry.extents.clone());
    Ok(StoredEntry { path, kind, metadata, extents })
}

/// A reader that remembers what kept it from reading, of several failures the first. Who reads may take that for damage.
pub(super) struct Failing<R> {
    inner: R,
    pub(super) failure: Option<io::Error>,
}

impl<R: Read> Failing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, failure: None }
    }
}

impl<R: Read> Read for Failing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let told = io::Error::new(error.kind(), error.to_string());
            self.failure.get_or_insert(error);
            told
        })
    }
}
