//! Trying again: what, how often, how long to wait, and when to stop.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test tells by panicking")]

mod stage;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hashget::fetch::{
    CircuitBreaker, Clock, FetchError, Fetched, HttpOrigin, OriginOptions, Retry, RetryOptions,
    Source as _, Wanted,
};
use hashget::model::Digest;
use hashget::monitor::{Event, Monitor, Recorder, Silent};
use hashget_testkit::origin::{Fault, Origin};
use stage::{SIZE, Stage, bytes};

/// A clock that moves only when somebody waits, and writes down for how long.
#[derive(Default)]
struct Waits {
    slept: Mutex<Duration>,
}

impl Clock for Waits {
    fn now(&self) -> Duration {
        *self.slept.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.slept.lock().unwrap() += time;
    }
}

/// A server, a patient client, and how long it waited.
fn patient(faults: Vec<Fault>) -> (Origin, Result<Fetched, FetchError>, Duration, Recorder) {
    let stage = Stage::new();
    stage.origin.script("/p", faults);
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        sha256: Some(Digest::of(&stage.content)),
        size: Some(SIZE as u64),
        ..Wanted::default()
    };
    let clock = Arc::new(Waits::default());
    let retry =
        Retry::with_clock(stage.source, RetryOptions::default(), Arc::<Waits>::clone(&clock));
    let monitor = Recorder::default();
    let result = retry.fetch(&wanted, &monitor);
    let slept = *clock.slept.lock().unwrap();
    (stage.origin, result, slept, monitor)
}

#[test]
fn what_may_pass_is_tried_again_later_and_later() {
    let seconds = Duration::from_secs_f64;
    let in_two_minutes = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    let table = [
        (vec![], 0.0, 0.0),
        (vec![Fault::Status(500)], 0.25, 0.5),
        (
            vec![Fault::Drop, Fault::Status(502), Fault::Truncate(1000)],
            0.25 + 0.5 + 1.0,
            0.5 + 1.0 + 2.0,
        ),
        (vec![Fault::RetryAfter(503, 7), Fault::RetryAfter(429, 3)], 10.0, 10.0),
        (vec![Fault::RetryAfter(503, 0)], 0.0, 0.0),
        // A server may ask for more than anybody waits.
        (vec![Fault::RetryAfter(503, u64::MAX)], 120.0, 120.0),
        (vec![Fault::RetryAfterText(503, in_two_minutes)], 60.0, 90.0),
        (vec![Fault::RetryAfterText(503, "Sun, 06 Nov 1994 08:49:37 GMT".to_owned())], 0.0, 0.0),
        (vec![Fault::RetryAfterText(503, "soon".to_owned())], 0.25, 0.5),
    ];
    for (faults, least, most) in table {
        let count = faults.len();
        let (origin, result, slept, monitor) = patient(faults.clone());
        result.unwrap();
        assert_eq!(origin.requests().len(), count + 1, "{faults:?}");
        assert!(seconds(least) <= slept && slept <= seconds(most), "{faults:?}: {slept:?}");
        assert_eq!(monitor.recorded().problems.len(), count, "each pause is told");
    }
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for fault in [
        Fault::Status(403),
        Fault::Status(404),
        Fault::Status(410),
        Fault::Other,
        Fault::RedirectLoop,
        Fault::RedirectTo("file:///".to_owned()),
    ] {
        let (origin, result, slept, _) = patient(vec![fault.clone()]);
        assert!(result.is_err(), "{fault:?}");
        assert_eq!(origin.requests().len(), 1, "{fault:?}");
        assert_eq!(slept, Duration::ZERO, "{fault:?}");
    }
}

#[test]
fn five_tries_without_progress_are_enough() {
    let (origin, result, slept, _) = patient(vec![Fault::Status(503); 20]);
    let error = result.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("tried 5 times"), "{error}");
    assert_eq!(origin.requests().len(), 5);
    assert!(slept >= Duration::from_secs_f64(0.25 + 0.5 + 1.0 + 2.0), "{slept:?}");
}

#[test]
fn a_long_download_may_break_off_often_as_long_as_it_moves_on() {
    let content = bytes(10 << 20);
    let stage = Stage::new();
    stage.origin.serve("/p", content.clone());
    stage.origin.always("/p", Fault::Truncate(1 << 20));
    let wanted = Wanted {
        url: stage.origin.url("/p"),
        sha256: Some(Digest::of(&content)),
        size: Some(10 << 20),
        ..Wanted::default()
    };
    let retry = |source: HttpOrigin| {
        Retry::with_clock(source, RetryOptions::default(), Arc::new(Waits::default()))
    };
    retry(stage.source).fetch(&wanted, &Silent).unwrap();
    assert_eq!(stage.origin.requests().len(), 10);

    // Where each try begins again there is no moving on.
    stage.origin.always("/p", Fault::NoRange);
    let source = HttpOrigin::new(OriginOptions {
        partial_dir: Some(stage.dir.path().to_owned()),
        ..OriginOptions::default()
    });
    let error = retry(source).fetch(&wanted, &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(stage.origin.requests().len() <= 10 + 6);
}

/// A clock on which somebody loses patience after a second.
struct OneSecond<'a>(&'a Waits);

impl Monitor for OneSecond<'_> {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.now() >= Duration::from_secs(1)
    }
}

