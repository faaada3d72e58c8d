//! Asking a URL whether it has a package: a few bytes by a range request, compared with what is known of the package.
//!
//! Invariant: "present" is never said of an answer that contradicts the package's size or bytes. A page of a portal or a proxy
//! in place of the package says nothing about it.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::FileExt as _;

use super::is_strange;
use crate::fetch::{ByteRange, FetchError, Reach, Wanted, Web, page};
use crate::hashdb::{Check, CheckOutcome};
use crate::model::{Digest, PackageRecord};
use crate::monitor::{Interrupted, Monitor};
use crate::wording::one_line;

/// Number of bytes that a server is asked for.
const SAMPLE: u64 = 256;

/// Number of a package's last bytes that are kept: of a compressed package they hold its checksum.
const TAIL: u64 = 32;

/// What is known of a package's bytes, to compare an answer with.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// Nothing.
    Nothing,
    /// Its last bytes in hex digits, as [`tail_of`] gives them.
    Tail(&'a str),
    /// All of them.
    File(&'a File),
}

impl<'a> Known<'a> {
    /// What earlier `checks` of the package know.
    pub fn by(checks: &'a [Check]) -> Self {
        checks.iter().find_map(|check| check.tail.as_deref()).map_or(Self::Nothing, Self::Tail)
    }

    /// Do `bytes`, from position `first` on, contradict what is known of a package of `size` bytes?
    fn contradicts(self, first: u64, bytes: &[u8], size: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::File(file) => {
                let mut own = vec![0; bytes.len()];
                file.read_exact_at(&mut own, first).is_err() || own != bytes
            }
            Self::Tail(tail) => {
                let is_end = first + bytes.len() as u64 == size;
                let tail = hex::decode(tail).unwrap_or_default();
                is_end && tail.len() <= bytes.len() && !bytes.ends_with(&tail)
            }
        }
    }
}

/// Where a request for a package of the HashDB may lead.
pub fn reach(record: &PackageRecord) -> Reach {
    if is_strange(record) { Reach::PublicOnly } else { Reach::Anywhere }
}

/// The request for a package of the HashDB.
pub fn wanted(record: &PackageRecord) -> Wanted {
    Wanted {
        name: record.own_name().map(str::to_owned),
        url: record.url.clone(),
        also: record.also.clone(),
        sha256: Some(record.sha256),
        size: Some(record.size),
        reach: reach(record),
    }
}

/// The last bytes of a package in hex digits, to be kept.
pub fn tail_of(file: &File, size: u64) -> Option<String> {
    let count = size.min(TAIL);
    let mut bytes = vec![0; usize::try_from(count).ok()?];
    file.read_exact_at(&mut bytes, size - count).ok()?;
    Some(hex::encode(bytes))
}

/// The answer of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it means; `None` if the URL was not asked, since its host was given up.
    pub outcome: Option<CheckOutcome>,
    /// The details, for a person.
    pub details: String,
    /// It was forbidden to ask, by our own rules or by the user who works offline.
    pub is_refused: bool,
    /// When the server says that it was put there, in seconds since 1970 UTC.
    pub published_at: Option<i64>,
}

impl Answer {
    /// An answer with this meaning.
    pub fn new(outcome: CheckOutcome, details: impl Into<String>) -> Self {
        let details = details.into();
        Self { outcome: Some(outcome), details, is_refused: false, published_at: None }
    }

    /// What an error in place of an answer means.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub fn of_error(error: &FetchError) -> Result<Self, Interrupted> {
        let outcome = match error {
            FetchError::Interrupted(interrupted) => return Err(*interrupted),
            error if error.not_asked().is_some() => None,
            error => Some(outcome_of(error)),
        };
        let (details, is_refused) = (one_line(error), error.is_refused());
        Ok(Self { outcome, details, is_refused, published_at: None })
    }

    /// The check to keep of the package with this digest; `None` if the URL was not asked.
    pub fn check(&self, sha256: Digest, url: &str) -> Option<Check> {
        let check = Check::now(sha256, url, false, self.outcome?);
        Some(Check { published_at: self.published_at, ..check })
    }
}

/// Asks URLs.
pub struct Asker<'a> {
    /// The network.
    pub web: &'a dyn Web,
}

