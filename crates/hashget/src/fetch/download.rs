//! Downloading one URL: requests, redirects, resuming, and the proof at the end.
//!
//! Invariant: every byte that is counted was written to the unfinished download and hashed; every redirect
//! is checked before it is followed.

use std::collections::BTreeSet;
use std::fs::File;
use std::time::{Duration, SystemTime};

use super::fetch_url::{FetchUrl, refused};
use super::file_digest::{Unproven, digest_of, hash_start};
use super::http::{Client, Exchange, Head, Pace, Trouble};
use super::origin::OriginOptions;
use super::unfinished::{Note, Unfinished};
use super::{FetchError, Reach, Wanted};
use crate::model::{Digest, escaped};
use crate::monitor::{Monitor, Running, Step, Total};

/// Redirects followed for one download.
const REDIRECTS: usize = 10;

/// The result of one request.
pub(super) enum Outcome {
    /// All bytes have arrived, and match the digest, if one was asked for.
    Whole { sha256: Digest, size: u64 },
    /// The bytes of an earlier attempt are not part of what the server has now.
    BeginAgain,
}

/// A failed attempt, and whether it began with bytes of an earlier one.
pub(super) struct Failure {
    pub(super) error: FetchError,
    pub(super) resumed: bool,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self { error, resumed: false }
    }
}

/// A download: its URL, the package that is wanted, and the bytes that have arrived.
pub(super) struct Download<'a> {
    pub(super) client: &'a Client,
    pub(super) options: &'a OriginOptions,
    pub(super) target: FetchUrl,
    pub(super) wanted: &'a Wanted,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) part: Unfinished,
}

