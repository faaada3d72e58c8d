//! Gives up hosts that cannot be reached: each failed attempt takes minutes.
//!
//! Invariant: a host is given up after [`MOST_FAILURES`] of its URLs failed in a row, and no more attempts
//! than that fail, whatever the number of threads. Any other answer, even that the URL does not exist, resets
//! the count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex};

use url::Url;

use super::clock::ATTENTION;
use super::{FetchError, fetch_url};
use crate::monitor::Monitor;

/// Different URLs of a host that fail in a row before it is given up.
const MOST_FAILURES: usize = 5;

/// What is known about a host.
#[derive(Debug, Default)]
struct Host {
    /// URLs that failed since the host last answered.
    failed: BTreeSet<String>,
    /// Attempts in progress.
    under_way: usize,
}

/// Counts the failures of hosts.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    hosts: Mutex<BTreeMap<String, Host>>,
    ended: Condvar,
}

impl CircuitBreaker {
    /// Starts an attempt to reach the host of `url`. If the latest attempts failed, waits until those in
    /// progress show whether the host can be reached.
    ///
    /// # Errors
    /// [`FetchError::NotAsked`] if the host was given up; or the monitor asked to stop.
    pub(super) fn attempt<'b>(
        &'b self,
        url: &'b str,
        monitor: &dyn Monitor,
    ) -> Result<Attempt<'b>, FetchError> {
        let host = host_of(url);
        let mut hosts = self.hosts.lock().expect("nothing panics while it counts");
        loop {
            let known = hosts.entry(host.clone()).or_default();
            let failures = known.failed.len();
            if failures >= MOST_FAILURES {
                return Err(FetchError::NotAsked { url: fetch_url::shown(url), host, failures });
            }
            if failures == 0 || failures + known.under_way < MOST_FAILURES {
                known.under_way += 1;
                return Ok(Attempt { breaker: self, host, url });
            }
            monitor.check_interrupted()?;
            let woken = self.ended.wait_timeout(hosts, ATTENTION);
            hosts = woken.expect("nothing panics while it counts").0;
        }
    }
}

/// An attempt to reach a host.
#[derive(Debug)]
pub(super) struct Attempt<'b> {
    breaker: &'b CircuitBreaker,
    host: String,
    url: &'b str,
}

impl Attempt<'_> {
    /// Ends the attempt with `outcome`.
    pub(super) fn end<T>(self, outcome: &Result<T, FetchError>) {
        let mut hosts = self.breaker.hosts.lock().expect("nothing panics while it counts");
        let Some(host) = hosts.get_mut(&self.host) else { return };
        match outcome {
            Err(FetchError::Unreachable { .. } | FetchError::Transient { .. }) => {
                host.failed.insert(self.url.to_owned());
            }
            // These errors say nothing about the host.
            Err(
                FetchError::Interrupted(_)
                | FetchError::Disk { .. }
                | FetchError::Refused { .. }
                | FetchError::NotAsked { .. },
            ) => {}
            Ok(_)
            | Err(
                FetchError::NotFound { .. } | FetchError::Mismatch { .. } | FetchError::All { .. },
            ) => host.failed.clear(),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut hosts = self.breaker.hosts.lock().expect("nothing panics while it counts");
        if let Some(host) = hosts.get_mut(&self.host) {
            host.under_way -= 1;
        }
        drop(hosts);
        self.breaker.ended.notify_all();
    }
}

/// Host and port. Text that is not a URL is refused when it is fetched.
fn host_of(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return String::new() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;

    fn unreachable() -> Result<(), FetchError> {
        Err(FetchError::Unreachable { url: "u".to_owned(), problem: "gone".to_owned() })
    }

    fn url(number: usize) -> String {
        format!("https://gone.example/{number}")
    }

    #[test]
    fn a_host_is_given_up_after_several_urls_and_others_are_not() {
        let breaker = CircuitBreaker::default();
        for number in 0..MOST_FAILURES {
            // Repeated failures of the same URL count once.
            for _ in 0..if number == 0 { 20 } else { 1 } {
                breaker.attempt(&url(number), &Silent).unwrap().end(&unreachable());
            }
        }
        let error = breaker.attempt(&url(9), &Silent).unwrap_err();
        assert!(matches!(error, FetchError::NotAsked { .. }), "{error:?}");
        assert!(error.to_string().contains("gone.example"), "{error}");
        breaker.attempt("https://other.example/", &Silent).unwrap().end(&Ok(()));
    }

    #[test]
    fn an_answer_begins_the_count_again() {
        let breaker = CircuitBreaker::default();
        for _ in 0..3 {
            for number in 1..MOST_FAILURES {
                breaker.attempt(&url(number), &Silent).unwrap().end(&unreachable());
            }
            let not_found: Result<(), _> =
                Err(FetchError::NotFound { from: "h".to_owned(), url: "u".to_owned() });
            breaker.attempt(&url(0), &Silent).unwrap().end(&not_found);
        }
        assert!(breaker.attempt(&url(99), &Silent).is_ok());
    }

    #[test]
    fn many_threads_try_no_more_than_one_would() {
        let breaker = CircuitBreaker::default();
        breaker.attempt(&url(0), &Silent).unwrap().end(&unreachable());
        let tried = std::sync::atomic::AtomicUsize::new(1);
        std::thread::scope(|scope| {
            for number in 1..20 {
                let (breaker, tried) = (&breaker, &tried);
                scope.spawn(move || {
                    let url = url(number);
                    let Ok(attempt) = breaker.attempt(&url, &Silent) else { return };
                    tried.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::thread::yield_now();
                    attempt.end(&unreachable());
                });
            }
        });
        assert_eq!(tried.into_inner(), MOST_FAILURES);
    }
}
