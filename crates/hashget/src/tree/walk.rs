//! Walking a tree: threads take folders from one list, look at every name in them and hash the files.
//!
//! Invariant: each name is looked at once, and what comes out does not depend on which thread did what.
//! Files are hashed before further folders are opened, so that few folders are open at a time, however
//! deep or wide the tree is.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{Dir, Mode, OFlags, openat};

use super::hashing::FileHasher;
use super::inspect::{Inspected, attributes, inspect, procfs_path};
use super::open::TreeRoot;
use super::order::{Part, arrange, places};
use super::scan_cache::{Known, Line, ScanCache};
use super::tasks::{Task, Tasks};
use super::{ScanError, ScanOptions};
use crate::model::{Entry, Kind, RelPath};
use crate::monitor::{Event, Interrupted, Monitor, ProblemKind, Running};
use crate::parallel;

/// The first bytes of a `CACHEDIR.TAG`, by the Cache Directory Tagging Specification.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// So many files, or files of so many bytes, are hashed by one thread before it looks for other work.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 4 << 20;

/// Device and inode: which file a name is a name of.
pub(super) type Identity = (u64, u64);

/// What a walk found.
pub(super) struct Found {
    /// Sorted by path; each name of a file with several is a file.
    pub(super) entries: Vec<Entry>,
    /// The names that share a file, or could: their indices, ascending, and which file each is.
    pub(super) several_names: Vec<(usize, Identity)>,
    /// What the scan cache is to remember.
    pub(super) lines: Vec<Line>,
}

pub(super) fn walk(
    root: &TreeRoot,
    options: &ScanOptions,
    cache: Option<&ScanCache>,
    progress: &Running<'_>,
    monitor: &dyn Monitor,
) -> Result<Found, ScanError> {
    let unreadable = |error| ScanError::Root { path: root.path().to_path_buf(), error };
    let jobs = options.jobs.max(1);
    let mut walker = Walker {
        root,
        options,
        cache,
        monitor,
        progress,
        device: 0,
        tasks: Tasks::new(jobs),
        folders: AtomicU32::new(1),
        entries: Mutex::default(),
    };
    let (open, names) = walker.open(RelPath::root()).map_err(unreadable)?;
    let mut top = inspect(open.fd.as_fd(), c".").map_err(unreadable)?;
    walker.device = top.stamp.device;
    top.metadata.xattrs = open.attributes(c".").map_err(unreadable)?;
    let top = entry(RelPath::root(), top);
    let walker = walker;
    walker.entries().push(top);
    let top = Mutex::new(Some((Arc::new(open), names)));
    let work = |thread| {
        // The first thread begins with the top folder, the others wait for what it finds there.
        let first =
            if thread == 0 { top.lock().expect("taking does not panic").take() } else { None };
        Work::new(&walker).run(first)
    };
    let results: Vec<Work<'_>> = parallel::on_threads(jobs, work);
    if walker.tasks.stopped() {
        return Err(Interrupted.into());
    }
    let entries = std::mem::take(&mut *walker.entries());
    Ok(gather(entries, results, monitor))
}

/// Puts together what the threads did, in an order that none of them decides.
fn gather(mut entries: Vec<Entry>, results: Vec<Work<'_>>, monitor: &dyn Monitor) -> Found {
    let (mut parts, mut folders, mut told) = (Vec::new(), Vec::new(), Vec::new());
    let (mut several_names, mut lines) = (Vec::new(), Vec::new());
    for mut work in results {
        parts.append(&mut work.parts);
        folders.append(&mut work.folders);
        told.append(&mut work.told);
        several_names.append(&mut work.several_names);
        lines.append(&mut work.lines);
    }
    told.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (path, told) in told {
        match told {
            Finding::Skipped(reason) => {
                monitor.event(Event::Skipped { object: &path.to_string(), reason });
            }
            Finding::Problem(kind, message) => monitor.problem(kind, &path, message),
        }
    }
    let places = places(&entries, parts, folders);
    for (index, _) in &mut several_names {
        *index = places[*index] as usize;
    }
    several_names.sort_unstable();
    arrange(&mut entries, places);
    Found { entries, several_names, lines }
}

fn entry(path: RelPath, inspected: Inspected) -> Entry {
    let Inspected { kind, metadata, .. } = inspected;
    Entry { path, kind, metadata, sha256: None, extents: None }
}

/// What all threads share.
struct Walker<'a> {
    root: &'a TreeRoot,
    options: &'a ScanOptions,
    cache: Option<&'a ScanCache>,
    monitor: &'a dyn Monitor,
    progress: &'a Running<'a>,
    /// The file system of the top folder.
    device: u64,
    tasks: Tasks<Folder, Batch>,
    /// The number of the next folder.
    folders: AtomicU32,
    /// All that was found, in the order in which threads were done with it: one list, since merging
    /// several would take twice the memory.
    entries: Mutex<Vec<Entry>>,
}

