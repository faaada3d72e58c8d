//! Pools: packages in a folder under any names, or at an HTTP address by their digest.
//!
//! Invariant: a pool returns only files requested by digest or checksum, after hashing their bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::fetch_url::shown;
use super::file_digest::{Unproven, checksum_whole};
use super::{FetchError, Fetched, Reach, Source, Wanted};
use crate::model::{Algorithm, Checksum, Digest, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// The path of a digest below a pool: `sha256/ab/cd/ef/REST`.
pub fn place_in_pool(sha256: &Digest) -> String {
    let hex = sha256.to_string();
    format!("sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

/// Identifies a file that has been hashed, unless it changes.
type Identity = (u64, u64, u64, i64, i64);

/// A folder of packages.
#[derive(Debug)]
pub struct DirPool {
    dir: PathBuf,
    /// Every file with its size, at the time of the first search.
    files: OnceLock<Vec<(PathBuf, u64)>>,
    /// Known checksums of files. Only a hint: a file is hashed again before it is returned.
    hashed: Mutex<BTreeMap<(PathBuf, Algorithm), (Identity, Checksum)>>,
    /// Are all files searched for a checksum, instead of only those with a likely name?
    thorough: bool,
}

impl DirPool {
    /// The packages in `dir`, at any depth. Links to files are followed, links to folders are not.
    ///
    /// # Errors
    /// It is not a folder that can be read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs_err::read_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            files: OnceLock::new(),
            hashed: Mutex::default(),
            thorough: false,
        })
    }

    /// Searches all files for a checksum other than SHA-256: each is hashed once. Otherwise only files with a likely
    /// name or the right size are hashed, because fetching one package costs less than hashing a large pool.
    #[must_use]
    pub fn thorough(self, thorough: bool) -> Self {
        Self { thorough, ..self }
    }

    fn shown_dir(&self) -> String {
        escaped(self.dir.as_os_str().as_encoded_bytes())
    }

    /// Where a file with the checksum lies in known layouts: hashget's pools and caches, and npm's cache.
    fn usual_places(&self, checksum: &Checksum) -> Vec<PathBuf> {
        let (name, hex) = (checksum.algorithm().name(), hex::encode(checksum.as_bytes()));
        let short = format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
        let ours = checksum.sha256().map(|sha256| [place_in_pool(&sha256), short.clone()]);
        let named = [
            format!("{name}/{short}"),
            format!("content-v2/{name}/{short}"),
            format!("_cacache/content-v2/{name}/{short}"),
        ];
        ours.into_iter().flatten().chain(named).map(|place| self.dir.join(place)).collect()
    }

    /// Files that may have the checksum, the likely ones first; `all` of them, or only those with a likely name or
    /// the right size.
    fn candidates(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        all: bool,
        monitor: &dyn Monitor,
    ) -> Result<Vec<PathBuf>, Interrupted> {
        let files = match self.files.get() {
            Some(files) => files,
            None => {
                let files = walk(&self.dir, true, monitor)?;
                self.files.get_or_init(|| files)
            }
        };
        let names: Vec<&[u8]> = std::iter::once(&wanted.url)
            .chain(&wanted.also)
            .map(|url| base_name(url).as_bytes())
            .filter(|name| !name.is_empty())
            .collect();
        // npm's clients put a scope before the name.
        let has_name = |path: &Path| {
            path.file_name().is_some_and(|found| {
                names.iter().any(|name| found.as_encoded_bytes().ends_with(name))
            })
        };
        let likely = |path: &Path| all || wanted.size.is_some() || has_name(path);
        let mut fitting: Vec<&PathBuf> = files
            .iter()
            .filter(|(_, size)| wanted.size.is_none_or(|wanted| wanted == *size))
            .map(|(path, _)| path)
            .filter(|path| likely(path))
            .collect();
        let hashed = self.hashed.lock().expect("nothing panics while it looks");
        let seen = |path: &PathBuf| {
            let known = hashed.get(&(path.clone(), checksum.algorithm()));
            known.is_some_and(|(_, found)| found == checksum)
        };
        fitting.sort_by_cached_key(|path| (!seen(path), !has_name(path)));
        Ok(fitting.into_iter().cloned().collect())
    }

    /// The file at `path`, if its bytes have the checksum.
    fn proven(
        &self,
        path: &Path,
        checksum: &Checksum,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Unproven> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let identity = (
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        let key = (path.to_owned(), checksum.algorithm());
        let hashed = || self.hashed.lock().expect("nothing panics while it looks");
        let known = hashed().get(&key).cloned();
        if known.is_some_and(|(then, found)| then == identity && found != *checksum) {
            return Ok(None);
        }
        let (found, sha256, size) = checksum_whole(&file, checksum.algorithm(), monitor)?;
        let is_it = found == *checksum;
        hashed().insert(key, (identity, found));
        let from = escaped(path.as_os_str().as_encoded_bytes());
        Ok(is_it.then_some(Fetched { file, sha256, size, from }))
    }

    /// The file with the checksum, in its usual place or among the candidates.
    fn find(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        all: bool,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        for path in self.usual_places(checksum) {
            match self.proven(&path, checksum, monitor) {
                Err(Unproven::Io(error)) if is_absent(&error) => {}
                outcome => {
                    if let Some(fetched) = passed_over(&path, outcome, monitor)? {
                        return Ok(Some(fetched));
                    }
                }
            }
        }
        for path in self.candidates(checksum, wanted, all, monitor)? {
            let outcome = self.proven(&path, checksum, monitor);
            if let Some(fetched) = passed_over(&path, outcome, monitor)? {
                return Ok(Some(fetched));
            }
        }
        Ok(None)
    }
}

impl Source for DirPool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let not_found = || FetchError::NotFound { from: self.shown_dir(), url: shown(&wanted.url) };
        let Some(sha256) = wanted.sha256 else { return Err(not_found()) };
        self.find(&sha256.into(), wanted, true, monitor)?.ok_or_else(not_found)
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        self.find(checksum, wanted, self.thorough, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        let Some(sha256) = wanted.sha256 else { return false };
        let checksum = Checksum::from(sha256);
        self.usual_places(&checksum).iter().any(|path| path.is_file())
            || self
                .candidates(&checksum, wanted, true, monitor)
                .is_ok_and(|paths| !paths.is_empty())
    }
}

