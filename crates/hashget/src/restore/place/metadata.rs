//! Owner, mode, attributes and times.
//!
//! Invariant: metadata is set on what is open, never on a name; owner before mode before attributes
//! before times, because each can undo the next; set-user-id bits are never set for another owner
//! than the one they were meant for.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::flags::flags_in;
use super::{PlaceError, TargetFolder};
use crate::model::{FLAGS_ATTRIBUTE, Metadata, RelPath, Xattrs};
use crate::restore::differences::Difference;
use crate::tree::{XATTR_MAX, flags_of, mtime_of, xattr_list};

/// The bits that lend the owner's rights to whoever runs a file.
pub(super) const SET_ID: u32 = 0o6000;

/// The group's right to write.
const GROUP: u32 = 0o020;
/// The right to write of everybody but the owner.
const OTHERS: u32 = 0o022;

/// A path that the kernel resolves to exactly the open thing `fd`.
fn open_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Sets the mode of something that is open by `O_PATH` only and is no symbolic link.
pub(super) fn chmod_path_only(fd: BorrowedFd<'_>, mode: u32) -> rustix::io::Result<()> {
    rustix::fs::chmodat(CWD, open_path(fd), Mode::from_raw_mode(mode), AtFlags::empty())
}

/// Something open: by `O_PATH` only (symbolic links, devices, fifos), or for real.
#[derive(Clone, Copy)]
struct Open<'f> {
    fd: BorrowedFd<'f>,
    path_only: bool,
}

impl Open<'_> {
    fn chown(self, uid: u32, gid: u32) -> rustix::io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(self.fd, "", uid, gid, AtFlags::EMPTY_PATH)
    }

    fn chmod(self, mode: u32) -> rustix::io::Result<()> {
        if self.path_only {
            return chmod_path_only(self.fd, mode);
        }
        rustix::fs::fchmod(self.fd, Mode::from_raw_mode(mode))
    }

    fn set_times(self, times: &Timestamps) -> rustix::io::Result<()> {
        if self.path_only {
            return rustix::fs::utimensat(self.fd, "", times, AtFlags::EMPTY_PATH);
        }
        rustix::fs::futimens(self.fd, times)
    }

    fn list_xattrs(self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        if self.path_only {
            return rustix::fs::listxattr(open_path(self.fd), buffer);
        }
        rustix::fs::flistxattr(self.fd, buffer)
    }

    fn xattr(self, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        if self.path_only {
            return rustix::fs::getxattr(open_path(self.fd), name, buffer);
        }
        rustix::fs::fgetxattr(self.fd, name, buffer)
    }

    fn set_xattr(self, name: &CStr, value: &[u8]) -> rustix::io::Result<()> {
        if self.path_only {
            return rustix::fs::setxattr(open_path(self.fd), name, value, XattrFlags::empty());
        }
        rustix::fs::fsetxattr(self.fd, name, value, XattrFlags::empty())
    }

    fn remove_xattr(self, name: &CStr) -> rustix::io::Result<()> {
        if self.path_only {
            return rustix::fs::removexattr(open_path(self.fd), name);
        }
        rustix::fs::fremovexattr(self.fd, name)
    }

    /// The names of its attributes.
    fn xattr_names(self) -> rustix::io::Result<Vec<CString>> {
        let list = match xattr_list(|buffer| self.list_xattrs(buffer)) {
            Ok(list) => list,
            // A file system without attributes, or a system without /proc.
            Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOENT) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(list
            .split_inclusive(|&byte| byte == 0)
            .filter_map(|name| CStr::from_bytes_with_nul(name).ok().map(CStr::to_owned))
            .collect())
    }

    fn has_xattr(self, name: &CStr, value: &[u8], buffer: &mut Vec<u8>) -> bool {
        buffer.resize(XATTR_MAX, 0);
        self.xattr(name, buffer).is_ok_and(|length| &buffer[..length] == value)
    }
}

