//! The download cache: packages by their digest.
//!
//! Invariant: a file appears under its digest's name whole and proven; what is read from there is proven
//! again, and a file that fails is named, dropped and fetched again.
//!
//! Nothing is synced: it would cost more than all the rest for small packages, and a file that a power cut
//! left empty or in part is found by its digest like any other damage.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::partial::{self, is_named, open_locked, path_of};
use super::proof::{Unproven, hash_whole};
use super::{FetchError, Fetched, Source, Wanted};
use crate::model::{Digest, escaped};
use crate::monitor::{Monitor, ProblemKind};
use crate::pending_file::PendingFile;

/// Keeps what another source gives.
pub struct Cache {
    dir: PathBuf,
    inner: Box<dyn Source>,
    told_unwritable: AtomicBool,
    swept: Once,
}

impl Cache {
    /// A cache in `dir` (created when first needed) before `inner`. A folder that cannot be written
    /// serves what it has, and keeps nothing.
    pub fn new(dir: PathBuf, inner: Box<dyn Source>) -> Self {
        Self { dir, inner, told_unwritable: AtomicBool::new(false), swept: Once::new() }
    }

    /// The folder for downloads under way in the cache folder `dir`; see
    /// [`OriginOptions::partial_dir`](super::OriginOptions::partial_dir).
    pub fn partial_dir(dir: &Path) -> PathBuf {
        dir.join("partial")
    }

    /// Where the cache folder `dir` keeps the package with this digest.
    pub fn path(dir: &Path, sha256: &Digest) -> PathBuf {
        let hex = sha256.to_string();
        dir.join("sha256").join(&hex[..2]).join(&hex[2..4]).join(&hex[4..])
    }

    /// What the cache has of this digest, proven.
    fn stored(
        &self,
        sha256: &Digest,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, FetchError> {
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
                return Ok(Some(Fetched { file, sha256: found, size, from }));
            }
            Ok((_, found, _)) => format!("the cached file is damaged (found {found})"),
            Err(Unproven::Io(error)) => format!("the cached file cannot be read ({error})"),
            Err(Unproven::Interrupted(interrupted)) => return Err(interrupted.into()),
        };
        let dropped = partial::remove(&path).map_or_else(
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
        self.swept.call_once(|| partial::sweep(&Self::partial_dir(&self.dir)));
        let mut fetched = self.inner.fetch(wanted, monitor)?;
        if let Err(error) = self.keep(&mut fetched) {
            if !self.told_unwritable.swap(true, Ordering::Relaxed) {
                let problem = format!("nothing is kept in the cache ({error})");
                monitor.problem(ProblemKind::Note, self.shown_dir(), problem);
            }
            // Proven bytes are in hand; where there is no cache they serve as well.
            fetched.file.rewind().map_err(|error| self.disk(wanted, error))?;
        }
        Ok(fetched)
    }

    /// Gives proven bytes their final name: by taking over the finished download when it is ours and
    /// still has a name, else by copying it.
    fn keep(&self, fetched: &mut Fetched) -> io::Result<()> {
        let path = Self::path(&self.dir, &fetched.sha256);
        let parent = path.parent().expect("it has folders above it");
        let partial_dir = Self::partial_dir(&self.dir);
        let download = path_of(&partial_dir, &fetched.from);
        if is_named(&fetched.file, &download) {
            let taken =
                fs_err::create_dir_all(parent).and_then(|()| fs_err::rename(&download, &path));
            if taken.is_err() {
                partial::remove(&download)?;
            }
            // Whoever waits for the same download may go on.
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
        // What is read from the cache is proven first: it need not wait for the disk.
        copy.publish(&path)?;
        fetched.file.rewind()
    }

    fn shown_dir(&self) -> String {
        escaped(self.dir.as_os_str().as_encoded_bytes())
    }

    fn disk(&self, wanted: &Wanted, error: io::Error) -> FetchError {
        FetchError::Disk { url: super::address::shown(&wanted.url), error }
    }

    /// Lets one at a time fetch the same digest, in all processes. `None` where the cache cannot be
    /// written: then each goes on its own.
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
        wanted.sha256.is_some_and(|sha256| Self::path(&self.dir, &sha256).is_file())
            || self.inner.is_at_hand(wanted, monitor)
    }
}

/// The right to fetch one digest; its file goes with it.
struct Turn {
    path: PathBuf,
    _file: File,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before the lock goes, so that the name never points to a file that nobody locks. If it stays,
        // it is an empty file that the next one uses.
        drop(partial::remove(&self.path));
    }
}
