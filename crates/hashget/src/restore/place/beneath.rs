//! Opening things below an open folder.
//!
//! Invariant: no symbolic link is followed, not even in the last component, so nothing outside the
//! folder can be reached.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

/// The longest path that one system call takes, with room to spare; longer ones go in steps.
const LONGEST_PATH: usize = 4000;
/// How often a look-up that raced with a rename is tried again.
const RACES: usize = 1000;

/// Opens `path` below `root` (`root` itself if it is empty), which has no `..` in it.
pub(super) fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if path.is_empty() {
        return openat(root, ".", flags, Mode::empty());
    }
    let mut start: Option<OwnedFd> = None;
    let mut rest = path;
    while rest.len() > LONGEST_PATH {
        let cut = rest[..LONGEST_PATH]
            .iter()
            .rposition(|&byte| byte == b'/')
            .ok_or(Errno::NAMETOOLONG)?;
        let from = start.as_ref().map_or(root, |fd| fd.as_fd());
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        start = Some(open_short(from, &rest[..cut], step)?);
        rest = &rest[cut + 1..];
    }
    open_short(start.as_ref().map_or(root, |fd| fd.as_fd()), rest, flags)
}

fn open_short(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACES {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            // An old kernel, or a sandbox that forbids the call.
            Err(Errno::NOSYS | Errno::PERM) => return open_by_component(root, path, flags),
            // A symbolic link that is opened by itself.
            Ok(fd) => return Ok(fd),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::AGAIN)
}

fn open_by_component(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut start: Option<OwnedFd> = None;
    let mut components = path.split(|&byte| byte == b'/').peekable();
    while let Some(component) = components.next() {
        let from = start.as_ref().map_or(root, |fd| fd.as_fd());
        let flags = if components.peek().is_some() { step } else { flags };
        start = Some(openat(from, component, flags, Mode::empty())?);
    }
    start.ok_or(Errno::NOENT)
}

/// The names in an open folder.
pub(super) fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_refuse_links_and_reach_deep_paths() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("a/b")).unwrap();
        fs_err::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
        fs_err::os::unix::fs::symlink("/etc", root.path().join("a/out")).unwrap();
        let folder = std::fs::File::open(root.path()).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let no_follow = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, works) in [
            (&b"a/b"[..], true),
            (b"link", false),
            (b"link/b", false),
            (b"a/out", false),
            (b"a/out/apt", false),
            (b"nothing", false),
        ] {
            assert_eq!(open(folder.as_fd(), path, flags).is_ok(), works);
            assert_eq!(open_by_component(folder.as_fd(), path, no_follow).is_ok(), works);
        }
    }
}
