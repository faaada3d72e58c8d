//! A target that is nowhere: what is put there is read and digested, and gone.
//!
//! Invariant: nothing is written; what the archive gave is known by its digests.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::place::{Made, PlaceError, TargetFolder};
use super::target::{BegunFile, Content, PresentFile, StagedFile, Target};
use crate::archive::kept_contents::KeptContents;
use crate::archive::{StoredContents, StoredThing};
use crate::model::{Digest, Extent, HashingReader, Kind, Metadata, RelPath};

/// A target that is nowhere.
pub(super) struct ImaginedTarget<'f> {
    name: PathBuf,
    contents: Mutex<StoredContents>,
    /// Is what is put there kept in mind?
    remembers: AtomicBool,
    /// The contents that are kept as a whole.
    kept: KeptContents,
    /// The folder that has what the archive gave, if it was unpacked before.
    folder: Option<&'f TargetFolder>,
}

impl<'f> ImaginedTarget<'f> {
    /// What the archive gave would be there.
    pub(super) fn new(name: PathBuf, contents: StoredContents) -> Self {
        let mut contents = contents;
        let kept = std::mem::take(&mut contents.kept);
        let (contents, remembers) = (Mutex::new(contents), AtomicBool::new(false));
        Self { name, contents, remembers, kept, folder: None }
    }

    /// Nothing is there yet. What is put there is kept in mind until [`ImaginedTarget::forget`].
    pub(super) fn empty(name: PathBuf) -> Self {
        let target = Self::new(name, StoredContents::default());
        target.remembers.store(true, Ordering::Relaxed);
        target
    }

    /// What the archive gave is in this folder.
    pub(super) fn over(folder: &'f TargetFolder) -> Self {
        let name = folder.path().to_path_buf();
        Self { folder: Some(folder), ..Self::new(name, StoredContents::default()) }
    }

    /// From now on, what is put there is not kept in mind.
    pub(super) fn forget(&self) {
        self.remembers.store(false, Ordering::Relaxed);
    }

    /// Forgets what is there: nothing will be asked for any more.
    pub(super) fn forget_contents(&self) {
        *self.contents() = StoredContents::default();
    }

    /// Of an entry that is there and is no folder: the digest, if it is a file without holes.
    pub(super) fn digest(&self, path: &RelPath) -> Option<Option<Digest>> {
        self.contents().entries.get(path).map(StoredThing::digest_without_holes)
    }

    fn contents(&self) -> MutexGuard<'_, StoredContents> {
        self.contents.lock().expect("no holder of this lock panics")
    }

    /// Keeps in mind that something is there, if that is wanted.
    fn remember(&self, path: &RelPath, thing: StoredThing) {
        if self.remembers.load(Ordering::Relaxed) {
            let mut contents = self.contents();
            contents.folders.remove(path);
            contents.entries.insert(path, thing);
        }
    }
}

impl Target for ImaginedTarget<'_> {
    fn path(&self) -> &Path {
        &self.name
    }

    fn was_empty(&self) -> bool {
        true
    }

    fn holds(&self, path: &RelPath) -> bool {
        if let Some(folder) = self.folder {
            return Target::holds(folder, path);
        }
        let contents = self.contents();
        contents.entries.contains(path) || contents.folders.contains(path)
    }

    fn file(&self, path: &RelPath) -> Result<Option<Box<dyn PresentFile + '_>>, PlaceError> {
        if let Some(folder) = self.folder {
            let file = Target::file(folder, path)?;
            return Ok(file.map(|file| Box::new(OnlyRead(file)) as Box<dyn PresentFile>));
        }
        Ok(match self.contents().entries.get(path) {
            Some(thing @ StoredThing::File { .. }) => Some(Box::new(thing.clone())),
            Some(StoredThing::Other) | None => None,
        })
    }

    fn contents(&self, path: &RelPath) -> Result<Option<Box<dyn Read + '_>>, PlaceError> {
        match (self.kept.reader(path)?, self.folder) {
            (None, Some(folder)) => Target::contents(folder, path),
            (kept, _) => Ok(kept.map(|kept| Box::new(kept) as Box<dyn Read>)),
        }
    }

    fn comes_first(&self, path: &RelPath) -> bool {
        self.kept.wants(path)
    }

    fn stays(&self, _path: &RelPath, _metadata: &Metadata) -> Result<bool, PlaceError> {
        Ok(false)
    }

    fn link_stays(&self, _path: &RelPath, _to: &RelPath) -> Result<bool, PlaceError> {
        Ok(false)
    }

    fn is_right(
        &self,
        _path: &RelPath,
        _what: (&Kind, &Metadata),
        _contents: Option<(Digest, Option<&[Extent]>)>,
    ) -> Result<bool, PlaceError> {
        Ok(false)
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), PlaceError> {
        if self.remembers.load(Ordering::Relaxed) {
            self.contents().folders.insert(path.clone());
        }
        Ok(())
    }

    fn make_node(
        &self,
        path: &RelPath,
        _kind: &Kind,
        _metadata: &Metadata,
    ) -> Result<Made, PlaceError> {
        self.remember(path, StoredThing::Other);
        Ok(Made::Yes)
    }

    fn link(&self, path: &RelPath, to: &RelPath) -> Result<(), PlaceError> {
        let thing = self.contents().entries.get(to).cloned();
        if let Some(thing) = thing {
            self.remember(path, thing);
        }
        Ok(())
    }

    fn stage(
        &self,
        path: &RelPath,
        _size: u64,
        content: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        let read = |content: &mut dyn Read| Digested::of(self, None, content);
        Ok(Box::new(match self.kept.wants(path) {
            true => {
                let digested = self.kept.keep(path, content, read)?;
                Digested { kept: Some(path.clone()), ..digested }
            }
            false => read(content)?,
        }))
    }

    fn stage_with_holes(
        &self,
        _path: &RelPath,
        size: u64,
        extents: &[Extent],
        data: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(Digested { size, ..Digested::of(self, Some(extents), data)? }))
    }

    fn begin(&self, _path: &RelPath) -> Result<Box<dyn BegunFile + '_>, PlaceError> {
        Ok(Box::new(Begun { target: self, file: tempfile::tempfile()? }))
    }

    fn keep_or_stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Content<'_>, PlaceError> {
        self.stage(path, size, content).map(Content::Staged)
    }
}

