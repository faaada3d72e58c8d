//! How much is at and below paths that are not part of the tree.
//!
//! Invariant: no file is opened and no other file system is entered; what cannot be read is not counted, and no problem. The sums
//! do not depend on which thread counts what.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Mutex;

use super::inspect::{Inspected, inspect};
use super::open::TreeRoot;
use super::walk::{Identity, names_in};
use crate::model::{Amount, Kind, RelPath};

/// The files with several names that were met, each by the pattern for which it counts.
pub(super) type Met = Mutex<HashSet<(usize, Identity)>>;

/// Counts what one pattern matches.
pub(super) struct Measure<'a> {
    pub(super) root: &'a TreeRoot,
    pub(super) pattern: usize,
    pub(super) met: &'a Met,
    pub(super) interrupted: &'a dyn Fn() -> bool,
}

impl Measure<'_> {
    /// The regular files at and below `path`, which has this `name` in `folder`.
    pub(super) fn of(&self, folder: &OwnedFd, name: &CStr, path: &RelPath) -> Amount {
        let mut amount = Amount::default();
        let Ok(top) = inspect(folder.as_fd(), name) else { return amount };
        let mut folders = Vec::new();
        if self.is_folder(&top, &mut amount) {
            folders.push(path.clone());
        }
        while let Some(path) = folders.pop().filter(|_| !(self.interrupted)()) {
            let Ok(open) = self.root.open_directory(&path) else { continue };
            for name in names_in(&open).unwrap_or_default() {
                let Ok(found) = inspect(open.as_fd(), &name) else { continue };
                let Ok(path) = path.join(name.to_bytes()) else { continue };
                if found.stamp.device == top.stamp.device && self.is_folder(&found, &mut amount) {
                    folders.push(path);
                }
            }
        }
        amount
    }

    /// Counts a file. Is it a folder instead?
    fn is_folder(&self, found: &Inspected, amount: &mut Amount) -> bool {
        if let Kind::File { size } = found.kind {
            let identity = (found.stamp.device, found.stamp.inode);
            let is_new = !found.several_names || {
                let mut met = self.met.lock().expect("no thread panics");
                met.insert((self.pattern, identity))
            };
            amount.add(1, if is_new { size } else { 0 });
        }
        found.kind == Kind::Directory
    }
}
