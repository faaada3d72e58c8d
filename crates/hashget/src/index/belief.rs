//! Whether what a detector found is the word of a client: of a program that ran for root, or for whoever runs this one.
//!
//! Invariant: a client's word counts only if nobody else could have written it, or changed what it depends on: neither the
//! entry nor a folder of the tree above it, in which the configuration of clients may lie, belongs to others or lets everybody
//! write.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::detectors::Candidate;
use crate::model::{Keeping, Origin};

/// Detectors of files that come with what is downloaded, or are written by hand.
const BY_HAND: &[&str] = &["hint", "downloads"];

/// The permission to write for everybody.
const WRITABLE_BY_ALL: u32 = 0o002;

/// Who may write into the folders of a tree.
pub(super) struct Belief {
    root: PathBuf,
    /// Root, and whoever runs this program.
    ours: [u32; 2],
    /// The folders that were looked at: is all from the root of the tree down to them ours alone?
    folders: HashMap<PathBuf, bool>,
}

impl Belief {
    pub(super) fn of_tree(root: &Path) -> Self {
        let ours = [0, rustix::process::geteuid().as_raw()];
        Self { root: root.to_owned(), ours, folders: HashMap::new() }
    }

    /// The candidate, whose origin is a file of the tree if it is not the word of a client.
    pub(super) fn judged(&mut self, candidate: Candidate) -> Candidate {
        let entry = candidate.found_at.below(&self.root);
        let is_own_entry = fs_err::symlink_metadata(&entry).is_ok_and(|found| self.is_own(&found));
        // The tree may be a single file.
        let is_ours = is_own_entry
            && (candidate.found_at.is_root()
                || entry.parent().is_none_or(|above| self.holds(above)));
        let by_client = is_ours && !BY_HAND.contains(&&*candidate.found_by);
        match candidate.origin {
            Origin::Client if !is_ours => Candidate {
                origin: Origin::Tree,
                keeping: Keeping::Unknown,
                by_client,
                ..candidate
            },
            _ => Candidate { by_client, ..candidate },
        }
    }

    /// Is everything from the root of the tree down to `folder` ours alone?
    fn holds(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.folders.get(folder) {
            return *known;
        }
        // The root of the tree may be named by a link.
        let found = fs_err::metadata(folder);
        let is_own =
            found.is_ok_and(|found| self.is_own(&found) && found.mode() & WRITABLE_BY_ALL == 0);
        let above = folder.parent().filter(|_| folder != self.root);
        let holds = is_own && above.is_none_or(|above| self.holds(above));
        self.folders.insert(folder.to_owned(), holds);
        holds
    }

    fn is_own(&self, found: &Metadata) -> bool {
        self.ours.contains(&found.uid())
    }
}