/// Would a tree have this attribute because it was packed with it? Others (labels of security
/// modules) belong to the machine.
pub(super) fn is_of_the_tree(name: &[u8]) -> bool {
    [&b"user."[..], b"trusted.", b"system.posix_acl_"].iter().any(|start| name.starts_with(start))
        || name == b"security.capability"
}

/// What it means that an attribute is not as it was packed.
pub(super) fn difference_of_xattr(name: &[u8]) -> Difference {
    match name {
        b"security.capability" => Difference::Capability,
        FLAGS_ATTRIBUTE => Difference::Flag,
        _ if name.starts_with(b"system.posix_acl_") => Difference::Acl,
        _ => Difference::Attribute,
    }
}

/// Was it the file system that refused a mode or time? It may have none like it; what is ours, or everything if we are root,
/// we may change.
fn is_of_the_file_system(error: Errno, stat: &Stat) -> bool {
    let user = rustix::process::geteuid();
    match error {
        Errno::INVAL | Errno::OVERFLOW | Errno::NOTSUP | Errno::NOSYS => true,
        Errno::PERM => user.is_root() || user.as_raw() == stat.st_uid,
        _ => false,
    }
}

pub(super) fn same_mtime(stat: &Stat, metadata: &Metadata) -> bool {
    mtime_of(stat) == metadata.mtime
}

