//! The download cache: packages by their digest.
//!
//! Invariant: a file gets its digest's name when it is complete and proven. It is proven again whenever it is read; a
//! damaged file is reported, removed and fetched again.
//!
//! Nothing is synced: for small packages that would take longer than everything else, and a file that a power failure
//! left incomplete is detected by its digest like any other damage.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};
use std::time::SystemTime;

use super::cache_folder::{self, CacheFolder, Clean};
use super::file_digest::{Unproven, hash_whole};
use super::unfinished::{self, ABANDONED, is_named, open_locked, path_of};
use super::{FetchError, Fetched, Source, Wanted};
use crate::model::{Digest, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind};
use crate::pending_file::PendingFile;

/// Keeps the packages that another source returns.
pub struct Cache {
    dir: PathBuf,
    inner: Box<dyn Source>,
    told_unwritable: AtomicBool,
    swept: Once,
    /// When the cache is dropped, the packages that were not used for longest are removed until this size is reached.
    limit: Option<u64>,
    kept_something: AtomicBool,
    /// As long as it is open, nobody removes packages.
    in_use: Mutex<Option<File>>,
}

impl Cache {
    /// A cache in `dir` (created when first needed) in front of `inner`. If the folder is not writable, the
    /// cache returns the packages it has and keeps no new ones.
    pub fn new(dir: PathBuf, inner: Box<dyn Source>) -> Self {
        Self {
            dir,
            inner,
            told_unwritable: AtomicBool::new(false),
            swept: Once::new(),
            limit: None,
            kept_something: AtomicBool::new(false),
            in_use: Mutex::default(),
        }
    }

    /// The cache is trimmed to so many bytes of packages when it is dropped, if it has kept something and no other process
    /// uses it.
    #[must_use]
    pub fn trimmed_to(mut self, limit: Option<u64>) -> Self {
        self.limit = limit;
        self
    }

    /// From now on nobody removes packages until the cache is dropped.
    fn enter(&self, monitor: &dyn Monitor) -> Result<(), Interrupted> {
        let mut in_use = self.in_use.lock().expect("nothing panics while it locks");
        if in_use.is_none() {
            *in_use = cache_folder::in_use(&self.dir, monitor)?;
        }
        Ok(())
    }

    /// The folder for unfinished downloads in the cache folder `dir`; see
    /// [`OriginOptions::partial_dir`](super::OriginOptions::partial_dir).
    pub fn partial_dir(dir: &Path) -> PathBuf {
        dir.join("partial")
    }

    /// Where the cache folder `dir` keeps the package with this digest.
    pub fn path(dir: &Path, sha256: &Digest) -> PathBuf {
        let hex = sha256.to_string();
        dir.join("sha256").join(&hex[..2]).join(&hex[2..4]).join(&hex[4..])
    }