#[test]
fn waiting_can_be_interrupted() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::RetryAfter(503, 100)]);
    let wanted = Wanted { url: stage.origin.url("/p"), ..Wanted::default() };
    let clock = Arc::new(Waits::default());
    let retry =
        Retry::with_clock(stage.source, RetryOptions::default(), Arc::<Waits>::clone(&clock));
    let error = retry.fetch(&wanted, &OneSecond(&clock)).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    assert!(clock.now() <= Duration::from_millis(1200), "{:?}", clock.now());
}

#[test]
fn a_host_that_was_given_up_gets_one_request_after_the_cool_down() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Drop);
    let wanted = |path: &str| Wanted {
        url: stage.origin.url(path),
        sha256: Some(Digest::of(&stage.content)),
        size: Some(SIZE as u64),
        ..Wanted::default()
    };
    let (clock, options) = (Arc::new(Waits::default()), RetryOptions::default());
    let breaker = CircuitBreaker::new(Arc::<Waits>::clone(&clock), options.cool_down);
    let breaker = Arc::new(breaker);
    let source = HttpOrigin::new(OriginOptions { breaker, ..OriginOptions::default() });
    let retry = Retry::with_clock(source, options, Arc::<Waits>::clone(&clock));
    let error = retry.fetch(&wanted("/p"), &Silent).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { answered: false, .. }), "{error:?}");
    let asked = stage.origin.requests().len();
    assert_eq!(asked, 5, "whatever package they are for");
    for period in 1..=2 {
        let error = retry.fetch(&wanted("/other"), &Silent).unwrap_err();
        assert!(error.again().is_some_and(|again| again <= options.cool_down), "{error:?}");
        clock.sleep(options.cool_down);
        let error = retry.fetch(&wanted("/p"), &Silent).unwrap_err();
        assert_eq!(error.again(), Some(options.cool_down), "{error:?}");
        assert_eq!(stage.origin.requests().len(), asked + period, "no second try");
    }
    // It answers again, first with an error that may pass: from then on it is asked as any other.
    clock.sleep(options.cool_down);
    stage.origin.heal("/p");
    stage.origin.script("/p", [Fault::Status(500), Fault::Drop]);
    retry.fetch(&wanted("/p"), &Silent).unwrap();
    assert_eq!(stage.origin.requests().len(), asked + 2 + 3);
}

/// A busy server is asked by all packages together, not by each of them five times.
#[test]
fn a_host_that_is_too_busy_is_given_up() {
    for fault in [Fault::Status(429), Fault::Status(502), Fault::RetryAfter(503, 3)] {
        let stage = Stage::new();
        let clock = Arc::new(Waits::default());
        let options = RetryOptions::default();
        let breaker = CircuitBreaker::new(Arc::<Waits>::clone(&clock), options.cool_down);
        let breaker = Arc::new(breaker);
        let source = HttpOrigin::new(OriginOptions { breaker, ..OriginOptions::default() });
        let retry = Retry::with_clock(source, options, Arc::<Waits>::clone(&clock));
        for number in 0..50 {
            let path = format!("/{number}");
            stage.origin.always(&path, fault.clone());
            let wanted = Wanted { url: stage.origin.url(&path), ..Wanted::default() };
            let error = retry.fetch(&wanted, &Silent).unwrap_err();
            assert_eq!(error.not_asked().is_some(), number > 0, "{fault:?} {error:?}");
        }
        assert_eq!(stage.origin.requests().len(), 5, "{fault:?}");
    }
}

/// The retries of other packages end, too, when a host is given up.
#[test]
fn what_waits_for_its_next_try_is_not_tried_at_a_host_that_is_given_up() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Drop);
    let wanted = Wanted { url: stage.origin.url("/p"), ..Wanted::default() };
    let source = Arc::new(HttpOrigin::new(OriginOptions::default()));
    for _ in 0..3 {
        source.fetch(&wanted, &Silent).unwrap_err();
    }
    let clock = Arc::new(Waits::default());
    let retry = Retry::with_clock(Arc::clone(&source), RetryOptions::default(), clock);
    let error = retry.fetch(&wanted, &Silent).unwrap_err();
    assert!(error.not_asked().is_some(), "{error:?}");
    assert!(error.to_string().contains("closed too early"), "{error}");
    assert_eq!(stage.origin.requests().len(), 5);
}

/// A server that redirects to one that is gone is not blamed for it.
#[test]
fn the_host_that_a_redirect_leads_to_is_counted_on_its_own() {
    let (stage, gone) = (Stage::new(), Origin::start());
    gone.always("/p", Fault::Drop);
    stage.origin.always("/moved", Fault::RedirectTo(gone.url("/p")));
    let retry = Retry::with_clock(
        HttpOrigin::new(OriginOptions::default()),
        RetryOptions::default(),
        Arc::new(Waits::default()),
    );
    let fetch = |path: &str| {
        retry.fetch(&Wanted { url: stage.origin.url(path), ..Wanted::default() }, &Silent)
    };
    fetch("/moved").unwrap_err();
    assert_eq!(gone.requests().len(), 5);
    let host = gone.url("").replace("http://", "");
    assert_eq!(fetch("/moved").unwrap_err().not_asked(), Some(&*host));
    fetch("/p").unwrap();
}

#[test]
fn what_arrived_is_kept_while_its_host_is_given_up() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Truncate(100_000)]);
    stage.fetch(true).unwrap_err();
    stage.origin.always("/p", Fault::Drop);
    while stage.fetch(true).unwrap_err().not_asked().is_none() {}
    assert_eq!(stage.left(), Some(100_000));
}
