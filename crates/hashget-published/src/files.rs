//! Where a published folder is read from: a folder of this machine, or a web server. The program adds buckets.
//!
//! Invariant: nothing that is read here is proven. What was asked is counted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashget::fetch::{Reach, Web};
use hashget::monitor::Monitor;

use crate::error::PublishedError;

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of requests.
    pub requests: u64,
    /// Number of bytes that came back.
    pub bytes: u64,
}

/// The files of a published folder. Every implementation passes the same conformance suite.
pub trait Files: Send + Sync {
    /// A whole file of at most `most` bytes.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is longer.
    fn whole(
        &self,
        name: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError>;

    /// `count` bytes of a file from position `first` on.
    ///
    /// # Errors
    /// It is not there, cannot be read, or ends before.
    fn part(
        &self,
        name: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError>;

    /// What a person calls the folder: its path or URL.
    fn location(&self) -> &str;

    /// What was asked of it so far.
    fn traffic(&self) -> Traffic;
}

/// Counts what is asked.
#[derive(Debug, Default)]
pub struct Counter {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counter {
    /// So many bytes came back, for so many requests.
    pub fn count(&self, requests: u64, bytes: usize) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was asked so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// The error about a file that is longer than it may be.
pub fn too_long(name: &str, most: u64) -> PublishedError {
    PublishedError::damaged(name, format!("it is longer than {most} bytes"))
}

/// Are these bytes within a file of `size` bytes?
///
/// # Errors
/// They are not.
pub fn check_part(name: &str, first: u64, count: u64, size: u64) -> Result<(), PublishedError> {
    if first.checked_add(count).is_some_and(|end| end <= size) {
        return Ok(());
    }
    let problem = format!("it has {size} bytes, and {count} are needed from {first} on");
    Err(PublishedError::damaged(name, problem))
}

/// A published folder on this machine.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    location: String,
    counter: Counter,
}

impl Folder {
    /// The one at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let location = path.display().to_string();
        Self { path, location, counter: Counter::default() }
    }

    fn open(&self, name: &str) -> Result<(File, u64), PublishedError> {
        let file = fs_err::File::open(self.path.join(name))?.into_file();
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

impl Files for Folder {
    fn whole(
        &self,
        name: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let (_, size) = self.open(name)?;
        if size > most {
            return Err(too_long(name, most));
        }
        self.part(name, 0, size, monitor)
    }

    fn part(
        &self,
        name: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        monitor.check_interrupted()?;
        let (file, size) = self.open(name)?;
        check_part(name, first, count, size)?;
        let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, first)?;
        self.counter.count(1, bytes.len());
        Ok(bytes)
    }

    fn location(&self) -> &str {
        &self.location
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }
}

/// A published folder on a web server.
pub struct OnWeb {
    /// Ends with `/`.
    url: String,
    web: Arc<dyn Web>,
    counter: Counter,
}

impl OnWeb {
    /// The one at this URL.
    pub fn new(url: &str, web: Arc<dyn Web>) -> Self {
        let url = format!("{}/", url.trim_end_matches('/'));
        Self { url, web, counter: Counter::default() }
    }
}

impl Files for OnWeb {
    fn whole(
        &self,
        name: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let url = format!("{}{name}", self.url);
        let page = self.web.fetch_page(&url, Reach::Configured, "*/*", most + 1, monitor)?;
        self.counter.count(1, page.len());
        match u64::try_from(page.len()) {
            Ok(length) if length <= most => Ok(page),
            _ => Err(too_long(name, most)),
        }
    }

    fn part(
        &self,
        name: &str,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PublishedError> {
        let url = format!("{}{name}", self.url);
        let range = self.web.fetch_range(&url, Reach::Configured, first, count, monitor)?;
        self.counter.count(1, range.bytes.len());
        if range.bytes.len() as u64 != count {
            let found = range.bytes.len();
            let problem = format!("{count} bytes are needed from {first} on, and {found} came");
            return Err(PublishedError::damaged(name, problem));
        }
        Ok(range.bytes)
    }

    fn location(&self) -> &str {
        &self.url
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }
}
