//! A bucket of S3, or of a store that speaks it.
//!
//! Invariant: an object gets its name when the store has compared all of its bytes with their checksums; a name that is taken
//! is never written to, where the store knows conditions.

mod answer;
mod credentials;
mod examine;
mod parts;
mod pool;
mod upload;
mod wire;

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hashget::fetch::{OriginOptions, TimeOuts, agent_for};
use hashget::monitor::Monitor;
use hashget::storage::SharedSource;
use rusty_s3::{Bucket, Method, UrlStyle};

use self::upload::Sender;
use self::wire::{Answer, Ask, Wire};
use super::name::{check_name, is_listed};
use super::outgoing::Outgoing;
use super::ranged::{Ranged, Ranges};
use super::{Compared, Patience, Sending, Store, StoreError, Stored};

pub use self::credentials::CredentialsFrom;
pub use self::pool::S3Pool;

/// What broke off so many seconds ago is not being sent any more.
const ABANDONED: i64 = 24 * 60 * 60;

/// How a bucket is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// The URL of the store; Amazon's for the region if absent.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// Is the bucket's name in the path of URLs, rather than in the host's name? If absent: with an endpoint of its own, or if
    /// the name has a dot.
    pub path_style: Option<bool>,
    /// Are locks for good (`COMPLIANCE`), rather than such that a special right removes them (`GOVERNANCE`)?
    pub locks_are_final: bool,
    /// The largest file in bytes that is sent by one request.
    pub largest_put: u64,
    /// The least size of a part in bytes.
    pub part_bytes: u64,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            path_style: None,
            locks_are_final: true,
            largest_put: 64 << 20,
            part_bytes: 16 << 20,
        }
    }
}

/// Keeps files as objects whose keys begin with a prefix.
pub struct S3Store {
    wire: Wire,
    prefix: String,
    options: S3Options,
}

