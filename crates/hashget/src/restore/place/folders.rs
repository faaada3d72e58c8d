//! Folders of the target: made, opened up for working in them, cleaned of what a killed run left.
//!
//! Invariant: a folder whose mode was changed on the way gets its final mode, or its own again.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{
    OPEN_PARENTS, PLAIN_FOLDER, ParentAndName, PlaceError, TargetFolder, WORKING_MODE, beneath,
    lock, metadata, parent_of,
};
use crate::model::RelPath;

impl TargetFolder {
    /// A folder of ours in which we may not work is opened up until it gets its final mode.
    pub(super) fn open_up(
        &self,
        path: &RelPath,
        place: &ParentAndName<'_>,
        stat: &Stat,
    ) -> Result<(), PlaceError> {
        let mode = stat.st_mode & 0o7777;
        let user = rustix::process::geteuid();
        let closed = mode & WORKING_MODE.bits() != WORKING_MODE.bits();
        if closed && !user.is_root() && stat.st_uid == user.as_raw() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(&place.parent, place.name, flags, Mode::empty())?;
            metadata::chmod_path_only(folder.as_fd(), mode | WORKING_MODE.bits())?;
            lock(&self.borrowed).entry(path.clone()).or_insert(mode);
        }
        Ok(())
    }

    /// The folder that holds `path`, made with all above it if it is not there.
    pub(super) fn place<'p>(&self, path: &'p RelPath) -> Result<ParentAndName<'p>, PlaceError> {
        Ok(ParentAndName { parent: self.folder(&parent_of(path))?, name: path.file_name() })
    }

    /// The folder at `path`, made with all above it if it is not there.
    pub(in crate::restore) fn folder(&self, path: &RelPath) -> Result<Arc<OwnedFd>, PlaceError> {
        if let Some(open) = lock(&self.parents).get(path) {
            return Ok(Arc::clone(open));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match beneath::open(self.root.as_fd(), path.as_bytes(), flags) {
            Err(Errno::NOENT) if !path.is_root() => {
                let above = self.place(path)?;
                match self.retry_opened_up(&above, path, || {
                    rustix::fs::mkdirat(&above.parent, above.name, WORKING_MODE)
                }) {
                    Ok(()) => {
                        lock(&self.borrowed).insert(path.clone(), PLAIN_FOLDER);
                    }
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                beneath::open(self.root.as_fd(), path.as_bytes(), flags)
            }
            other => other,
        };
        let folder = Arc::new(opened.map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => PlaceError::Blocked(format!(
                "on the way to it, in {path}, there is a symbolic link or a file instead of a folder"
            )),
            error => error.into(),
        })?);
        self.remove_leftovers(path, &folder)?;
        self.note_device(folder.as_fd())?;
        let mut parents = lock(&self.parents);
        if parents.len() >= *OPEN_PARENTS {
            parents.clear();
        }
        parents.insert(path.clone(), Arc::clone(&folder));
        Ok(folder)
    }

    /// Removes what a killed run left in a folder, the first time it is used.
    pub(super) fn remove_leftovers(
        &self,
        path: &RelPath,
        folder: &OwnedFd,
    ) -> Result<(), PlaceError> {
        if self.empty || !lock(&self.cleaned).insert(path.clone()) {
            return Ok(());
        }
        let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = rustix::fs::openat(folder, ".", readable, Mode::empty()) else {
            // A folder that may not be listed: its leftovers cannot be distinguished from the user's files.
            return Ok(());
        };
        for name in beneath::names(folder.as_fd())? {
            let ours = leftover_run(&name).is_some_and(|run| run != self.run);
            let entry =
                || path.join(&name).is_ok_and(|path| self.entries_like_leftovers.contains(&path));
            if !ours || entry() {
                continue;
            }
            let stat = rustix::fs::statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW);
            if stat.is_ok_and(|stat| !FileType::from_raw_mode(stat.st_mode).is_dir()) {
                match rustix::fs::unlinkat(&folder, &*name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Runs `change` in a folder; if its owner (we) took the right to write away from it, gives that
    /// back and tries again.
    pub(super) fn retry_opened_up<T>(
        &self,
        place: &ParentAndName<'_>,
        path: &RelPath,
        change: impl Fn() -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        match change() {
            Err(Errno::ACCESS) => {
                let mode = rustix::fs::fstat(&place.parent)?.st_mode & 0o7777;
                metadata::chmod_path_only(place.parent.as_fd(), mode | WORKING_MODE.bits())?;
                lock(&self.borrowed).entry(parent_of(path)).or_insert(mode);
                change()
            }
            other => other,
        }
    }

    /// Gives a final mode to the folders for which no entry set one.
    pub(in crate::restore) fn settle_folders(
        &self,
        given: impl Fn(&RelPath) -> bool,
    ) -> Result<(), PlaceError> {
        for (path, mode) in std::mem::take(&mut *lock(&self.borrowed)).into_iter().rev() {
            if !given(&path) {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                match beneath::open(self.root.as_fd(), path.as_bytes(), flags) {
                    Ok(folder) => metadata::chmod_path_only(folder.as_fd(), mode)?,
                    // Somebody took it away meanwhile.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

/// The run that a temporary name belongs to; `None` for any other name.
pub(super) fn leftover_run(name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(b".hashget-")?.strip_suffix(b".part")?;
    let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 16 || !digits.iter().all(lower_hex) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(&digits[..8]).ok()?, 16).ok()
}
