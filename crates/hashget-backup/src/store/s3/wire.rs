//! Requests to an object store: signed, sent, tried again.
//!
//! Invariant: the caller never waits for the network itself, and so notices an interruption soon. No message has the URL of a
//! request, which is signed.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use hashget::fetch::{RequestFailed, RequestLog};
use hashget::model::escaped;
use hashget::monitor::{Interrupted, Monitor};
use rusty_s3::signing::sign;
use rusty_s3::{Bucket, Credentials, Method};
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, SendBody};

use super::super::outgoing::{Pace, read_exact_at};
use super::super::{Patience, StoreError};
use super::answer::{Refusal, refusal};
use super::credentials::CredentialsFrom;

/// Interruptions are noticed within this time.
const ATTENTION: Duration = Duration::from_millis(100);

/// How long the end of a request is waited for that is broken off.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// How long a signed request may be used.
const VALID_SECONDS: u64 = 24 * 60 * 60;

/// The longest answer that is no part of a file.
pub(super) const LONGEST_ANSWER: u64 = 16 << 20;

/// What a request asks for.
pub(super) struct Ask {
    pub(super) method: Method,
    /// The key of an object; none if the bucket itself is asked.
    pub(super) key: Option<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
    /// The longest answer.
    pub(super) most: u64,
}

impl Ask {
    /// A question without a body.
    pub(super) fn new(method: Method, key: Option<&str>) -> Self {
        let key = key.map(str::to_owned);
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method, key, query, headers, body: Body::Bytes(Vec::new()), most: LONGEST_ANSWER }
    }
}

/// What is sent with a request.
#[derive(Clone)]
pub(super) enum Body {
    Bytes(Vec<u8>),
    /// Some bytes of a file.
    Part {
        file: Arc<File>,
        first: u64,
        bytes: u64,
        pace: Arc<Pace>,
    },
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// What it says if it is an error.
    pub(super) refusal: Refusal,
    /// Were there tries before it of which nobody knows what became of them?
    pub(super) is_repeated: bool,
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Did it do what it was asked?
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status) && self.refusal == Refusal::default()
    }

    /// Would another try help?
    fn may_pass(&self) -> bool {
        const CODES: [&str; 9] = [
            "InternalError",
            "SlowDown",
            "ServiceUnavailable",
            "RequestTimeout",
            "OperationAborted",
            "ConditionalRequestConflict",
            "BadDigest",
            "InvalidDigest",
            "XAmzContentChecksumMismatch",
        ];
        let is_busy = matches!(self.status, 408 | 429 | 500 | 502..=506 | 508..=599);
        !self.is_good() && (is_busy || CODES.contains(&self.refusal.code.as_str()))
    }

    /// May other credentials help?
    fn is_of_credentials(&self) -> bool {
        const CODES: [&str; 6] = [
            "",
            "ExpiredToken",
            "TokenRefreshRequired",
            "InvalidToken",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
        ];
        matches!(self.status, 400 | 401 | 403) && CODES.contains(&self.refusal.code.as_str())
    }

    /// What it says, for a person.
    pub(super) fn told(&self) -> String {
        let Refusal { code, message } = &self.refusal;
        let text = match (code.as_str(), message.as_str()) {
            ("", "") => format!("it answers {}", self.status),
            (code, "") => format!("it answers {}, {code}", self.status),
            (code, message) => format!("{code}: {message}"),
        };
        escaped(text.as_bytes())
    }
}

/// The connection to a bucket.
pub(super) struct Wire {
    pub(super) shown: String,
    pub(super) agent: Agent,
    pub(super) bucket: Bucket,
    pub(super) from: CredentialsFrom,
    pub(super) credentials: Mutex<Option<Credentials>>,
    pub(super) patience: Patience,
}

