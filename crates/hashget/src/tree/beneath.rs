//! Opening things below an open folder, also on kernels before 5.6 and in sandboxes that do not know `openat2`.
//!
//! Invariant: nothing outside the folder can be reached. Symbolic links are followed only by [`open_in_root`], as if the
//! folder were the root, and never in the last component.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat};
use rustix::io::{Errno, Result};

/// The longest path that one system call takes, with room to spare; longer ones go in steps.
const LONGEST_PATH: usize = 4000;
/// How often a look-up that raced with a rename is tried again.
const RACES: usize = 1000;

/// Opens `path` below `root` (`root` itself if it is empty), which has no `..` in it.
pub(crate) fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
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

/// The most links of one path, as in Linux.
const MOST_LINKS: usize = 40;

/// Opens `path` below `root`, as a process would whose root this folder is: links among the folders on the way are
/// followed, but never out of it. The last component must not be a link.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACES {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            Err(Errno::NOSYS | Errno::PERM) => return walk_in_root(root, path, flags),
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

fn walk_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let components = |path: &[u8]| -> Vec<Vec<u8>> {
        path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).rev().collect()
    };
    // The next component is the last one of the list.
    let mut rest = components(path);
    let mut folders: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(component) = rest.pop() {
        match &*component {
            b"" | b"." => continue,
            b".." => {
                folders.pop();
                continue;
            }
            _ => {}
        }
        let from = folders.last().map_or(root, |fd| fd.as_fd());
        if rest.is_empty() {
            return openat(from, &*component, flags, Mode::empty());
        }
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(from, &*component, step, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::Symlink {
            folders.push(found);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let target = readlinkat(&found, "", Vec::new())?.into_bytes();
        if target.starts_with(b"/") {
            folders.clear();
        }
        rest.extend(components(&target));
    }
    Err(Errno::NOENT)
}

/// The names in an open folder.
pub(crate) fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
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

    #[test]
    fn both_ways_stay_within_a_root() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("a/b")).unwrap();
        fs_err::write(root.path().join("a/b/file"), "x").unwrap();
        let link = |target: &str, name: &str| {
            fs_err::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
        };
        link("/a", "absolute");
        link("../../../../a/b", "up");
        link("loop", "loop");
        link("/etc", "a/out");
        link("file", "a/b/last");
        let folder = std::fs::File::open(root.path()).unwrap();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, works) in [
            (&b"a/b/file"[..], true),
            (b"absolute/b/file", true),
            (b"up/file", true),
            (b"a/../../a/./b//file", true),
            (b"loop/file", false),
            (b"a/out/passwd", false),
            (b"a/b/last", false),
            (b"nothing/file", false),
        ] {
            let shown = String::from_utf8_lossy(path);
            assert_eq!(open_in_root(folder.as_fd(), path, flags).is_ok(), works, "{shown}");
            assert_eq!(walk_in_root(folder.as_fd(), path, flags).is_ok(), works, "{shown}");
        }
    }
}