impl S3Store {
    /// The store in the bucket `name`, below `prefix`, which is empty or ends with `/`.
    ///
    /// # Errors
    /// The endpoint is no URL of http or https.
    pub fn new(
        shown: &str,
        (name, prefix): (&str, &str),
        options: S3Options,
        from: CredentialsFrom,
        (network, patience): (&OriginOptions, Patience),
    ) -> Result<Self, StoreError> {
        let wrong = |problem: String| StoreError::Unsupported {
            store: shown.to_owned(),
            problem: format!("its endpoint cannot be used: {problem}"),
        };
        let of_amazon = || format!("https://s3.{}.amazonaws.com", options.region);
        let endpoint = options.endpoint.clone().unwrap_or_else(of_amazon);
        let long = Duration::from_secs(300);
        // A store may take its time to put an object together.
        let time_outs = TimeOuts { answer: long, send: long, ..network.time_outs };
        let network = OriginOptions { time_outs, ..network.clone() };
        let agent = agent_for(&endpoint, &network).map_err(|error| wrong(error.to_string()))?;
        let url = endpoint.parse().map_err(|error: url::ParseError| wrong(error.to_string()))?;
        let in_path =
            options.path_style.unwrap_or(options.endpoint.is_some() || name.contains('.'));
        let style = if in_path { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = Bucket::new(url, style, name.to_owned(), options.region.clone());
        let bucket = bucket.map_err(|error| wrong(error.to_string()))?;
        let shown = shown.to_owned();
        let wire = Wire { shown, agent, bucket, from, credentials: Mutex::new(None), patience };
        Ok(Self { wire, prefix: prefix.to_owned(), options })
    }

    fn key(&self, name: &str) -> Result<String, StoreError> {
        check_name(name)?;
        Ok(format!("{}{name}", self.prefix))
    }

    /// The head of an object; `None` if there is no such object.
    fn head(&self, key: &str, monitor: &dyn Monitor) -> Result<Option<Answer>, StoreError> {
        let mut ask = Ask::new(Method::Head, Some(key));
        ask.headers.push(("x-amz-checksum-mode", "ENABLED".to_owned()));
        let answer = self.wire.ask(&ask, monitor, &|_| {})?;
        match answer.status {
            404 => {
                // Without a body, nothing says whether it is the bucket that is missing.
                self.page(&[("max-keys", "1".to_owned())], monitor)?;
                Ok(None)
            }
            _ if answer.is_good() => Ok(Some(answer)),
            _ => Err(self.wire.refused(&answer)),
        }
    }

    fn page(
        &self,
        query: &[(&'static str, String)],
        monitor: &dyn Monitor,
    ) -> Result<answer::Page, StoreError> {
        let mut ask = Ask::new(Method::Get, None);
        let own = [
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("delimiter", "/"),
            ("prefix", &self.prefix),
        ];
        ask.query.extend(own.map(|(name, value)| (name, value.to_owned())));
        ask.query.extend_from_slice(query);
        let answer = self.wire.ask(&ask, monitor, &|_| {})?;
        if !answer.is_good() {
            return Err(self.wire.refused(&answer));
        }
        answer::page(&answer.body).map_err(|problem| self.wire.nonsense(problem))
    }

    /// The uploads that are not complete, of keys that begin with `prefix`.
    fn uploads(
        &self,
        prefix: &str,
        monitor: &dyn Monitor,
    ) -> Result<Vec<answer::Upload>, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let mut ask = Ask::new(Method::Get, None);
            ask.query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
            if let Some((key, id)) = &after {
                ask.query.push(("key-marker", key.clone()));
                ask.query.push(("upload-id-marker", id.clone()));
            }
            let answer = self.wire.ask(&ask, monitor, &|_| {})?;
            if !answer.is_good() {
                return Err(self.wire.refused(&answer));
            }
            let (uploads, next) =
                answer::uploads(&answer.body).map_err(|problem| self.wire.nonsense(problem))?;
            found.extend(uploads);
            if next.is_none() || next == after {
                return Ok(found);
            }
            after = next;
        }
    }

    /// Gives an upload up.
    fn abort(&self, key: &str, id: &str, monitor: &dyn Monitor) -> Result<(), StoreError> {
        let mut ask = Ask::new(Method::Delete, Some(key));
        ask.query.push(("uploadId", id.to_owned()));
        let answer = self.wire.ask(&ask, monitor, &|_| {})?;
        // One that was given up in an earlier try is gone.
        if answer.is_good() || answer.status == 404 {
            Ok(())
        } else {
            Err(self.wire.refused(&answer))
        }
    }
}

/// The time until which an object is locked, if that is in the future.
fn locked_until(head: &Answer) -> Option<jiff::Timestamp> {
    let until = head.header("x-amz-object-lock-retain-until-date")?;
    let until: jiff::Timestamp = until.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    (until.as_second() > i64::try_from(now).ok()?).then_some(until)
}

impl Store for S3Store {
    fn shown(&self) -> &str {
        &self.wire.shown
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let query: Vec<_> =
                token.iter().map(|token| ("continuation-token", token.clone())).collect();
            let page = self.page(&query, monitor)?;
            for (key, bytes) in page.objects {
                let name = key.strip_prefix(&self.prefix).filter(|name| is_listed(name));
                if let Some(name) = name.map(str::to_owned) {
                    found.push(Stored::of_size(name, bytes));
                }
            }
            if page.next.is_some() && page.next == token {
                return Err(self.wire.nonsense("its list of objects does not end".to_owned()));
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn examine(&self, files: &mut [Stored], monitor: &dyn Monitor) -> Result<(), StoreError> {
        examine::examine(self, files, monitor)
    }

    fn open<'a>(
        &'a self,
        name: &str,
        monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError> {
        let key = self.key(name)?;
        let not_there = || StoreError::not_there(&self.wire.shown, name);
        let head = self.head(&key, monitor)?.ok_or_else(not_there)?;
        let size = head.header("content-length").and_then(|length| length.parse().ok());
        let size =
            size.ok_or_else(|| self.wire.nonsense("it tells no size of an object".to_owned()))?;
        let etag = head.header("etag").map(str::to_owned);
        Ok(Box::new(Ranged::new(Object { wire: &self.wire, key, etag, monitor }, size)))
    }

    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        let key = self.key(name)?;
        let outgoing = Outgoing::new(name, sending, monitor);
        Sender::new(self, name, key, sending, &outgoing, monitor)?.send()
    }

    fn remove(&self, name: &str, monitor: &dyn Monitor) -> Result<(), StoreError> {
        let key = self.key(name)?;
        // In a bucket with versions, a locked object could be hidden, but not removed.
        if let Ok(Some(head)) = self.head(&key, monitor)
            && let Some(until) = locked_until(&head)
        {
            let (store, name) = (self.wire.shown.clone(), name.to_owned());
            return Err(StoreError::Locked { store, name, until: until.to_string() });
        }
        let answer = self.wire.ask(&Ask::new(Method::Delete, Some(&key)), monitor, &|_| {})?;
        let is_gone = answer.status == 404 && answer.refusal.code != "NoSuchBucket";
        if answer.is_good() || is_gone { Ok(()) } else { Err(self.wire.refused(&answer)) }
    }

    fn clean(&self, monitor: &dyn Monitor) -> Result<Vec<String>, StoreError> {
        let mut removed = Vec::new();
        let now = jiff::Timestamp::now().as_second();
        let uploads = self.uploads(&self.prefix, monitor)?;
        let stored = if uploads.is_empty() { Vec::new() } else { self.list(monitor)? };
        for upload in uploads {
            let name = upload.key.strip_prefix(&self.prefix).filter(|name| is_listed(name));
            let is_old = upload.began.is_some_and(|began| now - began > ABANDONED);
            let has_come = |name: &&str| stored.iter().any(|stored| stored.name == *name);
            if let Some(name) = name.filter(|name| is_old || has_come(name)) {
                self.abort(&upload.key, &upload.id, monitor)?;
                removed.push(name.to_owned());
            }
        }
        removed.sort_unstable();
        Ok(removed)
    }
}

/// An object that is read.
struct Object<'a> {
    wire: &'a Wire,
    key: String,
    etag: Option<String>,
    monitor: &'a dyn Monitor,
}

impl Ranges for Object<'_> {
    fn range(&self, first: u64, count: u64) -> std::io::Result<Vec<u8>> {
        let mut ask = Ask::new(Method::Get, Some(&self.key));
        ask.headers.push(("range", format!("bytes={first}-{}", first + (count - 1))));
        ask.headers.extend(self.etag.iter().map(|etag| ("if-match", etag.clone())));
        ask.most = count;
        let answer = self.wire.ask(&ask, self.monitor, &|_| {})?;
        match answer.status {
            206 => Ok(answer.body),
            200 if first == 0 => Ok(answer.body),
            200 => Err(std::io::Error::other("the store cannot send parts of an object")),
            404 | 412 => Err(std::io::Error::other("the store has another file there than before")),
            _ => Err(self.wire.refused(&answer).into()),
        }
    }
}
