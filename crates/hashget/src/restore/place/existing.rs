//! What was in the folder before: does it stay as it is, and is it right?
//!
//! Invariant: whether something stays is decided when it is asked first, before anything is put in its place, and never again.

use rustix::fs::Stat;

use super::{PlaceError, TargetFolder, lock};
use crate::model::{Digest, Extent, Kind, Metadata, RelPath};
use crate::restore::Overwrite;
use crate::tree::mtime_of;

impl TargetFolder {
    /// Does what is at `path` stay as it is, where the archive has something with this metadata?
    pub(in crate::restore) fn stays(
        &self,
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<bool, PlaceError> {
        let Some(rule) = self.options.rule().filter(|rule| rule.leaves_any() && !self.empty) else {
            return Ok(false);
        };
        if let Some(stays) = lock(&self.decided).get(path) {
            return Ok(*stays);
        }
        let stays = match self.find(path)? {
            Some(existing) if !existing.file_type().is_dir() => {
                rule.leaves(mtime_of(&existing.stat), metadata.mtime)
            }
            _ => false,
        };
        lock(&self.decided).insert(path.clone(), stays);
        Ok(stays)
    }

    /// Does what is at `path` stay as it is, where the archive has a further name of what is at `to`?
    pub(in crate::restore) fn link_stays(
        &self,
        path: &RelPath,
        to: &RelPath,
    ) -> Result<bool, PlaceError> {
        if !self.options.rule().is_some_and(Overwrite::leaves_any) {
            return Ok(false);
        }
        let (Some(existing), Some(file)) = (self.find(path)?, self.find(to)?) else {
            return Ok(false);
        };
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino);
        if identity(&existing.stat) == identity(&file.stat) {
            return Ok(false);
        }
        self.stays(path, &Metadata { mtime: mtime_of(&file.stat), ..Metadata::default() })
    }

    /// Is what is at `path` exactly this, as far as it is to be? A regular file with contents of the digest in the extents
    /// (`None`: all of it).
    pub(in crate::restore) fn is_right(
        &self,
        path: &RelPath,
        (kind, metadata): (&Kind, &Metadata),
        contents: Option<(Digest, Option<&[Extent]>)>,
    ) -> Result<bool, PlaceError> {
        let mask = self.options.mode_mask;
        let look = self.look_at(path, |look| look.differences(kind, metadata, mask))?;
        let Some(differences) = look else { return Ok(false) };
        if differences.iter().any(|difference| difference.is_asked_for(&self.options)) {
            return Ok(false);
        }
        match (kind, contents) {
            (Kind::File { .. }, Some(contents)) => self.has_contents(path, contents),
            (Kind::File { .. }, None) => Ok(false),
            _ => Ok(true),
        }
    }

    /// Is nothing in the folder at `path`, as far as it can be read?
    pub(in crate::restore) fn is_empty(&self, path: &RelPath) -> bool {
        let mut is_empty = true;
        let looked = self.look_into(path, |_, _| {
            is_empty = false;
            Ok::<(), PlaceError>(())
        });
        is_empty && looked.is_ok()
    }

    /// Is there a file at `path` with contents of this digest in its extents (`None`: all of it)?
    pub(in crate::restore) fn has_contents(
        &self,
        path: &RelPath,
        (sha256, extents): (Digest, Option<&[Extent]>),
    ) -> Result<bool, PlaceError> {
        match self.open_file(path)? {
            Some(file) => Ok(Self::digest(&file, extents)? == sha256),
            None => Ok(false),
        }
    }
}
