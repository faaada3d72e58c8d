//! A target that is nowhere: what is put there is read and digested, and gone.
//!
//! Invariant: nothing is written; what the archive gave is known by its digests.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::place::{Made, PlaceError};
use super::target::{Content, PresentFile, StagedFile, Target};
use crate::archive::{StoredContents, StoredThing};
use crate::model::{Digest, Extent, HashingReader, Kind, Metadata, RelPath};

/// A target that is nowhere.
pub(super) struct ImaginedTarget {
    name: PathBuf,
    contents: StoredContents,
}

impl ImaginedTarget {
    /// What the archive gave would be there.
    pub(super) fn new(name: PathBuf, contents: StoredContents) -> Self {
        Self { name, contents }
    }
}

impl Target for ImaginedTarget {
    fn path(&self) -> &Path {
        &self.name
    }

    fn was_empty(&self) -> bool {
        true
    }

    fn holds(&self, path: &RelPath) -> bool {
        self.contents.entries.contains(path) || self.contents.folders.contains(path)
    }

    fn file(&self, path: &RelPath) -> Result<Option<Box<dyn PresentFile + '_>>, PlaceError> {
        Ok(match self.contents.entries.get(path) {
            Some(thing @ StoredThing::File { .. }) => Some(Box::new(thing.clone())),
            Some(StoredThing::Other) | None => None,
        })
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

    fn make_folder(&self, _path: &RelPath) -> Result<(), PlaceError> {
        Ok(())
    }

    fn make_node(
        &self,
        _path: &RelPath,
        _kind: &Kind,
        _metadata: &Metadata,
    ) -> Result<Made, PlaceError> {
        Ok(Made::Yes)
    }

    fn link(&self, _path: &RelPath, _to: &RelPath) -> Result<(), PlaceError> {
        Ok(())
    }

    fn stage(
        &self,
        _path: &RelPath,
        _size: u64,
        content: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(Digested::of(content)?))
    }

    fn stage_with_holes(
        &self,
        _path: &RelPath,
        size: u64,
        _extents: &[Extent],
        data: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(Digested { size, ..Digested::of(data)? }))
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

/// Contents that were read.
#[derive(Debug, Clone, Copy)]
struct Digested {
    sha256: Digest,
    size: u64,
}

impl Digested {
    fn of(content: &mut dyn Read) -> Result<Self, PlaceError> {
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut io::sink()).map_err(PlaceError::Read)?;
        let (sha256, size) = content.finish();
        Ok(Self { sha256, size })
    }
}

impl StagedFile for Digested {
    fn sha256(&self) -> Digest {
        self.sha256
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn copy(&self, _path: &RelPath) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(*self))
    }

    fn put(self: Box<Self>, _path: &RelPath, _metadata: &Metadata) -> Result<(), PlaceError> {
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