/// A folder to walk.
struct Folder {
    path: RelPath,
    number: u32,
}

/// A folder that is being walked.
struct OpenFolder {
    path: RelPath,
    fd: OwnedFd,
    /// A path that leads to it in calls that take no open folder.
    kernel_path: PathBuf,
}

/// Neighbours in a folder; files among them may still have to be hashed.
struct Batch {
    folder: Arc<OpenFolder>,
    /// The number of the folder, and of this batch among the folder's.
    number: (u32, u32),
    found: Vec<Item>,
    /// How many files are to be hashed, and how many bytes they have.
    files: usize,
    bytes: u64,
}

struct Item {
    entry: Entry,
    /// Which file it is, if it may be one of several names.
    identity: Option<Identity>,
    /// The number of a folder that is walked too.
    folder: Option<u32>,
}

enum Finding {
    Skipped(&'static str),
    Problem(ProblemKind, String),
}

impl OpenFolder {
    fn attributes(&self, name: &CStr) -> io::Result<crate::model::Xattrs> {
        let folder = self.kernel_path.as_os_str().as_bytes();
        attributes(&[folder, b"/", name.to_bytes()].concat())
    }
}

impl Walker<'_> {
    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().expect("no thread panics")
    }

    /// Opens a folder and reads its names, sorted.
    fn open(&self, path: RelPath) -> io::Result<(OpenFolder, Vec<CString>)> {
        let fd = self.root.open_directory(&path)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        if self.options.exclude_caches && is_cache(&fd) {
            names.retain(|name| &**name == c"CACHEDIR.TAG");
        }
        names.sort_unstable();
        if let Some(cache) = self.cache {
            cache.meet(&fd);
        }
        let kernel_path = procfs_path(fd.as_fd());
        Ok((OpenFolder { path, fd, kernel_path }, names))
    }
}

/// What one thread does, and what came of it.
struct Work<'a> {
    walker: &'a Walker<'a>,
    hasher: FileHasher<'a>,
    parts: Vec<Part>,
    /// The folders that are walked: index of the entry, number.
    folders: Vec<(usize, u32)>,
    several_names: Vec<(usize, Identity)>,
    lines: Vec<Line>,
    told: Vec<(RelPath, Finding)>,
}