impl Wire {
    /// Asks until there is an answer that another try would not change. `gone` is told how many bytes of the body went.
    ///
    /// # Errors
    /// No answer came in time, there are no credentials, or the monitor asked to stop.
    pub(super) fn ask(
        &self,
        ask: &Ask,
        monitor: &dyn Monitor,
        gone: &dyn Fn(u64),
    ) -> Result<Answer, StoreError> {
        let mut tries = self.patience.tries();
        let mut is_repeated = false;
        loop {
            let problem = match self.once(ask, monitor, gone)? {
                Ok(answer) if answer.may_pass() => answer.told(),
                Ok(answer) if answer.is_of_credentials() && self.renewed()? => continue,
                Ok(answer) => return Ok(Answer { is_repeated, ..answer }),
                Err(RequestFailed { problem, may_pass: true }) => problem,
                Err(RequestFailed { problem, .. }) => return Err(self.unreachable(problem)),
            };
            is_repeated = true;
            if !tries.again((&self.shown, &problem), monitor)? {
                return Err(self.unreachable(problem));
            }
        }
    }

    /// The error of a store that does not answer.
    fn unreachable(&self, problem: String) -> StoreError {
        StoreError::Unreachable { store: self.shown.clone(), problem }
    }

    /// The error of a store that answers, but not as was hoped for.
    pub(super) fn refused(&self, answer: &Answer) -> StoreError {
        let store = self.shown.clone();
        let problem = match answer.refusal.code.as_str() {
            "NoSuchBucket" => {
                let problem = "make the bucket, or correct its name".to_owned();
                return StoreError::Missing { store, problem };
            }
            "RequestTimeTooSkewed" => format!("{}; set this machine's clock", answer.told()),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" => {
                format!("{}; set its region or endpoint", answer.told())
            }
            _ if (300..400).contains(&answer.status) => {
                format!("{}; set its region or endpoint", answer.told())
            }
            _ => answer.told(),
        };
        StoreError::Refused { store, problem }
    }

    /// The error of an answer that cannot be read.
    pub(super) fn nonsense(&self, problem: String) -> StoreError {
        StoreError::Refused { store: self.shown.clone(), problem: escaped(problem.as_bytes()) }
    }

    /// Reads the credentials again; `false` if they are the same.
    fn renewed(&self) -> Result<bool, StoreError> {
        let found = self.read_credentials()?;
        let mut known = self.credentials.lock().expect("nothing panics while it looks");
        let is_new = known.as_ref() != Some(&found);
        *known = Some(found);
        Ok(is_new)
    }

    fn read_credentials(&self) -> Result<Credentials, StoreError> {
        self.from
            .read()
            .map_err(|problem| StoreError::Unsupported { store: self.shown.clone(), problem })
    }

    /// The URL of a request, which carries its signature.
    fn signed(&self, ask: &Ask) -> Result<String, StoreError> {
        let mut known = self.credentials.lock().expect("nothing panics while it looks");
        let credentials = match &*known {
            Some(credentials) => credentials.clone(),
            None => known.insert(self.read_credentials()?).clone(),
        };
        let url = match &ask.key {
            Some(key) => self.bucket.object_url(key),
            None => self.bucket.base_url().clone(),
        };
        let mut query: Vec<(&str, &str)> =
            ask.query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.sort_unstable();
        let of_store = ask.headers.iter().filter(|(name, _)| name.starts_with("x-amz-"));
        let mut headers: Vec<(&str, &str)> =
            of_store.map(|(name, value)| (*name, value.as_str())).collect();
        headers.sort_unstable();
        let signed = sign(
            &jiff::Timestamp::now(),
            ask.method,
            url,
            credentials.key(),
            credentials.secret(),
            credentials.token(),
            self.bucket.region(),
            VALID_SECONDS,
            query.into_iter(),
            headers.into_iter(),
        );
        Ok(signed.into())
    }

    /// One try, on a thread of its own.
    fn once(
        &self,
        ask: &Ask,
        monitor: &dyn Monitor,
        gone: &dyn Fn(u64),
    ) -> Result<Result<Answer, RequestFailed>, StoreError> {
        monitor.check_interrupted()?;
        let mut request = Request::builder().method(ask.method.to_str()).uri(self.signed(ask)?);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let (stop, went) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let body = Outward::new(&ask.body, &stop, &went);
        let has_body = matches!(ask.method, Method::Put | Method::Post);
        let (agent, most) = (self.agent.clone(), ask.most);
        let is_post = matches!(ask.method, Method::Post);
        let (sender, receiver) = bounded(1);
        std::thread::Builder::new().name("hashget-s3".to_owned()).spawn(move || {
            // Sending fails if the caller no longer waits for the answer.
            drop(sender.send(exchange(&agent, request, has_body.then_some(body), most, is_post)));
        })?;
        loop {
            let message = receiver.recv_timeout(ATTENTION);
            gone(went.load(Ordering::Relaxed));
            match message {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) if monitor.interrupted() => {
                    stop.store(true, Ordering::Relaxed);
                    // What has gone as a whole is answered soon: then the caller can see what came of it.
                    let _ = receiver.recv_timeout(LAST_CHANCE);
                    return Err(Interrupted.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let problem = "the request broke off".to_owned();
                    return Ok(Err(RequestFailed { problem, may_pass: true }));
                }
            }
        }
    }
}

