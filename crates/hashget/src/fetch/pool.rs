//! Pools: packages that lie in a folder under any names, or behind an HTTP address by their digest.
//!
//! Invariant: a pool gives only what was asked for by digest, and only after hashing the very bytes that
//! it hands over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::address::shown;
use super::proof::{Unproven, hash_whole};
use super::{FetchError, Fetched, Source, Wanted};
use crate::model::{Digest, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// The path of a digest below a pool: `sha256/ab/cd/ef/REST`.
pub(super) fn canonical(sha256: &Digest) -> String {
    let hex = sha256.to_string();
    format!("sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..])
}

/// What tells that a file is still the one that was hashed.
type Identity = (u64, u64, u64, i64, i64);

/// A folder of packages.
#[derive(Debug)]
pub struct DirPool {
    dir: PathBuf,
    /// Every file with its size, as they were when first looked for.
    files: OnceLock<Vec<(PathBuf, u64)>>,
    /// Digests of files that were hashed. A hint: what is handed over is hashed again.
    digests: Mutex<BTreeMap<PathBuf, (Identity, Digest)>>,
}

impl DirPool {
    /// The packages in `dir`, at any depth. Links to files are followed, links to folders are not.
    ///
    /// # Errors
    /// It is not a folder that can be read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs_err::read_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), files: OnceLock::new(), digests: Mutex::default() })
    }

    fn shown_dir(&self) -> String {
        escaped(self.dir.as_os_str().as_encoded_bytes())
    }

    /// Where the digest should lie in the layouts we know.
    fn usual_places(&self, sha256: &Digest) -> [PathBuf; 3] {
        let hex = sha256.to_string();
        let short = format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
        [
            self.dir.join(canonical(sha256)),
            self.dir.join("sha256").join(&short),
            self.dir.join(&short),
        ]
    }

    /// Files that may be what is wanted, the likely ones first.
    fn candidates(
        &self,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Vec<PathBuf>, Interrupted> {
        let files = match self.files.get() {
            Some(files) => files,
            None => {
                let files = walk(&self.dir, monitor)?;
                self.files.get_or_init(|| files)
            }
        };
        let names: Vec<&[u8]> = std::iter::once(&wanted.url)
            .chain(&wanted.also)
            .map(|url| base_name(url).as_bytes())
            .collect();
        let has_name = |path: &Path| {
            path.file_name().is_some_and(|name| names.contains(&name.as_encoded_bytes()))
        };
        let mut fitting: Vec<&PathBuf> = files
            .iter()
            .filter(|(_, size)| wanted.size.is_none_or(|wanted| wanted == *size))
            .map(|(path, _)| path)
            .collect();
        let digests = self.digests.lock().expect("nothing panics while it looks");
        let seen = |path: &PathBuf| {
            digests.get(path).is_some_and(|(_, digest)| wanted.sha256 == Some(*digest))
        };
        fitting.sort_by_key(|path| (!seen(path), !has_name(path)));
        Ok(fitting.into_iter().cloned().collect())
    }

    /// The file at `path`, if its bytes have the digest.
    fn proven(
        &self,
        path: &Path,
        sha256: &Digest,
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
        let known = self.digests.lock().expect("nothing panics while it looks").get(path).copied();
        if known.is_some_and(|(then, digest)| then == identity && digest != *sha256) {
            return Ok(None);
        }
        let (found, size) = hash_whole(&file, monitor)?;
        self.digests
            .lock()
            .expect("nothing panics while it looks")
            .insert(path.to_owned(), (identity, found));
        let from = escaped(path.as_os_str().as_encoded_bytes());
        Ok((found == *sha256).then_some(Fetched { file, sha256: found, size, from }))
    }
}

impl Source for DirPool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let not_found = || FetchError::NotFound { from: self.shown_dir(), url: shown(&wanted.url) };
        let Some(sha256) = &wanted.sha256 else { return Err(not_found()) };
        for path in self.usual_places(sha256) {
            match self.proven(&path, sha256, monitor) {
                Err(Unproven::Io(error)) if is_absent(&error) => {}
                outcome => {
                    if let Some(fetched) = passed_over(&path, outcome, monitor)? {
                        return Ok(fetched);
                    }
                }
            }
        }
        for path in self.candidates(wanted, monitor)? {
            let outcome = self.proven(&path, sha256, monitor);
            if let Some(fetched) = passed_over(&path, outcome, monitor)? {
                return Ok(fetched);
            }
        }
        Err(not_found())
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        let usual = wanted
            .sha256
            .is_some_and(|sha256| self.usual_places(&sha256).iter().any(|path| path.is_file()));
        usual || self.candidates(wanted, monitor).is_ok_and(|paths| !paths.is_empty())
    }
}

/// A file that cannot be read is told, and the next one is looked at.
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

/// All files below a folder, sorted by path. What cannot be read is told and passed over.
fn walk(dir: &Path, monitor: &dyn Monitor) -> Result<Vec<(PathBuf, u64)>, Interrupted> {
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
                } else if let Ok(metadata) = fs_err::metadata(&path)
                    && metadata.is_file()
                {
                    files.push((path, metadata.len()));
                }
            }
            Ok(())
        };
        if let Err(error) = look() {
            let object = escaped(folder.as_os_str().as_encoded_bytes());
            let problem = format!("a folder of the pool cannot be read ({error})");
            monitor.problem(ProblemKind::Note, object, problem);
        }
    }
    files.sort();
    Ok(files)
}

/// Packages behind an HTTP address: `BASE/sha256/ab/cd/ef/REST`.
pub struct HttpPool {
    base: String,
    inner: Arc<dyn Source>,
}

impl HttpPool {
    /// The pool at `base`, fetched from through `inner`.
    pub fn new(base: &str, inner: Arc<dyn Source>) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), inner }
    }
}

impl Source for HttpPool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let not_found =
            || FetchError::NotFound { from: shown(&self.base), url: shown(&wanted.url) };
        let Some(sha256) = &wanted.sha256 else { return Err(not_found()) };
        let url = format!("{}/{}", self.base, canonical(sha256));
        match self.inner.fetch(&Wanted { url, also: Vec::new(), ..*wanted }, monitor) {
            Err(FetchError::NotFound { .. }) => Err(not_found()),
            other => other,
        }
    }
}
