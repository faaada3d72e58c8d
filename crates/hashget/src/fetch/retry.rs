//! Retries temporary failures, with growing pauses.
//!
//! Invariant: only [`FetchError::Transient`] is retried, and it is never returned. Nothing is retried at a host that is
//! given up.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, SystemClock, wait};
use super::error::not_asked;
use super::{ByteRange, FetchError, Fetched, Reach, Source, Wanted, Web};
use crate::monitor::{Monitor, ProblemKind};

/// An attempt that makes this much progress, in bytes, resets the count of attempts.
const PROGRESS: u64 = 1 << 20;

/// How often to retry, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub struct RetryOptions {
    /// Attempts without progress, in total; at least 1.
    pub tries: u32,
    /// The pause after the first attempt (at random between half and all of it); doubles each time.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// The longest pause that a server's `Retry-After` can ask for.
    pub longest_retry_after: Duration,
    /// How long at least a host that fails is left alone before it is asked again.
    pub cool_down: Duration,
    /// How often a host that has answered nothing yet may let all the time pass before it is given up; at least once.
    pub waits: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(120),
            cool_down: Duration::from_secs(30),
            waits: 2,
        }
    }
}

/// Retries a source if that may help.
pub struct Retry<I> {
    inner: I,
    options: RetryOptions,
    clock: Arc<dyn Clock>,
}

impl<I> Retry<I> {
    /// Retries `inner`, with the real clock.
    pub fn new(inner: I, options: RetryOptions) -> Self {
        Self::with_clock(inner, options, Arc::new(SystemClock::default()))
    }

    /// Retries `inner`, with another clock.
    pub fn with_clock(inner: I, options: RetryOptions, clock: Arc<dyn Clock>) -> Self {
        Self { inner, options, clock }
    }

    fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(self.options.longest_retry_after);
        }
        let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
        let full = self.options.first_pause.saturating_mul(doubled).min(self.options.longest_pause);
        // Random, so that many clients do not retry at the same moment.
        let chance = RandomState::new().hash_one(failures) % 1000;
        full / 2 + full.mul_f64(0.0005 * f64::from(u32::try_from(chance).unwrap_or(0)))
    }
}

impl<I: Source> Source for Retry<I> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        self.patiently(&wanted.url, &|| self.inner.fetch(wanted, monitor), monitor)
    }
}

impl<I: Web> Web for Retry<I> {
    fn fetch_range(
        &self,
        url: &str,
        reach: Reach,
        first: u64,
        count: u64,
        monitor: &dyn Monitor,
    ) -> Result<ByteRange, FetchError> {
        let ask = || self.inner.fetch_range(url, reach, first, count, monitor);
        self.patiently(url, &ask, monitor)
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        let ask = || self.inner.fetch_page(url, reach, accept, most, monitor);
        self.patiently(url, &ask, monitor)
    }
}

impl<I> Retry<I> {
    /// Repeats `ask` according to the options.
    fn patiently<T>(
        &self,
        url: &str,
        ask: &dyn Fn() -> Result<T, FetchError>,
        monitor: &dyn Monitor,
    ) -> Result<T, FetchError> {
        let (mut tries, mut failures, mut most_kept) = (0, 0, 0);
        loop {
            let error = match ask() {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            let Some((asked, kept)) = passing(&error) else {
                return Err(settled(error, tries + 1));
            };
            tries += 1;
            failures += 1;
            if kept >= most_kept + PROGRESS {
                most_kept = kept;
                failures = 1;
            }
            if failures >= self.options.tries {
                return Err(settled(error, tries));
            }
            let error = match stopped(error) {
                Ok(error) => return Err(error),
                Err(error) => error,
            };
            let pause = self.pause(failures, asked);
            let seconds = pause.as_secs_f64();
            monitor.problem(
                ProblemKind::Note,
                super::fetch_url::shown(url),
                format!("{error}; trying again in {seconds:.1} s"),
            );
            wait(&*self.clock, pause, monitor)?;
        }
    }
}

/// The final error if no host can be asked again now; otherwise the error itself.
fn stopped(error: FetchError) -> Result<FetchError, FetchError> {
    match error {
        FetchError::Transient { url, problem, given_up: Some(given_up), .. } => {
            Ok(not_asked(&url, *given_up, problem))
        }
        error => Err(error),
    }
}

/// The requested pause and the bytes kept, if a retry may help.
fn passing(error: &FetchError) -> Option<(Option<Duration>, u64)> {
    match error {
        FetchError::Transient { retry_after, kept, .. } => Some((*retry_after, *kept)),
        FetchError::All { errors } => errors
            .iter()
            .filter_map(passing)
            .reduce(|(asked, kept), (other, more)| (asked.max(other), kept.max(more))),
        _ => None,
    }
}

/// The error after the last attempt.
fn settled(error: FetchError, tries: u32) -> FetchError {
    match error {
        FetchError::Transient { url, problem, answered, given_up, .. } => {
            let problem = match tries {
                0 | 1 => problem,
                tries => format!("{problem} (tried {tries} times)"),
            };
            FetchError::Unreachable { url, problem, answered, given_up }
        }
        FetchError::All { errors } => FetchError::All {
            errors: errors.into_iter().map(|error| settled(error, tries)).collect(),
        },
        error => error,
    }
}
