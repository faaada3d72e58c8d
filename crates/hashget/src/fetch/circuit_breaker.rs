//! Gives up hosts that cannot be reached, for a while: each failed attempt takes minutes.
//!
//! Invariant: only failures without any HTTP answer count, whatever their URLs; each answer resets the count. A host is
//! given up after [`MOST_FAILURES`] in a row, and is asked again after the cool-down, by one attempt at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use url::Url;

use super::clock::{ATTENTION, Clock};
use super::{FetchError, fetch_url};
use crate::monitor::{Event, Monitor, Step};

/// Attempts that fail in a row before a host is given up.
pub(super) const MOST_FAILURES: usize = 5;

/// What is known about a host.
#[derive(Debug, Default)]
struct Host {
    /// Attempts that failed since the host last answered.
    failures: usize,
    /// If it was given up: when it is asked again.
    closed_until: Option<Duration>,
    /// Is an attempt in progress that decides whether the host can be reached again?
    on_trial: bool,
}

/// Counts the failures of hosts.
pub(super) struct CircuitBreaker {
    clock: Arc<dyn Clock>,
    cool_down: Duration,
    hosts: Mutex<BTreeMap<String, Host>>,
    decided: Condvar,
}

impl CircuitBreaker {
    /// A breaker that gives up a host for `cool_down` at a time.
    pub(super) fn new(clock: Arc<dyn Clock>, cool_down: Duration) -> Self {
        Self { clock, cool_down, hosts: Mutex::default(), decided: Condvar::new() }
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().expect("nothing panics while it counts")
    }

    /// Starts an attempt to reach the host of `url`. If the host was given up and another attempt is about to show
    /// whether it can be reached again, waits for that.
    ///
    /// # Errors
    /// [`FetchError::NotAsked`] if the host is given up; or the monitor asked to stop.
    pub(super) fn attempt(
        &self,
        url: &str,
        monitor: &dyn Monitor,
    ) -> Result<Attempt<'_>, FetchError> {
        let host = host_of(url);
        let mut hosts = self.hosts();
        loop {
            let known = hosts.entry(host.clone()).or_default();
            let trial = known.closed_until.is_some();
            let now = self.clock.now();
            if let Some(again) = known.closed_until.and_then(|until| until.checked_sub(now))
                && !again.is_zero()
            {
                return Err(not_asked(url, host, known.failures, again));
            }
            if !trial || !known.on_trial {
                known.on_trial = trial;
                drop(hosts);
                return Ok(Attempt { breaker: self, host, trial: AtomicBool::new(trial) });
            }
            monitor.check_interrupted()?;
            let woken = self.decided.wait_timeout(hosts, ATTENTION);
            hosts = woken.expect("nothing panics while it counts").0;
        }
    }
}

/// An attempt to reach a host.
pub(super) struct Attempt<'b> {
    breaker: &'b CircuitBreaker,
    host: String,
    /// Does it decide whether a host that was given up can be reached again?
    trial: AtomicBool,
}

