//! A pool that hashget writes: a folder in which each package lies by its digest, `sha256/ab/cd/ef/REST`, so
//! that any web server can serve it.
//!
//! Invariant: a file gets its digest's name once it is complete, proven and durable.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::file_digest::{Unproven, hash_whole};
use super::pool::canonical;
use super::{FetchError, Source, Wanted, shown};
use crate::error::ErrorClass;
use crate::model::{Digest, HashingReader};
use crate::monitor::{Interrupted, Monitor, Step, Total};
use crate::parallel;
use crate::pending_file::PendingFile;

/// The folder.
#[derive(Debug)]
pub struct PoolFolder {
    dir: PathBuf,
}

/// A package in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pooled {
    /// The digest in its name.
    pub sha256: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Its path.
    pub path: PathBuf,
}

/// The result of adding a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// The pool already had it.
    Known,
    /// It was added.
    New(Pooled),
}

/// Why a package could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// It could not be fetched.
    #[error("{0}")]
    Fetch(#[from] FetchError),
    /// It could not be written into the pool.
    #[error("cannot add {url}")]
    Write {
        /// Its URL, safe for a terminal.
        url: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl AddError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Write { error, .. } => ErrorClass::of_io(error),
        }
    }
}

impl PoolFolder {
    /// The pool in `dir`, which is created when something is added.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Creates the folder, if it does not exist.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create(&self) -> io::Result<()> {
        fs_err::create_dir_all(self.dir.join("sha256"))
    }

    fn path(&self, sha256: &Digest) -> PathBuf {
        self.dir.join(canonical(sha256))
    }

    /// Does the pool have a file named by this digest, with the right size if that is known?
    pub fn has(&self, sha256: &Digest, size: Option<u64>) -> bool {
        let found = fs_err::metadata(self.path(sha256));
        found.is_ok_and(|found| found.is_file() && size.is_none_or(|size| size == found.len()))
    }

    /// Adds everything that `content` returns; with `expected`, only if it has that digest. A file with the
    /// same digest is replaced, since it may have been damaged.
    ///
    /// # Errors
    /// The content could not be read or written, or does not match.
    pub fn add(&self, content: impl Read, expected: Option<Digest>) -> io::Result<Pooled> {
        self.create()?;
        let mut copy = PendingFile::create_in(&self.dir, 0o644)?;
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut copy)?;
        let (sha256, size) = content.finish();
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Err(io::Error::other(format!("it has sha256 {sha256}, expected {expected}")));
        }
        let path = self.path(&sha256);
        let parent = path.parent().unwrap_or(&self.dir);
        fs_err::create_dir_all(parent)?;
        copy.file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        copy.commit(&path)?;
        Ok(Pooled { sha256, size, path })
    }

    /// Adds those of `packages` that the pool does not have, fetched from `source`, up to `jobs` at once.
    /// `done` is called with each result as soon as it is known, on any of the threads; its first error stops
    /// everything.
    ///
    /// # Errors
    /// The first error of `done`; the monitor asked to stop.
    pub fn add_all<E: Send + From<Interrupted>>(
        &self,
        source: &dyn Source,
        packages: &[Wanted],
        jobs: usize,
        monitor: &dyn Monitor,
        done: impl Fn(&Wanted, Result<Added, AddError>) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        let things = u64::try_from(packages.len()).ok();
        let progress = monitor.begin(Step::Gather, "packages", Total { bytes: None, things });
        parallel::for_each(jobs.min(packages.len()), packages.iter(), |wanted| {
            monitor.check_interrupted()?;
            done(wanted, self.add_wanted(source, wanted, monitor))?;
            progress.advance(0, 1);
            Ok(())
        })
    }

    fn add_wanted(
        &self,
        source: &dyn Source,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Added, AddError> {
        if wanted.sha256.is_some_and(|sha256| self.has(&sha256, wanted.size)) {
            return Ok(Added::Known);
        }
        let fetched = source.fetch(wanted, monitor)?;
        let url = shown(&wanted.url);
        let added = self.add(fetched.file, wanted.sha256);
        added.map(Added::New).map_err(|error| AddError::Write { url, error })
    }

    /// All packages, by digest. Files with other names are ignored.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<Pooled>> {
        let mut found = Vec::new();
        let mut folders = vec![(self.dir.join("sha256"), String::new())];
        fs_err::read_dir(&self.dir)?;
        while let Some((folder, digits)) = folders.pop() {
            let entries = match fs_err::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let (kind, whole) = (entry.file_type()?, format!("{digits}{name}"));
                if kind.is_dir() && name.len() == 2 && whole.len() <= 6 {
                    folders.push((entry.path(), whole));
                } else if let (true, Ok(sha256)) = (kind.is_file(), whole.parse::<Digest>())
                    && entry.path() == self.path(&sha256)
                {
                    let size = entry.metadata()?.len();
                    found.push(Pooled { sha256, size, path: entry.path() });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The damage of a package in the pool, if any.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub fn damage(
        &self,
        pooled: &Pooled,
        monitor: &dyn Monitor,
    ) -> Result<Option<String>, Interrupted> {
        let hashed = File::open(&pooled.path)
            .map_err(Unproven::Io)
            .and_then(|file| hash_whole(&file, monitor));
        match hashed {
            Ok((found, _)) if found == pooled.sha256 => Ok(None),
            Ok((found, size)) => {
                Ok(Some(format!("it is damaged: its {size} bytes have sha256 {found}")))
            }
            Err(Unproven::Io(error)) => Ok(Some(format!("it cannot be read ({error})"))),
            Err(Unproven::Interrupted(interrupted)) => Err(interrupted),
        }
    }

    /// Removes a package, and the folders that become empty. `false` if it does not exist.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, sha256: &Digest) -> io::Result<bool> {
        let path = self.path(sha256);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        // Folders that are not empty are kept.
        for folder in path.ancestors().skip(1).take(3) {
            if fs_err::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }
}
