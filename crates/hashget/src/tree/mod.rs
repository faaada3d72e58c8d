//! Reading a tree: every entry with its metadata, every file with its digest.
//!
//! Invariant: a scan follows, changes and waits for nothing in the tree: symbolic links are entries, fifos
//! and devices are not opened, and changes during the scan are reported.

pub(crate) mod beneath;
mod conditions;
mod contents;
mod entries;
mod file_part;
mod file_systems;
mod find;
mod globs;
mod hashing;
mod inspect;
mod measure;
mod open;
mod order;
mod scan_cache;
mod selected;
mod supplied;
mod tasks;
mod through_links;
mod walk;
mod work;

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use conditions::Conditions;
use contents::read_contents;
pub use contents::{ContentsReader, Held};
pub use entries::Entries;
pub(crate) use file_part::{ReadExtents, ReadFrom, are_holes_empty, data_of, digest_of_data};
pub use file_systems::FileSystems;
pub(crate) use file_systems::{is_of_kernel, is_searched};
pub(crate) use find::Finder;
pub use globs::{BadGlob, Globs};
pub use inspect::{InspectedFile, Stamp, inspect_open_file};
pub(crate) use inspect::{XATTR_MAX, flags_at, flags_of, is_nodump, mtime_of, xattr_list};
pub use open::TreeRoot;
pub(crate) use open::need_procfs;
pub use selected::{BadSelection, Selected};
pub use supplied::Supplied;
pub use through_links::literally;

use crate::error::ErrorClass;
use crate::model::{Amount, Digest, Entry, Kind, RelPath};
use crate::monitor::{Interrupted, Monitor, ProblemKind, Step, Total};
use scan_cache::ScanCache;

/// How to scan.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Which paths are part of the tree.
    pub selected: Selected,
    /// What is not part of the tree.
    pub exclude: Globs,
    /// What is not part of the tree either, and is counted: programs make it again.
    pub regenerable: Globs,
    /// Exclude what a `CACHEDIR.TAG` marks as a cache; the folder and its tag stay.
    pub exclude_caches: bool,
    /// Exclude the contents of folders that have a file of one of these names, which stays.
    pub exclude_if_present: Vec<OsString>,
    /// Exclude regular files of more bytes.
    pub exclude_larger_than: Option<u64>,
    /// Exclude what has the flag "no dump" of the file system (`chattr +d`), with everything below it.
    pub respect_nodump: bool,
    /// Which file systems are entered that are mounted in the tree.
    pub file_systems: FileSystems,
    /// The folder in which the tree is read instead: a snapshot of its file system.
    pub snapshot: Option<PathBuf>,
    /// Files that are part of the tree without lying in it.
    pub supplied: Vec<Supplied>,
    /// Files that are not part of the tree, by device and inode: the archive being written.
    pub skip_files: Vec<(u64, u64)>,
    /// Where scans save digests, so that the next scan need not read unchanged files.
    pub cache: Option<PathBuf>,
    /// Number of threads that walk and hash; at least 1.
    pub jobs: usize,
    /// Also list excluded entries in [`Scan::absent`], and do not write the scan cache.
    pub for_explaining: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            selected: Selected::default(),
            exclude: Globs::default(),
            regenerable: Globs::default(),
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            exclude_larger_than: None,
            respect_nodump: false,
            file_systems: FileSystems::All,
            snapshot: None,
            supplied: Vec::new(),
            skip_files: Vec::new(),
            cache: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            for_explaining: false,
        }
    }
}

/// A tree as it was found.
#[derive(Debug)]
pub struct Scan {
    /// The tree, open.
    pub root: TreeRoot,
    /// All entries sorted by the bytes of their paths, the top folder first. The first name of a hard-link
    /// group has the kind of the file, the others are [`Kind::HardLink`] to it. Every file has its digest.
    /// Entries that could not be read are missing here, and were reported to the monitor.
    pub entries: Entries,
    /// What is not part of the tree, by path: the entry, or everything below it.
    pub absent: Vec<(RelPath, Absence)>,
    /// What programs make again: how much each pattern matched first, by its number.
    pub regenerable: BTreeMap<usize, Amount>,
}