impl Download<'_> {
    /// Makes one request, for all bytes that are missing.
    pub(super) fn attempt(&mut self) -> Result<Outcome, Failure> {
        let offset = self.resumable().map_err(|error| of_disk(&self.target, error))?;
        let total = self.part.note().and_then(|note| note.total).or(self.wanted.size);
        // All bytes have arrived, and the digest can prove them.
        if offset > 0 && total == Some(offset) && self.wanted.sha256.is_some() {
            return self.body(None, offset, offset);
        }
        let mut headers = Vec::new();
        if offset > 0 {
            headers.push(("range", format!("bytes={offset}-")));
            if let Some(validator) = self.part.note().and_then(Note::validator) {
                headers.push(("if-range", validator.to_owned()));
            }
        }
        let exchange = self.answered(headers)?;
        let head = &exchange.head;
        let size = self.wanted.size;
        match head.status {
            200 => {
                self.check_encoding(head)?;
                let total = head.length;
                let note = self.note_of(head, total);
                self.check_announced(total)?;
                self.part.begin(note).map_err(|error| of_disk(&self.target, error))?;
                self.body(Some(&exchange), 0, total.or(size).unwrap_or(0))
            }
            206 if offset > 0 => {
                let Some(total) = self.fitting_part(head, offset) else {
                    return Ok(Outcome::BeginAgain);
                };
                self.body(Some(&exchange), offset, total)
            }
            416 if offset > 0 => {
                let range = head.header("content-range").unwrap_or_default();
                if range == format!("bytes */{offset}") {
                    return self.body(None, offset, offset);
                }
                Ok(Outcome::BeginAgain)
            }
            _ => Err(self.status_error(head).into()),
        }
    }

    /// The number of bytes of an earlier attempt that can be reused.
    fn resumable(&self) -> std::io::Result<u64> {
        let Some(note) = self.part.note() else { return Ok(0) };
        let provable = self.wanted.sha256.is_some() || note.validator().is_some();
        let length = self.part.length()?;
        let too_long = note.total.or(self.wanted.size).is_some_and(|total| length > total);
        Ok(if provable && !too_long { length } else { 0 })
    }

    /// Sends the request and follows redirects, after checking each.
    pub(super) fn answered(
        &self,
        mut headers: Vec<(&'static str, String)>,
    ) -> Result<Exchange, FetchError> {
        headers.push(("accept-encoding", "identity".to_owned()));
        let mut target = self.target.clone();
        let (mut visited, mut redirects) = (BTreeSet::new(), Vec::new());
        loop {
            let public_only = self.is_public_only(&target, visited.is_empty());
            if public_only && target.is_private_by_name() {
                let problem = if visited.is_empty() {
                    "it is in a private network, and only a file of the tree names it"
                } else {
                    "a public server redirects to a private network"
                };
                return Err(refused(target.as_str(), problem));
            }
            let permit = self.options.politeness.enter(&target.host(), self.monitor)?;
            let mut exchange = self
                .client
                .get(
                    &target,
                    headers.clone(),
                    (self.wanted.reach, public_only),
                    permit,
                    self.monitor,
                )
                .map_err(|trouble| match trouble {
                    Trouble::Refused(problem) => refused(target.as_str(), &problem),
                    trouble => self.trouble(trouble, false),
                })?;
            let Some(location) = redirect(&exchange.head) else {
                exchange.redirects = redirects;
                return Ok(exchange);
            };
            visited.insert(target.as_str().to_owned());
            let next = target.join(location)?;
            self.check_redirect(&target, &next, &visited)?;
            redirects.push(exchange.head);
            target = next;
        }
    }

    /// May a request to `target` only go to public addresses? A redirect of a public server may not lead elsewhere.
    fn is_public_only(&self, target: &FetchUrl, is_first: bool) -> bool {
        let by_name = self.wanted.reach == Reach::PublicOnly;
        (by_name || (!is_first && !self.target.is_private()))
            && !target.is_of(&self.options.public_hosts)
    }

    fn check_redirect(
        &self,
        from: &FetchUrl,
        to: &FetchUrl,
        visited: &BTreeSet<String>,
    ) -> Result<(), FetchError> {
        if visited.contains(to.as_str()) || visited.len() > REDIRECTS {
            let problem = if visited.contains(to.as_str()) {
                "it redirects in a circle".to_owned()
            } else {
                format!("it redirects more than {REDIRECTS} times")
            };
            return Err(self.unreachable(problem));
        }
        if from.is_secure() && !to.is_secure() && self.wanted.sha256.is_none() {
            let problem =
                format!("it redirects from https to {}, and no digest is known", to.as_str());
            return Err(refused(self.target.as_str(), &problem));
        }
        Ok(())
    }

    /// Reads the body (if bytes are missing) and proves the whole file. `total` is its expected size, 0 if it is
    /// not known.
    fn body(
        &mut self,
        exchange: Option<&Exchange>,
        offset: u64,
        total: u64,
    ) -> Result<Outcome, Failure> {
        let resumed = offset > 0;
        let failure = |error| Failure { error, resumed };
        let (mut hasher, mut size) = hash_start(self.part.file(), offset, self.monitor)
            .map_err(|unproven| failure(of_unproven(&self.target, unproven)))?;
        if let Some(exchange) = exchange {
            let bytes = total.checked_sub(offset).filter(|bytes| *bytes > 0);
            let progress = progress(self.monitor, self.name(), bytes);
            let times = self.options.time_outs;
            let mut pace = Pace::new(times.slow_window, times.slow_bytes);
            let most = self.most();
            loop {
                let next = exchange.next(self.monitor);
                let Some(mut bytes) = next.map_err(|trouble| failure(self.troubled(trouble)))?
                else {
                    break;
                };
                let room = usize::try_from(most - size).unwrap_or(usize::MAX);
                let too_much = bytes.len() > room;
                bytes.truncate(room);
                sha2::Digest::update(&mut hasher, &bytes);
                size += bytes.len() as u64;
                self.part.write(&bytes).map_err(|error| failure(of_disk(&self.target, error)))?;
                progress.advance(bytes.len() as u64, 0);
                if too_much {
                    return Err(failure(self.too_long(&format!("more than {most} bytes"))));
                }
                pace.came(bytes.len()).map_err(|trouble| failure(self.troubled(trouble)))?;
            }
        }
        let sha256 = digest_of(hasher);
        let right_digest = self.wanted.sha256.is_none_or(|wanted| wanted == sha256);
        let right_size = self.wanted.sha256.is_some() || self.wanted.size.is_none_or(|s| s == size);
        if right_digest && right_size {
            return Ok(Outcome::Whole { sha256, size });
        }
        Err(failure(self.mismatch(format!("{sha256} ({size} bytes)"))))
    }

    /// Size limit of the download. It is a little higher than the expected size, because files of a package that has
    /// changed may still be usable one by one.
    fn most(&self) -> u64 {
        match self.wanted.size {
            Some(size) => size.saturating_add(size / 8).saturating_add(64 * 1024),
            None => self.options.limits.download_bytes,
        }
    }

    /// Refuses a body whose announced length exceeds the limit.
    fn check_announced(&self, total: Option<u64>) -> Result<(), FetchError> {
        match total {
            Some(total) if total > self.most() => Err(self.too_long(&format!("{total} bytes"))),
            _ => Ok(()),
        }
    }

    fn too_long(&self, found: &str) -> FetchError {
        if self.wanted.size.is_some() {
            return self.mismatch(found.to_owned());
        }
        let limit = self.options.limits.download_bytes;
        refused(self.target.as_str(), &format!("it has {found}; the limit is {limit} bytes"))
    }

    fn mismatch(&self, found: String) -> FetchError {
        let digest = self.wanted.sha256.map(|sha256| sha256.to_string());
        let size = self.wanted.size.map(|size| format!("{size} bytes"));
        let expected = match (digest, size) {
            (Some(digest), Some(size)) => format!("{digest} ({size})"),
            (digest, size) => digest.or(size).unwrap_or_default(),
        };
        FetchError::Mismatch { from: self.target.as_str().to_owned(), expected, found, file: None }
    }

    /// Compression during transfer changes the bytes. If the digest is known, it decides. Some servers send
    /// `.gz` files unchanged, but declare them as encoded.
    fn check_encoding(&self, head: &Head) -> Result<(), FetchError> {
        let encoding = head.header("content-encoding").unwrap_or("identity").to_ascii_lowercase();
        let path = self.target.path().to_ascii_lowercase();
        let file_is_gzip = encoding.ends_with("gzip") && (path.ends_with("gz"));
        if encoding == "identity" || file_is_gzip || self.wanted.sha256.is_some() {
            return Ok(());
        }
        let encoding = escaped(encoding.as_bytes());
        Err(self.unreachable(format!("the server insists on sending it encoded as {encoding}")))
    }

    fn note_of(&self, head: &Head, total: Option<u64>) -> Note {
        let header = |name| head.header(name).map(str::to_owned);
        let (etag, last_modified) = (header("etag"), header("last-modified"));
        Note { url: self.target.as_str().to_owned(), etag, last_modified, total }
    }

    /// The total length, if the 206 answer continues exactly where the unfinished download ends.
    fn fitting_part(&self, head: &Head, offset: u64) -> Option<u64> {
        let note = self.part.note()?;
        let changed = |name: &str, known: &Option<String>| {
            head.header(name).zip(known.as_deref()).is_some_and(|(now, then)| now != then)
        };
        if changed("etag", &note.etag) || changed("last-modified", &note.last_modified) {
            return None;
        }
        let range = head.header("content-range")?.strip_prefix("bytes ")?;
        let (span, total) = range.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let (first, last, total): (u64, u64, u64) =
            (first.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
        let length = last.checked_sub(first)?.checked_add(1)?;
        let fits = first == offset
            && last.checked_add(1)? == total
            && head.length.is_none_or(|announced| announced == length)
            && note.total.is_none_or(|known| known == total)
            && total <= self.most();
        fits.then_some(total)
    }

    pub(super) fn status_error(&self, head: &Head) -> FetchError {
        let url = self.target.as_str().to_owned();
        let reason = ureq::http::StatusCode::from_u16(head.status).ok();
        let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or("?");
        let problem = format!("the server answers {} {reason}", head.status);
        match head.status {
            404 | 410 => FetchError::NotFound { from: self.target.host(), url },
            401 | 402 | 403 | 451 => {
                let status = format!("{} {reason}", head.status);
                FetchError::Denied { from: self.target.host(), url, status }
            }
            408 | 425 | 429 | 500 | 502 | 503 | 504 => {
                let retry_after = head.header("retry-after").and_then(pause_asked);
                self.transient(problem, retry_after)
            }
            _ => self.unreachable(problem),
        }
    }

    /// The error of an exchange whose head arrived.
    pub(super) fn troubled(&self, trouble: Trouble) -> FetchError {
        self.trouble(trouble, true)
    }

    fn trouble(&self, trouble: Trouble, answered: bool) -> FetchError {
        let (url, kept) = (self.target.as_str().to_owned(), self.part.kept());
        match trouble {
            Trouble::Passing(problem) => {
                FetchError::Transient { url, problem, retry_after: None, kept, answered }
            }
            Trouble::Lasting(problem) => FetchError::Unreachable { url, problem, answered },
            Trouble::Refused(problem) => refused(self.target.as_str(), &problem),
            Trouble::Interrupted => crate::monitor::Interrupted.into(),
        }
    }

    /// Reports the download to the monitor.
    pub(super) fn progress(&self, bytes: Option<u64>) -> Running<'_> {
        progress(self.monitor, self.name(), bytes)
    }

    /// The server answered, and a retry may help.
    pub(super) fn transient(&self, problem: String, retry_after: Option<Duration>) -> FetchError {
        let (url, kept) = (self.target.as_str().to_owned(), self.part.kept());
        FetchError::Transient { url, problem, retry_after, kept, answered: true }
    }

    /// The server answered, and a retry would not help.
    pub(super) fn unreachable(&self, problem: String) -> FetchError {
        FetchError::Unreachable { url: self.target.as_str().to_owned(), problem, answered: true }
    }

    /// The package's name, or where it is downloaded from.
    fn name(&self) -> String {
        let name = self.wanted.name.as_deref();
        name.map_or_else(|| self.target.as_str().to_owned(), |name| escaped(name.as_bytes()))
    }

    /// The final error. The bytes that have arrived are kept for a later attempt, if it can use them. Wrong
    /// bytes are handed over as a file without a name; after a full disk they are deleted.
    pub(super) fn give_up(self, error: FetchError) -> FetchError {
        let holds_bytes = self.part.length().is_ok_and(|length| length > 0);
        match error {
            FetchError::Mismatch { from, expected, found, .. } => {
                let file: Option<File> = self.part.finish(false).ok().filter(|_| holds_bytes);
                FetchError::Mismatch { from, expected, found, file }
            }
            error @ (FetchError::Transient { .. } | FetchError::Interrupted(_)) if holds_bytes => {
                error
            }
            error => {
                drop(self.part.finish(false));
                error
            }
        }
    }
}

fn progress<'m>(monitor: &'m dyn Monitor, name: String, bytes: Option<u64>) -> Running<'m> {
    monitor.begin(Step::Download, name, Total { bytes, things: None })
}

/// Where an answer redirects to.
fn redirect(head: &Head) -> Option<&str> {
    matches!(head.status, 301 | 302 | 303 | 307 | 308).then(|| head.header("location")).flatten()
}

/// The delay that `Retry-After` asks for: seconds, or until a date.
fn pause_asked(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

pub(super) fn of_disk(target: &FetchUrl, error: std::io::Error) -> FetchError {
    FetchError::Disk { url: target.as_str().to_owned(), error }
}

pub(super) fn of_unproven(target: &FetchUrl, unproven: Unproven) -> FetchError {
    match unproven {
        Unproven::Io(error) => of_disk(target, error),
        Unproven::Interrupted(interrupted) => interrupted.into(),
    }
}
