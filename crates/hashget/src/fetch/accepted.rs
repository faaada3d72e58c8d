//! Files that a person found and offers: packages, and files of packages, under any names.
//!
//! Invariant: a file is taken only if it has the digest that was asked for; it is read and nothing else. Below a folder, no link is followed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::file_digest::{Unproven, hash_whole};
use super::pool::walk;
use super::{FetchError, Fetched, FileSource, Source, Wanted, shown};
use crate::model::{Digest, HashingReader, escaped};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// The files, and which of them were taken.
#[derive(Debug)]
pub struct Accepted {
    /// What was named, and the number of files there.
    places: Vec<(PathBuf, u64)>,
    /// Every file, by its size.
    files: BTreeMap<u64, Vec<Offered>>,
}

/// A file.
#[derive(Debug)]
struct Offered {
    path: PathBuf,
    /// The index of the place where it is.
    place: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The digest, once it was needed.
    sha256: Option<Digest>,
    is_unreadable: bool,
    was_file: bool,
    was_package: bool,
}

/// What was taken of the files that were offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Number of files that were taken as files of packages.
    pub files: u64,
    /// Number of files that were taken as packages.
    pub packages: u64,
    /// The places of which not all files were taken.
    pub left: Vec<LeftOver>,
}

/// The files of one place that nothing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// The file or folder that was named.
    pub place: PathBuf,
    /// Number of files there.
    pub all: u64,
    /// Those that were not taken, sorted.
    pub files: Vec<PathBuf>,
}

impl Accepted {
    /// Looks for files: those that `paths` name, and all below the folders that they name.
    ///
    /// # Errors
    /// A path is neither a file nor a folder, or is not there; with the path. What lies in a folder and cannot be read is reported.
    pub fn new(paths: &[PathBuf], monitor: &dyn Monitor) -> Result<Self, (PathBuf, io::Error)> {
        let (mut places, mut files) = (Vec::new(), BTreeMap::<u64, Vec<Offered>>::new());
        for (place, path) in paths.iter().enumerate() {
            let found = find(path, monitor).map_err(|error| (path.clone(), error))?;
            places.push((path.clone(), u64::try_from(found.len()).unwrap_or(u64::MAX)));
            for (path, size) in found {
                let offered = Offered { path, place, state: Mutex::default() };
                files.entry(size).or_default().push(offered);
            }
        }
        Ok(Self { places, files })
    }

    /// What was taken so far.
    pub fn taken(&self) -> Taken {
        let mut taken = Taken::default();
        let mut left: BTreeMap<usize, Vec<PathBuf>> = BTreeMap::new();
        for offered in self.files.values().flatten() {
            let State { was_file, was_package, .. } = *offered.state();
            taken.files += u64::from(was_file);
            taken.packages += u64::from(was_package);
            if !was_file && !was_package {
                left.entry(offered.place).or_default().push(offered.path.clone());
            }
        }
        for (place, (path, all)) in self.places.iter().enumerate() {
            let mut files = left.remove(&place).unwrap_or_default();
            files.sort_unstable();
            if !files.is_empty() || *all == 0 {
                taken.left.push(LeftOver { place: path.clone(), all: *all, files });
            }
        }
        taken
    }

    /// Files that may be `wanted`, each with its size.
    fn candidates(&self, wanted: &Wanted) -> impl Iterator<Item = (u64, &Offered)> {
        let size = wanted.size;
        let all =
            self.files.iter().filter(move |(found, _)| size.is_none_or(|size| size == **found));
        all.flat_map(|(size, files)| files.iter().map(|file| (*size, file)))
    }
}

/// The regular files at and below a path that was named, with their sizes.
fn find(path: &Path, monitor: &dyn Monitor) -> io::Result<Vec<(PathBuf, u64)>> {
    let metadata = fs_err::metadata(path)?;
    if metadata.is_file() {
        return Ok(vec![(path.to_owned(), metadata.len())]);
    }
    if !metadata.is_dir() {
        return Err(io::Error::other("it is neither a file nor a folder"));
    }
    walk(path, false, monitor).map_err(io::Error::other)
}

