//! Reading a tree: every entry with its metadata, every file with its digest.
//!
//! Invariant: nothing in a tree is followed, changed or waited for: symbolic links are entries,
//! fifos and devices are not opened, and what changes meanwhile is told, not hidden.

mod contents;
mod find;
mod globs;
mod hashing;
mod inspect;
mod open;
mod order;
mod scan_cache;
mod tasks;
mod walk;

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use contents::read_contents;
pub use contents::{ContentsReader, Held};
pub(crate) use find::Finder;
pub use find::find;
pub use globs::{BadGlob, Globs};
pub use inspect::{Stamp, inspect_open_file};
pub use open::TreeRoot;
pub(crate) use open::need_procfs;

use crate::error::ErrorClass;
use crate::model::{Digest, Entry, Kind, RelPath, TreeDigest, entry_digest};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Step, Total};
use crate::parallel;
use scan_cache::ScanCache;

/// How to scan.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// What is not part of the tree.
    pub exclude: Globs,
    /// Leave out what a `CACHEDIR.TAG` marks as a cache; the folder and its tag stay.
    pub exclude_caches: bool,
    /// Do not enter folders where another file system is mounted.
    pub one_file_system: bool,
    /// Files that are not part of the tree, by device and inode: the archive being written.
    pub skip_files: Vec<(u64, u64)>,
    /// Where scans leave what they hashed, so that the next one need not read what has not changed.
    pub cache: Option<PathBuf>,
    /// Threads that walk and hash; at least 1.
    pub jobs: usize,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            exclude: Globs::default(),
            exclude_caches: false,
            one_file_system: false,
            skip_files: Vec::new(),
            cache: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A tree as it was found.
#[derive(Debug)]
pub struct Scan {
    /// The tree, open.
    pub root: TreeRoot,
    /// All entries sorted by the bytes of their paths, the top folder first. Of a hard-link group the
    /// first name has the kind of the file, the others are [`Kind::HardLink`] to it. Every file has
    /// its digest; what could not be read is not here, but was told to the monitor.
    pub entries: Vec<Entry>,
}

/// Why a tree could not be scanned at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The top folder cannot be opened.
    #[error("cannot read the folder {}", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ScanError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Root { error, .. } => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

/// Reads the tree at `root`: `options.jobs` threads walk it and hash its files.
///
/// # Errors
/// Only if `root` itself is not a readable folder, or the monitor asks to stop. Trouble with single
/// entries goes to the monitor.
pub fn scan(root: &Path, options: &ScanOptions, monitor: &dyn Monitor) -> Result<Scan, ScanError> {
    let root = TreeRoot::open(root)
        .map_err(|error| ScanError::Root { path: root.to_path_buf(), error })?;
    let name = root.path().display().to_string();
    let progress = monitor.begin(Step::Scan, name.clone(), Total::UNKNOWN);
    let cache = options.cache.as_deref().map(|folder| ScanCache::open(folder, root.path()));
    let found = walk::walk(&root, options, cache.as_ref(), &progress, monitor);
    drop(progress);
    let walk::Found { mut entries, several_names, lines } = found?;
    if let Some(Err(error)) = cache.map(|cache| cache.save(lines)) {
        monitor.problem(ProblemKind::Note, &name, format!("cannot keep the scan cache: {error}"));
    }
    link_names(&mut entries, several_names);
    Ok(Scan { root, entries })
}

/// Reads the one entry at `path`, of which only the last component is not followed; not what is below it.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn read_entry(path: &Path) -> std::io::Result<Entry> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let root = TreeRoot::open(parent.unwrap_or(Path::new(".")))?;
    let Some(name) = path.file_name() else {
        return Err(std::io::Error::other("its path has no last name"));
    };
    let relative = RelPath::new(name.as_bytes()).map_err(std::io::Error::other)?;
    let name = CString::new(name.as_bytes())?;
    let folder = root.open_directory(&RelPath::root())?;
    let mut found = inspect::inspect(folder.as_fd(), &name)?;
    let path = [root.path().as_os_str().as_bytes(), b"/", name.to_bytes()].concat();
    found.metadata.xattrs = inspect::attributes(&path)?;
    let mut entry = Entry {
        path: relative,
        kind: found.kind,
        metadata: found.metadata,
        sha256: None,
        extents: None,
    };
    if matches!(entry.kind, Kind::File { .. }) {
        let reader = ContentsReader::new(root.open_file(&entry.path)?)?;
        let (sha256, held, _) = read_contents(reader, &mut [0; 1 << 16], &mut |_| {})?;
        entry.kind = Kind::File { size: held.stamp.size };
        (entry.sha256, entry.extents) = (Some(sha256), held.extents);
    }
    Ok(entry)
}

/// Turns all but the first name of every hard-link group into links to that first name.
fn link_names(entries: &mut [Entry], several_names: Vec<(usize, walk::Identity)>) {
    let mut first_names: HashMap<walk::Identity, usize> = HashMap::new();
    for (index, identity) in several_names {
        let first = *first_names.entry(identity).or_insert(index);
        if first != index {
            let target = entries[first].path.clone();
            let entry = &mut entries[index];
            entry.kind = Kind::HardLink { target };
            entry.sha256 = None;
            entry.extents = None;
        }
    }
}

impl Scan {
    /// The entry at `path`.
    pub fn get(&self, path: &RelPath) -> Option<&Entry> {
        find(&self.entries, path)
    }

    /// The tree digest of what was found.
    pub fn tree_digest(&self) -> Digest {
        tree_digest(&self.entries)
    }
}

/// The tree digest of entries as [`Scan::entries`] has them.
pub fn tree_digest(entries: &[Entry]) -> Digest {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let digests = |part: &[Entry]| -> Vec<Digest> {
        part.iter().map(|entry| digest_of(entries, entry)).collect()
    };
    let length = entries.len().div_ceil(threads).max(1);
    let part = |number: usize| entries.chunks(length).nth(number).map_or_else(Vec::new, digests);
    let parts: Vec<Vec<Digest>> = parallel::on_threads(entries.len().div_ceil(length), part);
    TreeDigest::of_sorted(parts.iter().flatten())
}

fn digest_of(entries: &[Entry], entry: &Entry) -> Digest {
    let file = match &entry.kind {
        Kind::HardLink { target } => find(entries, target).unwrap_or(entry),
        _ => entry,
    };
    entry_digest(&entry.path, file, &file.path)
}

#[cfg(test)]
mod tests;
