//! Everything that is not contents: folders, symbolic links, devices, fifos, and further names.
//!
//! Invariant: a thing is made under a temporary name, gets its metadata, and then its name.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;

use super::{ParentAndName, PlaceError, TargetFolder, WORKING_MODE, beneath};
use crate::model::{Kind, Metadata, RelPath};
use crate::restore::Overwrite;
use crate::restore::differences::Difference;
use crate::tree::inspect_open_file;

/// What a file system answers that has no hard links, or no more of this file; a mount below the target; and one that has no
/// such call.
const NO_LINKS: [Errno; 5] =
    [Errno::PERM, Errno::MLINK, Errno::XDEV, Errno::OPNOTSUPP, Errno::NOSYS];

/// How it went with a thing that may need rights that we do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::restore) enum Made {
    /// It is there.
    Yes,
    /// Devices need root: it was counted, nothing is there.
    NotAllowed,
}

impl TargetFolder {
    /// There is a folder at `path` that can be filled. Anything but a folder that has its name goes.
    pub(in crate::restore) fn make_folder(&self, path: &RelPath) -> Result<(), PlaceError> {
        if path.is_root() {
            return Ok(());
        }
        let place = self.place(path)?;
        let make = || rustix::fs::mkdirat(&place.parent, place.name, WORKING_MODE);
        match self.retry_opened_up(&place, path, make) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let stat = rustix::fs::statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return self.open_up(path, &place, &stat);
        }
        if self.options.rule().is_some() && !self.options.delete {
            return Err(PlaceError::Blocked(
                "something that is no folder is in the place of this folder: only --delete removes it"
                    .to_owned(),
            ));
        }
        rustix::fs::unlinkat(&place.parent, place.name, AtFlags::empty())?;
        Ok(rustix::fs::mkdirat(&place.parent, place.name, WORKING_MODE)?)
    }

    /// Gives the folder at `path` its metadata.
    pub(in crate::restore) fn finish_folder(
        &self,
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<(), PlaceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = match beneath::open(self.root.as_fd(), path.as_bytes(), flags) {
            Err(Errno::ACCESS) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let folder = beneath::open(self.root.as_fd(), path.as_bytes(), flags)?;
                self.note_device(folder.as_fd())?;
                return self.apply_path_only(folder.as_fd(), path, metadata);
            }
            other => other?,
        };
        self.note_device(folder.as_fd())?;
        if self.has_metadata(folder.as_fd(), metadata)? {
            return Ok(());
        }
        self.apply_open(folder.as_fd(), path, metadata)?;
        self.flag_folder(folder.as_fd(), path, metadata);
        Ok(())
    }

    /// Makes the symbolic link, device or fifo `kind` at `path`, or keeps one that is the same.
    pub(in crate::restore) fn make_node(
        &self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
    ) -> Result<Made, PlaceError> {
        let place = self.place(path)?;
        if self.is_node(&place, kind)? {
            let node = open_node(&place, place.name)?;
            let stat = rustix::fs::fstat(&node)?;
            let is_kept = match self.options.rule() {
                None => true,
                Some(Overwrite::Always) => false,
                Some(_) => self.is_right(path, (kind, metadata), None)?,
            };
            if is_kept && stat.st_nlink == 1 && self.may_stay(&stat, metadata) {
                self.apply_path_only(node.as_fd(), path, metadata)?;
                return Ok(Made::Yes);
            }
        }
        let temporary = self.temporary_name();
        let make = || make(&place, &temporary, kind);
        match self.retry_opened_up(&place, path, make) {
            Ok(()) => {}
            Err(Errno::PERM)
                if matches!(kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. }) =>
            {
                self.count_not_applied(Difference::Device, path);
                return Ok(Made::NotAllowed);
            }
            Err(error) => return Err(error.into()),
        }
        let named = open_node(&place, temporary.as_bytes())
            .map_err(PlaceError::from)
            .and_then(|node| self.apply_path_only(node.as_fd(), path, metadata))
            .and_then(|()| self.put_name(&place, path, &temporary));
        if named.is_err() {
            let _ = rustix::fs::unlinkat(&place.parent, &*temporary, AtFlags::empty());
        }
        named.map(|()| Made::Yes)
    }

    /// Is exactly this thing there already?
    fn is_node(&self, place: &ParentAndName<'_>, kind: &Kind) -> Result<bool, PlaceError> {
        let stat = match rustix::fs::statat(&place.parent, place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let found = FileType::from_raw_mode(stat.st_mode);
        Ok(match kind {
            Kind::Symlink { target } => {
                found.is_symlink()
                    && rustix::fs::readlinkat(&place.parent, place.name, Vec::new())?.as_bytes()
                        == &**target
            }
            Kind::CharDevice { major, minor } => {
                found.is_char_device() && stat.st_rdev == makedev(*major, *minor)
            }
            Kind::BlockDevice { major, minor } => {
                found.is_block_device() && stat.st_rdev == makedev(*major, *minor)
            }
            Kind::Fifo => found.is_fifo(),
            _ => false,
        })
    }

    /// Makes `path` another name of what is at `to`. Where a file cannot have that name, as on FAT, `path` becomes a file of
    /// its own with the same contents and metadata: that it is no hard link is found when everything is looked at.
    pub(in crate::restore) fn link(&self, path: &RelPath, to: &RelPath) -> Result<(), PlaceError> {
        let (old, new) = (self.place(to)?, self.place(path)?);
        let stat = rustix::fs::statat(&old.parent, old.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(PlaceError::Blocked(format!("{to} is a folder")));
        }
        match rustix::fs::statat(&new.parent, new.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino) => {
                return Ok(());
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let temporary = self.temporary_name();
        let link = || {
            rustix::fs::linkat(&old.parent, old.name, &new.parent, &*temporary, AtFlags::empty())
        };
        match self.retry_opened_up(&new, path, link) {
            Ok(()) => {}
            Err(error) if NO_LINKS.contains(&error) => {
                let Some(file) = self.open_file(to)? else { return Err(error.into()) };
                let metadata = inspect_open_file(&file)?.metadata;
                self.count_not_applied(Difference::HardLink, path);
                return self.stage_twin(path, &file)?.put(path, &metadata);
            }
            Err(error) => return Err(error.into()),
        }
        let named = self.put_name(&new, path, &temporary);
        if named.is_err() {
            let _ = rustix::fs::unlinkat(&new.parent, &*temporary, AtFlags::empty());
        }
        named
    }
}

/// Opens a thing without touching it.
fn open_node(place: &ParentAndName<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&place.parent, name, flags, Mode::empty())
}

fn make(place: &ParentAndName<'_>, temporary: &str, kind: &Kind) -> rustix::io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    let device = |file_type, major, minor| {
        rustix::fs::mknodat(&place.parent, temporary, file_type, mode, makedev(major, minor))
    };
    match kind {
        Kind::Symlink { target } => rustix::fs::symlinkat(&**target, &place.parent, temporary),
        Kind::CharDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor),
        Kind::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor),
        Kind::Fifo => device(FileType::Fifo, 0, 0),
        Kind::File { .. } | Kind::Directory | Kind::HardLink { .. } | Kind::Socket => {
            Err(Errno::INVAL)
        }
    }
}