/// Reports a file that cannot be read, so that the search continues.
fn passed_over(
    path: &Path,
    outcome: Result<Option<Fetched>, Unproven>,
    monitor: &dyn Monitor,
) -> Result<Option<Fetched>, Interrupted> {
    match outcome {
        Ok(found) => Ok(found),
        Err(Unproven::Interrupted(interrupted)) => Err(interrupted),
        Err(Unproven::Io(error)) => {
            let object = escaped(path.as_os_str().as_encoded_bytes());
            let problem = format!("a file of the pool cannot be read ({error})");
            monitor.problem(ProblemKind::Note, object, problem);
            Ok(None)
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The last part of a URL's path.
fn base_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// All files below a folder, with their sizes, sorted by path. Links to folders are not followed, and those to files if `follows_links`.
/// Folders that cannot be read are reported and skipped.
pub(super) fn walk(
    dir: &Path,
    follows_links: bool,
    monitor: &dyn Monitor,
) -> Result<Vec<(PathBuf, u64)>, Interrupted> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        monitor.check_interrupted()?;
        let mut look = || -> io::Result<()> {
            for entry in fs_err::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                    continue;
                }
                let metadata = match follows_links {
                    true => fs_err::metadata(&path),
                    false => fs_err::symlink_metadata(&path),
                };
                if let Ok(metadata) = metadata
                    && metadata.is_file()
                {
                    files.push((path, metadata.len()));
                }
            }
            Ok(())
        };
        if let Err(error) = look() {
            let object = escaped(folder.as_os_str().as_encoded_bytes());
            let problem = format!("this folder cannot be read ({error})");
            monitor.problem(ProblemKind::Note, object, problem);
        }
    }
    files.sort();
    Ok(files)
}

/// Packages at an HTTP address: `BASE/sha256/ab/cd/ef/REST`.
pub struct HttpPool {
    base: String,
    inner: Arc<dyn Source>,
}

impl HttpPool {
    /// The pool at `base`, which fetches through `inner`.
    pub fn new(base: &str, inner: Arc<dyn Source>) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), inner }
    }
}

impl Source for HttpPool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let not_found =
            || FetchError::NotFound { from: shown(&self.base), url: shown(&wanted.url) };
        let Some(sha256) = &wanted.sha256 else { return Err(not_found()) };
        let url = format!("{}/{}", self.base, place_in_pool(sha256));
        let (name, reach) = (wanted.name.clone(), Reach::Configured);
        let there = Wanted { url, also: Vec::new(), name, reach, ..*wanted };
        match self.inner.fetch(&there, monitor) {
            Err(FetchError::NotFound { .. }) => Err(not_found()),
            other => other,
        }
    }
}
