//! The same contents in a further file: a clone that shares them where the file system can do that, else a
//! copy.
//!
//! Invariant: the digest that is reported of a copy is of the bytes that were written; a clone shares bytes whose
//! digest is known.

use std::fs::File;
use std::sync::atomic::Ordering;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::contents::Staged;
use super::{PlaceError, TargetFolder};
use crate::model::{Digest, Extent, RelPath};
use crate::tree::{ReadExtents, ReadFrom};

impl TargetFolder {
    /// Stages the same contents once more, beside `path`: as a clone that shares them where the file
    /// system can do that, else as a copy.
    pub(in crate::restore) fn stage_copy(
        &self,
        path: &RelPath,
        original: &Staged<'_>,
    ) -> Result<Staged<'_>, PlaceError> {
        if let Some(mut clone) = self.stage_clone(path, &original.file)? {
            (clone.sha256, clone.size) = (original.sha256, original.size);
            return Ok(clone);
        }
        let file = &original.file;
        let copy = self.stage(path, original.size, &mut ReadFrom { file, offset: 0 })?;
        if copy.sha256 != original.sha256 {
            return Err(PlaceError::Blocked("another program changes it meanwhile".into()));
        }
        Ok(copy)
    }

    /// Stages another file with what an open one holds, which must be of digest `sha256`: in its `extents`, or in all of it.
    pub(super) fn stage_again(
        &self,
        path: &RelPath,
        file: &File,
        sha256: Digest,
        extents: Option<&[Extent]>,
    ) -> Result<Staged<'_>, PlaceError> {
        let size = file.metadata()?.len();
        let staged = match extents {
            None => self.stage(path, size, &mut ReadFrom { file, offset: 0 })?,
            Some(extents) => {
                let mut data = ReadExtents::new(file, extents);
                self.stage_with_holes(path, size, extents, &mut data)?
            }
        };
        if staged.sha256 != sha256 {
            return Err(PlaceError::Blocked("another program changes it meanwhile".into()));
        }
        Ok(staged)
    }

    /// Stages another file with the data and the holes of an open one.
    pub(super) fn stage_twin(&self, path: &RelPath, file: &File) -> Result<Staged<'_>, PlaceError> {
        if let Some(clone) = self.stage_clone(path, file)? {
            return Ok(clone);
        }
        let size = file.metadata()?.len();
        let extents = extents_of(file, size)?;
        let mut data = ReadExtents::new(file, &extents);
        self.stage_with_holes(path, size, &extents, &mut data)
    }

    /// Stages a file that shares what an open one holds; its size and digest are not known. `None` where the
    /// file system cannot do that.
    fn stage_clone(&self, path: &RelPath, file: &File) -> Result<Option<Staged<'_>>, PlaceError> {
        if !self.can_clone.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (place, temporary, clone) = self.new_file(path)?;
        let cloned = rustix::fs::ioctl_ficlone(&clone, file);
        let staged = self.staged(place, temporary, clone);
        // A file system that cannot, or a mount below the target, or something rarer: a copy shows.
        self.can_clone.fetch_and(cloned.is_ok(), Ordering::Relaxed);
        Ok(cloned.is_ok().then_some(staged))
    }
}

/// Where the data of an open file lies; all of it if the file system cannot say.
fn extents_of(file: &File, size: u64) -> Result<Vec<Extent>, PlaceError> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(offset) => offset,
            Err(Errno::NXIO) => break,
            Err(_) => return Ok(vec![Extent { offset: 0, length: size }]),
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(offset))?.min(size);
        if end > offset {
            extents.push(Extent { offset, length: end - offset });
        }
        at = end.max(offset + 1);
    }
    Ok(extents)
}
