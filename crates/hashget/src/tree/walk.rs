//! Walking a tree: threads take folders from one list, inspect every name in them and hash the files.
//!
//! Invariant: each name is inspected once, and the result does not depend on which thread did what. Files are
//! hashed before further folders are opened, so that few folders are open at a time, however deep or wide the
//! tree is.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, openat, seek};
use rustix::io::Errno;

use super::inspect::{Attributes, Inspected, attributes, inspect, procfs_path};
use super::measure::Met;
use super::open::TreeRoot;
use super::order::{arrange, places};
use super::scan_cache::{Line, ScanCache};
use super::tasks::Tasks;
use super::work::Work;
use super::{Absence, ScanError, ScanOptions};
use crate::model::{Amount, Entry, RelPath};
use crate::monitor::{Event, Interrupted, Monitor, ProblemKind, Running};
use crate::parallel;

/// Bytes of names that the kernel is asked for at once.
const NAMES_BYTES: usize = 32 << 10;

/// The first bytes of a `CACHEDIR.TAG`, by the Cache Directory Tagging Specification.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Device and inode: the identity of a file.
pub(super) type Identity = (u64, u64);

/// What a walk found.
pub(super) struct Walked {
    /// Sorted by path; each name of a hard-linked file is still a file.
    pub(super) entries: Vec<Entry>,
    /// The names that share a file, or might: their indices, ascending, with the identity of the file.
    pub(super) several_names: Vec<(usize, Identity)>,
    /// New lines of the scan cache.
    pub(super) lines: Vec<Line>,
    /// What is not part of the tree, by path.
    pub(super) absent: Vec<(RelPath, Absence)>,
    /// What programs make again, by the numbers of patterns.
    pub(super) regenerable: BTreeMap<usize, Amount>,
}