/// Sends a request and waits for its answer.
fn exchange(
    agent: &Agent,
    request: ureq::http::request::Builder,
    body: Option<Outward>,
    most: u64,
    is_post: bool,
) -> Result<Answer, RequestFailed> {
    let method = request.method_ref().map_or("", |method| method.as_str());
    let uri = request.uri_ref().map(ToString::to_string).unwrap_or_default();
    let mut log = RequestLog::begin(method, &uri);
    let answer = answered(agent, request, body, most, is_post, &mut log);
    match &answer {
        Ok(answer) => {
            log.came(answer.body.len());
            log.ended();
        }
        Err(failed) => log.failed(&failed.problem),
    }
    answer
}

/// The same, without a note of it.
fn answered(
    agent: &Agent,
    request: ureq::http::request::Builder,
    body: Option<Outward>,
    most: u64,
    is_post: bool,
    log: &mut RequestLog,
) -> Result<Answer, RequestFailed> {
    let wrong =
        |error: ureq::http::Error| RequestFailed { problem: error.to_string(), may_pass: false };
    let response = match body {
        Some(body) => {
            let request = request.header("content-length", body.left);
            agent.run(request.body(SendBody::from_owned_reader(body)).map_err(wrong)?)?
        }
        None => agent.run(request.body(()).map_err(wrong)?)?,
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    log.answered(status, None);
    let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut body = Vec::new();
    let read = reader.by_ref().take(most).read_to_end(&mut body);
    read.map_err(|error| RequestFailed::from(ureq::Error::from(error)))?;
    let may_be_error = !(200..300).contains(&status) || is_post;
    let refusal = refusal(&body).filter(|_| may_be_error).unwrap_or_default();
    Ok(Answer { status, headers, body, refusal, is_repeated: false })
}

/// A body on its way out.
struct Outward {
    body: Body,
    position: u64,
    left: u64,
    stop: Arc<AtomicBool>,
    went: Arc<AtomicU64>,
}

impl Outward {
    fn new(body: &Body, stop: &Arc<AtomicBool>, went: &Arc<AtomicU64>) -> Self {
        let (position, left) = match body {
            Body::Bytes(bytes) => (0, bytes.len() as u64),
            Body::Part { first, bytes, .. } => (*first, *bytes),
        };
        Self { body: body.clone(), position, left, stop: Arc::clone(stop), went: Arc::clone(went) }
    }
}

impl Read for Outward {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match &self.body {
            Body::Bytes(bytes) => {
                let first = usize::try_from(self.position).unwrap_or(usize::MAX);
                buffer[..count].copy_from_slice(&bytes[first..first + count]);
            }
            Body::Part { file, pace, .. } => {
                read_exact_at(file, &mut buffer[..count], self.position)?;
                let mut due = pace.due(count as u64);
                while !due.is_zero() && !self.stop.load(Ordering::Relaxed) {
                    let pause = due.min(ATTENTION);
                    std::thread::sleep(pause);
                    due = due.saturating_sub(pause);
                }
            }
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        self.position += count as u64;
        self.left -= count as u64;
        self.went.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
