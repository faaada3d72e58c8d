//! A pool that hashget writes: a folder in which each package lies by its digest, `sha256/ab/cd/ef/REST`, so
//! that any web server can serve it.
//!
//! Invariant: a file gets its digest's name once it is complete, proven and durable.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::file_digest::{Unproven, hash_whole};
use super::pool::place_in_pool;
use super::{FetchError, Fetched, ManagedPool, PoolError, Pooled, Source, Wanted, shown};
use crate::model::{Digest, HashingReader, escaped};
use crate::monitor::Monitor;
use crate::pending_file::PendingFile;

/// The folder.
#[derive(Debug)]
pub struct PoolFolder {
    dir: PathBuf,
    shown: String,
}

impl PoolFolder {
    /// The pool in `dir`, which is created when something is added.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), shown: escaped(dir.as_os_str().as_encoded_bytes()) }
    }

    fn make(&self) -> io::Result<()> {
        fs_err::create_dir_all(self.dir.join("sha256"))
    }

    fn path(&self, sha256: &Digest) -> PathBuf {
        self.dir.join(place_in_pool(sha256))
    }

    /// Keeps everything that `content` returns; with `expected`, only if it has that digest. A file with the same digest is
    /// replaced, since it may have been damaged.
    ///
    /// # Errors
    /// As of [`ManagedPool::add`]; an error of `content` is `Disk`.
    pub fn keep(&self, content: impl Read, expected: Option<Digest>) -> Result<Pooled, PoolError> {
        let pooled = self.kept(content, expected).map_err(|error| self.failed(error))?;
        pooled.map_err(|(expected, found)| PoolError::Different { expected, found })
    }

    fn kept(
        &self,
        content: impl Read,
        expected: Option<Digest>,
    ) -> io::Result<Result<Pooled, (Digest, Digest)>> {
        self.make()?;
        let mut copy = PendingFile::create_in(&self.dir, 0o644)?;
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut copy)?;
        let (sha256, size) = content.finish();
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Ok(Err((expected, sha256)));
        }
        let path = self.path(&sha256);
        let parent = path.parent().unwrap_or(&self.dir);
        fs_err::create_dir_all(parent)?;
        copy.file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        copy.commit(&path)?;
        Ok(Ok(Pooled { sha256, size, place: shown_path(&path) }))
    }

    fn failed(&self, error: io::Error) -> PoolError {
        PoolError::Disk { pool: self.shown.clone(), error }
    }

    fn found(&self) -> io::Result<Vec<Pooled>> {
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
                    found.push(Pooled { sha256, size, place: shown_path(&entry.path()) });
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes a package, and the folders that become empty. `false` if it does not exist.
    fn removed(&self, sha256: &Digest) -> io::Result<bool> {
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

fn shown_path(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

impl Source for PoolFolder {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let url = || shown(&wanted.url);
        let not_found = || FetchError::NotFound { from: self.shown.clone(), url: url() };
        let sha256 = wanted.sha256.ok_or_else(not_found)?;
        let path = self.path(&sha256);
        let disk = |error| FetchError::Disk { url: url(), error };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found()),
            opened => opened.map_err(disk)?,
        };
        let from = shown_path(&path);
        match hash_whole(&file, monitor) {
            Ok((found, size)) if found == sha256 => Ok(Fetched { file, sha256, size, from }),
            Ok((found, size)) => {
                let (expected, found) = (sha256.to_string(), format!("{found} ({size} bytes)"));
                Err(FetchError::Mismatch { from, expected, found, file: Some(file) })
            }
            Err(Unproven::Io(error)) => Err(disk(error)),
            Err(Unproven::Interrupted(interrupted)) => Err(interrupted.into()),
        }
    }
}

impl ManagedPool for PoolFolder {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn create(&self) -> Result<(), PoolError> {
        self.make().map_err(|error| self.failed(error))
    }

    fn has(
        &self,
        sha256: &Digest,
        size: Option<u64>,
        _monitor: &dyn Monitor,
    ) -> Result<bool, PoolError> {
        let found = fs_err::metadata(self.path(sha256));
        Ok(found.is_ok_and(|found| found.is_file() && size.is_none_or(|size| size == found.len())))
    }

    fn add(
        &self,
        mut file: &File,
        expected: Option<Digest>,
        _monitor: &dyn Monitor,
    ) -> Result<Pooled, PoolError> {
        file.rewind().map_err(|error| self.failed(error))?;
        self.keep(file, expected)
    }

    fn list(&self, _monitor: &dyn Monitor) -> Result<Vec<Pooled>, PoolError> {
        self.found().map_err(|error| self.failed(error))
    }

    fn damage(&self, pooled: &Pooled, monitor: &dyn Monitor) -> Result<Option<String>, FetchError> {
        let hashed = File::open(self.path(&pooled.sha256))
            .map_err(Unproven::Io)
            .and_then(|file| hash_whole(&file, monitor));
        match hashed {
            Ok((found, _)) if found == pooled.sha256 => Ok(None),
            Ok((found, size)) => {
                Ok(Some(format!("it is damaged: its {size} bytes have sha256 {found}")))
            }
            Err(Unproven::Io(error)) => Ok(Some(format!("it cannot be read ({error})"))),
            Err(Unproven::Interrupted(interrupted)) => Err(interrupted.into()),
        }
    }

    fn remove(&self, sha256: &Digest, _monitor: &dyn Monitor) -> Result<bool, PoolError> {
        self.removed(sha256).map_err(|error| self.failed(error))
    }
}