impl Asker<'_> {
    /// Does `url` have a package of `size` bytes? What it answers is compared with what is `known` of the package: at a
    /// position chosen at random, if all of it is.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub fn ask(
        &self,
        url: &str,
        reach: Reach,
        size: Option<u64>,
        known: Known<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Answer, Interrupted> {
        let last = size.unwrap_or_default().saturating_sub(SAMPLE);
        let first = if let Known::File(_) = known { random() % (last + 1) } else { last };
        let question = Question { web: self.web, url, reach, monitor };
        let (first, answer) = match question.range(first, SAMPLE) {
            // Its start tells less, but costs no whole download.
            Err(error) if error.has_no_parts() => (0, question.range(0, SAMPLE)),
            answer => (first, answer),
        };
        let range = match answer {
            Ok(range) => range,
            Err(error) => return question.failed(&error, size),
        };
        let published_at = published_at(&range);
        let Some(size) = size else {
            let answer = Answer::new(CheckOutcome::Present, "available");
            return Ok(Answer { published_at, ..answer });
        };
        if let Some(found) = range.total.filter(|found| *found != size) {
            return question.differs(format!("has {found} bytes, expected {size}"));
        }
        let is_whole = range.bytes.len() as u64 == SAMPLE.min(size - first);
        if !is_whole || known.contradicts(first, &range.bytes, size) {
            return question.differs("has other bytes".to_owned());
        }
        // Servers need not state the size; then nothing may follow.
        if range.total.is_none() {
            match question.ends_at(size)? {
                Some(true) => {}
                Some(false) => return question.differs(format!("does not have {size} bytes")),
                None => {
                    let details = "the server neither states its size nor sends parts of it";
                    return Ok(Answer::new(CheckOutcome::Unreachable, details));
                }
            }
        }
        let answer = Answer::new(CheckOutcome::Present, "available, with the right size");
        Ok(Answer { published_at, ..answer })
    }
}

/// A URL that is asked.
struct Question<'a> {
    web: &'a dyn Web,
    url: &'a str,
    reach: Reach,
    monitor: &'a dyn Monitor,
}

impl Question<'_> {
    fn range(&self, first: u64, count: u64) -> Result<ByteRange, FetchError> {
        self.web.fetch_range(self.url, self.reach, first, count, self.monitor)
    }

    /// Is there nothing behind the first `size` bytes? `None` if only the whole of it could tell.
    fn ends_at(&self, size: u64) -> Result<Option<bool>, Interrupted> {
        match self.range(size.saturating_sub(1), 2) {
            Ok(range) => Ok(Some(range.bytes.len() as u64 == size.min(1))),
            Err(FetchError::Interrupted(interrupted)) => Err(interrupted),
            Err(error) if error.has_no_parts() => Ok(None),
            Err(_) => Ok(Some(false)),
        }
    }

    /// The answer was not the package. A page for people, of a portal or a proxy, says nothing about the package.
    fn differs(&self, details: String) -> Result<Answer, Interrupted> {
        match self.range(0, SAMPLE) {
            Ok(range) if page::is_page(&range.bytes) => {
                Ok(Answer::new(CheckOutcome::Unreachable, page::IN_PLACE))
            }
            Err(FetchError::Interrupted(interrupted)) => Err(interrupted),
            _ => Ok(Answer::new(CheckOutcome::Differs, details)),
        }
    }

    /// An error in place of an answer. A server refuses a range behind the end of what it has, which may be a page.
    fn failed(&self, error: &FetchError, size: Option<u64>) -> Result<Answer, Interrupted> {
        let answer = Answer::of_error(error)?;
        if answer.outcome != Some(CheckOutcome::Unreachable)
            || size.is_none_or(|size| size <= SAMPLE)
        {
            return Ok(answer);
        }
        match self.range(0, 1) {
            Ok(range) if range.total.is_some() && range.total != size => {
                self.differs("has another number of bytes".to_owned())
            }
            Err(FetchError::Interrupted(interrupted)) => Err(interrupted),
            _ => Ok(answer),
        }
    }
}

/// When a server says that what it has was put there: an HTTP date, as in `Wed, 21 Oct 2015 07:28:00 GMT` (RFC 9110, section 5.6.7).
fn published_at(range: &ByteRange) -> Option<i64> {
    let text = range.stated.last_modified.as_deref()?;
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(time.timestamp().as_second())
}

/// What an error says about the package.
fn outcome_of(error: &FetchError) -> CheckOutcome {
    match error {
        FetchError::NotFound { .. } | FetchError::Denied { .. } => CheckOutcome::Gone,
        FetchError::Mismatch { .. } => CheckOutcome::Differs,
        FetchError::All { errors } => {
            errors.iter().map(outcome_of).max().unwrap_or(CheckOutcome::Unreachable)
        }
        _ => CheckOutcome::Unreachable,
    }
}

/// A number that nobody can guess beforehand.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
