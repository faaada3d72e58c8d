//! What an archive gave when it was read: all that a restore needs to know of it.
//!
//! Invariant: a digest in it is that of bytes that were read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use crate::archive::kept_contents::KeptContents;
use crate::archive::path_map::PathMap;
use crate::model::{Digest, Extent, Kind, RelPath};

/// What an archive gave, by the paths under which it is stored.
#[derive(Default)]
pub struct StoredContents {
    /// Entries that are no folders.
    pub(crate) entries: PathMap<StoredThing>,
    /// Folders.
    pub(crate) folders: BTreeSet<RelPath>,
    /// What no restore would unpack, and why.
    pub(crate) refused: Vec<(RelPath, String)>,
    /// Rests of files that are made of pieces, by their numbers.
    pub(crate) rests: BTreeMap<u32, File>,
    /// What programs will read, as a whole.
    pub(crate) kept: KeptContents,
    /// Why not all could be read, if that is so.
    pub(crate) damage: Option<String>,
}

/// An entry that is no folder.
#[derive(Debug, Clone)]
pub(crate) enum StoredThing {
    /// A regular file, and the digest of its data, holes left out.
    File { size: u64, sha256: Digest, extents: Option<Box<[Extent]>> },
    /// Anything else.
    Other,
}

impl StoredThing {
    /// The digest, if it is a file without holes.
    pub(crate) fn digest_without_holes(&self) -> Option<Digest> {
        match self {
            Self::File { sha256, extents: None, .. } => Some(*sha256),
            Self::File { .. } | Self::Other => None,
        }
    }
}

impl StoredContents {
    /// Adds an entry; a regular file with its digest.
    pub(super) fn add(
        &mut self,
        path: &RelPath,
        kind: &Kind,
        sha256: Option<Digest>,
        extents: Option<&[Extent]>,
    ) {
        let thing = match (kind, sha256) {
            (Kind::Directory, _) => {
                self.folders.insert(path.clone());
                return;
            }
            (Kind::HardLink { target }, _) => match self.entries.get(target) {
                Some(thing) => thing.clone(),
                None => {
                    let reason =
                        format!("a link to {target}, which is not an earlier entry of the archive");
                    self.refused.push((path.clone(), reason));
                    return;
                }
            },
            (Kind::File { size }, Some(sha256)) => {
                StoredThing::File { size: *size, sha256, extents: extents.map(Box::from) }
            }
            _ => StoredThing::Other,
        };
        self.folders.remove(path);
        self.entries.insert(path, thing);
    }
}
