//! The origin: the server that a URL itself names, over http and https.
//!
//! Invariant: wrong bytes leave no file behind. An unfinished download that is kept is resumed by a later attempt,
//! and then proven as a whole.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::download::{Download, Failure, Outcome, of_disk, of_unproven};
use super::failover::combine;
use super::fetch_url::FetchUrl;
use super::http::{Client, Exchange};
use super::method::Request;
use super::politeness::Politeness;
use super::unfinished::Unfinished;
use super::{
    ByteRange, CircuitBreaker, Credentials, FetchError, Fetched, Proxies, Reach, Source, Wanted,
    Web,
};
use crate::limits::Limits;
use crate::monitor::Monitor;

/// How long each phase of a request may take.
#[derive(Debug, Clone, Copy)]
pub struct TimeOuts {
    /// Resolving the host name.
    pub resolve: Duration,
    /// Connecting, TLS included.
    pub connect: Duration,
    /// Sending the request.
    pub send: Duration,
    /// From the request to the whole head of the answer.
    pub answer: Duration,
    /// Between two reads of the body.
    pub stall: Duration,
    /// In each window of this length at least [`slow_bytes`](Self::slow_bytes) must arrive. A whole download has no
    /// time limit.
    pub slow_window: Duration,
    /// See [`slow_window`](Self::slow_window).
    pub slow_bytes: u64,
}

impl TimeOuts {
    /// For a backup, which can do without what does not answer soon.
    pub fn brief() -> Self {
        let (short, answer) = (Duration::from_secs(10), Duration::from_secs(12));
        Self { resolve: short, connect: short, answer, ..Self::default() }
    }
}

impl Default for TimeOuts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(15),
            connect: Duration::from_secs(15),
            send: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            slow_window: Duration::from_secs(30),
            slow_bytes: 4 * 1024,
        }
    }
}

/// Options of an origin.
#[derive(Debug, Clone)]
pub struct OriginOptions {
    /// The folder for unfinished downloads. Without one (or if it is not writable) an interrupted download starts
    /// from the beginning.
    pub partial_dir: Option<PathBuf>,
    /// Keep a proven download under its temporary name, so that a [`Cache`](super::Cache) around this source can
    /// rename it instead of copying.
    pub keep_name: bool,
    /// `download_bytes` limits downloads of unknown size.
    pub limits: Limits,
    /// Limits requests by host.
    pub politeness: Arc<Politeness>,
    /// Gives up hosts that fail.
    pub breaker: Arc<CircuitBreaker>,
    /// Logins for the places that the configuration names.
    pub credentials: Credentials,
    /// Time-outs.
    pub time_outs: TimeOuts,
    /// The proxies that requests go through.
    pub proxies: Proxies,
    /// Hosts (`example.org`, or `example.org:8080` for a single port) that count as public, wherever they are.
    pub public_hosts: BTreeSet<String>,
    /// The `User-Agent` header.
    pub user_agent: String,
}

impl Default for OriginOptions {
    fn default() -> Self {
        Self {
            partial_dir: None,
            keep_name: false,
            limits: Limits::default(),
            politeness: Arc::default(),
            breaker: Arc::default(),
            credentials: Credentials::default(),
            time_outs: TimeOuts::default(),
            proxies: Proxies::default(),
            public_hosts: BTreeSet::new(),
            user_agent: concat!("hashget/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Downloads from the URL itself.
#[derive(Debug)]
pub struct HttpOrigin {
    client: Client,
    options: OriginOptions,
}

impl Source for HttpOrigin {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let mut errors = Vec::new();
        for url in std::iter::once(&wanted.url).chain(&wanted.also) {
            match self.fetch_url(url, wanted, monitor) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => errors.push(error),
                fetched => return fetched,
            }
        }
        Err(combine(errors))
    }
}

impl Web for HttpOrigin {
    fn fetch_range(
        &self,
        url: &str,
        reach: Reach,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        self.without_digest(url, reach, monitor, |download| download.byte_range(first, count))
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        self.without_digest(url, reach, monitor, |download| download.page(accept, most))
    }
}

impl HttpOrigin {
    /// An origin. The first fetch makes the first connection.
    pub fn new(options: OriginOptions) -> Self {
        let client =
            Client::new(options.time_outs, options.proxies.clone(), options.user_agent.clone());
        Self { client, options }
    }

    /// Sends a request to a place of the configuration, and waits for the head of the answer, whatever its status.
    pub(super) fn exchange(
        &self,
        request: impl Into<Request>,
        url: &str,
        headers: Vec<(&'static str, String)>,
        monitor: &dyn Monitor,
    ) -> Result<Exchange, FetchError> {
        self.without_digest(url, Reach::Configured, monitor, |download| {
            download.answered_to(request.into(), headers)
        })
    }

    /// Calls `ask` with a download that keeps no file.
    fn without_digest<T>(
        &self,
        url: &str,
        reach: Reach,
        monitor: &dyn Monitor,
        ask: impl FnOnce(Download<'_>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let target = FetchUrl::parse(url)?;
        let wanted = Wanted { url: url.to_owned(), reach, ..Wanted::default() };
        let part = Unfinished::open(None, url, monitor)
            .map_err(|unproven| of_unproven(&target, unproven))?;
        let (client, options) = (&self.client, &self.options);
        ask(Download { client, options, target, wanted: &wanted, monitor, part })
    }

    fn fetch_url(
        &self,
        url: &str,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Fetched, FetchError> {
        let target = FetchUrl::parse(url)?;
        let dir = self.options.partial_dir.as_deref();
        let part = Unfinished::open(dir, target.as_str(), monitor)
            .map_err(|unproven| of_unproven(&target, unproven))?;
        let (client, options) = (&self.client, &self.options);
        let mut job = Download { client, options, target, wanted, monitor, part };
        let mut begun_again = false;
        loop {
            let outcome = match job.attempt() {
                // After a resume the bytes of the earlier attempt may be the wrong ones.
                Err(Failure { error: FetchError::Mismatch { .. }, resumed: true }) => {
                    Outcome::BeginAgain
                }
                Err(failure) => return Err(job.give_up(failure.error)),
                Ok(outcome) => outcome,
            };
            match outcome {
                Outcome::Whole { sha256, size } => {
                    let file = job.part.finish(self.options.keep_name);
                    let file = file.map_err(|error| of_disk(&job.target, error))?;
                    let from = job.target.as_str().to_owned();
                    return Ok(Fetched { file, sha256, size, from });
                }
                Outcome::BeginAgain if begun_again => {
                    let problem = "its answers to requests for a part contradict each other";
                    return Err(job.transient(problem.to_owned(), None));
                }
                Outcome::BeginAgain => {
                    begun_again = true;
                    job.part.clear().map_err(|error| of_disk(&job.target, error))?;
                }
            }
        }
    }
}