/// Why something in the folder is not part of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// It, or a folder that contains it, matches an exclude pattern.
    Excluded,
    /// It, or a folder that contains it, matches the pattern with this number of what programs make again.
    Regenerable(usize),
    /// It lies in a folder that a `CACHEDIR.TAG` marks as a cache.
    OfCache,
    /// It lies in a folder with a file of a name that excludes what is beside it.
    OfMarkedFolder,
    /// It is larger than the files that are part of the tree.
    TooLarge,
    /// It has the flag "no dump".
    NoDump,
    /// It lies on another file system.
    OtherFileSystem,
    /// It is a socket.
    Socket,
    /// It cannot be read.
    Unreadable,
    /// It does not exist.
    Missing,
}

impl Absence {
    /// Why a scan reports it as skipped; `None` if the user asked for it, or it is reported otherwise.
    fn worth_a_word(self) -> Option<&'static str> {
        match self {
            Self::OtherFileSystem => Some("another file system is mounted here"),
            Self::Socket => Some("a socket exists only while its program runs"),
            Self::Excluded
            | Self::Regenerable(_)
            | Self::OfCache
            | Self::OfMarkedFolder
            | Self::TooLarge
            | Self::NoDump
            | Self::Unreadable
            | Self::Missing => None,
        }
    }
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
    /// A file that is to be part of the tree without lying in it cannot be.
    #[error("{path} cannot be put into the tree")]
    Supplied {
        /// Its path in the tree.
        path: RelPath,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ScanError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Root { error, .. } | Self::Supplied { error, .. } => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

/// Reads the tree at `root`: `options.jobs` threads walk it and hash its files.
///
/// # Errors
/// Only if `root` itself is not a readable folder, or the monitor asks to stop. Problems with single entries
/// are reported to the monitor.
pub fn scan(root: &Path, options: &ScanOptions, monitor: &dyn Monitor) -> Result<Scan, ScanError> {
    let from = options.snapshot.as_deref().unwrap_or(root);
    let root = TreeRoot::open_from(root, from)
        .map_err(|error| ScanError::Root { path: root.to_path_buf(), error })?
        .with_supplied(options.supplied.clone());
    let name = root.path().display().to_string();
    let progress = monitor.begin(Step::Scan, name.clone(), Total::UNKNOWN);
    let conditions = options.cache.as_deref().zip(Conditions::of_this_system());
    let tree = options.selected.name_at(root.path());
    let cache = conditions.map(|(folder, conditions)| {
        let cache = ScanCache::open(folder, &tree, conditions);
        if options.snapshot.is_some() { cache.of_snapshot(&root) } else { cache }
    });
    let found = walk::walk(&root, options, cache.as_ref(), &progress, monitor);
    drop(progress);
    let walk::Walked { entries, several_names, lines, absent, regenerable } = found?;
    let cache = cache.filter(|_| !options.for_explaining);
    if let Some(Err(error)) = cache.map(|cache| cache.save(lines)) {
        monitor.problem(ProblemKind::Note, &name, format!("cannot keep the scan cache: {error}"));
    }
    let entries = supplied::with(Entries::linked_by(entries, several_names), &options.supplied)?;
    Ok(Scan { root, entries, absent, regenerable })
}

/// Reads the single entry at `path`, without anything below it. A symbolic link in the last component is not
/// followed.
///
/// # Errors
/// It does not exist, or cannot be read.
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
    if let Some(problem) = inspect::attributes(&path).add_to(&mut found.metadata) {
        return Err(std::io::Error::other(problem));
    }
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
        entry.kind = Kind::File { size: held.size };
        (entry.sha256, entry.extents) = (Some(sha256), held.extents);
    }
    Ok(entry)
}

impl Scan {
    /// The entry at `path`.
    pub fn get(&self, path: &RelPath) -> Option<&Entry> {
        self.entries.at(path)
    }

    /// The tree digest of what was found.
    pub fn tree_digest(&self) -> Digest {
        self.entries.tree_digest()
    }
}

#[cfg(test)]
mod tests;
