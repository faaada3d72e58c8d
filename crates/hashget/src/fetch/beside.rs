//! Packages that lie beside the archive that needs them: earlier archives of its series, in the same folder or store.
//!
//! Invariant: only a plain file name leads there, and only bytes that match the wanted digest come back as proven.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use url::Url;

use super::failover::{combine, tell_mismatch};
use super::fetch_url::{refused, shown};
use super::file_digest::{Unproven, digest_of, hash_whole};
use super::{ByteRange, FetchError, Fetched, Reach, Source, Stated, Wanted, Web};
use crate::model::{Checksum, Digest, escaped};
use crate::monitor::{Interrupted, Monitor, Step, Total};
use crate::storage::SharedSource;

/// What begins the URL of a package that lies beside the archive.
const SCHEME: &str = "beside:";

/// The longest name of a file, in bytes.
const LONGEST_NAME: usize = 255;

/// The most bytes of a range.
const MOST_AT_ONCE: u64 = 1 << 20;

/// The URL of the package that lies under this name beside the archive that needs it.
pub fn url_beside(name: &str) -> String {
    format!("{SCHEME}{name}")
}

/// The name that such a URL has; `None` for every other URL, and for a name that could lead elsewhere: one that is hidden, or has a
/// slash, a backslash or a control character in it.
pub fn name_beside(url: &str) -> Option<&str> {
    let name = url.strip_prefix(SCHEME)?;
    let is_plain = !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.');
    let leads_elsewhere = |letter: char| letter.is_control() || matches!(letter, '/' | '\\');
    (is_plain && !name.contains(leads_elsewhere)).then_some(name)
}

/// Keeps archives by name, somewhere that only the program can open.
pub trait Shelf: Send + Sync {
    /// What it is called in messages.
    fn shown(&self) -> &str;

    /// Opens the file of this name. May block.
    ///
    /// # Errors
    /// It is not there (`NotFound`), or it cannot be opened.
    fn open<'s>(
        &'s self,
        name: &str,
        monitor: &'s dyn Monitor,
    ) -> io::Result<Box<dyn SharedSource + 's>>;
}

/// Where an archive lies, and what it needs lies beside it.
#[derive(Clone)]
pub enum Beside {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// At a URL: that of the archive itself.
    Url(String),
    /// Elsewhere.
    Shelf(Arc<dyn Shelf>),
}

impl Beside {
    fn shown(&self) -> String {
        match self {
            Self::Folder(folder) => escaped(folder.as_os_str().as_encoded_bytes()),
            Self::Url(url) => shown(url),
            Self::Shelf(shelf) => escaped(shelf.shown().as_bytes()),
        }
    }
}

/// The places of the archives that a command has opened. Clones share them.
#[derive(Clone, Default)]
pub struct BesidePlaces {
    places: Arc<Mutex<Vec<Beside>>>,
    only_folders: bool,
}

impl BesidePlaces {
    /// The same places, as far as they are folders of this machine.
    #[must_use]
    pub fn only_folders(&self) -> Self {
        Self { places: Arc::clone(&self.places), only_folders: true }
    }

    /// Adds a place, after those that are there. One that is there already stays where it is.
    pub fn add(&self, place: Beside) {
        let mut places = self.places.lock().expect("nothing panics while it holds this");
        if places.iter().all(|known| known.shown() != place.shown()) {
            places.push(place);
        }
    }

    fn all(&self) -> Vec<Beside> {
        let mut places = self.places.lock().expect("nothing panics while it holds this").clone();
        places.retain(|place| !self.only_folders || matches!(place, Beside::Folder(_)));
        places
    }
}

impl std::fmt::Debug for BesidePlaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all().iter().map(Beside::shown)).finish()
    }
}

/// Finds what lies beside an archive; everything else comes from the source or the web behind it.
pub(super) struct BesideFirst<S> {
    pub(super) places: BesidePlaces,
    pub(super) inner: S,
    /// The folder for copies without names; that of the system if absent.
    pub(super) copies: Option<PathBuf>,
}

