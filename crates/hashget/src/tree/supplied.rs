//! Files that are part of a tree without lying in it: the output of commands, for example.
//!
//! Invariant: what is supplied stands in the place of whatever the tree has at its path, and every folder that leads to it is an entry.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use super::contents::{ContentsReader, read_contents};
use super::inspect::{inspect_open_file, procfs_path};
use super::{Entries, ScanError};
use crate::model::{Entry, Kind, Metadata, RelPath};

/// The mode of folders that lead to what is supplied, and that the tree does not have.
const FOLDER_MODE: u32 = 0o755;

/// A file that is part of a tree without lying in it.
#[derive(Debug, Clone)]
pub struct Supplied {
    /// Its path in the tree.
    pub path: RelPath,
    /// The regular file. It may have no name; owner, mode and time are its own.
    pub file: Arc<File>,
}

impl Supplied {
    /// Opens it once more, at its start.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(procfs_path(self.file.as_fd()))
    }

    /// Its entry.
    fn entry(&self) -> io::Result<Entry> {
        let file = self.open()?;
        let metadata = inspect_open_file(&file)?.metadata;
        let reader = ContentsReader::new(file)?;
        let (sha256, held, _) = read_contents(reader, &mut [0; 1 << 16], &mut |_| {})?;
        Ok(Entry {
            path: self.path.clone(),
            kind: Kind::File { size: held.size },
            metadata,
            sha256: Some(sha256),
            extents: held.extents,
        })
    }
}

/// The entries of a tree, with what is supplied. The tree has nothing at the paths of that.
pub(super) fn with(entries: Entries, supplied: &[Supplied]) -> Result<Entries, ScanError> {
    if supplied.is_empty() {
        return Ok(entries);
    }
    let mut all: Vec<Entry> = Vec::new();
    for one in supplied {
        let failed = |error| ScanError::Supplied { path: one.path.clone(), error };
        let entry = one.entry().map_err(failed)?;
        let mut above = one.path.parent();
        while let Some(folder) = above.filter(|folder| !folder.is_root()) {
            let known = entries.at(&folder).or_else(|| all.iter().find(|one| one.path == folder));
            match known.map(|entry| &entry.kind) {
                Some(Kind::Directory) => {}
                Some(_) => {
                    let problem = format!("{folder} is no folder in the tree");
                    return Err(failed(io::Error::other(problem)));
                }
                None => all.push(folder_above(&folder, &entry.metadata)),
            }
            above = folder.parent();
        }
        if all.iter().any(|other| other.path == one.path) {
            return Err(failed(io::Error::other("something else has this path, or is below it")));
        }
        all.push(entry);
    }
    all.extend(entries);
    Ok(Entries::new(all))
}

/// A folder that leads to something with this metadata.
fn folder_above(path: &RelPath, metadata: &Metadata) -> Entry {
    let metadata = Metadata { mode: FOLDER_MODE, xattrs: Default::default(), ..metadata.clone() };
    Entry { path: path.clone(), kind: Kind::Directory, metadata, sha256: None, extents: None }
}
