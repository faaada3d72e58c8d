//! Unpacking the archive's own entries, one pass over the tar.
//!
//! Invariant: an entry whose name or link leaves the target is refused and named, and all others go
//! on; the manifest is known as soon as it passed, and if only a newer hashget reads it, nothing is unpacked.

mod of_part;
mod put;
mod segments;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};

use super::RestoreError;
use super::part::Places;
use super::place::{PlaceError, TargetFolder};
use super::run::{fatal, own_metadata};
use super::target::Target;
use crate::archive::directory::Directory;
use crate::archive::path_map::PathMap;
use crate::archive::stream::TarStream;
use crate::archive::{ArchiveError, manifest_path, stream};
use crate::formats::FormatError;
use crate::formats::tar::{RawKind, TarEntry};
use crate::limits::Limits;
use crate::model::manifest::{
    AnyManifest, EntryTable, MANIFEST_NAME, ManifestError, ManifestHeader, RESTORER_NAME, Renamed,
    is_of_rests,
};
use crate::model::{Digest, Kind, MemberMetadata, Metadata, RelPath, escaped, path_of};
use crate::monitor::{Monitor, ProblemKind, Running, Step, Total};
use crate::storage::ArchiveSource;
use crate::wording::one_line;

/// What came out of the archive.
#[derive(Default)]
pub(super) struct Extracted {
    /// Did a manifest pass? The last one is in its place.
    pub(super) manifest: bool,
    /// The header of that one, if it could be read.
    pub(super) header: Option<ManifestHeader>,
    /// The last manifest, reduced to the part that is unpacked, if it is not put into the target.
    pub(super) in_memory: Option<AnyManifest>,
    /// Of a part: the entries of the archive that it takes, sorted.
    pub(super) wanted: Option<Vec<RelPath>>,
    /// Entries that are no folders; with the digest of files without holes.
    pub(super) entries: PathMap<Option<Digest>>,
    /// Folders.
    pub(super) folders: BTreeMap<RelPath, Metadata>,
    /// Further names of other entries.
    pub(super) links: Vec<(RelPath, RelPath)>,
    /// Devices that only root may make, under all their names.
    pub(super) not_made: HashSet<RelPath>,
    /// What was not unpacked, and why.
    pub(super) missing: Vec<(RelPath, String)>,
    /// Why what comes after could not be read, if that is so.
    pub(super) damage: Option<String>,
    /// Rests of files that are made of pieces, by their numbers, if they are not put into the target.
    pub(super) rests: BTreeMap<u32, File>,
    /// What was there before and stays as it is.
    pub(super) left: Vec<RelPath>,
    /// Regular files, and their bytes.
    pub(super) files: u64,
    /// See `files`.
    pub(super) bytes: u64,
}

impl Extracted {
    /// Does the manifest that passed say that the restorer travels with it?
    fn has_restorer(&self) -> bool {
        self.header.as_ref().is_some_and(ManifestHeader::has_restorer)
            || self.in_memory.as_ref().is_some_and(AnyManifest::has_restorer)
    }

    /// Has the archive rests of files that are made of pieces?
    fn has_pieces(&self) -> bool {
        self.header.as_ref().is_some_and(ManifestHeader::has_pieces)
            || self.in_memory.as_ref().is_some_and(AnyManifest::has_pieces)
    }

    /// The paths of what was not unpacked.
    pub(super) fn refused(&self) -> HashSet<&RelPath> {
        self.missing.iter().map(|(path, _)| path).collect()
    }

    /// Forgets the entries that the manifest has, too.
    pub(super) fn keep_strangers(&mut self, archived: &EntryTable) {
        let all = std::mem::take(&mut self.entries);
        for (name, sha256) in all.iter() {
            if archived.position_of(name).is_none() {
                self.entries.insert(&path_of(name), *sha256);
            }
        }
    }
}

/// Unpacks `archive`, or a part of it, into `target`. The manifest goes to `manifest_to`, or else is kept in memory. Files that hold
/// the same already stay if they may.
///
/// # Errors
/// [`ArchiveError::NotAnArchive`] and those after which nothing can go on. An archive that is damaged
/// further on is a problem for the monitor.
pub(super) fn extract(
    archive: &mut dyn ArchiveSource,
    target: &dyn Target,
    manifest_to: Option<&TargetFolder>,
    part: Option<&Places<'_>>,
    may_keep: bool,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<Extracted, RestoreError> {
    let name = target.path().display().to_string();
    let progress =
        &monitor.begin(Step::Extract, name.clone(), Total { bytes: archive.size(), things: None });
    let (found, renamed) = (Extracted::default(), Vec::new());
    let extracting = Extracting {
        target,
        manifest_to,
        part,
        may_keep,
        renamed,
        limits,
        monitor,
        progress,
        name: &name,
        found,
        not_placed: HashSet::new(),
    };
    if let Some(directory) = Directory::open(archive, limits) {
        return extracting.extract_segments(&directory);
    }
    extracting.extract_stream(&mut Counted { archive: &mut { archive }, progress })
}

/// Tells how much of the archive itself was read.
struct Counted<'c> {
    archive: &'c mut (dyn Read + Send),
    progress: &'c Running<'c>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.archive.read(buffer)?;
        self.progress.advance(count as u64, 0);
        Ok(count)
    }
}