/// Contents that are put together in a file without a name.
struct Begun<'t> {
    target: &'t ImaginedTarget<'t>,
    file: File,
}

impl BegunFile for Begun<'_> {
    fn file(&self) -> &File {
        &self.file
    }

    fn complete<'s>(
        self: Box<Self>,
        sha256: Digest,
        size: u64,
        extents: Option<&[Extent]>,
    ) -> Box<dyn StagedFile + 's>
    where
        Self: 's,
    {
        let (target, extents) = (self.target, extents.map(Box::from));
        Box::new(Digested { target, sha256, size, extents, kept: None })
    }
}

/// Contents that were read.
#[derive(Clone)]
struct Digested<'t> {
    target: &'t ImaginedTarget<'t>,
    sha256: Digest,
    size: u64,
    extents: Option<Box<[Extent]>>,
    /// For which path the contents are kept, if they are.
    kept: Option<RelPath>,
}

impl<'t> Digested<'t> {
    fn of(
        target: &'t ImaginedTarget<'t>,
        extents: Option<&[Extent]>,
        content: &mut dyn Read,
    ) -> Result<Self, PlaceError> {
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut io::sink()).map_err(PlaceError::Read)?;
        let (sha256, size) = content.finish();
        Ok(Self { target, sha256, size, extents: extents.map(Box::from), kept: None })
    }
}

impl StagedFile for Digested<'_> {
    fn sha256(&self) -> Digest {
        self.sha256
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn copy(&self, path: &RelPath) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        if let Some(kept) = &self.kept {
            self.target.kept.add_copy(kept, path);
        }
        Ok(Box::new(self.clone()))
    }

    fn put(self: Box<Self>, path: &RelPath, _metadata: &Metadata) -> Result<(), PlaceError> {
        let Self { target, sha256, size, extents, .. } = *self;
        target.remember(path, StoredThing::File { size, sha256, extents });
        Ok(())
    }
}

/// A file of a folder that is not changed.
struct OnlyRead<'f>(Box<dyn PresentFile + 'f>);

impl PresentFile for OnlyRead<'_> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn digest(&self, extents: Option<&[Extent]>) -> Result<Digest, PlaceError> {
        self.0.digest(extents)
    }

    fn adjust(
        &self,
        _path: &RelPath,
        _metadata: &Metadata,
        _contents: (Digest, Option<&[Extent]>),
    ) -> Result<(), PlaceError> {
        Ok(())
    }
}

impl PresentFile for StoredThing {
    fn size(&self) -> io::Result<u64> {
        match self {
            Self::File { size, .. } => Ok(*size),
            Self::Other => Ok(0),
        }
    }

    fn digest(&self, wanted: Option<&[Extent]>) -> Result<Digest, PlaceError> {
        match self {
            Self::File { sha256, extents, .. } if extents.as_deref() == wanted => Ok(*sha256),
            _ => Err(PlaceError::Blocked("the archive has its holes elsewhere".to_owned())),
        }
    }

    fn adjust(
        &self,
        _path: &RelPath,
        _metadata: &Metadata,
        _contents: (Digest, Option<&[Extent]>),
    ) -> Result<(), PlaceError> {
        Ok(())
    }
}