    /// The file with this digest, proven, if the cache has it.
    fn stored(
        &self,
        sha256: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, FetchError> {
        self.enter(monitor)?;
        let path = Self::path(&self.dir, sha256);
        let from = escaped(path.as_os_str().as_encoded_bytes());
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let found = match opened {
            Ok((true, file)) => hash_whole(&file, monitor).map(|(found, size)| (file, found, size)),
            Ok((false, _)) => Err(io::Error::other("it is not a file").into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error.into()),
        };
        let problem = match found {
            Ok((file, found, size)) if found == *sha256 => {
                // Trimming goes by the time of the last use. In a cache of somebody else it cannot be set.
                let _ = file.set_modified(SystemTime::now());
                return Ok(Some(Fetched { file, sha256: found, size, from }));
            }
            Ok((_, found, _)) => format!("the cached file is damaged (found {found})"),
            Err(Unproven::Io(error)) => format!("the cached file cannot be read ({error})"),
            Err(Unproven::Interrupted(interrupted)) => return Err(interrupted.into()),
        };
        let dropped = unfinished::remove(&path).map_or_else(
            |error| format!("; it cannot be removed either ({error})"),
            |()| "; it is removed and fetched again".to_owned(),
        );
        monitor.problem(ProblemKind::Note, from, problem + &dropped);
        Ok(None)
    }

    /// Gets it from the inner source and keeps it.
    fn fetch_and_keep(
        &self,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Fetched, FetchError> {
        self.enter(monitor)?;
        self.swept.call_once(|| unfinished::sweep(&Self::partial_dir(&self.dir), ABANDONED));
        let mut fetched = self.inner.fetch(wanted, monitor)?;
        if let Err(error) = self.keep(&mut fetched) {
            if !self.told_unwritable.swap(true, Ordering::Relaxed) {
                let problem = format!("nothing is kept in the cache ({error})");
                monitor.problem(ProblemKind::Note, self.shown_dir(), problem);
            }
            // The bytes are proven, and so usable without a cache.
            fetched.file.rewind().map_err(|error| self.disk(wanted, error))?;
        } else {
            self.kept_something.store(true, Ordering::Relaxed);
            // There may have been no folder before.
            self.enter(monitor)?;
        }
        Ok(fetched)
    }

    /// Gives proven bytes their final name: renames the finished download if it lies in this cache's folder,
    /// otherwise copies it.
    fn keep(&self, fetched: &mut Fetched) -> io::Result<()> {
        let path = Self::path(&self.dir, &fetched.sha256);
        let parent = path.parent().expect("it has folders above it");
        let partial_dir = Self::partial_dir(&self.dir);
        let download = path_of(&partial_dir, &fetched.from);
        if is_named(&fetched.file, &download) {
            let taken =
                fs_err::create_dir_all(parent).and_then(|()| fs_err::rename(&download, &path));
            if taken.is_err() {
                unfinished::remove(&download)?;
            }
            // Others may be waiting for the same download.
            fetched.file.unlock()?;
            return taken;
        }
        fs_err::create_dir_all(parent)?;
        fs_err::create_dir_all(&partial_dir)?;
        let mut copy = PendingFile::create_in(&partial_dir, 0o644)?;
        fetched.file.rewind()?;
        let size = io::copy(&mut fetched.file, &mut copy)?;
        if size != fetched.size {
            return Err(io::Error::other(format!("copied {size} of {} bytes", fetched.size)));
        }
        copy.file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        // No sync: what is read from the cache is proven first.
        copy.publish(&path)?;
        fetched.file.rewind()
    }

    fn shown_dir(&self) -> String {
        escaped(self.dir.as_os_str().as_encoded_bytes())
    }

    fn disk(&self, wanted: &Wanted, error: io::Error) -> FetchError {
        FetchError::Disk { url: super::fetch_url::shown(&wanted.url), error }
    }

    /// Waits until no other thread or process fetches the same digest. `None` if the cache is not writable: then they
    /// fetch independently.
    fn turn(&self, sha256: &Digest, monitor: &dyn Monitor) -> Result<Option<Turn>, FetchError> {
        let dir = Self::partial_dir(&self.dir);
        let path = dir.join(format!("{sha256}.lock"));
        let locked = fs_err::create_dir_all(&dir)
            .map_err(Unproven::Io)
            .and_then(|()| open_locked(&path, monitor));
        match locked {
            Ok(file) => Ok(Some(Turn { path, _file: file })),
            Err(Unproven::Interrupted(interrupted)) => Err(interrupted.into()),
            Err(Unproven::Io(_)) => Ok(None),
        }
    }
}

impl Source for Cache {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let Some(sha256) = &wanted.sha256 else { return self.fetch_and_keep(wanted, monitor) };
        if let Some(fetched) = self.stored(sha256, monitor)? {
            return Ok(fetched);
        }
        let turn = self.turn(sha256, monitor)?;
        if turn.is_some()
            && let Some(fetched) = self.stored(sha256, monitor)?
        {
            return Ok(fetched);
        }
        self.fetch_and_keep(wanted, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        let is_kept = |sha256| Self::path(&self.dir, &sha256).is_file();
        (self.enter(monitor).is_ok() && wanted.sha256.is_some_and(is_kept))
            || self.inner.is_at_hand(wanted, monitor)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let Some(limit) = self.limit.filter(|_| *self.kept_something.get_mut()) else { return };
        drop(self.in_use.get_mut().map(Option::take));
        // A cache that cannot be trimmed is only larger than it should be; the next command tries again.
        let trimmed = Clean::Some { older_than: None, larger_than: Some(limit) };
        drop(CacheFolder::new(&self.dir).clean(trimmed));
    }
}

/// The right to fetch one digest. Dropping it removes its lock file.
struct Turn {
    path: PathBuf,
    _file: File,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Removed before it is unlocked, so that the name never refers to an unlocked file. If it cannot be removed,
        // the next download uses the empty file.
        drop(unfinished::remove(&self.path));
    }
}
