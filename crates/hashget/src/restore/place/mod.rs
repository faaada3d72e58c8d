//! The only code that writes into the target.
//!
//! Invariant: every path is resolved below the target's open folder without following any symbolic
//! link, whatever happens to the tree meanwhile; a name points to contents only when they are whole;
//! what is changed in place has no other name.

mod contents;
mod copies;
mod existing;
mod flags;
mod folders;
mod look;
mod metadata;
mod nodes;
mod removal;
mod target;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

pub(super) use look::Look;
pub(super) use nodes::Made;

use folders::leftover_run;

use super::differences::{Difference, Differences};
use super::{RestoreError, RestoreOptions};
use crate::model::{Flags, Metadata, RelPath, path_of};
use crate::tree::{beneath, need_procfs};

/// How many parents are kept open: a part of the descriptors that the process may have.
static OPEN_PARENTS: LazyLock<usize> = LazyLock::new(|| {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most.saturating_sub(16) / 2).unwrap_or(usize::MAX).clamp(1, 64)
});
/// The mode of a folder while it is being filled.
const WORKING_MODE: Mode = Mode::RWXU;
/// The mode of a folder for which neither archive nor package has one.
const PLAIN_FOLDER: u32 = 0o755;

/// Why one entry could not be placed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// Something of the user's, or of the archive's own, is in the way.
    #[error("{0}")]
    Blocked(String),
    /// The contents could not be read from where they come.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// The system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for PlaceError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl PlaceError {
    /// Would every further write fail as well?
    pub(super) fn stops_everything(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::STALE)
        )
    }
}

/// What was found under a name.
#[derive(Debug)]
pub(super) struct ExistingEntry {
    pub(super) stat: Stat,
}

