//! Downloading one URL: the request, resuming, and the proof at the end.
//!
//! Invariant: every byte that is counted was written to the unfinished download and hashed. Bytes of two attempts are joined
//! only if a digest proves the whole, or a validator says that they belong together.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::fetch_url::{FetchUrl, refused};
use super::file_digest::{Unproven, digest_of, hash_start};
use super::http::{Client, Exchange, Head, Trouble};
use super::origin::OriginOptions;
use super::unfinished::{Note, Unfinished};
use super::{FetchError, Wanted, page};
use crate::model::{Digest, escaped};
use crate::monitor::{Monitor, Running, Step, Total};

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
            return self.body(None, offset, offset, false);
        }
        let mut headers = Vec::new();
        if offset > 0 {
            headers.push(("range", format!("bytes={offset}-")));
            if let Some(validator) = self.part.note().and_then(Note::validator) {
                headers.push(("if-range", validator.to_owned()));
            }
        }
        let mut exchange = self.answered(headers)?;
        let head = &exchange.head;
        let size = self.wanted.size;
        match head.status {
            200 => {
                let encoded = self.is_encoded(head)?;
                let total = head.length;
                let note = self.note_of(head, total, encoded);
                self.check_announced(total)?;
                self.part.begin(note).map_err(|error| of_disk(&self.target, error))?;
                self.body(Some(&mut exchange), 0, total.or(size).unwrap_or(0), encoded)
            }
            206 if offset > 0 => {
                let Some(total) = self.fitting_part(head, offset) else {
                    return Ok(Outcome::BeginAgain);
                };
                self.body(Some(&mut exchange), offset, total, false)
            }
            416 if offset > 0 => {
                let range = head.header("content-range").unwrap_or_default();
                if range == format!("bytes */{offset}") {
                    return self.body(None, offset, offset, false);
                }
                Ok(Outcome::BeginAgain)
            }
            _ => Err(self.status_error(&exchange).into()),
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

    /// Reads the body (if bytes are missing) and proves the whole file. `total` is its expected size, 0 if it is
    /// not known; `encoded` tells whether the server says that it is encoded.
    fn body(
        &mut self,
        exchange: Option<&mut Exchange>,
        offset: u64,
        total: u64,
        encoded: bool,
    ) -> Result<Outcome, Failure> {
        let resumed = offset > 0;
        let failure = |error| Failure { error, resumed };
        let (mut hasher, mut size) = hash_start(self.part.file(), offset, self.monitor)
            .map_err(|unproven| failure(of_unproven(&self.target, unproven)))?;
        if let Some(exchange) = exchange {
            let bytes = total.checked_sub(offset).filter(|bytes| *bytes > 0);
            let progress = progress(self.monitor, self.name(), bytes);
            let most = self.most();
            loop {
                let mut bytes = match exchange.next(self.monitor) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => break,
                    Err(trouble) => return Err(failure(self.troubled(trouble, exchange))),
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
            }
        }
        let mut sha256 = digest_of(hasher);
        if encoded && self.wanted.sha256 != Some(sha256) {
            (sha256, size) = self.decode().map_err(failure)?.unwrap_or((sha256, size));
        }
        let right_digest = self.wanted.sha256.is_none_or(|wanted| wanted == sha256);
        let right_size = self.wanted.sha256.is_some() || self.wanted.size.is_none_or(|s| s == size);
        if right_digest && right_size {
            return Ok(Outcome::Whole { sha256, size });
        }
        Err(failure(self.mismatch(format!("{sha256} ({size} bytes)"))))
    }

    /// Size limit of the download. It is a little higher than the expected size, because files of a package that has
    /// changed may still be usable one by one.
    pub(super) fn most(&self) -> u64 {
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

    /// What is noted about the body. Of an encoded one nothing is said that is true of the file.
    fn note_of(&self, head: &Head, total: Option<u64>, encoded: bool) -> Note {
        let url = self.target.as_str().to_owned();
        if encoded {
            return Note { url, ..Note::default() };
        }
        let header = |name| head.header(name).map(str::to_owned);
        let (etag, last_modified) = (header("etag"), header("last-modified"));
        Note { url, etag, last_modified, total }
    }

    /// The total length, if the 206 answer continues exactly where the unfinished download ends. If no digest can prove the
    /// whole, the answer must have a validator that the first bytes had, too.
    fn fitting_part(&self, head: &Head, offset: u64) -> Option<u64> {
        let note = self.part.note()?;
        let changed = |name: &str, known: &Option<String>| {
            head.header(name).zip(known.as_deref()).is_some_and(|(now, then)| now != then)
        };
        let same = |name: &str, known: &Option<String>| {
            head.header(name).is_some_and(|now| known.as_deref() == Some(now))
        };
        let is_vouched = same("etag", &note.etag) || same("last-modified", &note.last_modified);
        if self.wanted.sha256.is_none() && !is_vouched {
            return None;
        }
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

    pub(super) fn status_error(&self, exchange: &Exchange) -> FetchError {
        let head = &exchange.head;
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
                let (kept, answered) = (self.part.kept(), true);
                let given_up = exchange.given_up.clone();
                FetchError::Transient { url, problem, retry_after, kept, answered, given_up }
            }
            _ => self.unreachable(problem),
        }
    }

    /// The error of an exchange whose head arrived.
    pub(super) fn troubled(&self, trouble: Trouble, exchange: &Exchange) -> FetchError {
        let (url, kept) = (self.target.as_str().to_owned(), self.part.kept());
        let (answered, given_up) = (true, exchange.given_up.clone());
        match trouble {
            Trouble::Passing(problem) | Trouble::Silent(problem) => {
                let retry_after = None;
                FetchError::Transient { url, problem, retry_after, kept, answered, given_up }
            }
            Trouble::Lasting(problem) => {
                FetchError::Unreachable { url, problem, answered, given_up }
            }
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
        let (answered, given_up) = (true, None);
        FetchError::Transient { url, problem, retry_after, kept, answered, given_up }
    }

    /// The server answered, and a retry would not help.
    pub(super) fn unreachable(&self, problem: String) -> FetchError {
        let (url, answered, given_up) = (self.target.as_str().to_owned(), true, None);
        FetchError::Unreachable { url, problem, answered, given_up }
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
                page::mismatch(from, expected, found, file)
            }
            error @ (FetchError::Transient { .. }
            | FetchError::NotAsked { .. }
            | FetchError::Interrupted(_))
                if holds_bytes =>
            {
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
