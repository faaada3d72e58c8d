//! How many requests a service answers, by what it says of its limits.
//!
//! Invariant: no request is made before the moment from which the service says that it answers again; and all waiting for such
//! moments together has a bound, after which nothing more is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::{Clock, wait};
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// When nothing says for how long requests are refused.
const UNSAID: Duration = Duration::from_secs(60);

/// What is limited on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Questions about digests.
    Questions,
    /// Contents of files.
    Contents,
    /// Putting directories together, and looking how far that is.
    Directories,
}

/// The limits of a service.
pub(super) struct Rate {
    clock: Arc<dyn Clock>,
    /// How long to wait in all.
    most: Duration,
    has_token: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each scope is open again.
    closed: BTreeMap<Scope, Duration>,
    /// How long it was waited in all.
    waited: Duration,
    /// Requests that the service says it answers, of those refused.
    limit: Option<u64>,
    /// Is nothing asked any more?
    is_over: bool,
}

/// The limit will not be lifted soon enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverLimit;

impl Rate {
    /// The limits of a service of which nothing is known; waits for `most` in all.
    pub(super) fn new(clock: Arc<dyn Clock>, most: Duration, has_token: bool) -> Self {
        Self { clock, most, has_token, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it counts")
    }

    /// Waits until the service answers such requests.
    pub(super) fn enter(
        &self,
        scope: Scope,
        name: &str,
        monitor: &dyn Monitor,
    ) -> Result<Result<(), OverLimit>, Interrupted> {
        let pause = {
            let mut state = self.state();
            let until = state.closed.get(&scope).copied().unwrap_or_default();
            let pause = until.saturating_sub(self.clock.now());
            state.is_over |= pause > self.most.saturating_sub(state.waited);
            if state.is_over {
                return Ok(Err(OverLimit));
            }
            state.waited += pause;
            pause
        };
        if !pause.is_zero() {
            let seconds = pause.as_secs_f64();
            let problem =
                format!("its limit of requests is reached; asking again in {seconds:.1} s");
            monitor.problem(ProblemKind::Note, name, problem);
            wait(&*self.clock, pause, monitor)?;
        }
        Ok(Ok(()))
    }

    /// Nothing is asked any more.
    pub(super) fn end(&self) {
        self.state().is_over = true;
    }

    /// What an answer says about the limits: by `Retry-After` in seconds, or by the headers of Software Heritage
    /// (`X-RateLimit-Limit`, `-Remaining`, and `-Reset` in seconds since 1970), as its `swh/web/utils/throttling.py` writes them.
    pub(super) fn heard<'h>(
        &self,
        scope: Scope,
        status: u16,
        header: impl Fn(&str) -> Option<&'h str>,
    ) {
        let number = |name: &str| header(name)?.trim().parse::<u64>().ok();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until_reset = number("x-ratelimit-reset")
            .map(|reset| Duration::from_secs(reset.saturating_add(1)).saturating_sub(since_1970));
        let pause = match status {
            429 => {
                let asked = number("retry-after").map(Duration::from_secs);
                Some(asked.or(until_reset).unwrap_or(UNSAID))
            }
            // Whoever is told that nothing is left need not try.
            _ if number("x-ratelimit-remaining") == Some(0) => until_reset,
            _ => None,
        };
        let Some(pause) = pause else { return };
        let mut state = self.state();
        state.limit = number("x-ratelimit-limit").or(state.limit);
        state.closed.insert(scope, self.clock.now().saturating_add(pause));
    }

    /// Why nothing is asked any more.
    pub(super) fn explained(&self) -> String {
        let limit = match self.state().limit {
            Some(limit) => format!("its limit of {limit} requests is used up"),
            None => "its limit of requests is used up".to_owned(),
        };
        match self.has_token {
            true => limit,
            false => format!("{limit}; a token raises it (token_file in [fallback])"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Silent;

    /// A clock that only sleeping moves.
    #[derive(Default)]
    struct Still(Mutex<Duration>);

    impl Clock for Still {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    fn rate(most: u64) -> (Arc<Still>, Rate) {
        let clock = Arc::new(Still::default());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        (clock, Rate::new(shared, Duration::from_secs(most), false))
    }

    fn answer(rate: &Rate, status: u16, headers: &[(&str, &'static str)]) {
        let find = |name: &str| headers.iter().find(|(found, _)| *found == name).map(|one| one.1);
        rate.heard(Scope::Questions, status, find);
    }

    fn enter(rate: &Rate, scope: Scope) -> Result<(), OverLimit> {
        rate.enter(scope, "it", &Silent).unwrap()
    }

    #[test]
    fn what_a_server_asks_for_is_waited_for_up_to_the_bound() {
        let (clock, rate) = rate(50);
        assert_eq!(enter(&rate, Scope::Questions), Ok(()));
        answer(&rate, 429, &[("retry-after", "40"), ("x-ratelimit-limit", "120")]);
        assert_eq!(enter(&rate, Scope::Contents), Ok(()));
        assert_eq!(clock.now(), Duration::ZERO);
        assert_eq!(enter(&rate, Scope::Questions), Ok(()));
        assert!(clock.now() >= Duration::from_secs(40));
        // No further 40 seconds.
        answer(&rate, 429, &[("retry-after", "40")]);
        assert_eq!(enter(&rate, Scope::Questions), Err(OverLimit));
        assert_eq!(enter(&rate, Scope::Contents), Err(OverLimit));
        assert!(clock.now() < Duration::from_secs(45));
        let told = rate.explained();
        assert!(told.contains("limit of 120 requests") && told.contains("a token"), "{told}");
    }

    #[test]
    fn the_last_request_that_is_answered_closes_until_the_reset() {
        let (clock, rate) = rate(600);
        let in_the_past = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000")];
        answer(&rate, 200, &in_the_past);
        assert_eq!(enter(&rate, Scope::Questions), Ok(()));
        assert_eq!(clock.now(), Duration::ZERO);
        let never = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "99999999999")];
        answer(&rate, 200, &never);
        assert_eq!(enter(&rate, Scope::Questions), Err(OverLimit));
    }

    #[test]
    fn a_refusal_that_says_nothing_is_taken_for_a_minute() {
        let (clock, rate) = rate(600);
        answer(&rate, 429, &[("retry-after", "soon")]);
        assert_eq!(enter(&rate, Scope::Questions), Ok(()));
        assert!(clock.now() >= UNSAID);
    }
}