impl TargetFolder {
    /// Applies metadata to an open file or folder, but for its flags.
    pub(super) fn apply_open(
        &self,
        fd: BorrowedFd<'_>,
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<(), PlaceError> {
        self.lift_flags(fd, metadata);
        self.apply(Open { fd, path_only: false }, path, metadata)
    }

    /// Applies metadata to something that is open by `O_PATH` only.
    pub(super) fn apply_path_only(
        &self,
        fd: BorrowedFd<'_>,
        path: &RelPath,
        metadata: &Metadata,
    ) -> Result<(), PlaceError> {
        self.apply(Open { fd, path_only: true }, path, metadata)
    }

    /// May something that is there and has the right contents stay? It has to be ours, or its owner's as it was packed;
    /// and nobody else may have been able to write to it: whoever has it open still could, whatever its mode is then.
    pub(super) fn may_stay(&self, stat: &Stat, metadata: &Metadata) -> bool {
        let ours = stat.st_uid == rustix::process::geteuid().as_raw();
        let of_its_owner = self.options.same_owner && stat.st_uid == metadata.uid;
        let others = if FileType::from_raw_mode(stat.st_mode).is_symlink() { 0 } else { OTHERS };
        let writers = stat.st_mode & others;
        let stay = if stat.st_gid == metadata.gid || !self.options.same_owner {
            metadata.mode & self.options.mode_mask
        } else {
            metadata.mode & self.options.mode_mask & !GROUP
        };
        (ours || of_its_owner) && writers & !stay == 0
    }

    /// Has an open file exactly this metadata?
    pub(super) fn has_metadata(
        &self,
        fd: BorrowedFd<'_>,
        metadata: &Metadata,
    ) -> Result<bool, PlaceError> {
        let stat = rustix::fs::fstat(fd)?;
        if stat.st_mode & 0o7777 != metadata.mode & self.options.mode_mask
            || (stat.st_uid, stat.st_gid) != (metadata.uid, metadata.gid)
            || !same_mtime(&stat, metadata)
        {
            return Ok(false);
        }
        if self.options.attributes && Some(flags_of(fd)) != flags_in(metadata) {
            return Ok(false);
        }
        let open = Open { fd, path_only: false };
        let mut buffer = Vec::new();
        for (name, value) in metadata.xattrs.iter().filter(|(name, _)| self.wants_xattr(name)) {
            let Ok(name) = CString::new(&**name) else { return Ok(false) };
            if !open.has_xattr(&name, value, &mut buffer) {
                return Ok(false);
            }
        }
        let extra = open.xattr_names()?.iter().any(|name| {
            let name = name.to_bytes();
            self.wants_xattr(name) && is_of_the_tree(name) && !metadata.xattrs.contains_key(name)
        });
        Ok(!extra)
    }

    /// Are attributes of this name to be as they were packed?
    /// Flags are none: they have a way of their own.
    fn wants_xattr(&self, name: &[u8]) -> bool {
        name != FLAGS_ATTRIBUTE && difference_of_xattr(name).is_asked_for(&self.options)
    }

    fn apply(&self, open: Open<'_>, path: &RelPath, metadata: &Metadata) -> Result<(), PlaceError> {
        let stat = rustix::fs::fstat(open.fd)?;
        let mut mode = metadata.mode & self.options.mode_mask & 0o7777;
        let owner_is_right = (stat.st_uid, stat.st_gid) == (metadata.uid, metadata.gid)
            || self.change_owner(open, metadata)?;
        if !owner_is_right {
            self.count_not_applied(Difference::Owner, path);
            if mode & SET_ID != 0 && !FileType::from_raw_mode(stat.st_mode).is_dir() {
                mode &= !SET_ID;
                self.count_not_applied(Difference::SetIdWithheld, path);
            }
        }
        if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
            match open.chmod(mode) {
                Ok(()) => {}
                Err(error) if is_of_the_file_system(error, &stat) => {
                    self.count_not_applied(Difference::Mode, path);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.apply_xattrs(open, path, &metadata.xattrs)?;
        self.apply_mtime(open, path, metadata, &stat)
    }

    /// Makes the owner right if that is wanted and allowed.
    fn change_owner(&self, open: Open<'_>, metadata: &Metadata) -> Result<bool, PlaceError> {
        if !self.options.same_owner {
            return Ok(false);
        }
        match open.chown(metadata.uid, metadata.gid) {
            Ok(()) => Ok(true),
            // Not root, or an owner that this namespace or file system does not have.
            Err(Errno::PERM | Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn apply_xattrs(
        &self,
        open: Open<'_>,
        path: &RelPath,
        xattrs: &Xattrs,
    ) -> Result<(), PlaceError> {
        for name in open.xattr_names()? {
            let bytes = name.to_bytes();
            // Inherited from the folder, or of an earlier file.
            if self.wants_xattr(bytes) && is_of_the_tree(bytes) && !xattrs.contains_key(bytes) {
                match open.remove_xattr(&name) {
                    Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                    Err(Errno::PERM | Errno::ACCESS) => {
                        self.count_not_applied(difference_of_xattr(bytes), path);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        for (name, value) in xattrs.iter().filter(|(name, _)| self.wants_xattr(name)) {
            let Ok(c_name) = CString::new(&**name) else {
                self.count_not_applied(difference_of_xattr(name), path);
                continue;
            };
            match open.set_xattr(&c_name, value) {
                Ok(()) => {}
                Err(
                    Errno::PERM
                    | Errno::ACCESS
                    | Errno::NOTSUP
                    | Errno::NOSYS
                    | Errno::NOENT
                    | Errno::INVAL
                    | Errno::RANGE
                    | Errno::TOOBIG,
                ) => {
                    if !open.has_xattr(&c_name, value, &mut Vec::new()) {
                        self.count_not_applied(difference_of_xattr(name), path);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn apply_mtime(
        &self,
        open: Open<'_>,
        path: &RelPath,
        metadata: &Metadata,
        stat: &Stat,
    ) -> Result<(), PlaceError> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: metadata.mtime.seconds,
                tv_nsec: metadata.mtime.nanoseconds.into(),
            },
        };
        match open.set_times(&times) {
            Ok(()) if same_mtime(&rustix::fs::fstat(open.fd)?, metadata) => Ok(()),
            // A file system with coarser or fewer times.
            Ok(()) => {
                self.count_not_applied(Difference::Mtime, path);
                Ok(())
            }
            Err(error) if is_of_the_file_system(error, stat) => {
                self.count_not_applied(Difference::Mtime, path);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