impl Offered {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Opens the file, if it has this digest and size. One that cannot be read is named once.
    fn open(
        &self,
        wanted: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        let mut state = self.state();
        if state.is_unreadable || state.sha256.is_some_and(|known| known != wanted) {
            return Ok(None);
        }
        let opened = File::open(&self.path).map_err(Unproven::Io).and_then(|file| {
            let sha256 = match state.sha256 {
                Some(sha256) => sha256,
                None => hash_whole(&file, monitor)?.0,
            };
            Ok((file, sha256))
        });
        match opened {
            Ok((file, sha256)) => {
                state.sha256 = Some(sha256);
                let has_size = file.metadata().is_ok_and(|found| found.len() == size);
                Ok(Some(file).filter(|_| sha256 == wanted && has_size))
            }
            Err(Unproven::Interrupted(interrupted)) => Err(interrupted),
            Err(Unproven::Io(error)) => {
                state.is_unreadable = true;
                let problem =
                    format!("it cannot be read ({error}), and may be one that is missing");
                monitor.problem(ProblemKind::Note, shown_path(&self.path), problem);
                Ok(None)
            }
        }
    }
}

fn shown_path(path: &Path) -> String {
    escaped(path.as_os_str().as_encoded_bytes())
}

/// Why a file could not be copied.
enum NotCopied {
    Read(io::Error),
    Write(io::Error),
    Interrupted(Interrupted),
}

/// A copy without a name, at its start, with the digest and size of what was written.
fn copied(file: File, monitor: &dyn Monitor) -> Result<(File, Digest, u64), NotCopied> {
    let mut copy = tempfile::tempfile().map_err(NotCopied::Write)?;
    let mut file = HashingReader::new(file);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        monitor.check_interrupted().map_err(NotCopied::Interrupted)?;
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => copy.write_all(&buffer[..count]).map_err(NotCopied::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(NotCopied::Read(error)),
        }
    }
    copy.rewind().map_err(NotCopied::Write)?;
    let (sha256, size) = file.finish();
    Ok((copy, sha256, size))
}

impl FileSource for Accepted {
    fn file(
        &self,
        sha256: Digest,
        size: u64,
        monitor: &dyn Monitor,
    ) -> Result<Option<File>, Interrupted> {
        for offered in self.files.get(&size).into_iter().flatten() {
            if let Some(file) = offered.open(sha256, size, monitor)? {
                offered.state().was_file = true;
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

impl Source for Accepted {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        monitor.check_interrupted()?;
        let url = shown(&wanted.url);
        if let Some(expected) = wanted.sha256 {
            for (size, offered) in self.candidates(wanted) {
                let Some(file) = offered.open(expected, size, monitor)? else { continue };
                let from = shown_path(&offered.path);
                match copied(file, monitor) {
                    Ok((file, sha256, size)) if sha256 == expected => {
                        offered.state().was_package = true;
                        return Ok(Fetched { file, sha256, size, from });
                    }
                    Ok(_) => {
                        let problem = "it was changed while it was read, and is not used";
                        monitor.problem(ProblemKind::Note, from, problem);
                    }
                    Err(NotCopied::Read(error)) => {
                        let problem = format!("it cannot be read to its end ({error})");
                        monitor.problem(ProblemKind::Note, from, problem);
                    }
                    Err(NotCopied::Write(error)) => return Err(FetchError::Disk { url, error }),
                    Err(NotCopied::Interrupted(interrupted)) => return Err(interrupted.into()),
                }
            }
        }
        Err(FetchError::NotFound { from: "what was offered".to_owned(), url })
    }

    fn is_at_hand(&self, wanted: &Wanted, _monitor: &dyn Monitor) -> bool {
        wanted.size.is_some() && self.candidates(wanted).next().is_some()
    }
}