impl<'a> Work<'a> {
    fn new(walker: &'a Walker<'a>) -> Self {
        Self {
            walker,
            hasher: FileHasher::new(walker.progress),
            parts: Vec::new(),
            folders: Vec::new(),
            several_names: Vec::new(),
            lines: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Works until there is nothing left, or the monitor asks to stop. One thread has the top folder.
    fn run(mut self, top: Option<(Arc<OpenFolder>, Vec<CString>)>) -> Self {
        let tasks = &self.walker.tasks;
        if let Some((folder, names)) = top {
            self.look(&folder, 0, &names);
            tasks.done();
        }
        while let Some(task) = tasks.next() {
            if self.walker.monitor.interrupted() {
                tasks.stop();
            } else {
                match task {
                    Task::Folder(folder) => self.folder(folder),
                    Task::Batch(batch) => self.hash(batch),
                }
            }
            tasks.done();
        }
        self
    }

    fn folder(&mut self, folder: Folder) {
        let Folder { path, number } = folder;
        match self.walker.open(path.clone()) {
            Ok((open, names)) => self.look(&Arc::new(open), number, &names),
            Err(error) => self.problem(path, &error),
        }
    }

    /// Looks at all names in a folder, and leaves files to be hashed to whoever has time.
    fn look(&mut self, folder: &Arc<OpenFolder>, number: u32, names: &[CString]) {
        let batch = |part| Batch {
            folder: Arc::clone(folder),
            number: (number, part),
            found: Vec::new(),
            files: 0,
            bytes: 0,
        };
        let mut current = batch(0);
        current.found.reserve_exact(names.len());
        for name in names {
            if let Some(item) = self.item(folder, name) {
                if item.entry.sha256.is_none()
                    && let Kind::File { size } = item.entry.kind
                {
                    current.files += 1;
                    current.bytes += size;
                }
                current.found.push(item);
            }
            if current.files == BATCH_FILES || current.bytes >= BATCH_BYTES {
                let next = batch(current.number.1 + 1);
                self.pass_on(std::mem::replace(&mut current, next));
            }
        }
        self.pass_on(current);
    }

    fn pass_on(&mut self, batch: Batch) {
        if batch.files == 0 {
            self.keep(batch);
        } else if let Err(batch) = self.walker.tasks.offer(batch) {
            self.hash(batch);
        }
    }

    /// Looks at one name.
    fn item(&mut self, folder: &Arc<OpenFolder>, name: &CStr) -> Option<Item> {
        let path = folder.path.join(name.to_bytes()).ok()?;
        let options = self.walker.options;
        if options.exclude.matches(self.walker.root.path(), &path) {
            return None;
        }
        match self.inspected(folder, name, path.clone()) {
            Ok(item) => item,
            Err(error) => {
                self.problem(path, &error);
                None
            }
        }
    }

    fn inspected(
        &mut self,
        folder: &Arc<OpenFolder>,
        name: &CStr,
        path: RelPath,
    ) -> io::Result<Option<Item>> {
        let mut inspected = inspect(folder.fd.as_fd(), name)?;
        let stamp = inspected.stamp;
        let identity = (stamp.device, stamp.inode);
        if self.walker.options.skip_files.contains(&identity) {
            return Ok(None);
        }
        let (mut known, mut number) = (None, None);
        match inspected.kind {
            Kind::Socket => {
                let reason = "a socket exists only while its program runs";
                self.told.push((path, Finding::Skipped(reason)));
                return Ok(None);
            }
            Kind::File { .. } => known = self.walker.cache.and_then(|cache| cache.get(&stamp)),
            Kind::Directory => number = self.enter(&path, stamp.device),
            _ => {}
        }
        // A file that will be hashed is asked when it is open; of some it is known that they have none.
        let to_be_hashed = known.is_none() && matches!(inspected.kind, Kind::File { .. });
        if !to_be_hashed && !known.is_some_and(|known| known.bare) {
            inspected.metadata.xattrs = folder.attributes(name)?;
        }
        let several = inspected.several_names && inspected.kind != Kind::Directory;
        let mut entry = entry(path, inspected);
        entry.sha256 = known.map(|known| known.sha256);
        Ok(Some(Item { entry, identity: several.then_some(identity), folder: number }))
    }

    /// Puts a folder on the list; returns its number, unless it is not to be entered.
    fn enter(&mut self, path: &RelPath, device: u64) -> Option<u32> {
        if self.walker.options.one_file_system && device != self.walker.device {
            let reason = "another file system is mounted here";
            self.told.push((path.clone(), Finding::Skipped(reason)));
            return None;
        }
        let number = self.walker.folders.fetch_add(1, Ordering::Relaxed);
        self.walker.tasks.add(Folder { path: path.clone(), number });
        Some(number)
    }

    /// Hashes what there is to hash in a batch.
    fn hash(&mut self, mut batch: Batch) {
        let folder = Arc::clone(&batch.folder);
        batch.found.retain_mut(|item| {
            let waits = item.entry.sha256.is_none() && matches!(item.entry.kind, Kind::File { .. });
            if !waits {
                return true;
            }
            if self.walker.monitor.interrupted() {
                self.walker.tasks.stop();
                return true;
            }
            match self.hash_item(&folder, item) {
                Ok(()) => true,
                Err(error) => {
                    self.problem(item.entry.path.clone(), &error);
                    false
                }
            }
        });
        self.keep(batch);
    }

    fn hash_item(&mut self, folder: &OpenFolder, item: &mut Item) -> io::Result<()> {
        let entry = &mut item.entry;
        let (sha256, held, metadata) = self.hasher.hash(&folder.fd, entry.path.file_name())?;
        if item.identity.is_some() {
            // Another file may have taken the name since: the other names are not its own.
            item.identity = Some((held.stamp.device, held.stamp.inode));
        }
        // A file with holes is cheap to read again, and its digest alone does not say where they are.
        if let (Some(cache), true, None) = (self.walker.cache, held.steady, &held.extents) {
            let known = Known { sha256, bare: metadata.xattrs.is_empty() };
            self.lines.extend(cache.line(&held.stamp, known));
        }
        entry.kind = Kind::File { size: held.stamp.size };
        entry.metadata = metadata;
        entry.sha256 = Some(sha256);
        entry.extents = held.extents;
        Ok(())
    }

    /// Puts a batch that is complete to what was found.
    fn keep(&mut self, batch: Batch) {
        let mut entries = self.walker.entries();
        let (start, count) = (entries.len(), batch.found.len());
        let (folder, number) = batch.number;
        self.parts.push(Part { folder, number, start, count });
        for (item, index) in batch.found.into_iter().zip(start..) {
            self.several_names.extend(item.identity.map(|identity| (index, identity)));
            self.folders.extend(item.folder.map(|number| (index, number)));
            entries.push(item.entry);
        }
    }

    fn problem(&mut self, path: RelPath, error: &io::Error) {
        // What vanished between being listed and being looked at was never part of the tree.
        let kind = if error.kind() == io::ErrorKind::NotFound {
            ProblemKind::Note
        } else {
            ProblemKind::Incomplete
        };
        self.told.push((path, Finding::Problem(kind, format!("cannot be read: {error}"))));
    }
}

fn is_cache(folder: &OwnedFd) -> bool {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut head = vec![0; CACHE_TAG.len()];
    openat(folder, c"CACHEDIR.TAG", flags, Mode::empty())
        .is_ok_and(|fd| File::from(fd).read_exact(&mut head).is_ok() && head == CACHE_TAG)
}
