//! One HTTP request and its answer, on a thread of its own.
//!
//! Invariant: the caller never waits for the network itself and so notices an interruption within
//! [`ATTENTION`]. Every phase of the exchange has a time-out, so that the thread always ends.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Mutex;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use super::Reach;
use super::RequestLog;
use super::agent::{new_agent, trouble};
use super::circuit_breaker::{Attempt, Failed};
use super::clock::ATTENTION;
use super::error::GivenUp;
use super::fetch_url::FetchUrl;
use super::method::Request;
use super::origin::TimeOuts;
use super::politeness::Permit;
use super::proxy::{Proxies, Route};
use super::stated::Stated;
use crate::model::escaped;
use crate::monitor::{Interrupted, Monitor};

/// Size of the pieces of a body that the thread hands over, in bytes.
const PIECE: usize = 128 * 1024;

/// Number of pieces in the queue.
const WAITING: usize = 8;

/// The connections to servers. TLS is set up for the first https request.
#[derive(Debug)]
pub(super) struct Client {
    time_outs: TimeOuts,
    proxies: Proxies,
    user_agent: String,
    /// One for each route, to any address or only to public ones.
    agents: Mutex<BTreeMap<(Route, bool), Agent>>,
}

/// Why an exchange failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A retry may help.
    Passing(String),
    /// A retry may help, and the failure took as long as is allowed.
    Silent(String),
    /// A retry would not help.
    Lasting(String),
    /// The URL must not be fetched.
    Refused(String),
    /// The monitor asked to stop.
    Interrupted,
}

