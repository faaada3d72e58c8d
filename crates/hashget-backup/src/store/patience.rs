//! How long a store is asked again that does not answer.
//!
//! Invariant: pauses grow and end when the monitor asks to stop; nothing is tried for ever.

use std::sync::Arc;
use std::time::Duration;

use hashget::fetch::{Clock, SystemClock, wait};
use hashget::monitor::{Interrupted, Monitor, ProblemKind};

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// How long a store is asked again, by which clock.
#[derive(Clone)]
pub struct Patience {
    /// The clock; tests replace it.
    pub clock: Arc<dyn Clock>,
    /// The longest time from the last thing that went well to the last try.
    pub most: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::default()), most: Duration::from_secs(30 * 60) }
    }
}

impl Patience {
    /// That of somebody who waits for the answer.
    pub fn brief() -> Self {
        Self { most: Duration::from_secs(30), ..Self::default() }
    }

    /// Begins to try something.
    pub(super) fn tries(&self) -> Tries<'_> {
        Tries { patience: self, began: self.clock.now(), pause: FIRST }
    }
}

/// The tries of one thing.
pub(super) struct Tries<'p> {
    patience: &'p Patience,
    began: Duration,
    pause: Duration,
}

impl Tries<'_> {
    /// Waits for the next try of something that `problem` ended; `false` if the time for tries is over. The first time, it is
    /// reported of the store.
    ///
    /// # Errors
    /// The monitor asked to stop.
    pub(super) fn again(
        &mut self,
        (store, problem): (&str, &str),
        monitor: &dyn Monitor,
    ) -> Result<bool, Interrupted> {
        monitor.check_interrupted()?;
        if self.pause == FIRST {
            let most = self.patience.most.as_secs();
            let message = format!("{problem}: tried again for up to {most} seconds");
            monitor.problem(ProblemKind::Note, store, message);
        }
        let clock = &*self.patience.clock;
        let left = self.patience.most.saturating_sub(clock.now().saturating_sub(self.began));
        if left.is_zero() {
            return Ok(false);
        }
        wait(clock, self.pause.min(left), monitor)?;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(true)
    }

    /// Something went well: the time begins anew.
    pub(super) fn went_well(&mut self) {
        self.began = self.patience.clock.now();
        self.pause = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use hashget::monitor::Event;

    use super::*;

    const IT: (&str, &str) = ("a store", "it does not answer");

    #[derive(Default)]
    struct Skipping(Mutex<Duration>);

    impl Clock for Skipping {
        fn now(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn sleep(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    /// Keeps what is reported.
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Monitor for Told {
        fn event(&self, event: Event<'_>) {
            if let Event::Problem { object, message, .. } = event {
                self.0.lock().unwrap().push(format!("{object}: {message}"));
            }
        }
    }

    #[test]
    fn pauses_grow_and_end_and_the_first_is_said() {
        let told = Told::default();
        let clock = Arc::new(Skipping::default());
        let patience =
            Patience { clock: Arc::<Skipping>::clone(&clock), most: Duration::from_secs(1800) };
        let mut tries = patience.tries();
        let mut count = 0;
        while tries.again(IT, &told).unwrap() {
            count += 1;
        }
        assert_eq!(clock.now(), Duration::from_secs(1800));
        assert!((30..40).contains(&count), "{count}");
        let line = "a store: it does not answer: tried again for up to 1800 seconds";
        assert_eq!(*told.0.lock().unwrap(), [line]);
        tries.went_well();
        assert!(tries.again(IT, &told).unwrap());
        assert_eq!(clock.now(), Duration::from_secs(1801));
    }
}
