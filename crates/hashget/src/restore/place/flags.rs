//! The flags that `chattr` sets.
//!
//! Invariant: while anything is still to be done with a file or folder, its flags do not forbid it: they are set last.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::{PlaceError, TargetFolder, lock};
use crate::model::{FLAGS_ATTRIBUTE, Flags, Metadata, RelPath};
use crate::restore::differences::Difference;
use crate::tree::flags_of;

/// The flags that entries have in a tree.
const KEPT: IFlags = IFlags::APPEND.union(IFlags::IMMUTABLE).union(IFlags::NODUMP);

/// The flags that an entry is to have; `None` if they have no name here.
pub(super) fn flags_in(metadata: &Metadata) -> Option<Flags> {
    let text = metadata.xattrs.get(FLAGS_ATTRIBUTE);
    text.map_or(Some(Flags::default()), |text| Flags::from_text(text))
}

impl TargetFolder {
    /// Takes away the flags of something open that it is not to have, or that would be in the way until all else is done.
    pub(super) fn lift_flags(&self, fd: BorrowedFd<'_>, metadata: &Metadata) {
        if !self.options.attributes {
            return;
        }
        let found = flags_of(fd);
        let surplus = found.no_dump && !flags_in(metadata).unwrap_or_default().no_dump;
        if found.protects() || surplus {
            // If that may not be, what cannot be done because of it is reported, and so is the flag in the end.
            let _ = set(fd, Flags::default());
        }
    }

    /// The file at `path`, whose metadata was set, gets its flags at the end.
    pub(super) fn flag_later(&self, path: &RelPath, metadata: &Metadata) {
        if self.options.attributes && metadata.xattrs.contains_key(FLAGS_ATTRIBUTE) {
            lock(&self.flagged).insert(path.clone(), flags_in(metadata));
        }
    }

    /// Sets the flags of the open folder at `path`: nothing in it is changed after that.
    pub(super) fn flag_folder(&self, fd: BorrowedFd<'_>, path: &RelPath, metadata: &Metadata) {
        if self.options.attributes && metadata.xattrs.contains_key(FLAGS_ATTRIBUTE) {
            let is_set = flags_in(metadata).is_some_and(|flags| set(fd, flags).is_ok());
            if !is_set {
                self.count_not_applied(Difference::Flag, path);
            }
        }
    }

    /// Sets the flags of all files that are to have any, but of those that `changes` says are changed once more.
    pub(in crate::restore) fn set_flags(
        &self,
        changes: impl Fn(&RelPath) -> bool,
    ) -> Result<(), PlaceError> {
        for (path, flags) in std::mem::take(&mut *lock(&self.flagged)) {
            let flags = flags.filter(|_| !changes(&path));
            let file = self.open_file(&path)?;
            let is_set =
                flags.zip(file).is_some_and(|(flags, file)| set(file.as_fd(), flags).is_ok());
            if !is_set {
                self.count_not_applied(Difference::Flag, &path);
            }
        }
        Ok(())
    }
}

/// Gives something open exactly these flags, of those that a tree keeps.
fn set(fd: BorrowedFd<'_>, flags: Flags) -> rustix::io::Result<()> {
    let now = ioctl_getflags(fd)?;
    let mut wanted = now.difference(KEPT);
    wanted.set(IFlags::APPEND, flags.append);
    wanted.set(IFlags::IMMUTABLE, flags.immutable);
    wanted.set(IFlags::NODUMP, flags.no_dump);
    if wanted == now { Ok(()) } else { ioctl_setflags(fd, wanted) }
}
