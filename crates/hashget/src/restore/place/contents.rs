//! Contents of files: written under a temporary name, digested on the way, then given their name.
//!
//! Invariant: a [`Staged`] file that is not put in place disappears; the digest that is reported is of the
//! bytes that were written (or, of a kept file, read).

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::target::Present;
use super::{ParentAndName, PlaceError, TargetFolder, lock};
use crate::model::{Digest, Extent, HashingReader, Metadata, RelPath};
use crate::restore::target::Content;
use crate::tree::digest_of_data;

/// Bytes that are read and written at once.
const BUFFER: usize = 128 * 1024;

/// Contents that are not yet in their place.
pub(in crate::restore) struct Staged<'t> {
    pub(super) target: &'t TargetFolder,
    parent: Arc<OwnedFd>,
    temporary: String,
    pub(super) file: File,
    /// Of what was written, holes left out.
    pub(in crate::restore) sha256: Digest,
    /// How much that was, holes counted.
    pub(in crate::restore) size: u64,
    placed: bool,
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.placed {
            // It holds nothing of worth; if it cannot be removed now, the next run does.
            let removed = rustix::fs::unlinkat(&self.parent, &*self.temporary, AtFlags::empty());
            if removed.is_err_and(|error| error != Errno::NOENT) {
                self.target.leftovers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Writes and digests what is written.
struct Writer<'f> {
    file: &'f File,
    hasher: Sha256,
    size: u64,
}

impl<'f> Writer<'f> {
    fn new(file: &'f File) -> Self {
        Self { file, hasher: Sha256::new(), size: 0 }
    }

    fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hasher.finalize().into()), self.size)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PlaceError> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn copy(&mut self, content: &mut dyn Read, buffer: &mut [u8]) -> Result<(), PlaceError> {
        loop {
            match read(content, buffer)? {
                0 => return Ok(()),
                count => self.write(&buffer[..count])?,
            }
        }
    }
}

/// Fills `buffer` as far as there are bytes.
fn read(content: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, PlaceError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match content.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PlaceError::Read(error)),
        }
    }
    Ok(filled)
}

fn buffer(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(size).map_or(BUFFER, |size| size.clamp(512, BUFFER))]
}

impl TargetFolder {
    pub(super) fn new_file(
        &self,
        path: &RelPath,
    ) -> Result<(ParentAndName<'static>, String, File), PlaceError> {
        let place = self.place(path)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let temporary = self.temporary_name();
        let open =
            || rustix::fs::openat(&place.parent, &*temporary, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(self.retry_opened_up(&place, path, open)?);
        Ok((ParentAndName { parent: place.parent, name: b"" }, temporary, file))
    }

    pub(super) fn staged(
        &self,
        place: ParentAndName<'_>,
        temporary: String,
        file: File,
    ) -> Staged<'_> {
        let parent = place.parent;
        let sha256 = Digest::of(b"");
        Staged { target: self, parent, temporary, file, sha256, size: 0, placed: false }
    }

    /// Writes all of `content`, about `size` bytes, under a temporary name beside `path`.
    pub(in crate::restore) fn stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Staged<'_>, PlaceError> {
        let (place, temporary, file) = self.new_file(path)?;
        let mut staged = self.staged(place, temporary, file);
        let mut writer = Writer::new(&staged.file);
        writer.copy(content, &mut buffer(size))?;
        (staged.sha256, staged.size) = writer.finish();
        Ok(staged)
    }

    /// As [`TargetFolder::stage`] for a file of `size` bytes with holes between its `extents`; `data` gives what
    /// lies in those, one after the other. The holes cost nothing, however large they are.
    pub(in crate::restore) fn stage_with_holes(
        &self,
        path: &RelPath,
        size: u64,
        extents: &[Extent],
        data: &mut dyn Read,
    ) -> Result<Staged<'_>, PlaceError> {
        let (place, temporary, file) = self.new_file(path)?;
        let mut staged = self.staged(place, temporary, file);
        let mut hasher = Sha256::new();
        let mut buffer = buffer(extents.iter().map(|extent| extent.length).max().unwrap_or(0));
        for extent in extents {
            let mut done = 0;
            while done < extent.length {
                let left = usize::try_from(extent.length - done).unwrap_or(usize::MAX);
                let most = left.min(buffer.len());
                let count = read(data, &mut buffer[..most])?;
                if count == 0 {
                    return Err(PlaceError::Read(io::ErrorKind::UnexpectedEof.into()));
                }
                hasher.update(&buffer[..count]);
                staged.file.write_all_at(&buffer[..count], extent.offset + done)?;
                done += count as u64;
            }
        }
        staged.file.set_len(size)?;
        staged.sha256 = Digest::from_bytes(hasher.finalize().into());
        staged.size = size;
        Ok(staged)
    }

    /// Keeps the file at `path` if it holds exactly `content`, else stages that.
    pub(in crate::restore) fn keep_or_stage(
        &self,
        path: &RelPath,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<Content<'_>, PlaceError> {
        let existing = match self.open_file(path) {
            Ok(Some(file)) if file.metadata()?.len() == size => file,
            // One that we may not read is replaced.
            _ => return Ok(Content::Staged(Box::new(self.stage(path, size, content)?))),
        };
        let (mut ours, mut theirs) = (buffer(size), buffer(size));
        let mut hasher = Sha256::new();
        let mut offset = 0;
        loop {
            let count = read(content, &mut theirs)?;
            if count == 0 {
                let sha256 = Digest::from_bytes(hasher.finalize().into());
                return Ok(Content::Kept(
                    Box::new(Present { target: self, file: existing }),
                    sha256,
                ));
            }
            let same = existing.read_exact_at(&mut ours[..count], offset).is_ok()
                && ours[..count] == theirs[..count];
            if !same {
                let mut rest = theirs[..count].chain(content);
                return self.replace_from(path, size, &existing, offset, hasher, &mut rest);
            }
            hasher.update(&theirs[..count]);
            offset += count as u64;
        }
    }

    /// Stages the first `same` bytes of `existing`, whose digest is in `hasher`, and then `rest`.
    fn replace_from(
        &self,
        path: &RelPath,
        size: u64,
        existing: &File,
        same: u64,
        hasher: Sha256,
        rest: &mut dyn Read,
    ) -> Result<Content<'_>, PlaceError> {
        use std::io::Seek as _;
        let mut existing = existing;
        existing.rewind()?;
        let mut both = HashingReader::new(existing.take(same));
        let (place, temporary, file) = self.new_file(path)?;
        let mut staged = self.staged(place, temporary, file);
        let mut writer = Writer::new(&staged.file);
        let mut buffer = buffer(size);
        writer.copy(&mut both, &mut buffer)?;
        if both.finish() != (Digest::from_bytes(hasher.finalize().into()), same) {
            return Err(PlaceError::Blocked("another program changes it meanwhile".into()));
        }
        writer.copy(rest, &mut buffer)?;
        (staged.sha256, staged.size) = writer.finish();
        Ok(Content::Staged(Box::new(staged)))
    }

    /// The digest of an open file's data: of all of it, or of the `extents` only.
    pub(in crate::restore) fn digest(
        file: &File,
        extents: Option<&[Extent]>,
    ) -> Result<Digest, PlaceError> {
        digest_of_data(file, extents).map_err(PlaceError::Read)
    }

    /// An empty file beside `path`, in which something is put together.
    pub(in crate::restore) fn begin(&self, path: &RelPath) -> Result<Staged<'_>, PlaceError> {
        let (place, temporary, file) = self.new_file(path)?;
        Ok(self.staged(place, temporary, file))
    }
}