struct Extracting<'x> {
    target: &'x dyn Target,
    /// The folder that the manifest is put into.
    manifest_to: Option<&'x TargetFolder>,
    /// Where entries go, if only a part of them is unpacked.
    part: Option<&'x Places<'x>>,
    /// May a file stay that holds the same already?
    may_keep: bool,
    /// Of a part: entries that have another path in the archive than in the tree.
    renamed: Vec<Renamed>,
    limits: &'x Limits,
    monitor: &'x dyn Monitor,
    progress: &'x Running<'x>,
    name: &'x str,
    found: Extracted,
    /// The entries that could not be placed: their further names cannot be, either.
    not_placed: HashSet<RelPath>,
}

/// Why an entry was not unpacked.
enum Refusal {
    /// It is hostile.
    Hostile(String),
    /// It could not be placed.
    Place(PlaceError),
    /// Nothing can go on.
    Stop(RestoreError),
}

impl From<PlaceError> for Refusal {
    fn from(error: PlaceError) -> Self {
        Self::Place(error)
    }
}

impl Extracting<'_> {
    /// Unpacks what can only be read in order.
    fn extract_stream(
        mut self,
        archive: &mut (dyn Read + Send),
    ) -> Result<Extracted, RestoreError> {
        let mut tar = stream::open_tar(stream::first_bytes(archive)?, archive, self.limits)?;
        match self.entries(&mut tar)? {
            Ended::Whole => {}
            Ended::AtOnce(error) => return Err(ArchiveError::NotAnArchive { error }.into()),
            Ended::Damaged(problem) => self.note_damage(format!(
                "the archive is damaged ({problem}): what comes after is not unpacked"
            )),
        }
        Ok(self.found)
    }

    fn note_damage(&mut self, message: String) {
        self.monitor.problem(ProblemKind::Incomplete, self.name, &message);
        self.found.damage.get_or_insert(message);
    }

    /// Unpacks the entries of a tar until it ends, or cannot be read any more.
    fn entries(&mut self, tar: &mut TarStream<'_>) -> Result<Ended, RestoreError> {
        let mut first = true;
        loop {
            self.monitor.check_interrupted()?;
            let error = match tar.next() {
                Ok(Some(mut entry)) => {
                    first = false;
                    match self.entry(&mut entry) {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Ok(None) => {
                    if tar.bytes_follow() {
                        let message = "other bytes follow the end of the archive: they are ignored";
                        self.monitor.problem(ProblemKind::Note, self.name, message);
                    }
                    return Ok(Ended::Whole);
                }
                Err(error) if first => return Ok(Ended::AtOnce(error)),
                Err(error) => one_line(&error).into(),
            };
            match error {
                EntryError::Stop(error) => return Err(error),
                EntryError::Damage(problem) => return Ok(Ended::Damaged(problem)),
            }
        }
    }

    fn entry(&mut self, entry: &mut TarEntry<'_, Box<dyn Read + '_>>) -> Result<(), EntryError> {
        let raw = entry.path.clone();
        let refusal = match self.unpack(entry) {
            Ok(()) => return Ok(()),
            Err(refusal) => refusal,
        };
        let (kind, reason) = match refusal {
            Refusal::Stop(error) => return Err(EntryError::Stop(error)),
            Refusal::Place(PlaceError::Read(error)) => {
                self.monitor.check_interrupted().map_err(RestoreError::from)?;
                return Err(one_line(&error).into());
            }
            Refusal::Place(error) => {
                (ProblemKind::Incomplete, one_line(&fatal(self.target.path(), error)?))
            }
            Refusal::Hostile(reason) => (ProblemKind::Verification, format!("refused: {reason}")),
        };
        let name = escaped(&raw);
        self.monitor.problem(kind, &name, &reason);
        match RelPath::normalise(&raw) {
            Ok(path) => {
                self.not_placed.insert(path.clone());
                self.found.missing.push((path, reason));
            }
            Err(_) => self.found.missing.push((RelPath::root(), format!("{name}: {reason}"))),
        }
        Ok(())
    }

    fn unpack(&mut self, entry: &mut TarEntry<'_, Box<dyn Read + '_>>) -> Result<(), Refusal> {
        if entry.path.first() == Some(&b'/') {
            return Err(Refusal::Hostile("its name is absolute".into()));
        }
        let path =
            RelPath::normalise(&entry.path).map_err(|error| Refusal::Hostile(error.to_string()))?;
        if path.as_bytes() == RESTORER_NAME.as_bytes() && self.found.has_restorer() {
            return Ok(());
        }
        if is_of_rests(&path) && self.found.has_pieces() {
            return self.rest(&path, entry);
        }
        let manifest = path.as_bytes() == MANIFEST_NAME.as_bytes();
        let metadata = complete(&entry.metadata);
        let Some(path) = self.place(path, &entry.kind, &metadata) else { return Ok(()) };
        match entry.kind.clone() {
            RawKind::File { size } if manifest => {
                return match self.manifest_to {
                    Some(folder) => self.manifest(folder, size, entry),
                    None => self.manifest_in_memory(entry),
                };
            }
            _ if manifest => {
                return Err(Refusal::Hostile("a manifest is a regular file".into()));
            }
            RawKind::Directory => {
                self.target.make_folder(&path)?;
                self.found.folders.insert(path, metadata);
            }
            _ if path.is_root() => {
                return Err(Refusal::Hostile("the top folder is a folder".into()));
            }
            RawKind::File { size } => self.file(path, size, &metadata, entry)?,
            RawKind::HardLink { target } => {
                if target.first() == Some(&b'/') {
                    return Err(Refusal::Hostile(format!("a link to {}", escaped(&target))));
                }
                let to = RelPath::normalise(&target)
                    .map_err(|error| Refusal::Hostile(format!("a link: {error}")))?;
                let Some(to) = self.link_target(&path, to) else { return Ok(()) };
                self.link(path, to, &metadata)?;
            }
            RawKind::Symlink { target } => {
                let kind = Kind::Symlink { target: target.into() };
                self.node(path, &kind, &metadata)?;
            }
            RawKind::CharDevice { major, minor } => {
                self.node(path, &Kind::CharDevice { major, minor }, &metadata)?;
            }
            RawKind::BlockDevice { major, minor } => {
                self.node(path, &Kind::BlockDevice { major, minor }, &metadata)?;
            }
            RawKind::Fifo => self.node(path, &Kind::Fifo, &metadata)?,
        }
        Ok(())
    }

    fn manifest(
        &mut self,
        folder: &TargetFolder,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Refusal> {
        let limit = self.limits.manifest_bytes;
        if size > limit {
            return Err(Refusal::Stop(ArchiveError::ManifestSize { limit }.into()));
        }
        let path = manifest_path();
        // It is there from now on, so that `restore` can continue when this is interrupted.
        let staged = folder.stage(&path, size, content)?;
        self.found.header = match ManifestHeader::read(staged.file(), limit) {
            Ok(header) => Some(header),
            Err(error @ (ManifestError::Needs { .. } | ManifestError::Version { .. })) => {
                return Err(Refusal::Stop(error.into()));
            }
            // A damaged manifest is an error at the end: what the archive itself holds is unpacked.
            Err(_) => None,
        };
        staged.put(&path, &Metadata { mode: 0o644, ..own_metadata() })?;
        self.found.manifest = true;
        Ok(())
    }
}

/// How reading a tar ended.
enum Ended {
    /// At its end.
    Whole,
    /// Before its first entry: it may be none.
    AtOnce(FormatError),
    /// In the middle.
    Damaged(String),
}

/// Why no further entry can be unpacked.
enum EntryError {
    /// Restoring ends.
    Stop(RestoreError),
    /// The archive is damaged.
    Damage(String),
}

impl From<String> for EntryError {
    fn from(problem: String) -> Self {
        Self::Damage(problem)
    }
}

impl From<RestoreError> for EntryError {
    fn from(error: RestoreError) -> Self {
        Self::Stop(error)
    }
}

/// What a tar entry says; what it does not say is as for a plain file of ours.
fn complete(metadata: &MemberMetadata) -> Metadata {
    let own = own_metadata();
    Metadata {
        mode: metadata.mode.unwrap_or(0o644) & 0o7777,
        uid: metadata.uid.unwrap_or(own.uid),
        gid: metadata.gid.unwrap_or(own.gid),
        mtime: metadata.mtime.unwrap_or_default(),
        xattrs: metadata.xattrs.clone(),
    }
}