impl<S> BesideFirst<S> {
    /// A file of a shelf, copied into one without a name.
    fn copied(
        &self,
        shelf: &dyn Shelf,
        name: &str,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<(File, Digest, u64), FetchError> {
        let failed = |error| unreadable(shelf.shown(), &wanted.url, &error);
        let mut source = shelf.open(name, monitor).map_err(failed)?;
        let disk = |error| FetchError::Disk { url: shown(&wanted.url), error };
        let folder = self.copies.as_deref().filter(|folder| folder.is_dir());
        let copy = folder.map_or_else(tempfile::tempfile, tempfile::tempfile_in);
        let mut copy = copy.map_err(disk)?;
        let total = source.size().or(wanted.size).map_or(Total::UNKNOWN, Total::bytes);
        let progress = monitor.begin(Step::Download, escaped(name.as_bytes()), total);
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 256 << 10]);
        loop {
            monitor.check_interrupted()?;
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            hasher.update(&buffer[..count]);
            copy.write_all(&buffer[..count]).map_err(disk)?;
            size += count as u64;
            progress.advance(count as u64, 0);
        }
        copy.rewind().map_err(disk)?;
        Ok((copy, digest_of(hasher), size))
    }
}

impl<S: Source> BesideFirst<S> {
    fn fetch_from(
        &self,
        place: &Beside,
        name: &str,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Fetched, FetchError> {
        let (file, sha256, size) = match place {
            Beside::Url(url) => {
                let there = Wanted {
                    url: joined(url, name)?,
                    name: Some(name.to_owned()),
                    reach: Reach::Anywhere,
                    ..wanted.clone()
                };
                return self.inner.fetch(&there, monitor);
            }
            Beside::Folder(folder) => {
                let (file, from) = (in_folder(folder, name, &wanted.url)?, place.shown());
                let (sha256, size) = hash_whole(&file, monitor).map_err(|error| match error {
                    Unproven::Io(error) => unreadable(&from, &wanted.url, &error),
                    Unproven::Interrupted(interrupted) => interrupted.into(),
                })?;
                (file, sha256, size)
            }
            Beside::Shelf(shelf) => self.copied(&**shelf, name, wanted, monitor)?,
        };
        let from = format!("{}/{name}", place.shown().trim_end_matches('/'));
        let (expected, found) = match (wanted.sha256, wanted.size) {
            (Some(expected), _) if expected != sha256 => {
                (format!("sha256:{expected}"), format!("sha256:{sha256}"))
            }
            (None, Some(expected)) if expected != size => {
                (format!("{expected} bytes"), format!("{size} bytes"))
            }
            _ => return Ok(Fetched { file, sha256, size, from }),
        };
        Err(FetchError::Mismatch { from, expected, found, file: Some(file) })
    }
}

impl<S: Source> Source for BesideFirst<S> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let urls = std::iter::once(&wanted.url).chain(&wanted.also);
        let names: Vec<&str> = urls.clone().filter_map(|url| name_beside(url)).collect();
        if names.is_empty() {
            return self.inner.fetch(wanted, monitor);
        }
        let mut errors = Vec::new();
        for (place, name) in
            self.places.all().iter().flat_map(|place| names.iter().map(move |name| (place, name)))
        {
            match self.fetch_from(place, name, wanted, monitor) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => {
                    tell_mismatch(&error, wanted, monitor);
                    errors.push(error);
                }
                fetched => return fetched,
            }
        }
        // A pool, or the cache, may have it; no server can be asked for a URL of this kind.
        let mut elsewhere: Vec<String> =
            urls.filter(|url| name_beside(url).is_none()).cloned().collect();
        let url = if elsewhere.is_empty() { wanted.url.clone() } else { elsewhere.remove(0) };
        let elsewhere = Wanted { url, also: elsewhere, ..wanted.clone() };
        match self.inner.fetch(&elsewhere, monitor) {
            Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) if error.is_refused() => {}
            Err(error) => errors.push(error),
            fetched => return fetched,
        }
        match errors.is_empty() {
            true => Err(nowhere(&wanted.url)),
            false => Err(combine(errors)),
        }
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        self.inner.at_hand_by_checksum(checksum, wanted, monitor)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        let is_in = |place: Beside| match (place, name_beside(&wanted.url)) {
            (Beside::Folder(folder), Some(name)) => {
                let found = fs_err::metadata(folder.join(name));
                found.is_ok_and(|found| found.is_file() && Some(found.len()) == wanted.size)
            }
            _ => false,
        };
        self.places.all().into_iter().any(is_in) || self.inner.is_at_hand(wanted, monitor)
    }
}

