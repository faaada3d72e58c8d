//! When a host is given up, and who is asked when.
//!
//! Invariant: no test waits: the clock is set by hand.

use super::*;
use crate::monitor::{Event, Silent};

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

const HOST: &str = "gone.example";

fn breaker() -> (Arc<CircuitBreaker>, Arc<Hand>) {
    let clock = Arc::new(Hand::default());
    (Arc::new(CircuitBreaker::new(Arc::<Hand>::clone(&clock), COOL_DOWN)), clock)
}

fn begin(breaker: &Arc<CircuitBreaker>) -> Attempt {
    breaker.attempt(HOST, "https://gone.example/a", &Silent).unwrap()
}

/// Fails until `count` failures are counted; tells after which the host was given up.
fn fail(breaker: &Arc<CircuitBreaker>, failed: Failed, count: usize) -> Option<usize> {
    (1..=count).find(|_| begin(breaker).failed(failed, "gone").is_some())
}

fn is_given_up(breaker: &Arc<CircuitBreaker>) -> bool {
    let checked = breaker.check(HOST, "u");
    match breaker.attempt(HOST, "u", &Silent) {
        Err(FetchError::NotAsked { host, again, problem, .. }) => {
            assert_eq!((&*host, &*problem), (HOST, "gone"));
            assert!(again <= COOL_DOWN && !again.is_zero());
            assert!(checked.is_err());
            true
        }
        Err(error) => panic!("{error:?}"),
        Ok(_) => false,
    }
}

#[test]
fn a_host_is_given_up_after_failures_that_weigh_enough_and_others_are_not() {
    for (failed, count) in [
        (Failed::NoAnswer, 5),
        (Failed::Lasting, 2),
        (Failed::Silence, 2),
        (Failed::Stall, 5),
        (Failed::Busy, 5),
        (Failed::Error, 20),
    ] {
        let (breaker, _) = breaker();
        assert_eq!(fail(&breaker, failed, 100), Some(count), "{failed:?}");
        assert!(is_given_up(&breaker));
        for other in ["other.example", "gone.example:8443"] {
            assert!(breaker.check(other, "u").is_ok());
            drop(breaker.attempt(other, "u", &Silent).unwrap());
        }
    }
}

#[test]
fn an_answer_begins_the_count_again_and_its_beginning_does_not() {
    let (breaker, _) = breaker();
    for _ in 0..3 {
        assert_eq!(fail(&breaker, Failed::NoAnswer, 4), None);
        begin(&breaker).succeeded();
    }
    assert_eq!(fail(&breaker, Failed::NoAnswer, 4), None);
    let begun = begin(&breaker);
    begun.heard();
    assert!(begun.failed(Failed::Stall, "gone").is_some());
}

#[test]
fn what_a_busy_server_says_to_simultaneous_requests_counts_once() {
    let (breaker, clock) = breaker();
    for wave in 1..=5 {
        clock.sleep(Duration::from_secs(1));
        let wave_of_requests: Vec<_> = (0..9).map(|_| begin(&breaker)).collect();
        clock.sleep(Duration::from_secs(1));
        let given_up = wave_of_requests
            .iter()
            .filter(|attempt| attempt.failed(Failed::Busy, "gone").is_some())
            .count();
        assert_eq!(given_up > 0, wave == 5, "{wave}");
    }
}

#[test]
fn after_the_cool_down_one_attempt_decides() {
    let (breaker, clock) = breaker();
    fail(&breaker, Failed::NoAnswer, 5);
    for _ in 0..3 {
        clock.sleep(COOL_DOWN);
        let trial = begin(&breaker);
        assert!(trial.is_trial());
        assert!(trial.failed(Failed::NoAnswer, "gone").is_some_and(|gone| gone.failures > 5));
        assert!(is_given_up(&breaker), "for another period");
    }
    clock.sleep(COOL_DOWN);
    begin(&breaker).succeeded();
    assert_eq!(fail(&breaker, Failed::NoAnswer, 4), None);
    assert!(!is_given_up(&breaker));
}

#[test]
fn a_host_that_has_answered_before_may_be_silent_once() {
    for is_whole in [false, true] {
        let impatient = || CircuitBreaker::new(Arc::<Hand>::default(), COOL_DOWN).with_waits(1);
        assert_eq!(fail(&Arc::new(impatient()), Failed::Silence, 9), Some(1));
        let breaker = Arc::new(impatient());
        let answered = begin(&breaker);
        match is_whole {
            false => answered.heard(),
            true => answered.succeeded(),
        }
        assert_eq!(fail(&breaker, Failed::Silence, 9), Some(2));
    }
}

#[test]
fn a_silent_host_is_left_alone_for_longer() {
    let (breaker, clock) = breaker();
    fail(&breaker, Failed::Silence, 2);
    clock.sleep(COOL_DOWN);
    let trial = begin(&breaker);
    clock.sleep(COOL_DOWN);
    let again = trial.failed(Failed::Silence, "gone").unwrap().again;
    assert_eq!(again, COOL_DOWN * PATIENCE);
}

#[test]
fn attempts_that_began_before_neither_prolong_it_nor_end_the_trial() {
    let (breaker, clock) = breaker();
    let early: Vec<_> = (0..2).map(|_| begin(&breaker)).collect();
    fail(&breaker, Failed::NoAnswer, 5);
    clock.sleep(COOL_DOWN);
    let trial = begin(&breaker);
    for attempt in early {
        attempt.failed(Failed::NoAnswer, "gone");
    }
    assert!(trial.is_trial());
    drop(trial);
    assert!(begin(&breaker).is_trial(), "nothing was decided");
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
    fail(&breaker, Failed::NoAnswer, 4);
    let running = begin(&breaker);
    // Some failures are counted, and others are in progress: not a reason to wait.
    assert!(breaker.attempt(HOST, "u", &Impatient).is_ok());
    running.failed(Failed::NoAnswer, "gone");
    clock.sleep(COOL_DOWN);
    let trial = begin(&breaker);
    let waits = breaker.attempt(HOST, "u", &Impatient);
    assert!(matches!(waits, Err(FetchError::Interrupted(_))), "one trial at a time");
    trial.heard();
    assert!(breaker.attempt(HOST, "u", &Impatient).is_ok(), "the host has answered");
    assert!(!trial.is_trial());
}

#[test]
fn many_threads_ask_a_dead_host_once_in_each_period() {
    let (breaker, clock) = breaker();
    fail(&breaker, Failed::NoAnswer, 5);
    clock.sleep(COOL_DOWN);
    let tried = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let Ok(attempt) = breaker.attempt(HOST, "u", &Silent) else { return };
                tried.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                attempt.failed(Failed::NoAnswer, "gone");
            });
        }
    });
    assert_eq!(tried.into_inner(), 1);
}
