//! A pool of packages in a bucket: each is an object whose key ends in `sha256/ab/cd/ef/REST`, the digits of its digest, as in the
//! folder of a pool. A bucket that everybody can read is therefore a pool at an HTTP address, too.
//!
//! Invariant: what is given has the digest that was asked for; an object gets its key when the store has compared all of its
//! bytes with their checksums.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashget::classify::class_of;
use hashget::error::ErrorClass;
use hashget::fetch::{
    FetchError, Fetched, ManagedPool, PoolError, Pooled, Source, Wanted, place_in_pool, shown,
};
use hashget::model::{Digest, HashingReader};
use hashget::monitor::{Interrupted, Monitor, Step, Total};
use hashget::wording::one_line;
use rusty_s3::Method;

use super::super::outgoing::Outgoing;
use super::super::ranged::Ranged;
use super::super::{Sending, StoreError};
use super::upload::Sender;
use super::wire::{Answer, Ask};
use super::{Object, S3Store, answer};

/// What keys of packages have in common, after the prefix of the pool.
const PACKAGES: &str = "sha256/";

/// The packages of a bucket, below a prefix.
pub struct S3Pool {
    store: S3Store,
}

impl S3Pool {
    /// The pool that lies where `store` keeps its files.
    pub fn new(store: S3Store) -> Self {
        Self { store }
    }

    fn key(&self, sha256: &Digest) -> String {
        format!("{}{}", self.store.prefix, place_in_pool(sha256))
    }

    /// What a package is called.
    fn place(&self, sha256: &Digest) -> String {
        format!("{}/{}", self.store.wire.shown, place_in_pool(sha256))
    }

    /// The digest of the package that has this key.
    fn of_key(&self, key: &str) -> Option<Digest> {
        let digits = key.strip_prefix(&self.store.prefix)?.strip_prefix(PACKAGES)?;
        let sha256 = digits.replace('/', "").parse::<Digest>().ok()?;
        (self.key(&sha256) == key).then_some(sha256)
    }

    fn failed(&self, error: StoreError) -> PoolError {
        let pool = self.store.wire.shown.clone();
        match error {
            StoreError::Interrupted(interrupted) => interrupted.into(),
            StoreError::Unreachable { problem, .. } => PoolError::Unreachable { pool, problem },
            StoreError::Local(error) => PoolError::Disk { pool, error },
            StoreError::Refused { problem, .. }
            | StoreError::Missing { problem, .. }
            | StoreError::Unsupported { problem, .. } => PoolError::Refused { pool, problem },
            error => PoolError::Refused { pool, problem: error.to_string() },
        }
    }

    fn not_fetched(&self, sha256: &Digest, error: StoreError) -> FetchError {
        let (url, given_up) = (self.place(sha256), None);
        match self.failed(error) {
            PoolError::Interrupted(interrupted) => interrupted.into(),
            PoolError::Disk { error, .. } => FetchError::Disk { url, error },
            PoolError::Unreachable { problem, .. } => {
                FetchError::Unreachable { url, problem, answered: false, given_up }
            }
            error => {
                let problem = error.to_string();
                FetchError::Unreachable { url, problem, answered: true, given_up }
            }
        }
    }

    /// Copies an object into a file without a name.
    fn copied(
        &self,
        (key, head, bytes): (String, &Answer, u64),
        name: String,
        monitor: &dyn Monitor,
    ) -> Result<(File, Digest), StoreError> {
        let etag = head.header("etag").map(str::to_owned);
        let object = Object { wire: &self.store.wire, key, etag, monitor };
        let progress = monitor.begin(Step::Download, name, Total::bytes(bytes));
        let mut content = HashingReader::new(Ranged::new(object, bytes));
        let mut copy = tempfile::tempfile()?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            monitor.check_interrupted()?;
            match io::Read::read(&mut content, &mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    copy.write_all(&buffer[..count])?;
                    progress.advance(count as u64, 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(of_reading(&error, &self.store.wire.shown)),
            }
        }
        copy.rewind()?;
        Ok((copy, content.finish().0))
    }

    fn delete(&self, key: &str, monitor: &dyn Monitor) -> Result<(), StoreError> {
        let answer = self.store.wire.ask(&Ask::new(Method::Delete, Some(key)), monitor, &|_| {})?;
        let is_gone = answer.status == 404 && answer.refusal.code != "NoSuchBucket";
        if answer.is_good() || is_gone { Ok(()) } else { Err(self.store.wire.refused(&answer)) }
    }

    /// A page of the packages, after the one that ended with `token`.
    fn page(
        &self,
        token: Option<&String>,
        monitor: &dyn Monitor,
    ) -> Result<answer::Page, StoreError> {
        let mut ask = Ask::new(Method::Get, None);
        let prefix = format!("{}{PACKAGES}", self.store.prefix);
        let own = [("list-type", "2"), ("encoding-type", "url"), ("prefix", &prefix)];
        ask.query.extend(own.map(|(name, value)| (name, value.to_owned())));
        ask.query.extend(token.map(|token| ("continuation-token", token.clone())));
        let answer = self.store.wire.ask(&ask, monitor, &|_| {})?;
        if !answer.is_good() {
            return Err(self.store.wire.refused(&answer));
        }
        answer::page(&answer.body).map_err(|problem| self.store.wire.nonsense(problem))
    }

