//! What a pool can do that hashget manages: a folder, a bucket, a registry.
//!
//! Invariant: a package is under its digest's name only once it is whole and has been compared with that digest.

use std::fs::File;
use std::io;

use super::{FetchError, Source, Wanted, shown};
use crate::error::ErrorClass;
use crate::model::Digest;
use crate::monitor::{Interrupted, Monitor, Step, Total};
use crate::parallel;

/// A pool that can be changed. Every implementation passes the same conformance suite.
///
/// Calls block, ask the monitor for interruption, and may come from several threads at once.
pub trait ManagedPool: Source {
    /// What it is called in messages, safe for a terminal.
    fn shown(&self) -> &str;

    /// Makes the pool ready to be added to, if that needs anything.
    ///
    /// # Errors
    /// It cannot be made.
    fn create(&self) -> Result<(), PoolError> {
        Ok(())
    }

    /// Does it have a package of this digest, with the right size if that is known? Its bytes are not read.
    ///
    /// # Errors
    /// The pool cannot be asked.
    fn has(
        &self,
        sha256: &Digest,
        size: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<bool, PoolError>;

    /// Adds a file, which is read from its start; with `expected`, only if it has that digest. What the pool has of the same
    /// digest, and may be damaged, is replaced.
    ///
    /// # Errors
    /// The file cannot be read, does not match, or the pool does not take it.
    fn add(
        &self,
        file: &File,
        expected: Option<Digest>,
        monitor: &dyn Monitor,
    ) -> Result<Pooled, PoolError>;

    /// All packages, by digest. What has other names is ignored.
    ///
    /// # Errors
    /// The pool cannot be asked, or does not list.
    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Pooled>, PoolError>;

    /// Reads a package again: `None` if it has its digest, else what is wrong with it.
    ///
    /// # Errors
    /// The pool did not answer, so that nothing is known; or the monitor asked to stop.
    fn damage(&self, pooled: &Pooled, monitor: &dyn Monitor) -> Result<Option<String>, FetchError> {
        let (sha256, size) = (Some(pooled.sha256), Some(pooled.size));
        let wanted = Wanted { url: pooled.place.clone(), sha256, size, ..Wanted::default() };
        match self.fetch(&wanted, monitor) {
            Ok(_) => Ok(None),
            Err(FetchError::Mismatch { found, .. }) => {
                Ok(Some(format!("it is damaged: it has {found}")))
            }
            Err(FetchError::NotFound { .. }) => Ok(Some("it is not there any more".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// Removes a package. `false` if it is not there.
    ///
    /// # Errors
    /// It cannot be removed.
    fn remove(&self, sha256: &Digest, monitor: &dyn Monitor) -> Result<bool, PoolError>;
}

/// A package in a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pooled {
    /// The digest that it is named by.
    pub sha256: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Its path or address, safe for a terminal.
    pub place: String,
}

/// Why a pool could not do something.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A file of this machine could not be read or written.
    #[error("cannot use the pool {pool}")]
    Disk {
        /// The pool.
        pool: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It did not answer.
    #[error("the pool {pool} cannot be reached: {problem}")]
    Unreachable {
        /// The pool.
        pool: String,
        /// What happened.
        problem: String,
    },
    /// It answers, and does not do it.
    #[error("the pool {pool} refused: {problem}")]
    Refused {
        /// The pool.
        pool: String,
        /// What it says, and what to do.
        problem: String,
    },
    /// What was to be added is something else.
    #[error("it has sha256 {found}, expected {expected}")]
    Different {
        /// The digest that was expected.
        expected: Digest,
        /// That of the file.
        found: Digest,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl PoolError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Disk { error, .. } => ErrorClass::of_io(error),
            Self::Unreachable { .. } => ErrorClass::Unreachable,
            // What it says tells what to do.
            Self::Refused { .. } => ErrorClass::Io,
            Self::Different { .. } => ErrorClass::WrongBytes,
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
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
        error: PoolError,
    },
}

impl AddError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch(error) => error.class(),
            Self::Write { error, .. } => error.class(),
        }
    }
}

/// Adds those of `packages` that the pool does not have, fetched from `source`, up to `jobs` at once.
/// `done` is called with each result as soon as it is known, on any of the threads; its first error stops
/// everything.
///
/// # Errors
/// The first error of `done`; the monitor asked to stop.
pub fn add_all<E: Send + From<Interrupted>>(
    pool: &dyn ManagedPool,
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
        done(wanted, add_wanted(pool, source, wanted, monitor))?;
        progress.advance(0, 1);
        Ok(())
    })
}

fn add_wanted(
    pool: &dyn ManagedPool,
    source: &dyn Source,
    wanted: &Wanted,
    monitor: &dyn Monitor,
) -> Result<Added, AddError> {
    let write = |error| AddError::Write { url: shown(&wanted.url), error };
    if let Some(sha256) = wanted.sha256
        && pool.has(&sha256, wanted.size, monitor).map_err(write)?
    {
        return Ok(Added::Known);
    }
    let fetched = source.fetch(wanted, monitor)?;
    pool.add(&fetched.file, wanted.sha256, monitor).map(Added::New).map_err(write)
}
