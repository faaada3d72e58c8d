//! Walking a tree in order, with other threads hashing its files.
//!
//! Invariant: each name is looked at once; folders are read to their end before they are entered, and
//! no more than [`OPEN_FOLDERS`] of them are kept open by the walk, however deep the tree is.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use rustix::fs::{Dir, Mode, OFlags, openat};

use super::hashing::{Hashed, Work, hash_files};
use super::inspect::{Inspected, inspect, procfs_path};
use super::open::TreeRoot;
use super::scan_cache::ScanCache;
use super::{ScanError, ScanOptions};
use crate::model::{Digest, Entry, Kind, RelPath};
use crate::monitor::{Event, Monitor, ProblemKind};

/// Folders above the current one that are kept open; those further up are opened again.
const OPEN_FOLDERS: usize = 128;
/// The first bytes of a `CACHEDIR.TAG`, by the Cache Directory Tagging Specification.
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// An entry, and for one with several names which file it is.
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) group: Option<(u64, u64)>,
}

pub(super) fn walk(
    root: &TreeRoot,
    options: &ScanOptions,
    cache: &mut Option<ScanCache>,
    name: &str,
    monitor: &dyn Monitor,
) -> Result<Vec<Found>, ScanError> {
    std::thread::scope(|scope| {
        let (work_sender, work_receiver) = bounded::<Work>(256);
        let (result_sender, result_receiver) = unbounded::<Hashed>();
        for _ in 0..options.jobs.max(1) {
            let (receiver, sender) = (work_receiver.clone(), result_sender.clone());
            scope.spawn(move || hash_files(&receiver, &sender, name, monitor));
        }
        drop((work_receiver, result_sender));
        let mut walker = Walker {
            root,
            options,
            cache,
            monitor,
            device: 0,
            found: Vec::new(),
            work: work_sender,
            results: result_receiver,
            unreadable: Vec::new(),
        };
        walker.run()?;
        Ok(walker.finish())
    })
}

/// A folder that is being walked.
struct Level {
    path: RelPath,
    /// `None` while it is closed because the walk is far below.
    fd: Option<Arc<OwnedFd>>,
    /// A path that leads to it in calls that take no open folder.
    kernel_path: PathBuf,
    /// The names that are still to be looked at, last first.
    names: Vec<CString>,
}

struct Walker<'a> {
    root: &'a TreeRoot,
    options: &'a ScanOptions,
    cache: &'a mut Option<ScanCache>,
    monitor: &'a dyn Monitor,
    device: u64,
    found: Vec<Found>,
    work: Sender<Work>,
    results: Receiver<Hashed>,
    unreadable: Vec<usize>,
}