impl Trouble {
    /// What is wrong.
    fn problem(&self) -> &str {
        match self {
            Self::Passing(text)
            | Self::Silent(text)
            | Self::Lasting(text)
            | Self::Refused(text) => text,
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Interrupted> for Trouble {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    headers: HeaderMap,
}

impl Head {
    /// Its headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's value, if there is one and it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer whose body is still being received.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) head: Head,
    /// The heads of the redirects that led here.
    pub(super) redirects: Vec<Head>,
    /// If its host is given up because of this exchange.
    pub(super) given_up: Option<Box<GivenUp>>,
    body: Receiver<Message>,
    pace: Pace,
    /// Bytes of the body that came.
    came: u64,
    /// They came too slowly: told after the last of them.
    too_slow: Option<Trouble>,
    /// What is counted for its host when it ends.
    attempt: Option<Attempt>,
    /// What is written down of it when it ends.
    log: RequestLog,
}

/// A body that ends or falls silent before it has so many bytes is as good as no answer.
const NEXT_TO_NOTHING: u64 = 64 * 1024;

enum Message {
    Head(Head),
    Bytes(Vec<u8>),
    End,
    Failed(Trouble),
}

impl Client {
    /// A client without any connection yet.
    pub(super) fn new(time_outs: TimeOuts, proxies: Proxies, user_agent: String) -> Self {
        Self { time_outs, proxies, user_agent, agents: Mutex::default() }
    }

    /// Sends a request and waits for the head of the answer. With `public_only` it connects to no private
    /// address (most proxies resolve names on their own).
    pub(super) fn send(
        &self,
        (request, target): (Request, &FetchUrl),
        headers: Vec<(&'static str, String)>,
        (reach, public_only): (Reach, bool),
        permit: Permit,
        monitor: &dyn Monitor,
    ) -> Result<Exchange, Trouble> {
        let route = self.proxies.route(target, reach);
        let agent = self.agent(route, public_only);
        let url = target.as_str().to_owned();
        // On this thread: whoever ends the program waits for no other one.
        let mut log = RequestLog::begin(request.method.name(), &url);
        let (sender, body) = bounded(WAITING);
        std::thread::Builder::new()
            .name("hashget-fetch".to_owned())
            .spawn(move || {
                // Sending fails if the caller no longer waits for the answer.
                drop(run(&agent, (request, &url), &headers, &sender));
                drop(permit);
            })
            .map_err(|error| Trouble::Passing(format!("no thread could be started ({error})")))?;
        match receive(&body, monitor)? {
            Message::Head(head) => {
                log.answered(head.status, head.length);
                let pace = Pace::new(self.time_outs.slow_window, self.time_outs.slow_bytes);
                let (redirects, given_up, came) = (Vec::new(), None, 0);
                let (too_slow, attempt) = (None, None);
                Ok(Exchange { head, redirects, given_up, body, pace, came, too_slow, attempt, log })
            }
            Message::Failed(trouble) => {
                log.failed(trouble.problem());
                Err(self.with_proxy(trouble, route))
            }
            Message::Bytes(_) | Message::End => {
                Err(Trouble::Lasting("the answer has no head".to_owned()))
            }
        }
    }

    /// The trouble, with the proxy that the request went through.
    fn with_proxy(&self, trouble: Trouble, route: Route) -> Trouble {
        let Some(proxy) = self.proxies.proxy(route) else { return trouble };
        let (host, port) = (escaped(proxy.host().as_bytes()), proxy.port());
        let through = |problem| format!("{problem} (through the proxy {host}:{port})");
        match trouble {
            Trouble::Passing(problem) => Trouble::Passing(through(problem)),
            Trouble::Silent(problem) => Trouble::Silent(through(problem)),
            Trouble::Lasting(problem) => Trouble::Lasting(through(problem)),
            trouble @ (Trouble::Refused(_) | Trouble::Interrupted) => trouble,
        }
    }

    fn agent(&self, route: Route, public_only: bool) -> Agent {
        let mut agents = self.agents.lock().expect("nothing panics while it looks");
        let agent = agents.entry((route, public_only)).or_insert_with(|| {
            let proxy = self.proxies.proxy(route).cloned();
            new_agent(self.time_outs, proxy, &self.user_agent, public_only)
        });
        agent.clone()
    }
}

impl Exchange {
    /// What the server says about the content, of which `whole` or only a part was sent.
    pub(super) fn stated(&self, whole: bool) -> Stated {
        let mut stated = Stated::from_headers(self.head.headers(), whole);
        self.redirects.iter().for_each(|head| stated.add_redirect(head.headers()));
        stated
    }

    /// The exchange, whose host has answered in this way. Its end is counted, too.
    pub(super) fn counted(mut self, attempt: Attempt, failed: Option<Failed>) -> Self {
        if failed != Some(Failed::Busy) {
            attempt.heard();
        }
        if let Some(failed) = failed {
            let problem = format!("the server answers {}", self.head.status);
            self.given_up = attempt.failed(failed, &problem);
        } else {
            self.attempt = Some(attempt);
        }
        self
    }

    /// Its head, when nothing else of it is wanted.
    pub(super) fn into_head(mut self) -> Head {
        let nothing = Head { status: 0, length: None, headers: HeaderMap::new() };
        std::mem::replace(&mut self.head, nothing)
    }

    /// The next bytes of the body; `None` at its end. They must not come too slowly.
    pub(super) fn next(&mut self, monitor: &dyn Monitor) -> Result<Option<Vec<u8>>, Trouble> {
        let message = match self.too_slow.take() {
            Some(trouble) => Err(trouble),
            None => receive(&self.body, monitor),
        };
        let trouble = match message {
            Ok(Message::Bytes(bytes)) => {
                self.came += bytes.len() as u64;
                self.log.came(bytes.len());
                self.too_slow = self.pace.came(bytes.len()).err();
                return Ok(Some(bytes));
            }
            Ok(Message::Head(_) | Message::End) => {
                self.log.ended();
                return Ok(None);
            }
            Ok(Message::Failed(trouble)) | Err(trouble) => trouble,
        };
        self.log.failed(trouble.problem());
        if let Some(attempt) = self.attempt.take() {
            let hardly_began = self.came < NEXT_TO_NOTHING;
            self.given_up = match &trouble {
                Trouble::Silent(problem) if hardly_began => {
                    attempt.failed(Failed::Silence, problem)
                }
                Trouble::Silent(problem) => attempt.failed(Failed::Stall, problem),
                Trouble::Passing(problem) if hardly_began => {
                    attempt.failed(Failed::NoAnswer, problem)
                }
                // A long download may break off often, as long as it moves on.
                _ => None,
            };
        }
        Err(trouble)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            attempt.succeeded();
        }
    }
}

/// The next message, unless the monitor asks to stop before it comes.
fn receive(messages: &Receiver<Message>, monitor: &dyn Monitor) -> Result<Message, Trouble> {
    loop {
        monitor.check_interrupted()?;
        match messages.recv_timeout(ATTENTION) {
            Ok(message) => return Ok(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Trouble::Passing("the exchange broke off".to_owned()));
            }
        }
    }
}

/// The thread's work. `Err` if the caller no longer waits.
fn run(
    agent: &Agent,
    (request, url): (Request, &str),
    headers: &[(&'static str, String)],
    to: &Sender<Message>,
) -> Result<(), crossbeam_channel::SendError<Message>> {
    let response = match request.ask(agent, url, headers) {
        Ok(response) => response,
        Err(error) => return to.send(Message::Failed(trouble(error))),
    };
    to.send(Message::Head(head_of(&response)))?;
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    loop {
        let mut piece = vec![0; PIECE];
        match body.read(&mut piece) {
            Ok(0) => return to.send(Message::End),
            Ok(count) => {
                piece.truncate(count);
                to.send(Message::Bytes(piece))?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return to.send(Message::Failed(trouble(error.into()))),
        }
    }
}

fn head_of(response: &Response<Body>) -> Head {
    let headers = response.headers().clone();
    let length = response.body().content_length();
    Head { status: response.status().as_u16(), length, headers }
}

/// Minimum speed of a download, measured in windows of time.
#[derive(Debug)]
struct Pace {
    window: Duration,
    least: u64,
    began: std::time::Instant,
    bytes: u64,
}

impl Pace {
    /// At least `least` bytes in every `window`.
    fn new(window: Duration, least: u64) -> Self {
        Self { window, least, began: std::time::Instant::now(), bytes: 0 }
    }

    /// Counts received bytes; an error if they arrive too slowly.
    fn came(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.bytes += bytes as u64;
        if self.began.elapsed() < self.window {
            return Ok(());
        }
        if self.bytes < self.least {
            let (bytes, seconds) = (self.bytes, self.window.as_secs_f64());
            return Err(Trouble::Silent(format!("too slow: {bytes} bytes in {seconds} s")));
        }
        self.began = std::time::Instant::now();
        self.bytes = 0;
        Ok(())
    }
}