    /// Sends a file of this digest; what has its key, and may be damaged, goes first.
    fn send(
        &self,
        file: &File,
        (sha256, bytes): (Digest, u64),
        monitor: &dyn Monitor,
    ) -> Result<(), StoreError> {
        let (key, name, digits) = (self.key(&sha256), self.place(&sha256), sha256.to_string());
        if let Some(head) = self.store.head(&key, monitor)? {
            let told = head.header("x-amz-checksum-sha256");
            let own = STANDARD.encode(hex::decode(&digits).unwrap_or_default());
            if size_of(&head) == Some(bytes) && told == Some(own.as_str()) {
                return Ok(());
            }
            self.delete(&key, monitor)?;
        }
        let (lock_until, bytes_per_second) = (None, None);
        let sending = Sending { file, bytes, sha256: &digits, lock_until, bytes_per_second };
        let outgoing = Outgoing::new(&name, &sending, monitor);
        match Sender::new(&self.store, &name, key, &sending, &outgoing, monitor)?.send() {
            // Somebody else adds the same package.
            Err(StoreError::Taken { .. }) => Ok(()),
            sent => sent.map(|_| ()),
        }
    }
}

/// The error behind one of reading an object.
fn of_reading(error: &io::Error, store: &str) -> StoreError {
    match class_of(error) {
        Some(ErrorClass::Interrupted) => Interrupted.into(),
        _ => StoreError::Unreachable { store: store.to_owned(), problem: one_line(error) },
    }
}

fn size_of(head: &Answer) -> Option<u64> {
    head.header("content-length")?.parse().ok()
}

impl Source for S3Pool {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let from = self.store.wire.shown.clone();
        let not_found = || FetchError::NotFound { from, url: shown(&wanted.url) };
        let Some(sha256) = wanted.sha256 else { return Err(not_found()) };
        let (key, place) = (self.key(&sha256), self.place(&sha256));
        let wrong = |error| self.not_fetched(&sha256, error);
        let Some(head) = self.store.head(&key, monitor).map_err(wrong)? else {
            return Err(not_found());
        };
        let told = size_of(&head);
        let expected = sha256.to_string();
        let size = match (told, wanted.size) {
            (Some(told), Some(size)) if told != size => {
                let (found, file) = (format!("{told} bytes"), None);
                let expected = format!("{expected} ({size} bytes)");
                return Err(FetchError::Mismatch { from: place, expected, found, file });
            }
            (Some(told), _) => told,
            (None, _) => {
                let problem = "it tells no size of an object".to_owned();
                return Err(wrong(self.store.wire.nonsense(problem)));
            }
        };
        let name = wanted.name.clone().unwrap_or_else(|| place.clone());
        let copied = self.copied((key, &head, size), name, monitor);
        let (file, found) = copied.map_err(wrong)?;
        if found != sha256 {
            let found = format!("{found} ({size} bytes)");
            return Err(FetchError::Mismatch { from: place, expected, found, file: Some(file) });
        }
        Ok(Fetched { file, sha256, size, from: place })
    }
}

impl ManagedPool for S3Pool {
    fn shown(&self) -> &str {
        &self.store.wire.shown
    }

    fn has(
        &self,
        sha256: &Digest,
        size: Option<u64>,
        monitor: &dyn Monitor,
    ) -> Result<bool, PoolError> {
        let head = self.store.head(&self.key(sha256), monitor);
        let head = head.map_err(|error| self.failed(error))?;
        Ok(head.is_some_and(|head| size.is_none_or(|size| size_of(&head) == Some(size))))
    }

    fn add(
        &self,
        mut file: &File,
        expected: Option<Digest>,
        monitor: &dyn Monitor,
    ) -> Result<Pooled, PoolError> {
        let wrong = |error: io::Error| self.failed(error.into());
        file.rewind().map_err(wrong)?;
        let mut content = HashingReader::new(file);
        io::copy(&mut content, &mut io::sink()).map_err(wrong)?;
        let (sha256, size) = content.finish();
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Err(PoolError::Different { expected, found: sha256 });
        }
        self.send(file, (sha256, size), monitor).map_err(|error| self.failed(error))?;
        Ok(Pooled { sha256, size, place: self.place(&sha256) })
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Pooled>, PoolError> {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let page = self.page(token.as_ref(), monitor).map_err(|error| self.failed(error))?;
            for (key, size) in page.objects {
                if let Some(sha256) = self.of_key(&key) {
                    found.push(Pooled { sha256, size, place: self.place(&sha256) });
                }
            }
            if page.next.is_some() && page.next == token {
                let problem = "its list of objects does not end".to_owned();
                return Err(self.failed(self.store.wire.nonsense(problem)));
            }
            token = page.next;
            if token.is_none() {
                found.sort_unstable();
                return Ok(found);
            }
        }
    }

    fn remove(&self, sha256: &Digest, monitor: &dyn Monitor) -> Result<bool, PoolError> {
        let wrong = |error| self.failed(error);
        let key = self.key(sha256);
        if self.store.head(&key, monitor).map_err(wrong)?.is_none() {
            return Ok(false);
        }
        self.delete(&key, monitor).map_err(wrong)?;
        Ok(true)
    }
}