impl Attempt<'_> {
    /// Is this the trial of a host that was given up, and nothing is decided yet?
    pub(super) fn is_trial(&self) -> bool {
        self.trial.load(Ordering::Relaxed)
    }

    /// The host has answered: nothing is held against it any more. Called as soon as that is known, so that nobody
    /// waits for the end of a long download.
    pub(super) fn answered(&self) {
        self.trial.store(false, Ordering::Relaxed);
        self.decide(|host| *host = Host::default());
    }

    /// Ends the attempt to fetch `url` with `outcome`. A trial that fails says nothing about `url`, which got one
    /// request only: it counts as not asked for.
    pub(super) fn end<T>(self, url: &str, outcome: Result<T, FetchError>) -> Result<T, FetchError> {
        match outcome.as_ref().map_or_else(FetchError::answered, |_| Some(true)) {
            Some(true) => self.answered(),
            Some(false) if self.is_trial() => {
                let (failures, again) = (self.failed(), self.breaker.cool_down);
                return Err(not_asked(url, self.host.clone(), failures, again));
            }
            Some(false) => drop(self.failed()),
            None => {}
        }
        outcome
    }

    /// Counts the failure; returns the number of failures in a row.
    fn failed(&self) -> usize {
        let was_trial = self.trial.swap(false, Ordering::Relaxed);
        let until = self.breaker.clock.now().saturating_add(self.breaker.cool_down);
        let mut failures = 0;
        self.decide(|host| {
            host.failures += 1;
            failures = host.failures;
            // An attempt that began before the host was given up does not prolong that.
            let open_again = was_trial && host.closed_until.is_some();
            if open_again || (host.closed_until.is_none() && host.failures >= MOST_FAILURES) {
                host.closed_until = Some(until);
            }
            host.on_trial &= !was_trial;
        });
        failures
    }

    fn decide(&self, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.breaker.hosts().get_mut(&self.host) {
            change(host);
        }
        self.breaker.decided.notify_all();
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        // It ended without showing anything about the host: the next attempt is the trial.
        if *self.trial.get_mut() {
            self.decide(|host| host.on_trial = false);
        }
    }
}

fn not_asked(url: &str, host: String, failures: usize, again: Duration) -> FetchError {
    FetchError::NotAsked { url: fetch_url::shown(url), host, failures, again }
}

/// Passes everything on to a monitor. A download begins with the head of an answer, so it shows that the host can be
/// reached.
pub(super) struct Watching<'a> {
    pub(super) monitor: &'a dyn Monitor,
    pub(super) attempt: &'a Attempt<'a>,
}

