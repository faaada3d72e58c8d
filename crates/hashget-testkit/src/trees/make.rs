//! Single entries of a tree, with the metadata that a test asks for.
//!
//! Invariant: each call does one thing to one path, and panics if it cannot. A test whose tree differs from its
//! description proves nothing.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

/// The kind and the numbers of a device.
pub type Device = (bool, u32, u32);

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn below(root: &Path, name: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(name))
}

/// Makes a folder, with its parents.
pub fn folder(root: &Path, name: impl AsRef<[u8]>) -> PathBuf {
    let path = below(root, name.as_ref());
    fs_err::create_dir_all(&path).expect("a folder can be made");
    path
}

/// Makes a regular file with mode 0644, with its parents.
pub fn file(root: &Path, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> PathBuf {
    let path = below(root, name.as_ref());
    fs_err::create_dir_all(path.parent().expect("a name")).expect("a folder can be made");
    fs_err::write(&path, content).expect("a file can be written");
    mode(&path, 0o644);
    path
}

/// Makes a file of `size` bytes with data in a few places; the rest is holes.
pub fn sparse(root: &Path, name: impl AsRef<[u8]>, size: u64, data: &[(u64, &[u8])]) -> PathBuf {
    let path = file(root, name, b"");
    let file = fs_err::OpenOptions::new().write(true).open(&path).expect("it was just made");
    file.set_len(size).expect("a file may be long");
    for (offset, bytes) in data {
        file.file().write_all_at(bytes, *offset).expect("there is room");
    }
    file.sync_all().expect("it can be written out");
    path
}

/// Makes a symbolic link.
pub fn symlink(root: &Path, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> PathBuf {
    let path = below(root, name.as_ref());
    fs_err::create_dir_all(path.parent().expect("a name")).expect("a folder can be made");
    fs_err::os::unix::fs::symlink(OsStr::from_bytes(target.as_ref()), &path)
        .expect("a link can be made");
    path
}

/// Makes `name` a hard link to `path`.
pub fn hard_link(root: &Path, name: impl AsRef<[u8]>, path: &Path) -> PathBuf {
    let link = below(root, name.as_ref());
    fs_err::create_dir_all(link.parent().expect("a name")).expect("a folder can be made");
    rustix::fs::linkat(CWD, path, CWD, &link, AtFlags::empty()).expect("a link can be made");
    link
}

/// Makes a named pipe.
pub fn fifo(root: &Path, name: impl AsRef<[u8]>) -> PathBuf {
    let path = below(root, name.as_ref());
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).expect("a pipe can be made");
    path
}

/// Makes a block or character device. Root only.
pub fn device(root: &Path, name: impl AsRef<[u8]>, (block, major, minor): Device) -> PathBuf {
    let path = below(root, name.as_ref());
    let kind = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let number = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(CWD, &path, kind, Mode::RUSR, number).expect("root makes devices");
    path
}

/// Sets permission bits.
pub fn mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Sets owner and group, of a symbolic link itself. Root only.
pub fn owner(path: &Path, uid: u32, gid: u32) {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW).expect("root may do so");
}

/// Sets the modification time, of a symbolic link itself.
pub fn mtime(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("it is ours");
}

/// Sets an extended attribute, of a symbolic link itself. Returns false if the file system does not support it.
pub fn xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    let name = CString::new(name).expect("a name without NUL");
    rustix::fs::lsetxattr(path, &name, value, XattrFlags::empty()).is_ok()
}
