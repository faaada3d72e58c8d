//! Opening files and folders of a tree, never outside of it (and through no symbolic link unless documented).
//!
//! Invariant: every opened file lies below the folder that was opened first, whatever happens to the tree in
//! the meantime.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::beneath;
use super::supplied::Supplied;
use crate::model::RelPath;

/// Makes sure that `/proc` is mounted. Attributes of links and devices, very long paths, and naming unnamed
/// files need it; without it such files would seem to have vanished.
///
/// # Errors
/// It is not mounted.
pub(crate) fn need_procfs() -> io::Result<()> {
    match rustix::fs::stat("/proc/self/fd") {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::other(
            "there is no /proc, which is needed for long paths and attributes: mount it first \
             (mount -t proc proc /proc)",
        )),
    }
}

/// How long another program may take to give up its lease of a file.
const LEASE: Duration = Duration::from_secs(5);
/// Time between two attempts to open a file of which another program has a lease.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens a file by `open`, which does not wait. Where another program has a lease of it, as file servers have for their clients, the
/// kernel asks that program to give it up: it is waited for, but not for ever.
pub(super) fn without_lease<T>(open: impl Fn() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let began = Instant::now();
    loop {
        match open() {
            Err(Errno::WOULDBLOCK) if began.elapsed() < LEASE => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// The top folder of a tree, open.
#[derive(Debug)]
pub struct TreeRoot {
    path: PathBuf,
    given: PathBuf,
    fd: OwnedFd,
    /// Files that are opened at these paths, whatever lies there.
    supplied: Vec<Supplied>,
}

impl TreeRoot {
    /// Opens the folder at `path`, which may itself be a symbolic link to one.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_from(path, path)
    }

    /// Opens the folder at `from` in the place of that at `path`, of which it is a snapshot: it is called as that.
    pub(super) fn open_from(path: &Path, from: &Path) -> io::Result<Self> {
        need_procfs()?;
        let given = std::path::absolute(path)?;
        let path = fs_err::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(rustix::fs::CWD, fs_err::canonicalize(from)?, flags, Mode::empty())?;
        Ok(Self { path, given, fd, supplied: Vec::new() })
    }

    /// The same with files that are opened at their paths, whatever lies there.
    pub(super) fn with_supplied(self, supplied: Vec<Supplied>) -> Self {
        Self { supplied, ..self }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The absolute path by which it was opened, which may lead through symbolic links.
    pub fn given(&self) -> &Path {
        &self.given
    }

    /// The open folder.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Opens the folder at `path`.
    pub fn open_directory(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// The folder at `path`, without the right to list it: to reach names in it that are known.
    pub(super) fn reach_directory(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.open_below(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The entry at `path`, which is not opened: nothing is mounted or started by this.
    pub(super) fn at(&self, path: &RelPath) -> io::Result<OwnedFd> {
        self.open_below(path, OFlags::PATH)
    }

    /// Is there anything at `path`?
    pub(crate) fn has(&self, path: &RelPath) -> bool {
        self.at(path).is_ok()
    }

    /// Opens the regular file at `path` for reading. Never blocks on a fifo or a device; waits some seconds for a
    /// lease of another program.
    pub fn open_file(&self, path: &RelPath) -> io::Result<File> {
        if let Some(supplied) = self.supplied.iter().find(|supplied| supplied.path == *path) {
            return supplied.open();
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let open = || beneath::open(self.fd.as_fd(), path.as_bytes(), flags);
        Ok(without_lease(open).map(File::from)?)
    }

    /// Opens the regular file at `path` for reading, as a process would whose root is this folder: symbolic
    /// links among the parent folders are followed, but never out of this folder. The last component must not
    /// be a link.
    pub fn open_file_as_root(&self, path: &RelPath) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        Ok(beneath::open_in_root(self.fd.as_fd(), path.as_bytes(), flags).map(File::from)?)
    }

    /// Opens the folder at `path` in the same way.
    pub fn open_directory_as_root(&self, path: &RelPath) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok(beneath::open_in_root(self.fd.as_fd(), path.as_bytes(), flags)?)
    }

    fn open_below(&self, path: &RelPath, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(beneath::open(self.fd.as_fd(), path.as_bytes(), flags)?)
    }
}
