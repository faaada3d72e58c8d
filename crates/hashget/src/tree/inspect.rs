//! The metadata of one entry.
//!
//! Invariant: metadata is that of the entry itself, never of the target of a symbolic link.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Stat, Statx, StatxAttributes, StatxFlags, StatxTimestamp, fgetxattr,
    flistxattr, lgetxattr, llistxattr, major, makedev, minor, readlinkat, statat, statx,
};
use rustix::io::Errno;

use crate::model::{FLAGS_ATTRIBUTE, Flags, Kind, Metadata, Timestamp, Xattrs, escaped};

/// What changes when a file changes: device, inode, size, mtime and ctime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Device of the file system.
    pub device: u64,
    /// Inode number on it.
    pub inode: u64,
    /// Logical size in bytes.
    pub size: u64,
    /// Time of the last change of contents.
    pub mtime: Timestamp,
    /// Time of the last change of contents or metadata.
    pub ctime: Timestamp,
}

/// What was found under a name.
pub(super) struct Inspected {
    pub(super) kind: Kind,
    /// Of its extended attributes only the flags for now: see [`attributes`].
    pub(super) metadata: Metadata,
    pub(super) stamp: Stamp,
    pub(super) several_names: bool,
}

/// What the kernel says of an entry.
struct Seen {
    /// Kind and mode.
    mode: u32,
    uid: u32,
    gid: u32,
    names: u64,
    /// Of a device: major and minor number.
    device: (u32, u32),
    /// In bytes.
    allocated: u64,
    stamp: Stamp,
    flags: Flags,
}

/// Asks the kernel for `name` in the open folder `parent`, or for `parent` itself.
fn look(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Seen> {
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    match statx(parent, name, how, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok(Seen::from_statx(&found)),
        // A kernel before 4.11, or a sandbox that does not know the call: then flags are not known.
        Err(Errno::NOSYS | Errno::PERM) => Ok(Seen::from_stat(&statat(parent, name, how)?)),
        Err(error) => Err(error.into()),
    }
}

impl Seen {
    fn from_statx(found: &Statx) -> Self {
        let time = |time: &StatxTimestamp| {
            Timestamp::normalised(time.tv_sec, time.tv_nsec.cast_signed().into())
        };
        let mode = u32::from(found.stx_mode);
        let stamp = Stamp {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            size: found.stx_size,
            mtime: time(&found.stx_mtime),
            ctime: time(&found.stx_ctime),
        };
        Self {
            mode,
            uid: found.stx_uid,
            gid: found.stx_gid,
            names: found.stx_nlink.into(),
            device: (found.stx_rdev_major, found.stx_rdev_minor),
            allocated: found.stx_blocks.saturating_mul(512),
            stamp,
            flags: flags(FileType::from_raw_mode(mode), found.stx_attributes),
        }
    }

    #[allow(
        clippy::cast_possible_wrap,
        clippy::unnecessary_cast,
        clippy::unnecessary_fallible_conversions,
        clippy::useless_conversion,
        reason = "field types differ between x86-64 and arm64"
    )]
    fn from_stat(stat: &Stat) -> Self {
        let stamp = Stamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: mtime_of(stat),
            ctime: Timestamp::normalised(stat.st_ctime, stat.st_ctime_nsec as i64),
        };
        Self {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            names: stat.st_nlink.into(),
            device: (major(stat.st_rdev), minor(stat.st_rdev)),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            stamp,
            flags: Flags::default(),
        }
    }

    /// With the flags, and without other extended attributes.
    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata {
            mode: self.mode & 0o7777,
            uid: self.uid,
            gid: self.gid,
            mtime: self.stamp.mtime,
            xattrs: Xattrs::default(),
        };
        if !self.flags.is_empty() {
            metadata.xattrs.insert(FLAGS_ATTRIBUTE.into(), self.flags.text().into_bytes().into());
        }
        metadata
    }
}

/// The flags that are kept of a file or folder; what is neither can be given none.
fn flags(kind: FileType, attributes: StatxAttributes) -> Flags {
    if !matches!(kind, FileType::RegularFile | FileType::Directory) {
        return Flags::default();
    }
    Flags {
        append: attributes.contains(StatxAttributes::APPEND),
        immutable: attributes.contains(StatxAttributes::IMMUTABLE),
        no_dump: attributes.contains(StatxAttributes::NODUMP),
    }
}

/// When something was modified.
#[allow(
    clippy::cast_possible_wrap,
    clippy::unnecessary_cast,
    reason = "field types differ between x86-64 and arm64"
)]
pub(crate) fn mtime_of(stat: &Stat) -> Timestamp {
    Timestamp::normalised(stat.st_mtime, stat.st_mtime_nsec as i64)
}

/// The flags of something open; none if that cannot be said.
pub(crate) fn flags_of(fd: BorrowedFd<'_>) -> Flags {
    flags_at(fd, c"")
}