impl Walker<'_> {
    fn run(&mut self) -> Result<(), ScanError> {
        let top = self
            .top()
            .map_err(|error| ScanError::Root { path: self.root.path().to_path_buf(), error })?;
        let mut levels = vec![top];
        while let Some(level) = levels.last_mut() {
            self.monitor.check_interrupted()?;
            let Some(name) = level.names.pop() else {
                levels.pop();
                continue;
            };
            let parent = match self.folder(level) {
                Ok(fd) => fd,
                Err(error) => {
                    self.problem(&level.path, &error);
                    levels.pop();
                    continue;
                }
            };
            let Ok(path) = level.path.join(name.to_bytes()) else { continue };
            if let Some(deeper) = self.entry(&parent, &level.kernel_path.clone(), &name, path) {
                levels.push(deeper);
                if let Some(above) = levels.len().checked_sub(OPEN_FOLDERS + 1) {
                    levels[above].fd = None;
                }
            }
            self.take_results();
        }
        Ok(())
    }

    fn top(&mut self) -> io::Result<Level> {
        let fd = Arc::new(self.root.open_directory(&RelPath::root())?);
        let top = inspect(fd.as_fd(), &self.kernel_path(&fd, &RelPath::root()), c".")?;
        self.device = top.stamp.device;
        self.add(RelPath::root(), top, None);
        let names = self.names(&fd)?;
        self.meet(&fd);
        Ok(self.level(RelPath::root(), fd, names))
    }

    /// The open folder of a level, opened again if it was closed.
    fn folder(&self, level: &mut Level) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &level.fd {
            return Ok(Arc::clone(fd));
        }
        let fd = Arc::new(self.root.open_directory(&level.path)?);
        level.kernel_path = self.kernel_path(&fd, &level.path);
        level.fd = Some(Arc::clone(&fd));
        Ok(fd)
    }

    /// The names in a folder, sorted, last first.
    fn names(&self, fd: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.push(name.to_owned());
            }
        }
        if self.options.exclude_caches && is_cache(fd) {
            names.retain(|name| &**name == c"CACHEDIR.TAG");
        }
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// Looks at one name; returns the folder to enter, if it is one.
    fn entry(
        &mut self,
        parent: &Arc<OwnedFd>,
        parent_path: &Path,
        name: &CStr,
        path: RelPath,
    ) -> Option<Level> {
        if self.options.exclude.matches(self.root.path(), &path) {
            return None;
        }
        let inspected = match inspect(parent.as_fd(), parent_path, name) {
            Ok(inspected) => inspected,
            Err(error) => {
                self.problem(&path, &error);
                return None;
            }
        };
        if self.options.not_these.contains(&(inspected.stamp.device, inspected.stamp.inode)) {
            return None;
        }
        let entered = match inspected.kind {
            Kind::Socket => {
                self.monitor.event(Event::Skipped {
                    object: &path.to_string(),
                    reason: "a socket exists only while its program runs",
                });
                return None;
            }
            Kind::Directory => self.enter(parent, name, &path, &inspected),
            Kind::File { .. } => {
                let known = self.cache.as_mut().and_then(|cache| cache.get(&inspected.stamp));
                if known.is_some() {
                    self.add(path, inspected, known);
                    return None;
                }
                let work = Work {
                    index: self.found.len(),
                    parent: Arc::clone(parent),
                    name: name.to_owned(),
                };
                // Fails only when the workers stopped because of an interruption.
                let _ = self.work.send(work);
                None
            }
            _ => None,
        };
        self.add(path, inspected, None);
        entered
    }

    fn enter(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        path: &RelPath,
        inspected: &Inspected,
    ) -> Option<Level> {
        if self.options.one_file_system && inspected.stamp.device != self.device {
            self.monitor.event(Event::Skipped {
                object: &path.to_string(),
                reason: "another file system is mounted here",
            });
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(parent, name, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|fd| self.names(&fd).map(|names| (fd, names)));
        match opened {
            Ok((fd, names)) => {
                if inspected.stamp.device != self.device {
                    self.meet(&fd);
                }
                Some(self.level(path.clone(), Arc::new(fd), names))
            }
            Err(error) => {
                self.problem(path, &error);
                None
            }
        }
    }

    fn level(&self, path: RelPath, fd: Arc<OwnedFd>, names: Vec<CString>) -> Level {
        Level { kernel_path: self.kernel_path(&fd, &path), path, fd: Some(fd), names }
    }

    /// How the kernel is told an open folder where it has no call for one.
    fn kernel_path(&self, folder: &OwnedFd, path: &RelPath) -> PathBuf {
        let procfs = procfs_path(folder.as_fd());
        // A system that is packed from a rescue shell may have no /proc.
        if rustix::fs::access(&procfs, rustix::fs::Access::EXISTS).is_ok() {
            return procfs;
        }
        path.below(self.root.path())
    }

    /// Tells the cache of the file system of an open folder.
    fn meet(&mut self, folder: &OwnedFd) {
        if let Some(cache) = self.cache
            && let Ok(status) = rustix::fs::fstat(folder)
        {
            cache.meet(status.st_dev, folder);
        }
    }

    fn add(&mut self, path: RelPath, inspected: Inspected, sha256: Option<Digest>) {
        let several = inspected.several_names && inspected.kind != Kind::Directory;
        let stamp = inspected.stamp;
        self.found.push(Found {
            entry: Entry {
                path,
                kind: inspected.kind,
                metadata: inspected.metadata,
                sha256,
                extents: None,
            },
            group: several.then_some((stamp.device, stamp.inode)),
        });
    }

    fn take_results(&mut self) {
        while let Ok(hashed) = self.results.try_recv() {
            self.take(hashed);
        }
    }

    fn take(&mut self, hashed: Hashed) {
        let Found { entry, group } = &mut self.found[hashed.index];
        match hashed.result {
            Ok((contents, metadata)) => {
                if group.is_some() {
                    // Another file may have taken the name since: the other names are not its own.
                    *group = Some((contents.stamp.device, contents.stamp.inode));
                }
                // A file with holes is cheap to read again, and its digest alone does not say where they
                // are.
                if let (Some(cache), true, None) =
                    (&mut *self.cache, contents.steady, &contents.extents)
                {
                    cache.put(&contents.stamp, contents.sha256);
                }
                entry.kind = Kind::File { size: contents.stamp.size };
                entry.metadata = metadata;
                entry.sha256 = Some(contents.sha256);
                entry.extents = contents.extents;
            }
            Err(error) => {
                let path = entry.path.clone();
                self.problem(&path, &error);
                self.unreadable.push(hashed.index);
            }
        }
    }

    /// Waits for the last files and drops those that could not be read.
    fn finish(mut self) -> Vec<Found> {
        // The workers end, and with them the results, once nothing can be sent any more.
        self.work = bounded(0).0;
        while let Ok(hashed) = self.results.recv() {
            self.take(hashed);
        }
        let mut unreadable = self.unreadable;
        unreadable.sort_unstable();
        let mut index = 0;
        self.found.retain(|_| {
            index += 1;
            unreadable.binary_search(&(index - 1)).is_err()
        });
        self.found
    }

    fn problem(&self, path: &RelPath, error: &io::Error) {
        // What vanished between being listed and being looked at was never part of the tree.
        let kind = if error.kind() == io::ErrorKind::NotFound {
            ProblemKind::Note
        } else {
            ProblemKind::Incomplete
        };
        self.monitor.problem(kind, path, format!("cannot be read: {error}"));
    }
}

fn is_cache(folder: &OwnedFd) -> bool {
    use std::io::Read as _;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut head = vec![0; CACHE_TAG.len()];
    openat(folder, c"CACHEDIR.TAG", flags, Mode::empty())
        .is_ok_and(|fd| File::from(fd).read_exact(&mut head).is_ok() && head == CACHE_TAG)
}
