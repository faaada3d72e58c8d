//! Looking at what is on the disk.
//!
//! Invariant: nothing is changed and no symbolic link is followed. What counts is what the file system says now, not
//! what was asked of it before.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, makedev};
use rustix::io::Errno;

use super::flags::flags_in;
use super::metadata::{SET_ID, difference_of_xattr, is_of_the_tree, same_mtime};
use super::{PlaceError, TargetFolder, beneath, parent_of};
use crate::model::{FLAGS_ATTRIBUTE, Flags, Kind, Metadata, RelPath, Xattrs};
use crate::restore::differences::Difference;
use crate::tree::{XATTR_MAX, flags_at, xattr_list};

/// Something on the disk.
pub(in crate::restore) struct Look<'f> {
    folder: BorrowedFd<'f>,
    name: &'f [u8],
    pub(in crate::restore) stat: Stat,
    /// Where the kernel finds it, for calls that take no open folder.
    path: Vec<u8>,
    /// Is `path` a link of the kernel's to the thing itself?
    is_magic: bool,
}

impl TargetFolder {
    /// Looks at everything in the folder at `path`, in the order of the file system. `visit` gets each name.
    pub(in crate::restore) fn look_into<E: From<PlaceError>>(
        &self,
        path: &RelPath,
        mut visit: impl FnMut(&[u8], &Look<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let io = |error: Errno| PlaceError::from(error);
        let folder = beneath::open(self.root.as_fd(), path.as_bytes(), flags).map_err(io)?;
        let above = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        for entry in Dir::read_from(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let stat = match rustix::fs::statat(&folder, entry.file_name(), flags) {
                Ok(stat) => stat,
                // Listed and not found, or taken away meanwhile: it is not there.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(io(error).into()),
            };
            let path = [&*above, name].concat();
            visit(name, &Look { folder: folder.as_fd(), name, stat, path, is_magic: false })?;
        }
        Ok(())
    }

    /// Looks at the one thing at `path`; `None` if there is none.
    pub(in crate::restore) fn look_at<R>(
        &self,
        path: &RelPath,
        visit: impl FnOnce(&Look<'_>) -> R,
    ) -> Result<Option<R>, PlaceError> {
        let flags = OFlags::PATH;
        let absent = |error: &Errno| matches!(*error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP);
        let root = self.root.as_fd();
        let (above, thing) = match (
            beneath::open(root, parent_of(path).as_bytes(), flags | OFlags::DIRECTORY),
            beneath::open(root, path.as_bytes(), flags),
        ) {
            (Ok(above), Ok(thing)) => (above, thing),
            (Err(error), _) | (_, Err(error)) if absent(&error) => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&thing)?;
        let path_of_thing = format!("/proc/self/fd/{}", thing.as_raw_fd()).into_bytes();
        Ok(Some(visit(&Look {
            folder: above.as_fd(),
            name: path.file_name(),
            stat,
            path: path_of_thing,
            is_magic: true,
        })))
    }
}

impl Look<'_> {
    /// Is it a folder?
    pub(in crate::restore) fn is_folder(&self) -> bool {
        self.file_type().is_dir()
    }

    fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// How it differs from an entry of this kind with this metadata, of whose mode only the bits of `mode_mask` were
    /// asked for.
    pub(in crate::restore) fn differences(
        &self,
        kind: &Kind,
        metadata: &Metadata,
        mode_mask: u32,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        if let Some(difference) = self.difference_of_kind(kind) {
            found.push(difference);
            if difference == Difference::Kind {
                return found;
            }
        }
        let stat = &self.stat;
        let is_others = (stat.st_uid, stat.st_gid) != (metadata.uid, metadata.gid);
        let differing = (stat.st_mode ^ (metadata.mode & mode_mask)) & 0o7777;
        if !self.file_type().is_symlink() && differing != 0 {
            let only_set_id = differing & !SET_ID == 0 && *kind != Kind::Directory;
            // As it is left when the owner could not be set; a bit that nobody packed is never that.
            let is_withheld = is_others && differing & stat.st_mode == 0;
            found.push(match (only_set_id, is_withheld) {
                (true, true) => Difference::SetIdWithheld,
                (true, false) => Difference::SetId,
                (false, _) => Difference::Mode,
            });
        }
        if is_others {
            found.push(Difference::Owner);
        }
        if !same_mtime(stat, metadata) {
            found.push(Difference::Mtime);
        }
        self.differences_of_attributes(&metadata.xattrs, &mut found);
        if self.flags() != flags_in(metadata) {
            found.push(Difference::Flag);
        }
        found
    }

    fn difference_of_kind(&self, kind: &Kind) -> Option<Difference> {
        let stat = &self.stat;
        let found = self.file_type();
        let (is_kind, is_same, difference) = match kind {
            Kind::File { size } => {
                let same = u64::try_from(stat.st_size).is_ok_and(|found| found == *size);
                (found.is_file(), same, Difference::Size)
            }
            Kind::Directory => (found.is_dir(), true, Difference::Kind),
            Kind::Symlink { target } => {
                let same = found.is_symlink()
                    && rustix::fs::readlinkat(self.folder, self.name, Vec::new())
                        .is_ok_and(|found| found.as_bytes() == &**target);
                (found.is_symlink(), same, Difference::LinkTarget)
            }
            Kind::CharDevice { major, minor } => {
                let same = stat.st_rdev == makedev(*major, *minor);
                (found.is_char_device(), same, Difference::DeviceNumber)
            }
            Kind::BlockDevice { major, minor } => {
                let same = stat.st_rdev == makedev(*major, *minor);
                (found.is_block_device(), same, Difference::DeviceNumber)
            }
            Kind::Fifo => (found.is_fifo(), true, Difference::Kind),
            // Neither is restored as such.
            Kind::Socket | Kind::HardLink { .. } => (true, true, Difference::Kind),
        };
        match (is_kind, is_same) {
            (false, _) => Some(Difference::Kind),
            (true, false) => Some(difference),
            (true, true) => None,
        }
    }

    fn differences_of_attributes(&self, expected: &Xattrs, found: &mut Vec<Difference>) {
        let mut add = |difference| {
            if !found.contains(&difference) {
                found.push(difference);
            }
        };
        let names = match xattr_list(|buffer| self.list_xattrs(buffer)) {
            Ok(names) => names,
            Err(Errno::NOTSUP | Errno::NOSYS) => Vec::new(),
            Err(_) => return add(Difference::Unseen),
        };
        let names = || names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
        for name in names().filter(|name| is_of_the_tree(name) && !expected.contains_key(*name)) {
            add(difference_of_xattr(name));
        }
        let mut buffer = Vec::new();
        for (name, value) in expected.iter().filter(|(name, _)| ***name != *FLAGS_ATTRIBUTE) {
            let is_listed = || names().any(|listed| listed == &**name);
            let same = match self.xattr(name, &mut buffer) {
                Ok(length) => buffer[..length] == **value,
                // Our own file, of which we may not read anything.
                Err(Errno::ACCESS) => is_listed(),
                Err(_) => false,
            };
            if !same {
                add(difference_of_xattr(name));
            }
        }
    }

    /// Its flags; none if it can have none.
    fn flags(&self) -> Option<Flags> {
        let can_have_flags = self.file_type().is_file() || self.file_type().is_dir();
        let name = if can_have_flags { CString::new(self.name).ok() } else { None };
        Some(name.map_or(Flags::default(), |name| flags_at(self.folder, &name)))
    }

    fn list_xattrs(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        if self.is_magic {
            return rustix::fs::listxattr(&*self.path, buffer);
        }
        rustix::fs::llistxattr(&*self.path, buffer)
    }

    fn xattr(&self, name: &[u8], buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
        buffer.resize(XATTR_MAX, 0);
        let name = [name, b"\0"].concat();
        let name = CStr::from_bytes_with_nul(&name).map_err(|_| Errno::INVAL)?;
        if self.is_magic {
            return rustix::fs::getxattr(&*self.path, name, buffer.as_mut_slice());
        }
        rustix::fs::lgetxattr(&*self.path, name, buffer.as_mut_slice())
    }
}