pub(super) fn walk(
    root: &TreeRoot,
    options: &ScanOptions,
    cache: Option<&ScanCache>,
    progress: &Running<'_>,
    monitor: &dyn Monitor,
) -> Result<Walked, ScanError> {
    let unreadable = |error| ScanError::Root { path: root.path().to_path_buf(), error };
    let jobs = options.jobs.max(1);
    let walker = Walker {
        root,
        options,
        cache,
        monitor,
        progress,
        devices: Mutex::default(),
        tasks: Tasks::new(jobs),
        folders: AtomicU32::new(1),
        met: Met::default(),
        entries: Mutex::default(),
    };
    let (open, names) = walker.open(RelPath::root(), None).map_err(unreadable)?;
    let mut top = inspect(open.fd.as_fd(), c".").map_err(unreadable)?;
    match options.selected.is_everything() {
        true => walker.enter(top.stamp.device),
        false => options.selected.devices(root).into_iter().for_each(|device| walker.enter(device)),
    }
    if let Some(problem) = open.attributes(c".").add_to(&mut top.metadata) {
        let name = root.path().display().to_string();
        monitor.problem(ProblemKind::Incomplete, &name, without_attributes(&problem));
    }
    let top = entry(RelPath::root(), top);
    walker.entries().push(top);
    let top = Mutex::new(Some((Arc::new(open), names)));
    let work = |thread| {
        // The first thread starts with the top folder; the others wait for the tasks it adds.
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

/// Combines the results of the threads in an order that does not depend on scheduling.
fn gather(mut entries: Vec<Entry>, results: Vec<Work<'_>>, monitor: &dyn Monitor) -> Walked {
    let (mut parts, mut folders, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut several_names, mut lines) = (Vec::new(), Vec::new());
    let mut regenerable: BTreeMap<usize, Amount> = BTreeMap::new();
    for mut work in results {
        parts.append(&mut work.parts);
        folders.append(&mut work.folders);
        findings.append(&mut work.findings);
        several_names.append(&mut work.several_names);
        lines.append(&mut work.lines);
        for (pattern, Amount { files, bytes }) in work.regenerable {
            regenerable.entry(pattern).or_default().add(files, bytes);
        }
    }
    findings.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut absent = Vec::new();
    for (path, finding) in findings {
        let absence = match finding {
            Finding::Absent(absence) => absence,
            Finding::Mounted { kind, what } => {
                monitor.problem(kind, &path, what);
                absent.push((path, Absence::OtherFileSystem));
                continue;
            }
            Finding::Problem(kind, message) => {
                monitor.problem(kind, &path, message);
                Absence::Unreadable
            }
            Finding::Attributes(problem) => {
                monitor.problem(ProblemKind::Incomplete, &path, without_attributes(&problem));
                continue;
            }
        };
        if let Some(reason) = absence.worth_a_word() {
            monitor.event(Event::Skipped { object: &path.to_string(), reason });
        }
        absent.push((path, absence));
    }
    let places = places(&entries, parts, folders);
    for (index, _) in &mut several_names {
        *index = places[*index] as usize;
    }
    several_names.sort_unstable();
    arrange(&mut entries, places);
    Walked { entries, several_names, lines, absent, regenerable }
}

pub(super) fn entry(path: RelPath, inspected: Inspected) -> Entry {
    let Inspected { kind, metadata, .. } = inspected;
    Entry { path, kind, metadata, sha256: None, extents: None }
}

/// State shared by all threads.
pub(super) struct Walker<'a> {
    pub(super) root: &'a TreeRoot,
    pub(super) options: &'a ScanOptions,
    pub(super) cache: Option<&'a ScanCache>,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) progress: &'a Running<'a>,
    /// The file systems that are entered: that of the top folder, and others if the options say so.
    devices: Mutex<Vec<u64>>,
    pub(super) tasks: Tasks<Folder, Batch>,
    /// The number of the next folder.
    pub(super) folders: AtomicU32,
    /// The files with several names that were counted.
    pub(super) met: Met,
    /// All entries, in the order in which threads finished them: one list, since merging
    /// several would take twice the memory.
    pub(super) entries: Mutex<Vec<Entry>>,
}

/// A folder to walk.
pub(super) struct Folder {
    pub(super) path: RelPath,
    /// Its device, as it was found beside other names.
    pub(super) device: u64,
    pub(super) number: u32,
}

/// A folder that is being walked.
pub(super) struct OpenFolder {
    pub(super) path: RelPath,
    pub(super) fd: OwnedFd,
    /// A path to it, for system calls that take no open folder.
    pub(super) kernel_path: PathBuf,
    /// Why only the file that marks it is part of the tree, if so.
    pub(super) contents_are: Option<Absence>,
}

/// Neighbouring entries of a folder; some of the files may still have to be hashed.
pub(super) struct Batch {
    pub(super) folder: Arc<OpenFolder>,
    /// The number of the folder, and of this batch within the folder.
    pub(super) number: (u32, u32),
    pub(super) found: Vec<Item>,
    /// Number of files to hash, and their size in bytes.
    pub(super) files: usize,
    pub(super) bytes: u64,
}

pub(super) struct Item {
    pub(super) entry: Entry,
    /// The identity of the file, if it may have several names.
    pub(super) identity: Option<Identity>,
    /// Its device, if it is a folder that is walked, too.
    pub(super) walked_on: Option<u64>,
}

/// Something other than an entry, found at a path.
pub(super) enum Finding {
    /// This path, or what is below it, is not part of the tree.
    Absent(Absence),
    /// A file system with files is mounted here, and is not entered.
    Mounted {
        /// What the user should make of it.
        kind: ProblemKind,
        what: String,
    },
    /// It cannot be read.
    Problem(ProblemKind, String),
    /// Not all of its attributes can be read.
    Attributes(String),
}

fn without_attributes(problem: &str) -> String {
    format!("kept without some of its attributes, which cannot be read: {problem}")
}

impl OpenFolder {
    /// The names in it now, sorted.
    pub(super) fn names(&self) -> io::Result<Vec<CString>> {
        seek(&self.fd, SeekFrom::Start(0))?;
        names_in(&self.fd)
    }

    pub(super) fn attributes(&self, name: &CStr) -> Attributes {
        let folder = self.kernel_path.as_os_str().as_bytes();
        attributes(&[folder, b"/", name.to_bytes()].concat())
    }
}

impl Walker<'_> {
    pub(super) fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().expect("no thread panics")
    }

    /// Is the file system of this device known as one that is entered?
    pub(super) fn is_entered(&self, device: u64) -> bool {
        self.devices.lock().expect("no thread panics").contains(&device)
    }

    /// From now on, the file system of this device is entered.
    pub(super) fn enter(&self, device: u64) {
        self.devices.lock().expect("no thread panics").push(device);
    }

    /// Is a file of this size too large to be part of the tree?
    pub(super) fn is_too_large(&self, size: u64) -> bool {
        self.options.exclude_larger_than.is_some_and(|most| size > most)
    }

    /// Opens a folder, which is on `device` if that is known, and reads its names, sorted; of one above selected paths, those
    /// that lead to them.
    pub(super) fn open(
        &self,
        path: RelPath,
        device: Option<u64>,
    ) -> io::Result<(OpenFolder, Vec<CString>)> {
        if let Some(names) = self.options.selected.names_in(&path) {
            let fd = self.root.reach_directory(&path)?;
            let kernel_path = procfs_path(fd.as_fd());
            return Ok((OpenFolder { path, fd, kernel_path, contents_are: None }, names));
        }
        let fd = self.root.open_directory(&path)?;
        let mut names = names_in(&fd)?;
        let contents_are = self.without_contents(&fd, &mut names);
        if let Some(cache) = self.cache
            && !device.is_some_and(|device| cache.has_met(device))
        {
            cache.meet(&fd);
        }
        let kernel_path = procfs_path(fd.as_fd());
        Ok((OpenFolder { path, fd, kernel_path, contents_are }, names))
    }

    /// Leaves only the file that marks a folder, if its contents are not part of the tree because of it.
    fn without_contents(&self, folder: &OwnedFd, names: &mut Vec<CString>) -> Option<Absence> {
        let markers = &self.options.exclude_if_present;
        let marks =
            |name: &CString| markers.iter().any(|marker| marker.as_bytes() == name.to_bytes());
        if names.iter().any(marks) {
            names.retain(marks);
            return Some(Absence::OfMarkedFolder);
        }
        if self.options.exclude_caches && is_cache(folder) {
            names.retain(|name| &**name == c"CACHEDIR.TAG");
            return Some(Absence::OfCache);
        }
        None
    }
}

/// The names in an open folder from where it was read last, sorted.
pub(super) fn names_in(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let (mut names, mut buffer) = (Vec::new(), Vec::with_capacity(NAMES_BYTES));
    let mut listed = RawDir::new(folder, buffer.spare_capacity_mut());
    while let Some(entry) = listed.next() {
        match entry {
            Ok(entry) if entry.file_name() == c"." || entry.file_name() == c".." => {}
            Ok(entry) => names.push(entry.file_name().to_owned()),
            // It was removed since it was opened.
            Err(Errno::NOENT) => break,
            Err(error) => return Err(error.into()),
        }
    }
    names.sort_unstable();
    // While names come and go, some file systems list one of them twice.
    names.dedup();
    Ok(names)
}

fn is_cache(folder: &OwnedFd) -> bool {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut head = vec![0; CACHE_TAG.len()];
    openat(folder, c"CACHEDIR.TAG", flags, Mode::empty())
        .is_ok_and(|fd| File::from(fd).read_exact(&mut head).is_ok() && head == CACHE_TAG)
}
