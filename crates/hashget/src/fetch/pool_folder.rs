//! A pool of our own: a folder in which each package lies by its digest, `sha256/ab/cd/ef/REST`, so that any
//! web server can serve it.
//!
//! Invariant: a file gets its digest's name when it is complete, proven and durable.

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
    /// By its name.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Where it lies.
    pub path: PathBuf,
}

/// What came of a package that was to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It was there already.
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
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Write { error, .. } => ErrorClass::of_io(error),
        }
    }
}

impl PoolFolder {
    /// The pool in `dir`; made when something is added, if it is not there.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the folder, if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> io::Result<()> {
        fs_err::create_dir_all(self.dir.join("sha256"))
    }

    fn path(&self, sha256: &Digest) -> PathBuf {
        self.dir.join(canonical(sha256))
    }

    /// Is a file of this digest's name there, with the right size as far as it is known?
    pub fn has(&self, sha256: &Digest, size: Option<u64>) -> bool {
        let found = fs_err::metadata(self.path(sha256));
        found.is_ok_and(|found| found.is_file() && size.is_none_or(|size| size == found.len()))
    }

    /// Adds all that `content` gives. With `expected`, only if its digest is that. What lies there under
    /// the same digest is replaced: it may have been damaged.
    ///
    /// # Errors
    /// It could not be read or written, or is not what was expected.
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

    /// Adds `packages` that it does not have, fetched from `source`, up to `jobs` at once. `done` gets what came of each
    /// as soon as it is known, on any of the threads; the first error that it returns ends all.
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

    /// All packages, by digest. Files under other names are none of ours.
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

    /// What is wrong with a package of the pool, if anything.
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

    /// Takes a package out, with the folders that are empty then. `false` when it is not there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, sha256: &Digest) -> io::Result<bool> {
        let path = self.path(sha256);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed?,
        }
        // A folder that is not empty stays.
        for folder in path.ancestors().skip(1).take(3) {
            if fs_err::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }
}