impl<W: Web> Web for BesideFirst<W> {
    fn fetch_range(
        &self,
        url: &str,
        reach: Reach,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        let Some(name) = name_beside(url) else {
            return self.inner.fetch_range(url, reach, first, count, monitor);
        };
        let mut errors = Vec::new();
        for place in self.places.all() {
            monitor.check_interrupted()?;
            let found = match &place {
                Beside::Folder(folder) => in_folder(folder, name, url)
                    .and_then(|file| range_of(&file, first, count, url, &place.shown())),
                Beside::Url(archive) => joined(archive, name)
                    .and_then(|url| self.inner.fetch_range(&url, reach, first, count, monitor)),
                Beside::Shelf(shelf) => shelf
                    .open(name, monitor)
                    .map_err(|error| unreadable(shelf.shown(), url, &error))
                    .and_then(|source| range_of(&*source, first, count, url, shelf.shown())),
            };
            match found {
                Err(error) => errors.push(error),
                found => return found,
            }
        }
        match errors.is_empty() {
            true => Err(nowhere(url)),
            false => Err(combine(errors)),
        }
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        self.inner.fetch_page(url, reach, accept, most, monitor)
    }
}

/// Bytes of what lies at a place.
fn range_of(
    source: &dyn SharedSource,
    first: u64,
    count: u64,
    url: &str,
    place: &str,
) -> Result<ByteRange, FetchError> {
    let Some(random) = source.random() else {
        return Err(FetchError::NoParts { url: shown(url) });
    };
    let most = source.size().map_or(MOST_AT_ONCE, |size| size.saturating_sub(first));
    let count = usize::try_from(count.min(most).min(MOST_AT_ONCE));
    let mut bytes = vec![0; count.expect("it is a small number")];
    let read = random.read_at(&mut bytes, first);
    let read = read.map_err(|error| unreadable(place, url, &error))?;
    bytes.truncate(read);
    Ok(ByteRange { bytes, total: source.size(), alone: true, stated: Stated::default() })
}

/// A regular file of a folder.
fn in_folder(folder: &Path, name: &str, url: &str) -> Result<File, FetchError> {
    let path = folder.join(name);
    let shown_folder = escaped(folder.as_os_str().as_encoded_bytes());
    let failed = |error: io::Error| unreadable(&shown_folder, url, &error);
    // Opening a pipe would wait for whoever writes to it.
    if !fs_err::metadata(&path).map_err(failed)?.is_file() {
        return Err(refused(url, &format!("what {shown_folder} has is no regular file")));
    }
    File::open(&path).map_err(failed)
}

/// The URL of what lies under `name` beside what is at `url`.
fn joined(url: &str, name: &str) -> Result<String, FetchError> {
    let mut beside = Url::parse(url).map_err(|error| refused(url, &error.to_string()))?;
    beside.set_query(None);
    beside.set_fragment(None);
    match beside.path_segments_mut() {
        Ok(mut segments) => segments.pop().push(name),
        Err(()) => return Err(refused(url, "nothing can lie beside it")),
    };
    Ok(beside.into())
}

/// Why something cannot be read where it should lie.
fn unreadable(place: &str, url: &str, error: &io::Error) -> FetchError {
    let url = shown(url);
    if error.kind() == io::ErrorKind::NotFound {
        return FetchError::NotFound { from: place.to_owned(), url };
    }
    let problem = format!("{place}: {}", crate::wording::one_line(error));
    FetchError::Unreachable { url, problem, answered: false, given_up: None }
}

/// The error for something beside an archive that lies at no known place.
fn nowhere(url: &str) -> FetchError {
    refused(
        url,
        "it lies beside the archive that needs it, and where that is, is not known: give the folder that has both with --pool",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_url_has_its_folder_and_its_host() {
        for (url, expected) in [
            ("https://a.example/b/c.tar.zst", "https://a.example/b/n.tar.zst"),
            ("https://a.example/c.tar.zst?key=1#x", "https://a.example/n.tar.zst"),
        ] {
            assert_eq!(joined(url, "n.tar.zst").unwrap(), expected);
        }
        assert_eq!(joined("https://a.example/b/c", "a?b").unwrap(), "https://a.example/b/a%3Fb");
    }
}
