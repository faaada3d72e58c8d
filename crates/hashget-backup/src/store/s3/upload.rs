//! Sending one object: by one request, or in parts.
//!
//! Invariant: each request with bytes carries their checksum, and the object is compared afterwards. An upload that breaks off
//! leaves parts, which a later one goes on with, and no object.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hashget::monitor::{Event, Monitor};
use rusty_s3::Method;
use sha2::{Digest as _, Sha256};

use super::super::outgoing::{Outgoing, Pace, digest_of, read_exact_at};
use super::super::{Compared, Sending, StoreError};
use super::S3Store;
use super::answer::{self, Part};
use super::parts::Cut;
use super::wire::{Answer, Ask, Body};

/// The header with the digest that the sender declares: it shows whose an object is, and proves nothing.
const DECLARED: &str = "x-amz-meta-sha256";

/// One object that is being sent.
pub(super) struct Sender<'s> {
    store: &'s S3Store,
    name: &'s str,
    key: String,
    sending: &'s Sending<'s>,
    outgoing: &'s Outgoing<'s>,
    monitor: &'s dyn Monitor,
    file: Arc<std::fs::File>,
    pace: Arc<Pace>,
}

impl<'s> Sender<'s> {
    /// Prepares to send an object.
    ///
    /// # Errors
    /// There are too many open files.
    pub(super) fn new(
        store: &'s S3Store,
        name: &'s str,
        key: String,
        sending: &'s Sending<'s>,
        outgoing: &'s Outgoing<'s>,
        monitor: &'s dyn Monitor,
    ) -> Result<Self, StoreError> {
        let file = Arc::new(sending.file.try_clone()?);
        let pace = Arc::new(Pace::new(sending.bytes_per_second));
        Ok(Self { store, name, key, sending, outgoing, monitor, file, pace })
    }

    /// Sends it and compares it.
    ///
    /// # Errors
    /// See [`super::super::Store::send`].
    pub(super) fn send(&self) -> Result<Compared, StoreError> {
        // With credentials that may write and not read, the condition of the request alone keeps what is there.
        let was_free = match self.store.head(&self.key, self.monitor) {
            Ok(None) => true,
            Err(StoreError::Refused { .. }) => false,
            Ok(Some(_)) => return Err(self.taken()),
            Err(error) => return Err(error),
        };
        let sent = self.send_whole();
        if let (true, Err(StoreError::Interrupted(_))) = (was_free, &sent) {
            self.take_back();
        }
        sent
    }

    /// After an interruption, the request that makes the object may have arrived: removes it, if it is ours.
    fn take_back(&self) {
        let brief = Brief(Instant::now());
        let head = self.store.head(&self.key, &brief);
        // What cannot be asked in time is whole, at least.
        if head.is_ok_and(|head| {
            head.is_some_and(|head| head.header(DECLARED) == Some(self.sending.sha256))
        }) {
            let _ =
                self.store.wire.ask(&Ask::new(Method::Delete, Some(&self.key)), &brief, &|_| {});
        }
    }

    /// Sends it to a name that seems to be free.
    fn send_whole(&self) -> Result<Compared, StoreError> {
        let digest = self.digest(0, self.sending.bytes)?;
        if hex::encode(&digest) != self.sending.sha256 {
            return Err(self.different(self.sending.sha256.to_owned(), hex::encode(digest)));
        }
        if self.sending.bytes <= self.store.options.largest_put {
            return self.put(&STANDARD.encode(digest));
        }
        let cut = Cut::new(self.sending.bytes, self.store.options.part_bytes);
        let (id, there) = self.begin(cut)?;
        let sent = self.parts(cut, &id, there).and_then(|parts| self.complete(&id, &parts));
        let goes_on = |error: &StoreError| {
            matches!(error, StoreError::Unreachable { .. } | StoreError::Interrupted(_))
        };
        if sent.as_ref().is_err_and(|error| !goes_on(error)) {
            // What cannot be given up now is cleaned later.
            let _ = self.store.abort(&self.key, &id, self.monitor);
        }
        sent
    }

    fn taken(&self) -> StoreError {
        StoreError::taken(&self.store.wire.shown, self.name)
    }

    fn different(&self, expected: String, found: String) -> StoreError {
        let (store, name) = (self.store.wire.shown.clone(), self.name.to_owned());
        StoreError::Different { store, name, expected, found }
    }