impl ExistingEntry {
    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// The folder that is restored into. May be used from several threads at once.
pub(super) struct TargetFolder {
    path: PathBuf,
    root: OwnedFd,
    options: RestoreOptions,
    /// Was it made when it was opened?
    made: bool,
    /// Was it empty when it was opened? Then there is nothing to keep and nothing left over.
    empty: bool,
    /// Marks the temporary names of this run.
    run: u32,
    counter: AtomicU64,
    /// Is there still hope that the file system shares contents between files?
    can_clone: AtomicBool,
    parents: Mutex<HashMap<RelPath, Arc<OwnedFd>>>,
    cleaned: Mutex<HashSet<RelPath>>,
    /// Whether what was at these paths before stays as it is; only if some of it may.
    decided: Mutex<HashMap<RelPath, bool>>,
    /// Temporary files of this run that could not be removed.
    leftovers: AtomicU64,
    /// Names that look like temporary ones but are entries of the tree.
    entries_like_leftovers: HashSet<RelPath>,
    /// Folders that were made or opened up on the way, and the mode they get if no entry sets one.
    borrowed: Mutex<BTreeMap<RelPath, u32>>,
    not_applied: Mutex<Differences>,
    /// The file systems that were written to, by device: this and mounts below it, each with a folder that is open for
    /// reading (`None` if that may not be).
    devices: Mutex<BTreeMap<u64, Option<OwnedFd>>>,
    /// The flags of the files that have any; `None` for a text that names no flags.
    flagged: Mutex<BTreeMap<RelPath, Option<Flags>>>,
    /// Files that were kept and have several names, by device and inode.
    shared: Mutex<BTreeMap<Identity, BTreeMap<RelPath, Metadata>>>,
}

/// A device, and an inode on it.
type Identity = (u64, u64);

/// The open folder that holds an entry, and the entry's name in it.
pub(super) struct ParentAndName<'p> {
    parent: Arc<OwnedFd>,
    name: &'p [u8],
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

impl TargetFolder {
    /// Opens the folder at `path`, which may itself be a symbolic link to one; makes it first if
    /// `create`. Its parent must exist.
    ///
    /// # Errors
    /// [`RestoreError::Target`], or [`RestoreError::Busy`] while another process restores into it.
    pub(super) fn open(
        path: &Path,
        create: bool,
        options: &RestoreOptions,
    ) -> Result<Self, RestoreError> {
        let fail = |error: io::Error| RestoreError::Target { target: path.to_path_buf(), error };
        need_procfs().map_err(fail)?;
        let mut borrowed = BTreeMap::new();
        if create {
            match rustix::fs::mkdir(path, WORKING_MODE) {
                Ok(()) => {
                    borrowed.insert(RelPath::root(), PLAIN_FOLDER);
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(fail(error.into())),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| fail(e.into()))?;
        // File systems without locks are used without.
        if let Err(Errno::WOULDBLOCK) =
            rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive)
        {
            return Err(RestoreError::Busy { target: path.to_path_buf() });
        }
        let empty = beneath::names(root.as_fd()).map_err(fail)?.is_empty();
        let random = std::hash::RandomState::new().build_hasher().finish();
        Ok(Self {
            path: path.to_path_buf(),
            root,
            options: options.clone(),
            made: !borrowed.is_empty(),
            empty,
            run: u32::try_from(random & u64::from(u32::MAX)).unwrap_or_default(),
            counter: AtomicU64::new(0),
            can_clone: AtomicBool::new(true),
            parents: Mutex::default(),
            cleaned: Mutex::default(),
            decided: Mutex::default(),
            leftovers: AtomicU64::new(0),
            entries_like_leftovers: HashSet::new(),
            borrowed: Mutex::new(borrowed),
            not_applied: Mutex::default(),
            devices: Mutex::default(),
            flagged: Mutex::default(),
            shared: Mutex::default(),
        })
    }

    /// Removes the folder again, if it was made by [`TargetFolder::open`] and nothing is in it.
    pub(super) fn remove_if_made(&self) {
        if self.made {
            // If it is not empty or already gone, there is nothing to do.
            let _ = rustix::fs::rmdir(&self.path);
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many temporary files of this run could not be removed: the next run does that.
    pub(super) fn leftovers(&self) -> u64 {
        self.leftovers.load(Ordering::Relaxed)
    }

    /// These are entries of the tree; those that look like leftovers of a killed run stay.
    pub(super) fn protect<'a>(&mut self, paths: impl Iterator<Item = &'a [u8]>) {
        let looks_left_over = |path: &RelPath| leftover_run(path.file_name()).is_some();
        self.entries_like_leftovers.extend(paths.map(path_of).filter(looks_left_over));
    }

    /// How entries are to be restored.
    pub(super) fn options(&self) -> &RestoreOptions {
        &self.options
    }

    /// Is this a temporary name of this run?
    pub(super) fn is_temporary(&self, name: &[u8]) -> bool {
        leftover_run(name) == Some(self.run)
    }

    /// What could not be applied so far.
    pub(super) fn not_applied(&self) -> Differences {
        lock(&self.not_applied).clone()
    }

    fn count_not_applied(&self, what: Difference, path: &RelPath) {
        lock(&self.not_applied).add(what, path);
    }

    /// What is at `path`, if anything.
    pub(super) fn find(&self, path: &RelPath) -> Result<Option<ExistingEntry>, PlaceError> {
        if path.is_root() {
            return Ok(Some(ExistingEntry { stat: rustix::fs::fstat(&self.root)? }));
        }
        let parent = match beneath::open(
            self.root.as_fd(),
            parent_of(path).as_bytes(),
            OFlags::PATH | OFlags::DIRECTORY,
        ) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match rustix::fs::statat(&parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(ExistingEntry { stat })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the regular file at `path` for reading, also one of ours that we may not read; `None` if
    /// there is none.
    pub(super) fn open_file(&self, path: &RelPath) -> Result<Option<File>, PlaceError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened = match beneath::open(self.root.as_fd(), path.as_bytes(), flags) {
            Err(Errno::ACCESS) => self.open_closed_file(path, flags),
            other => other,
        };
        match opened {
            Ok(fd) => {
                let regular = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode).is_file();
                Ok(regular.then(|| File::from(fd)))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file of ours whose mode keeps us from reading it. The mode stays as it is.
    fn open_closed_file(&self, path: &RelPath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let closed = beneath::open(self.root.as_fd(), path.as_bytes(), OFlags::PATH)?;
        let stat = rustix::fs::fstat(&closed)?;
        let ours = stat.st_uid == rustix::process::geteuid().as_raw();
        if !ours || !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Errno::ACCESS);
        }
        let mode = stat.st_mode & 0o7777;
        metadata::chmod_path_only(closed.as_fd(), mode | Mode::RUSR.bits())?;
        let opened = beneath::open(self.root.as_fd(), path.as_bytes(), flags);
        metadata::chmod_path_only(closed.as_fd(), mode)?;
        opened
    }

    /// A temporary name that is not in use, marked as one of this run.
    fn temporary_name(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        format!(".hashget-{:08x}{:08x}.part", self.run, number & u64::from(u32::MAX))
    }

    /// Points the name of `place` to what is under `temporary` in the same folder, replacing what is
    /// there unless that is a folder with something in it.
    fn put_name(
        &self,
        place: &ParentAndName<'_>,
        path: &RelPath,
        temporary: &str,
    ) -> Result<(), PlaceError> {
        let (parent, name) = (&place.parent, place.name);
        match rustix::fs::renameat(parent, temporary, parent, name) {
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) if self.options.rule().is_some() => {
                self.put_in_place_of_folder(place, path, temporary)
            }
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                    Ok(()) => {}
                    Err(Errno::NOTEMPTY | Errno::EXIST) => {
                        return Err(PlaceError::Blocked(
                            "a folder that is not empty is in its place: move that away".into(),
                        ));
                    }
                    Err(error) => return Err(error.into()),
                }
                lock(&self.parents).clear();
                Ok(rustix::fs::renameat(parent, temporary, parent, name)?)
            }
            other => Ok(other?),
        }
    }