/// The flags of `name` in the open folder `parent`; none if that cannot be said.
pub(crate) fn flags_at(parent: BorrowedFd<'_>, name: &CStr) -> Flags {
    look(parent, name).map_or(Flags::default(), |found| found.flags)
}

/// Inspects `name` in the open folder `parent`.
pub(super) fn inspect(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Inspected> {
    let found = look(parent, name)?;
    let (major, minor) = found.device;
    let kind = match FileType::from_raw_mode(found.mode) {
        FileType::RegularFile => Kind::File { size: found.stamp.size },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            Kind::Symlink { target: readlinkat(parent, name, Vec::new())?.into_bytes().into() }
        }
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Fifo => Kind::Fifo,
        _ => Kind::Socket,
    };
    Ok(Inspected {
        kind,
        metadata: found.metadata(),
        stamp: found.stamp,
        several_names: found.names > 1,
    })
}

/// Has `name` in the open folder `parent` the flag "no dump"? Never on a file system without flags, or if it cannot be said.
pub(crate) fn is_nodump(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let found = statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::NODUMP))
}

/// The extended attributes that could be read, and why others could not, if there are such.
pub(super) struct Attributes {
    xattrs: Xattrs,
    problem: Option<String>,
}

impl Attributes {
    /// Adds them to metadata that has the flags already. Gives why others could not be read.
    pub(super) fn add_to(self, metadata: &mut Metadata) -> Option<String> {
        let flags = std::mem::replace(&mut metadata.xattrs, self.xattrs);
        if !flags.is_empty() {
            metadata.xattrs.extend(flags.iter().map(|(name, text)| (name.clone(), text.clone())));
        }
        self.problem
    }
}

/// The extended attributes of the entry at `path`; a symbolic link is not followed. (No system call takes an
/// open folder and a name: see [`procfs_path`].)
pub(super) fn attributes(path: &[u8]) -> Attributes {
    read_xattrs(|buffer| llistxattr(path, buffer), |name, buffer| lgetxattr(path, name, buffer))
}

/// A path by which the kernel finds the open folder `fd`, however long its real path is.
pub(super) fn procfs_path(fd: BorrowedFd<'_>) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// What an open regular file is now.
#[derive(Debug)]
pub struct InspectedFile {
    /// Its metadata, with the attributes that can be read.
    pub metadata: Metadata,
    /// Why not all of its attributes can be read, if that is so.
    pub problem: Option<String>,
    /// Its stamp.
    pub stamp: Stamp,
    /// The number of bytes that are allocated for it.
    pub allocated: u64,
}

/// Inspects an open regular file.
///
/// # Errors
/// Its metadata cannot be read, or it is not a regular file.
pub fn inspect_open_file(file: &File) -> io::Result<InspectedFile> {
    let found = look(file.as_fd(), c"")?;
    if FileType::from_raw_mode(found.mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let attributes = read_xattrs(
        |buffer| flistxattr(file, buffer),
        |name, buffer| fgetxattr(file, name, buffer),
    );
    let mut metadata = found.metadata();
    let problem = attributes.add_to(&mut metadata);
    Ok(InspectedFile { metadata, problem, stamp: found.stamp, allocated: found.allocated })
}

/// The stamp of an open file, and the number of bytes allocated for it.
pub(super) fn stamp_of(file: &File) -> io::Result<(Stamp, u64)> {
    let found = look(file.as_fd(), c"")?;
    Ok((found.stamp, found.allocated))
}

/// The largest attribute list or value that Linux allows.
pub(crate) const XATTR_MAX: usize = 64 * 1024;

/// The list of attribute names that `list` writes into a buffer: each ends with a NUL byte.
///
/// # Errors
/// Those of `list`, except that the buffer was too small.
pub(crate) fn xattr_list(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<u8>> {
    // Mostly there are few, or none, which takes no memory.
    let mut small = [0; 512];
    match list(&mut small) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; XATTR_MAX];
            let length = list(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        result => result.map(|length| small[..length].to_vec()),
    }
}

fn read_xattrs(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> Attributes {
    let mut found = Attributes { xattrs: Xattrs::default(), problem: None };
    let names = match xattr_list(list) {
        Ok(names) => names,
        // The file system does not support attributes.
        Err(Errno::NOTSUP | Errno::NOSYS) => return found,
        Err(Errno::TOOBIG) => {
            let most = XATTR_MAX >> 10;
            found.problem = Some(format!("Linux lists at most {most} KiB of attribute names"));
            return found;
        }
        Err(error) => {
            found.problem = Some(io::Error::from(error).to_string());
            return found;
        }
    };
    let mut value = Vec::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        value.resize(XATTR_MAX, 0);
        match get(name, &mut value) {
            Ok(length) => {
                found.xattrs.insert(name.to_bytes().into(), value[..length].into());
            }
            // It was removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(error) => {
                let error = io::Error::from(error);
                found.problem = Some(format!("{}: {error}", escaped(name.to_bytes())));
            }
        }
    }
    found
}
