//! The metadata of one entry.
//!
//! Invariant: metadata is that of the entry itself, never of the target of a symbolic link.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Stat, StatxAttributes, StatxFlags, fgetxattr, flistxattr, fstat, lgetxattr,
    llistxattr, major, minor, readlinkat, statat, statx,
};
use rustix::io::Errno;

use crate::model::{Kind, Metadata, Timestamp, Xattrs, escaped};

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
    /// Without extended attributes for now: see [`attributes`].
    pub(super) metadata: Metadata,
    pub(super) stamp: Stamp,
    pub(super) several_names: bool,
}

fn stamp(stat: &Stat) -> Stamp {
    let time = |seconds: i64, nanoseconds: u64| Timestamp {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    };
    #[allow(
        clippy::unnecessary_fallible_conversions,
        clippy::useless_conversion,
        reason = "field types differ between x86-64 and arm64"
    )]
    let nanoseconds = |value| u64::try_from(value).unwrap_or(0);
    Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime: time(stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
        ctime: time(stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
    }
}

fn metadata(stat: &Stat, stamp: &Stamp, xattrs: Xattrs) -> Metadata {
    Metadata {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: stamp.mtime,
        xattrs,
    }
}

/// Inspects `name` in the open folder `parent`.
pub(super) fn inspect(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Inspected> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let stamp = stamp(&stat);
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File { size: stamp.size },
        FileType::Directory => Kind::Directory,
        FileType::Symlink => {
            Kind::Symlink { target: readlinkat(parent, name, Vec::new())?.into_bytes().into() }
        }
        FileType::CharacterDevice => {
            Kind::CharDevice { major: major(stat.st_rdev), minor: minor(stat.st_rdev) }
        }
        FileType::BlockDevice => {
            Kind::BlockDevice { major: major(stat.st_rdev), minor: minor(stat.st_rdev) }
        }
        FileType::Fifo => Kind::Fifo,
        _ => Kind::Socket,
    };
    Ok(Inspected {
        kind,
        metadata: metadata(&stat, &stamp, Xattrs::default()),
        stamp,
        several_names: stat.st_nlink > 1,
    })
}

/// Has `name` in the open folder `parent` the flag "no dump"? Never on a file system without flags, or if it cannot be said.
pub(crate) fn is_nodump(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    let found = statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::NODUMP))
}

/// The extended attributes that could be read, and why others could not, if there are such.
pub(super) struct Attributes {
    pub(super) xattrs: Xattrs,
    pub(super) problem: Option<String>,
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
    let stat = fstat(file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file any more"));
    }
    let stamp = stamp(&stat);
    let Attributes { xattrs, problem } = read_xattrs(
        |buffer| flistxattr(file, buffer),
        |name, buffer| fgetxattr(file, name, buffer),
    );
    let metadata = metadata(&stat, &stamp, xattrs);
    Ok(InspectedFile { metadata, problem, stamp, allocated: allocated(&stat) })
}

fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// The stamp of an open file, and the number of bytes allocated for it.
pub(super) fn stamp_of(file: &File) -> io::Result<(Stamp, u64)> {
    let stat = fstat(file)?;
    Ok((stamp(&stat), allocated(&stat)))
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