    /// Removes the file at `path`, if there is one.
    pub(super) fn remove(&self, path: &RelPath) -> Result<(), PlaceError> {
        let place = self.place(path)?;
        let unlink = || rustix::fs::unlinkat(&place.parent, place.name, AtFlags::empty());
        match self.retry_opened_up(&place, path, unlink) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives what is at `from` the name `to`.
    pub(super) fn rename(&self, from: &RelPath, to: &RelPath) -> Result<(), PlaceError> {
        let (old, new) = (self.place(from)?, self.place(to)?);
        let rename = || rustix::fs::renameat(&old.parent, old.name, &new.parent, new.name);
        self.retry_opened_up(&new, to, rename)?;
        lock(&self.parents).clear();
        Ok(())
    }

    /// Notes the file system of an open folder in which something is written.
    fn note_device(&self, folder: BorrowedFd<'_>) -> Result<(), PlaceError> {
        let device = rustix::fs::fstat(folder)?.st_dev;
        lock(&self.devices).entry(device).or_insert_with(|| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(folder, ".", flags, Mode::empty()).ok()
        });
        Ok(())
    }

    /// Makes all that was written durable, on every file system that it was written to.
    pub(super) fn sync(&self) -> Result<(), PlaceError> {
        rustix::fs::syncfs(&self.root)?;
        let own = rustix::fs::fstat(&self.root)?.st_dev;
        for (_, folder) in lock(&self.devices).iter().filter(|(device, _)| **device != own) {
            match folder {
                Some(folder) => rustix::fs::syncfs(folder)?,
                None => rustix::fs::sync(),
            }
        }
        Ok(())
    }
}

/// The folder that holds `path`; the top folder for itself.
fn parent_of(path: &RelPath) -> RelPath {
    path.parent().unwrap_or_default()
}
