//! Gives up hosts that cannot be reached or fail at every request, for a while: otherwise each package costs all its tries.
//!
//! Invariant: every request to a host is counted here, whatever source makes it. Enough failures in a row close the host;
//! one request that is answered to its end resets the count. A closed host is asked again after the cool-down, by one
//! request at a time. Hosts do not affect each other.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::FetchError;
use super::clock::{ATTENTION, Clock, SystemClock};
use super::error::{GivenUp, not_asked};
use crate::monitor::Monitor;

/// A host is given up when the failures in a row weigh this much.
const ENOUGH: u32 = 20;

/// A closed host is left alone this many times as long as the failed request took, but not less than the cool-down.
const PATIENCE: u32 = 4;

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// No connection, or it was closed without an answer.
    NoAnswer,
    /// Its name does not exist, or its certificate is not valid.
    Lasting,
    /// Nothing came, or next to nothing, until the time was over. Each costs much time.
    Silence,
    /// The body came too slowly or not at all, after a good part of it.
    Stall,
    /// The server, or one behind it, cannot answer now, whatever the URL (429, 502, 503, 504).
    Busy,
    /// The server failed at this URL (500); others may be there.
    Error,
}

impl Failed {
    const fn weight(self) -> u32 {
        match self {
            Self::Lasting | Self::Silence => 10,
            Self::NoAnswer | Self::Stall | Self::Busy => 4,
            Self::Error => 1,
        }
    }
}

/// What is known about a host.
#[derive(Debug, Default)]
struct Host {
    /// Requests that failed since one was answered to its end.
    failures: usize,
    /// Their weight.
    weight: u32,
    /// How the latest failed.
    problem: String,
    /// When the latest was counted.
    counted: Duration,
    /// If it was given up: when it is asked again.
    closed_until: Option<Duration>,
    /// Is a request in progress that decides whether the host can be reached again?
    on_trial: bool,
    /// Has it answered any request?
    heard: bool,
}

/// Counts the failures of hosts.
pub struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    cool_down: Duration,
    /// How often a host that has answered nothing yet may let all the time pass.
    waits: u32,
    hosts: Mutex<BTreeMap<String, Host>>,
    decided: Condvar,
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker").field("cool_down", &self.cool_down).finish_non_exhaustive()
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::default()), Duration::from_secs(30))
    }
}

impl CircuitBreaker {
    /// A breaker that gives up a host for at least `cool_down` at a time.
    pub fn new(clock: Arc<dyn Clock>, cool_down: Duration) -> Self {
        let (hosts, decided) = (Mutex::default(), Condvar::new());
        Self { clock, cool_down, waits: 2, hosts, decided }
    }

    /// The same, where a host that has answered nothing yet may let all the time pass so often; at least once.
    #[must_use]
    pub fn with_waits(self, waits: u32) -> Self {
        Self { waits, ..self }
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().expect("nothing panics while it counts")
    }

    /// Fails if `host` is given up now, without waiting for anything.
    pub(super) fn check(&self, host: &str, url: &str) -> Result<(), FetchError> {
        let now = self.clock.now();
        let closed = self.hosts().get(host).and_then(|known| known.closed(host, url, now));
        closed.map_or(Ok(()), Err)
    }

    /// Begins a request to `host`. If the host was given up and another request is about to show whether it can be
    /// reached again, waits for that.
    ///
    /// # Errors
    /// [`FetchError::NotAsked`] if the host is given up; or the monitor asked to stop.
    pub(super) fn attempt(
        self: &Arc<Self>,
        host: &str,
        url: &str,
        monitor: &dyn Monitor,
    ) -> Result<Attempt, FetchError> {
        let mut hosts = self.hosts();
        loop {
            let known = hosts.entry(host.to_owned()).or_default();
            let now = self.clock.now();
            if let Some(error) = known.closed(host, url, now) {
                return Err(error);
            }
            let trial = known.closed_until.is_some();
            if !trial || !known.on_trial {
                known.on_trial = trial;
                drop(hosts);
                return Ok(Attempt {
                    breaker: Arc::clone(self),
                    host: host.to_owned(),
                    began: now,
                    trial: AtomicBool::new(trial),
                });
            }
            monitor.check_interrupted()?;
            let woken = self.decided.wait_timeout(hosts, ATTENTION);
            hosts = woken.expect("nothing panics while it counts").0;
        }
    }
}

impl Host {
    /// The error if it is given up now.
    fn closed(&self, host: &str, url: &str, now: Duration) -> Option<FetchError> {
        let again = self.closed_until?.checked_sub(now).filter(|again| !again.is_zero())?;
        let given_up = GivenUp { host: host.to_owned(), failures: self.failures, again };
        Some(not_asked(url, given_up, self.problem.clone()))
    }
}

/// A request to a host.
#[derive(Debug)]
pub(super) struct Attempt {
    breaker: Arc<CircuitBreaker>,
    host: String,
    began: Duration,
    /// Does it decide whether a host that was given up can be reached again?
    trial: AtomicBool,
}

impl Attempt {
    /// Is this the trial of a host that was given up, and nothing is decided yet?
    pub(super) fn is_trial(&self) -> bool {
        self.trial.load(Ordering::Relaxed)
    }

    /// The host has begun to answer: others may ask it, too, and need not wait for the end of a long download. If it was
    /// given up, half of its failures are forgotten.
    pub(super) fn heard(&self) {
        if self.trial.swap(false, Ordering::Relaxed) {
            self.decide(|host| {
                host.weight = host.weight.min(ENOUGH / 2);
                (host.closed_until, host.on_trial) = (None, false);
            });
        }
        self.decide(|host| host.heard = true);
    }

    /// The answer was received as far as it was wanted: nothing is held against the host any more.
    pub(super) fn succeeded(&self) {
        self.trial.store(false, Ordering::Relaxed);
        self.decide(|host| *host = Host { heard: true, ..Host::default() });
    }

    /// Counts the failure. If the host is given up now, says so.
    pub(super) fn failed(&self, failed: Failed, problem: &str) -> Option<Box<GivenUp>> {
        let was_trial = self.trial.swap(false, Ordering::Relaxed);
        let now = self.breaker.clock.now();
        let took = now.saturating_sub(self.began);
        let cool_down = took.saturating_mul(PATIENCE).max(self.breaker.cool_down);
        let mut given_up = None;
        self.decide(|host| {
            // Requests that were made at the same time get one answer: it is too busy for so many.
            if failed == Failed::Busy && self.began < host.counted {
                return;
            }
            host.failures += 1;
            let weight = match failed {
                Failed::Silence if !host.heard => ENOUGH.div_ceil(self.breaker.waits.max(1)),
                failed => failed.weight(),
            };
            host.weight = host.weight.saturating_add(weight);
            (host.counted, host.problem) = (now, problem.to_owned());
            // A request that began before the host was given up does not prolong that.
            let open_again = was_trial && host.closed_until.is_some();
            if open_again || (host.closed_until.is_none() && host.weight >= ENOUGH) {
                host.closed_until = Some(now.saturating_add(cool_down));
            }
            host.on_trial &= !was_trial;
            given_up = host.closed_until.map(|until| {
                let (failures, again) = (host.failures, until.saturating_sub(now));
                Box::new(GivenUp { host: self.host.clone(), failures, again })
            });
        });
        given_up
    }

    fn decide(&self, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.breaker.hosts().get_mut(&self.host) {
            change(host);
        }
        self.breaker.decided.notify_all();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // It ended without showing anything about the host: the next request is the trial.
        if *self.trial.get_mut() {
            self.decide(|host| host.on_trial = false);
        }
    }
}
