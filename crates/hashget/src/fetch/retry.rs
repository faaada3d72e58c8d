//! Retries temporary failures, with growing pauses.
//!
//! Invariant: only [`FetchError::Transient`] is retried, and it is never returned. A host that was given up gets a
//! single request, until it answers.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::{Attempt, CircuitBreaker, Watching};
use super::clock::{Clock, SystemClock, wait};
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
    /// How long a host that cannot be reached is left alone before it is asked again.
    pub cool_down: Duration,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            tries: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(120),
            cool_down: Duration::from_secs(30),
        }
    }
}

/// Retries a source if that may help. Hosts that cannot be reached several times in a row are given up for a while.
pub struct Retry<I> {
    inner: I,
    options: RetryOptions,
    clock: Arc<dyn Clock>,
    breaker: CircuitBreaker,
}

impl<I> Retry<I> {
    /// Retries `inner`, with the real clock.
    pub fn new(inner: I, options: RetryOptions) -> Self {
        Self::with_clock(inner, options, Arc::new(SystemClock::default()))
    }

    /// Retries `inner`, with another clock.
    pub fn with_clock(inner: I, options: RetryOptions, clock: Arc<dyn Clock>) -> Self {
        let breaker = CircuitBreaker::new(Arc::clone(&clock), options.cool_down);
        Self { inner, options, clock, breaker }
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
        let ask = |monitor: &dyn Monitor| self.inner.fetch(wanted, monitor);
        if wanted.also.is_empty() {
            self.unless_given_up(&wanted.url, &ask, monitor)
        } else {
            self.patiently(&wanted.url, &ask, None, monitor)
        }
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
        let ask = |monitor: &dyn Monitor| self.inner.fetch_range(url, reach, first, count, monitor);
        self.unless_given_up(url, &ask, monitor)
    }

    fn fetch_page(
        &self,
        url: &str,
        reach: Reach,
        accept: &str,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, FetchError> {
        let ask = |monitor: &dyn Monitor| self.inner.fetch_page(url, reach, accept, most, monitor);
        self.unless_given_up(url, &ask, monitor)
    }
}

/// One request, with the monitor to which it reports.
type Ask<'a, T> = &'a dyn Fn(&dyn Monitor) -> Result<T, FetchError>;

impl<I> Retry<I> {
    /// Calls `ask` with retries, unless the host of `url` was given up.
    fn unless_given_up<T>(
        &self,
        url: &str,
        ask: Ask<'_, T>,
        monitor: &dyn Monitor,
    ) -> Result<T, FetchError> {
        let attempt = self.breaker.attempt(url, monitor)?;
        let watching = Watching { monitor, attempt: &attempt };
        let outcome = self.patiently(url, ask, Some(&attempt), &watching);
        attempt.end(url, outcome)
    }

    /// Repeats `ask` according to the options.
    fn patiently<T>(
        &self,
        url: &str,
        ask: Ask<'_, T>,
        attempt: Option<&Attempt<'_>>,
        monitor: &dyn Monitor,
    ) -> Result<T, FetchError> {
        let (mut tries, mut failures, mut most_kept) = (0, 0, 0);
        loop {
            let error = match ask(monitor) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            if let Some(attempt) = attempt.filter(|_| error.answered() == Some(true)) {
                attempt.answered();
            }
            let Some((asked, kept)) = passing(&error) else {
                return Err(settled(error, tries + 1));
            };
            tries += 1;
            failures += 1;
            if kept >= most_kept + PROGRESS {
                most_kept = kept;
                failures = 1;
            }
            if failures >= self.options.tries || attempt.is_some_and(Attempt::is_trial) {
                return Err(settled(error, tries));
            }
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
        FetchError::Transient { url, problem, answered, .. } if tries > 1 => {
            let problem = format!("{problem} (tried {tries} times)");
            FetchError::Unreachable { url, problem, answered }
        }
        FetchError::Transient { url, problem, answered, .. } => {
            FetchError::Unreachable { url, problem, answered }
        }
        FetchError::All { errors } => FetchError::All {
            errors: errors.into_iter().map(|error| settled(error, tries)).collect(),
        },
        error => error,
    }
}