impl Monitor for Watching<'_> {
    fn event(&self, event: Event<'_>) {
        if matches!(&event, Event::Started(progress) if progress.step == Step::Download) {
            self.attempt.answered();
        }
        self.monitor.event(event);
    }

    fn interrupted(&self) -> bool {
        self.monitor.interrupted()
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
    use crate::monitor::{Silent, Total};

    const COOL_DOWN: Duration = Duration::from_secs(30);

    /// A clock that a test sets.
    #[derive(Default)]
    struct Hand(Mutex<Duration>);

    impl Clock for Hand {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    fn breaker() -> (CircuitBreaker, Arc<Hand>) {
        let clock = Arc::new(Hand::default());
        (CircuitBreaker::new(Arc::<Hand>::clone(&clock), COOL_DOWN), clock)
    }

    fn unreachable(answered: bool) -> Result<(), FetchError> {
        let (url, problem) = ("u".to_owned(), "gone".to_owned());
        Err(FetchError::Unreachable { url, problem, answered })
    }

    fn fail(breaker: &CircuitBreaker, times: usize) {
        for _ in 0..times {
            end(breaker.attempt(URL, &Silent).unwrap(), unreachable(false));
        }
    }

    /// Ends an attempt.
    fn end(attempt: Attempt<'_>, outcome: Result<(), FetchError>) {
        drop(attempt.end(URL, outcome));
    }

    fn is_given_up(breaker: &CircuitBreaker) -> bool {
        match breaker.attempt(URL, &Silent) {
            Err(FetchError::NotAsked { host, again, .. }) => {
                assert_eq!(host, "gone.example");
                assert!(again <= COOL_DOWN && !again.is_zero());
                true
            }
            Err(error) => panic!("{error:?}"),
            Ok(_) => false,
        }
    }

    const URL: &str = "https://gone.example/a";

    #[test]
    fn a_host_is_given_up_after_several_failures_and_others_are_not() {
        let (breaker, _) = breaker();
        fail(&breaker, MOST_FAILURES);
        assert!(is_given_up(&breaker));
        end(breaker.attempt("https://other.example/", &Silent).unwrap(), Ok(()));
        end(breaker.attempt("https://gone.example:8443/", &Silent).unwrap(), Ok(()));
    }

    #[test]
    fn any_answer_begins_the_count_again() {
        let not_found = || FetchError::NotFound { from: "h".to_owned(), url: "u".to_owned() };
        let answers: [&dyn Fn() -> Result<(), FetchError>; 3] =
            [&|| Ok(()), &|| unreachable(true), &|| Err(not_found())];
        for answer in answers {
            let (breaker, _) = breaker();
            for _ in 0..3 {
                fail(&breaker, MOST_FAILURES - 1);
                end(breaker.attempt(URL, &Silent).unwrap(), answer());
            }
            assert!(!is_given_up(&breaker), "{:?}", answer());
            for _ in 0..3 * MOST_FAILURES {
                end(breaker.attempt(URL, &Silent).unwrap(), answer());
            }
            assert!(!is_given_up(&breaker), "{:?}", answer());
        }
    }

    #[test]
    fn after_the_cool_down_one_attempt_decides() {
        let (breaker, clock) = breaker();
        fail(&breaker, MOST_FAILURES);
        for _ in 0..3 {
            clock.sleep(COOL_DOWN);
            let trial = breaker.attempt(URL, &Silent).unwrap().end(URL, unreachable(false));
            assert!(
                matches!(trial, Err(FetchError::NotAsked { failures, .. }) if failures > MOST_FAILURES)
            );
            assert!(is_given_up(&breaker), "for another period");
        }
        clock.sleep(COOL_DOWN);
        let trial = breaker.attempt(URL, &Silent).unwrap();
        assert!(trial.is_trial());
        end(trial, unreachable(true));
        fail(&breaker, MOST_FAILURES - 1);
        assert!(!is_given_up(&breaker));
    }

    #[test]
    fn attempts_that_began_before_neither_prolong_it_nor_end_the_trial() {
        let (breaker, clock) = breaker();
        let early: Vec<_> = (0..2).map(|_| breaker.attempt(URL, &Silent).unwrap()).collect();
        fail(&breaker, MOST_FAILURES);
        clock.sleep(COOL_DOWN);
        let trial = breaker.attempt(URL, &Silent).unwrap();
        for attempt in early {
            end(attempt, unreachable(false));
        }
        assert!(trial.is_trial());
        let interrupted: Result<(), _> = Err(crate::monitor::Interrupted.into());
        end(trial, interrupted);
        assert!(breaker.attempt(URL, &Silent).unwrap().is_trial(), "nothing was decided");
    }

    /// Asks to stop: whoever would have to wait ends instead.
    struct Impatient;

    impl Monitor for Impatient {
        fn event(&self, _event: Event<'_>) {}

        fn interrupted(&self) -> bool {
            true
        }
    }

    #[test]
    fn nobody_waits_for_a_download_only_for_the_trials_answer() {
        let (breaker, clock) = breaker();
        fail(&breaker, MOST_FAILURES - 1);
        let running = breaker.attempt(URL, &Silent).unwrap();
        // Some failures are counted, and others are in progress: not a reason to wait.
        assert!(breaker.attempt(URL, &Impatient).is_ok());
        end(running, unreachable(false));
        clock.sleep(COOL_DOWN);
        let trial = breaker.attempt(URL, &Silent).unwrap();
        let waits = breaker.attempt(URL, &Impatient);
        assert!(matches!(waits, Err(FetchError::Interrupted(_))), "one trial at a time");
        let watching = Watching { monitor: &Silent, attempt: &trial };
        let _download = (&watching as &dyn Monitor).begin(Step::Download, "p", Total::UNKNOWN);
        assert!(breaker.attempt(URL, &Impatient).is_ok(), "the host has answered");
        assert!(!trial.is_trial());
    }

    #[test]
    fn many_threads_ask_a_dead_host_once_in_each_period() {
        let (breaker, clock) = breaker();
        fail(&breaker, MOST_FAILURES);
        clock.sleep(COOL_DOWN);
        let tried = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    let Ok(attempt) = breaker.attempt(URL, &Silent) else { return };
                    tried.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    end(attempt, unreachable(false));
                });
            }
        });
        assert_eq!(tried.into_inner(), 1);
    }
}
