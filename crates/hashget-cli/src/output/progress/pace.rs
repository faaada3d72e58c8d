//! How fast a step goes, and how long it will take.
//!
//! Invariant: pure. Times are what the caller says; a speed is told only of what was seen for a while.

use std::collections::VecDeque;
use std::time::Duration;

/// What is looked back on: long enough that numbers hold still, short enough that they are true.
const WINDOW: Duration = Duration::from_secs(10);
/// So often something is noted.
const BETWEEN: Duration = Duration::from_millis(500);
/// From less than this nothing is concluded.
const LEAST: Duration = Duration::from_secs(1);

/// What was done of a step, and when.
#[derive(Debug, Default)]
pub(super) struct Pace {
    notes: VecDeque<(Duration, u64)>,
}

/// So many units in so long a time, which is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speed {
    units: u64,
    time: Duration,
}

impl Pace {
    /// Notes that by the time `at` so many units were done in all.
    pub(super) fn note(&mut self, at: Duration, units: u64) {
        if self.notes.back().is_some_and(|(last, _)| at.saturating_sub(*last) < BETWEEN) {
            return;
        }
        self.notes.push_back((at, units));
        while self.notes.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= WINDOW) {
            self.notes.pop_front();
        }
    }

    /// The speed over the last seconds.
    pub(super) fn speed(&self) -> Option<Speed> {
        let ((first, before), (last, now)) = (self.notes.front()?, self.notes.back()?);
        let (units, time) = (now.saturating_sub(*before), last.saturating_sub(*first));
        (time >= LEAST).then_some(Speed { units, time })
    }
}

impl Speed {
    /// The units that were done in the time that was looked at.
    pub(super) fn units(self) -> u64 {
        self.units
    }

    /// Units for each second.
    pub(super) fn per_second(self) -> u64 {
        let units = u128::from(self.units) * 1000 / self.time.as_millis().max(1);
        u64::try_from(units).unwrap_or(u64::MAX)
    }

    /// How long so many units will take, in whole seconds, rounded up. `None` if nothing moves.
    pub(super) fn time_for(self, units: u64) -> Option<Duration> {
        let milliseconds = u128::from(units) * self.time.as_millis();
        let needed = milliseconds.checked_div(u128::from(self.units))?.div_ceil(1000);
        Some(Duration::from_secs(u64::try_from(needed).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(notes: &[(u64, u64)]) -> Option<Speed> {
        let mut pace = Pace::default();
        for (milliseconds, units) in notes {
            pace.note(Duration::from_millis(*milliseconds), *units);
        }
        pace.speed()
    }

    #[test]
    fn speeds_by_table() {
        type Notes = &'static [(u64, u64)];
        let table: [(Notes, Option<u64>); 7] = [
            (&[], None),
            (&[(0, 0)], None),
            (&[(0, 0), (900, 1000)], None),
            (&[(0, 0), (1000, 1000)], Some(1000)),
            // What comes too soon after the last note is not noted.
            (&[(0, 0), (100, 1), (200, 2), (2000, 4000)], Some(2000)),
            // It stands still.
            (&[(0, 5), (5000, 5)], Some(0)),
            // What was long ago does not count.
            (&[(0, 0), (1000, 1_000_000), (11_000, 1_000_010), (21_000, 1_000_020)], Some(1)),
        ];
        for (notes, expected) in table {
            assert_eq!(speed(notes).map(Speed::per_second), expected, "{notes:?}");
        }
    }

    #[test]
    fn times_by_table() {
        let left =
            |units, time, todo| Speed { units, time: Duration::from_secs(time) }.time_for(todo);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(left(1000, 1, 10_000), seconds(10));
        assert_eq!(left(1000, 1, 10_001), seconds(11));
        assert_eq!(left(1, 4, 3), seconds(12));
        assert_eq!(left(7, 1, 0), seconds(0));
        assert_eq!(left(0, 1, 5), None);
        assert_eq!(left(u64::MAX, 1, u64::MAX), seconds(1));
        assert_eq!(left(1, 10, u64::MAX), seconds(u64::MAX));
    }
}
