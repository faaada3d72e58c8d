//! The clock of the sources, which tests replace so that they need not wait.
//!
//! Invariant: all waiting is done by [`wait`], which checks for an interruption every 100 ms.

use std::time::{Duration, Instant};

use crate::monitor::{Interrupted, Monitor};

/// A clock that can be waited on.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;

    /// Returns after `time`.
    fn sleep(&self, time: Duration);
}

/// The real clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Interruptions are noticed within this time.
pub(super) const ATTENTION: Duration = Duration::from_millis(100);

/// Waits for `time`, or until the monitor asks to stop.
///
/// # Errors
/// The monitor asked to stop.
pub fn wait(clock: &dyn Clock, time: Duration, monitor: &dyn Monitor) -> Result<(), Interrupted> {
    let end = clock.now().saturating_add(time);
    loop {
        monitor.check_interrupted()?;
        let left = end.saturating_sub(clock.now());
        if left.is_zero() {
            return Ok(());
        }
        clock.sleep(left.min(ATTENTION));
    }
}
