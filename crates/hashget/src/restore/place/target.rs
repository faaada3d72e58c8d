//! A folder on the disk as a target.
//!
//! Invariant: everything is done by the rest of this module; here it is only passed on.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::contents::Staged;
use super::{Made, PlaceError, TargetFolder};
use crate::model::{Digest, Extent, Kind, Metadata, RelPath};
use crate::restore::target::{BegunFile, Content, PresentFile, StagedFile, Target};

impl Target for TargetFolder {
    fn path(&self) -> &Path {
        self.path()
    }

    fn was_empty(&self) -> bool {
        self.empty
    }

    fn holds(&self, path: &RelPath) -> bool {
        self.find(path).is_ok_and(|found| found.is_some())
    }

    fn file(&self, path: &RelPath) -> Result<Option<Box<dyn PresentFile + '_>>, PlaceError> {
        let file = self.open_file(path)?;
        Ok(file.map(|file| Box::new(Present { target: self, file }) as Box<dyn PresentFile>))
    }

    fn contents(&self, path: &RelPath) -> Result<Option<Box<dyn Read + '_>>, PlaceError> {
        Ok(self.open_file(path)?.map(|file| Box::new(file) as Box<dyn Read>))
    }

    fn stays(&self, path: &RelPath, metadata: &Metadata) -> Result<bool, PlaceError> {
        self.stays(path, metadata)
    }

    fn link_stays(&self, path: &RelPath, to: &RelPath) -> Result<bool, PlaceError> {
        self.link_stays(path, to)
    }

    fn is_right(
        &self,
        path: &RelPath,
        what: (&Kind, &Metadata),
        contents: Option<(Digest, Option<&[Extent]>)>,
    ) -> Result<bool, PlaceError> {
        self.is_right(path, what, contents)
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), PlaceError> {
        self.make_folder(path)
    }

    fn make_node(
        &self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
    ) -> Result<Made, PlaceError> {
        self.make_node(path, kind, metadata)
    }

    fn link(&self, path: &RelPath, to: &RelPath) -> Result<(), PlaceError> {
        self.link(path, to)
    }

    fn stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(self.stage(path, size, content)?))
    }

    fn stage_with_holes(
        &self,
        path: &RelPath,
        size: u64,
        extents: &[Extent],
        data: &mut dyn Read,
    ) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(self.stage_with_holes(path, size, extents, data)?))
    }

    fn begin(&self, path: &RelPath) -> Result<Box<dyn BegunFile + '_>, PlaceError> {
        Ok(Box::new(self.begin(path)?))
    }

    fn keep_or_stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Content<'_>, PlaceError> {
        self.keep_or_stage(path, size, content)
    }
}

/// A file of the folder.
pub(super) struct Present<'t> {
    pub(super) target: &'t TargetFolder,
    pub(super) file: File,
}

impl PresentFile for Present<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn digest(&self, extents: Option<&[Extent]>) -> Result<Digest, PlaceError> {
        TargetFolder::digest(&self.file, extents)
    }

    fn adjust(
        &self,
        path: &RelPath,
        metadata: &Metadata,
        contents: (Digest, Option<&[Extent]>),
    ) -> Result<(), PlaceError> {
        self.target.adjust_file(path, &self.file, metadata, contents)
    }
}

impl BegunFile for Staged<'_> {
    fn file(&self) -> &File {
        self.file()
    }

    fn complete<'s>(
        mut self: Box<Self>,
        sha256: Digest,
        size: u64,
        _extents: Option<&[Extent]>,
    ) -> Box<dyn StagedFile + 's>
    where
        Self: 's,
    {
        (self.sha256, self.size) = (sha256, size);
        self
    }
}

impl StagedFile for Staged<'_> {
    fn sha256(&self) -> Digest {
        self.sha256
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn copy(&self, path: &RelPath) -> Result<Box<dyn StagedFile + '_>, PlaceError> {
        Ok(Box::new(self.target.stage_copy(path, self)?))
    }

    fn put(self: Box<Self>, path: &RelPath, metadata: &Metadata) -> Result<(), PlaceError> {
        (*self).put(path, metadata)
    }
}