impl Staged<'_> {
    /// What was written, to be read again.
    pub(in crate::restore) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the contents their metadata and then their name, `path`, beside which they were staged.
    pub(in crate::restore) fn put(
        mut self,
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<(), PlaceError> {
        let target = self.target;
        target.apply_open(self.file.as_fd(), path, metadata)?;
        let place = ParentAndName { parent: Arc::clone(&self.parent), name: path.file_name() };
        if target.replaces_file(&place) {
            // The old contents are not given up before the new ones are durable.
            rustix::fs::fsync(&self.file)?;
        }
        target.put_name(&place, path, &self.temporary)?;
        self.placed = true;
        target.flag_later(path, metadata);
        Ok(())
    }
}

impl TargetFolder {
    /// Gives the regular file at `path`, which holds the contents of digest `sha256` in its `extents` (`None`: all of it),
    /// its metadata. A file that has other names is copied first: those are not ours. So is one to which somebody else may
    /// write: the copy is of the digest, too.
    pub(in crate::restore) fn adjust_file(
        &self,
        path: &RelPath,
        file: &File,
        metadata: &Metadata,
        (sha256, extents): (Digest, Option<&[Extent]>),
    ) -> Result<(), PlaceError> {
        let found = file.metadata()?;
        if !self.may_stay(&rustix::fs::fstat(file)?, metadata) {
            return self.stage_again(path, file, sha256, extents)?.put(path, metadata);
        }
        if self.has_metadata(file.as_fd(), metadata)? {
            if found.nlink() > 1 {
                let identity = (found.dev(), found.ino());
                let mut shared = lock(&self.shared);
                shared.entry(identity).or_default().insert(path.clone(), metadata.clone());
            }
            return Ok(());
        }
        // Beside others' files, nothing is changed step by step.
        if found.nlink() > 1 || self.options.rule().is_some() {
            return self.stage_twin(path, file)?.put(path, metadata);
        }
        match self.apply_open(file.as_fd(), path, metadata) {
            Err(PlaceError::Io(error))
                if Errno::from_io_error(&error).is_some_and(|e| e == Errno::PERM) =>
            {
                // Another user's file in a folder of ours: ours takes its place.
                self.stage_twin(path, file)?.put(path, metadata)
            }
            Ok(()) => {
                self.flag_later(path, metadata);
                Ok(())
            }
            other => other,
        }
    }

    /// Kept files that are one file under several names, but should each be their own, become that.
    /// Gives those for which it failed.
    pub(in crate::restore) fn separate_shared(&self) -> Vec<(RelPath, PlaceError)> {
        let shared = std::mem::take(&mut *lock(&self.shared));
        let further = shared.into_values().flat_map(|files| files.into_iter().skip(1));
        further
            .filter_map(|(path, metadata)| {
                let separated = self.open_file(&path).and_then(|file| match file {
                    Some(file) => self.stage_twin(&path, &file)?.put(&path, &metadata),
                    None => Err(PlaceError::Blocked("another program took it away".into())),
                });
                separated.err().map(|error| (path, error))
            })
            .collect()
    }
}
