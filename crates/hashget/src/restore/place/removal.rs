//! Removing what is not of the tree.
//!
//! Invariant: no symbolic link is followed, and where something is mounted nothing is removed: neither that nor what it lies in.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::{ParentAndName, PlaceError, TargetFolder, beneath, lock, metadata, parent_of};
use crate::model::RelPath;

impl TargetFolder {
    /// Removes what is at `path`, with everything in it.
    pub(in crate::restore) fn remove_all(&self, path: &RelPath) -> Result<(), PlaceError> {
        let place = self.place(path)?;
        let stat = match rustix::fs::statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            let unlink = || rustix::fs::unlinkat(&place.parent, place.name, AtFlags::empty());
            return self.retry_opened_up(&place, path, unlink).map_err(|error| match error {
                Errno::BUSY => PlaceError::Blocked("something is mounted on it".to_owned()),
                error => error.into(),
            });
        }
        let folders = self.folders_to_remove(path, |folder| self.open_for_removal(folder))?;
        for folder in folders.iter().rev() {
            let open = self.open_for_removal(folder)?;
            for name in beneath::names(open.as_fd())? {
                rustix::fs::unlinkat(&open, &*name, AtFlags::empty())?;
            }
            let place = self.place(folder)?;
            let remove = || rustix::fs::unlinkat(&place.parent, place.name, AtFlags::REMOVEDIR);
            self.retry_opened_up(&place, folder, remove)?;
            lock(&self.parents).remove(folder);
        }
        Ok(())
    }

    /// Removes the regular files right in the folder at `path` that `is_wanted` takes, if it is a folder.
    pub(in crate::restore) fn remove_files_in(
        &self,
        path: &RelPath,
        is_wanted: impl Fn(&RelPath) -> bool,
    ) -> Result<(), PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = match beneath::open(self.root.as_fd(), path.as_bytes(), flags) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            open => open?,
        };
        for name in beneath::names(open.as_fd())? {
            let below = path.join(&name).expect("the system has no other names");
            let stat = rustix::fs::statat(&open, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode).is_file() && is_wanted(&below) {
                self.remove_all(&below)?;
            }
        }
        Ok(())
    }

    /// Removes the folder at `path`, if nothing is in it.
    pub(in crate::restore) fn remove_if_empty(&self, path: &RelPath) -> Result<(), PlaceError> {
        let place = self.place(path)?;
        let remove = || rustix::fs::unlinkat(&place.parent, place.name, AtFlags::REMOVEDIR);
        match self.retry_opened_up(&place, path, remove) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Can all of the folder at `path` be removed? Nothing is changed to find that out.
    pub(in crate::restore) fn is_removable(&self, path: &RelPath) -> Result<(), PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open =
            |folder: &RelPath| Ok(beneath::open(self.root.as_fd(), folder.as_bytes(), flags)?);
        self.folders_to_remove(path, open).map(drop)
    }

    /// The folder at `path` and all folders below it, each before what is in it.
    fn folders_to_remove(
        &self,
        path: &RelPath,
        open: impl Fn(&RelPath) -> Result<OwnedFd, PlaceError>,
    ) -> Result<Vec<RelPath>, PlaceError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let above = beneath::open(self.root.as_fd(), parent_of(path).as_bytes(), flags)?;
        let device = rustix::fs::fstat(&above)?.st_dev;
        let (mut found, mut next) = (vec![path.clone()], 0);
        while let Some(folder) = found.get(next).cloned() {
            next += 1;
            let open = open(&folder)?;
            if rustix::fs::fstat(&open)?.st_dev != device || is_mounted(open.as_fd()) {
                let why = format!("another file system is mounted at {folder}: nothing is removed");
                return Err(PlaceError::Blocked(why));
            }
            for name in beneath::names(open.as_fd())? {
                let stat = rustix::fs::statat(&open, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode).is_dir() {
                    let below = folder.join(&name).expect("the system has no other names");
                    found.push(below);
                }
            }
        }
        Ok(found)
    }

    /// Points the name of `place`, which is that of a folder, to what is under `temporary`; the folder goes if that may be.
    pub(super) fn put_in_place_of_folder(
        &self,
        place: &ParentAndName<'_>,
        path: &RelPath,
        temporary: &str,
    ) -> Result<(), PlaceError> {
        if !self.options.delete {
            let why = "a folder is in the place of what is no folder: only --delete removes it";
            return Err(PlaceError::Blocked(why.to_owned()));
        }
        self.is_removable(path)?;
        let aside = self.temporary_name();
        rustix::fs::renameat(&place.parent, place.name, &place.parent, &*aside)?;
        lock(&self.parents).clear();
        rustix::fs::renameat(&place.parent, temporary, &place.parent, place.name)?;
        let aside = parent_of(path).join(aside.as_bytes()).expect("it is a name");
        self.remove_all(&aside)
    }

    /// Is there a file that is replaced by a rule, which is to be intact until then?
    pub(super) fn replaces_file(&self, place: &ParentAndName<'_>) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        !self.empty
            && self.options.rule().is_some()
            && rustix::fs::statat(&place.parent, place.name, flags)
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file())
    }

    /// Opens a folder of which its owner (we) may have taken the right to read or to write away.
    fn open_for_removal(&self, path: &RelPath) -> Result<OwnedFd, PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = || beneath::open(self.root.as_fd(), path.as_bytes(), flags);
        let closed =
            beneath::open(self.root.as_fd(), path.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)?;
        let mode = rustix::fs::fstat(&closed)?.st_mode & 0o7777;
        if mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root() {
            metadata::chmod_path_only(closed.as_fd(), mode | 0o700)?;
        }
        Ok(open()?)
    }
}

/// Is something mounted at this open folder? Kernels before 5.8 do not say so; then only another device shows it.
fn is_mounted(folder: BorrowedFd<'_>) -> bool {
    let flags = AtFlags::EMPTY_PATH;
    rustix::fs::statx(folder, "", flags, StatxFlags::BASIC_STATS)
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
