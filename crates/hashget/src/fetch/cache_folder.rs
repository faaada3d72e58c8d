//! The folder of the download cache: what is in it, and what of it is removed.
//!
//! Invariant: nothing is removed while any process uses the cache: each holds a shared lock of the folder, and whoever
//! removes holds it alone. Only packages and unfinished downloads are removed, never another file. What was used last goes last.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cache::Cache;
use super::clock::ATTENTION;
use super::unfinished;
use crate::monitor::{Interrupted, Monitor};

/// A folder of downloads.
#[derive(Debug, Clone)]
pub struct CacheFolder {
    dir: PathBuf,
}

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheContents {
    /// Number of packages.
    pub packages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of unfinished downloads.
    pub unfinished: u64,
    /// Their bytes.
    pub unfinished_bytes: u64,
    /// When the package that was not used for longest was used.
    pub oldest: Option<SystemTime>,
}

/// What is to be removed from a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clean {
    /// Everything.
    All,
    /// Only part of it.
    Some {
        /// What was not used for longer than this.
        older_than: Option<Duration>,
        /// Of what remains, what was not used for longest, until the packages have at most so many bytes.
        larger_than: Option<u64>,
    },
}

/// A package in the cache.
struct Kept {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

impl CacheFolder {
    /// The cache in `dir`, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What it holds.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn contents(&self) -> io::Result<CacheContents> {
        let mut contents = CacheContents::default();
        for kept in self.packages()? {
            contents.packages += 1;
            contents.bytes += kept.size;
            contents.oldest =
                Some(contents.oldest.map_or(kept.used, |oldest| oldest.min(kept.used)));
        }
        for entry in entries(&Cache::partial_dir(&self.dir))? {
            if entry.file_name().as_encoded_bytes().ends_with(b".part") {
                contents.unfinished += 1;
                contents.unfinished_bytes += entry.metadata().map_or(0, |found| found.len());
            }
        }
        Ok(contents)
    }

    /// Removes packages, and returns their number and bytes. `None` if another process uses the cache: then nothing is
    /// removed.
    ///
    /// # Errors
    /// The cache cannot be read, or a package cannot be removed.
    pub fn clean(&self, clean: Clean) -> io::Result<Option<(u64, u64)>> {
        if !fs_err::exists(&self.dir)? {
            return Ok(Some((0, 0)));
        }
        let folder = open_folder(&self.dir)?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (older_than, larger_than) = match clean {
            Clean::All => (Some(Duration::ZERO), None),
            Clean::Some { older_than, larger_than } => (older_than, larger_than),
        };
        if let Some(age) = older_than {
            unfinished::sweep(&Cache::partial_dir(&self.dir), age);
        }
        let mut packages = self.packages()?;
        packages.sort_by_key(|kept| kept.used);
        let mut left: u64 = packages.iter().map(|kept| kept.size).sum();
        let now = SystemTime::now();
        let (mut count, mut bytes) = (0, 0);
        for kept in packages {
            let age = now.duration_since(kept.used).unwrap_or_default();
            let is_old = clean == Clean::All || older_than.is_some_and(|limit| age > limit);
            if is_old || larger_than.is_some_and(|most| left > most) {
                unfinished::remove(&kept.path)?;
                left -= kept.size;
                count += 1;
                bytes += kept.size;
            }
        }
        Ok(Some((count, bytes)))
    }

    /// All packages: regular files in the places that digests have.
    fn packages(&self) -> io::Result<Vec<Kept>> {
        let mut packages = Vec::new();
        for first in entries(&self.dir.join("sha256"))?.into_iter().filter(|entry| is_hex(entry, 2))
        {
            for second in entries(&first.path())?.into_iter().filter(|entry| is_hex(entry, 2)) {
                for entry in entries(&second.path())?.into_iter().filter(|entry| is_hex(entry, 60))
                {
                    // Another process may have removed it.
                    let Ok(found) = entry.metadata() else { continue };
                    if found.is_file() {
                        let (path, size) = (entry.path(), found.len());
                        packages.push(Kept { path, size, used: found.modified()? });
                    }
                }
            }
        }
        Ok(packages)
    }
}

/// What is in a folder; nothing if it does not exist, or is none.
fn entries(dir: &Path) -> io::Result<Vec<fs_err::DirEntry>> {
    match fs_err::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn is_hex(entry: &fs_err::DirEntry, digits: usize) -> bool {
    let name = entry.file_name();
    let name = name.as_encoded_bytes();
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    name.len() == digits && name.iter().all(u8::is_ascii_hexdigit) && !is_link
}

/// The folder, open to be locked.
fn open_folder(dir: &Path) -> io::Result<File> {
    Ok(fs_err::File::open(dir)?.into_parts().0)
}

/// Somebody who removes packages does not take longer than this. (Other users can lock the folder, too.)
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The right to use the cache in `dir`, as long as the file is open. `None` if the folder does not exist, or cannot be
/// locked.
pub(super) fn in_use(dir: &Path, monitor: &dyn Monitor) -> Result<Option<File>, Interrupted> {
    let Ok(folder) = open_folder(dir) else { return Ok(None) };
    let mut waited = Duration::ZERO;
    loop {
        match folder.try_lock_shared() {
            Ok(()) => return Ok(Some(folder)),
            Err(TryLockError::WouldBlock) if waited < LONGEST_WAIT => {}
            Err(_) => return Ok(None),
        }
        monitor.check_interrupted()?;
        std::thread::sleep(ATTENTION / 4);
        waited += ATTENTION / 4;
    }
}