    /// The headers that an object is made with: what it is, and until when it is locked.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let until =
            self.sending.lock_until.and_then(|until| jiff::Timestamp::from_second(until).ok());
        let mode = if self.store.options.locks_are_final { "COMPLIANCE" } else { "GOVERNANCE" };
        let mut headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            (DECLARED, self.sending.sha256.to_owned()),
        ];
        if let Some(until) = until {
            headers.push(("x-amz-object-lock-mode", mode.to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", until.to_string()));
        }
        headers
    }

    /// Asks for something that makes the object, unless there is one. A store that knows no conditions is asked without.
    fn ask_if_none(&self, mut ask: Ask, gone: &dyn Fn(u64)) -> Result<Answer, StoreError> {
        ask.headers.push(("if-none-match", "*".to_owned()));
        let answer = self.store.wire.ask(&ask, self.monitor, gone)?;
        if answer.status == 501 {
            ask.headers.retain(|(name, _)| *name != "if-none-match");
            return self.store.wire.ask(&ask, self.monitor, gone);
        }
        Ok(answer)
    }

    /// By one request.
    fn put(&self, checksum: &str) -> Result<Compared, StoreError> {
        let mut ask = Ask::new(Method::Put, Some(&self.key));
        ask.headers = self.headers();
        ask.headers.push(("x-amz-checksum-sha256", checksum.to_owned()));
        ask.body = self.body(0, self.sending.bytes);
        let answer = self.ask_if_none(ask, &|bytes| self.outgoing.reached(bytes))?;
        self.finish(&answer, checksum)
    }

    fn body(&self, first: u64, bytes: u64) -> Body {
        let (file, pace) = (Arc::clone(&self.file), Arc::clone(&self.pace));
        Body::Part { file, first, bytes, pace }
    }

    /// After the request that was to make the object: is it there, and is it ours? `checksum` is what the store should compute.
    fn finish(&self, answer: &Answer, checksum: &str) -> Result<Compared, StoreError> {
        let is_refused = !answer.is_good();
        // The answer to an earlier try was lost, and the object may be there already.
        let may_be_ours = answer.is_repeated && matches!(answer.status, 404 | 409 | 412);
        if is_refused && !may_be_ours {
            return Err(match answer.status {
                412 => self.taken(),
                _ => self.store.wire.refused(answer),
            });
        }
        let head = match self.store.head(&self.key, self.monitor) {
            Ok(Some(head)) => head,
            Ok(None) if is_refused => return Err(self.store.wire.refused(answer)),
            Ok(None) => {
                let expected = format!("{} bytes", self.sending.bytes);
                return Err(self.different(expected, "nothing".to_owned()));
            }
            Err(StoreError::Refused { .. }) if !is_refused => {
                // These credentials may not look. The store has compared what it got.
                let told = answer.header("x-amz-checksum-sha256") == Some(checksum);
                return Ok(if told { Compared::Checksum } else { Compared::Nothing });
            }
            Err(error) => return Err(error),
        };
        let size = head.header("content-length").and_then(|length| length.parse::<u64>().ok());
        let told = head.header("x-amz-checksum-sha256");
        let declared = head.header(DECLARED);
        let is_declared = declared == Some(self.sending.sha256);
        // What the store computed counts; where it tells nothing, what the sender of the object declared.
        let is_other = size != Some(self.sending.bytes)
            || told.map_or(declared.is_some() && !is_declared, |told| told != checksum);
        // A store without conditions lets a sender replace what another one, or another tool, has just sent.
        let is_anothers = is_other && (is_refused || !is_declared);
        if is_anothers || is_refused && told.is_none() && !is_declared {
            return Err(self.taken());
        }
        if is_other {
            // It is what this send has made, and declared. Where that is not allowed, it stays, and the error says so.
            let _ = self.store.wire.ask(
                &Ask::new(Method::Delete, Some(&self.key)),
                self.monitor,
                &|_| {},
            );
            let shown = |size: Option<u64>, checksum: Option<&str>| {
                let (size, checksum) = (size.unwrap_or(0), checksum.unwrap_or("unknown"));
                format!("{size} bytes of SHA-256 {checksum}")
            };
            let expected = shown(Some(self.sending.bytes), Some(checksum));
            return Err(self.different(expected, shown(size, told)));
        }
        Ok(if told.is_some() { Compared::Checksum } else { Compared::Size })
    }

    /// Begins an upload, or goes on with one that broke off: its number, and the parts that the store has.
    fn begin(&self, cut: Cut) -> Result<(String, Vec<Part>), StoreError> {
        // A store that does not list uploads, or not to us, has none to go on with.
        let mut uploads = match self.store.uploads(&self.key, self.monitor) {
            Ok(uploads) => uploads,
            Err(StoreError::Refused { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        uploads.retain(|upload| upload.key == self.key);
        uploads.sort_by_key(|upload| upload.began);
        // Locks are given when an upload begins: an old one has an old lock.
        if let Some(upload) = uploads.pop().filter(|_| self.sending.lock_until.is_none()) {
            let there = self.listed(&upload.id)?;
            if there.iter().all(|part| part.bytes == cut.part(part.number).1)
                && self.has_begun_with(&there, cut)?
            {
                return Ok((upload.id, there));
            }
        }
        let mut ask = Ask::new(Method::Post, Some(&self.key));
        ask.query.push(("uploads", String::new()));
        ask.headers = self.headers();
        ask.headers.push(("x-amz-checksum-algorithm", "SHA256".to_owned()));
        let answer = self.store.wire.ask(&ask, self.monitor, &|_| {})?;
        if !answer.is_good() {
            return Err(self.store.wire.refused(&answer));
        }
        let id = answer::upload_id(&answer.body);
        Ok((id.map_err(|problem| self.store.wire.nonsense(problem))?, Vec::new()))
    }

    /// Is the first of these parts one of this file? The headers of an upload tell the digest of the file that it was begun with.
    fn has_begun_with(&self, there: &[Part], cut: Cut) -> Result<bool, StoreError> {
        let Some(part) = there.first() else { return Ok(false) };
        let (first, bytes) = cut.part(part.number);
        let checksum = STANDARD.encode(self.digest(first, bytes)?);
        Ok(part.sha256.as_ref() == Some(&checksum))
    }

    /// The parts that the store has of an upload.
    fn listed(&self, id: &str) -> Result<Vec<Part>, StoreError> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut ask = Ask::new(Method::Get, Some(&self.key));
            ask.query.push(("uploadId", id.to_owned()));
            ask.query.extend(after.iter().map(|number| ("part-number-marker", number.clone())));
            let answer = self.store.wire.ask(&ask, self.monitor, &|_| {})?;
            if !answer.is_good() {
                return Ok(Vec::new());
            }
            let (parts, next) =
                answer::parts(&answer.body).map_err(|problem| self.store.wire.nonsense(problem))?;
            found.extend(parts);
            if next.is_none() || next == after {
                return Ok(found);
            }
            after = next;
        }
    }

    /// Sends the parts that the store does not have.
    fn parts(&self, cut: Cut, id: &str, there: Vec<Part>) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        for number in 1..=cut.count() {
            let (first, bytes) = cut.part(number);
            let checksum = STANDARD.encode(self.digest(first, bytes)?);
            let known = there.iter().find(|part| {
                part.number == number && part.sha256.as_deref() == Some(checksum.as_str())
            });
            if let Some(known) = known {
                parts.push(known.clone());
                self.outgoing.reached(first + bytes);
                continue;
            }
            let mut ask = Ask::new(Method::Put, Some(&self.key));
            ask.query = vec![("partNumber", number.to_string()), ("uploadId", id.to_owned())];
            ask.headers.push(("x-amz-checksum-sha256", checksum.clone()));
            ask.body = self.body(first, bytes);
            let gone = |bytes| self.outgoing.reached(first + bytes);
            let answer = self.store.wire.ask(&ask, self.monitor, &gone)?;
            let etag = answer.header("etag").map(str::to_owned);
            let Some(etag) = etag.filter(|_| answer.is_good()) else {
                return Err(self.store.wire.refused(&answer));
            };
            parts.push(Part { number, etag, bytes, sha256: Some(checksum) });
        }
        Ok(parts)
    }

    /// The digest of some bytes of the file.
    fn digest(&self, first: u64, bytes: u64) -> Result<Vec<u8>, StoreError> {
        let (mut position, end) = (first, first + bytes);
        let read = |buffer: &mut [u8]| {
            self.monitor.check_interrupted()?;
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let count = buffer.len().min(left);
            read_exact_at(self.sending.file, &mut buffer[..count], position)?;
            position += count as u64;
            Ok::<_, StoreError>(count)
        };
        let (digest, _) = digest_of(read)?;
        Ok(hex::decode(digest).unwrap_or_default())
    }

    /// Makes one object of all parts.
    fn complete(&self, id: &str, parts: &[Part]) -> Result<Compared, StoreError> {
        let mut ask = Ask::new(Method::Post, Some(&self.key));
        ask.query.push(("uploadId", id.to_owned()));
        ask.headers.push(("content-type", "application/xml".to_owned()));
        ask.body = Body::Bytes(answer::completion(parts).into_bytes());
        let answer = self.ask_if_none(ask, &|_| {})?;
        self.finish(&answer, &composite(parts))
    }
}

/// Lets things take some seconds, whatever else was asked for.
struct Brief(Instant);

impl Monitor for Brief {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.elapsed() > Duration::from_secs(10)
    }
}

/// The checksum that a store computes of an object that was sent in parts.
fn composite(parts: &[Part]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        let checksum = part.sha256.as_deref().unwrap_or_default();
        digest.update(STANDARD.decode(checksum).unwrap_or_default());
    }
    format!("{}-{}", STANDARD.encode(digest.finalize()), parts.len())
}
