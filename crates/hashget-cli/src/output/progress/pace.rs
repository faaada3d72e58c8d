//! The speed of a step, and its remaining time.
//!
//! Invariant: pure; the caller passes the current time. An estimate is returned only after a while, and only
//! while the speed over the last seconds agrees with that over the last half minute.

use std::time::Duration;

/// Minimum time between two samples.
const BETWEEN: Duration = Duration::from_millis(500);
/// Minimum time of observation before a speed is returned.
const LEAST: Duration = Duration::from_secs(1);
/// Minimum time of observation before an estimate is returned.
const LEAST_FOR_TIME: Duration = Duration::from_secs(5);
/// The time constants of the two averages.
const RECENT: Duration = Duration::from_secs(6);
const LONG: Duration = Duration::from_secs(24);
/// The two speeds agree if neither is more than this many halves of the other.
const AGREEING_HALVES: u128 = 5;

/// An exponentially weighted average of the speed, in thousandths of a unit per second. Before its time
/// constant has passed, it is the plain average.
#[derive(Debug, Clone, Copy)]
struct Average {
    constant: Duration,
    rate: u128,
}

impl Average {
    /// Adds a sample that ends at the total time `age`.
    fn add(&mut self, age: Duration, time: Duration, units: u64) {
        let time = time.as_millis().max(1);
        let span = age.min(self.constant).as_millis().max(time);
        let sample = u128::from(units) * 1_000_000 / time;
        self.rate = (self.rate * (span - time) + sample * time) / span;
    }
}

/// The speed of a step so far.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time of the first sample, and the number of units done by then.
    first: Option<(Duration, u64)>,
    last: (Duration, u64),
    recent: Average,
    long: Average,
}

/// The speed of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speed {
    /// The observed time, and the number of units done in it.
    age: Duration,
    units: u64,
    /// Thousandths of a unit per second.
    recent: u128,
    long: u128,
}

impl Default for Pace {
    fn default() -> Self {
        let average = |constant| Average { constant, rate: 0 };
        Self { first: None, last: Default::default(), recent: average(RECENT), long: average(LONG) }
    }
}

impl Pace {
    /// Records that by the time `at` this many units were done in total.
    pub(super) fn note(&mut self, at: Duration, units: u64) {
        let Some((began, _)) = self.first else {
            self.first = Some((at, units));
            self.last = (at, units);
            return;
        };
        let (last, before) = self.last;
        let time = at.saturating_sub(last);
        if time < BETWEEN {
            return;
        }
        let (age, done) = (at.saturating_sub(began), units.saturating_sub(before));
        self.recent.add(age, time, done);
        self.long.add(age, time, done);
        self.last = (at, units);
    }

    /// The speed, once it is meaningful.
    pub(super) fn speed(&self) -> Option<Speed> {
        let (began, before) = self.first?;
        let (last, now) = self.last;
        let age = last.saturating_sub(began);
        let units = now.saturating_sub(before);
        let (recent, long) = (self.recent.rate, self.long.rate);
        (age >= LEAST).then_some(Speed { age, units, recent, long })
    }
}

impl Speed {
    /// The number of units done in the observed time.
    pub(super) fn units(self) -> u64 {
        self.units
    }

    /// Units per second over the last seconds.
    pub(super) fn per_second(self) -> u64 {
        u64::try_from(self.recent / 1000).unwrap_or(u64::MAX)
    }

    /// The time for this many units, in whole seconds, rounded up. `None` if it cannot be estimated.
    pub(super) fn time_for(self, units: u64) -> Option<Duration> {
        let (slow, fast) = (self.recent.min(self.long), self.recent.max(self.long));
        if self.age < LEAST_FOR_TIME || fast * 2 > slow * AGREEING_HALVES {
            return None;
        }
        let needed = (u128::from(units) * 1000).checked_add(self.long.checked_sub(1)?)? / self.long;
        Some(Duration::from_secs(u64::try_from(needed).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn speed(notes: &[(u64, u64)]) -> Option<Speed> {
        let mut pace = Pace::default();
        for (milliseconds, units) in notes {
            pace.note(at(*milliseconds), *units);
        }
        pace.speed()
    }

    #[test]
    fn speeds_by_table() {
        type Notes = &'static [(u64, u64)];
        let table: [(Notes, Option<u64>); 8] = [
            (&[], None),
            (&[(0, 0)], None),
            (&[(0, 0), (900, 1000)], None),
            (&[(0, 0), (1000, 1000)], Some(1000)),
            // Units done before the first sample do not count.
            (&[(0, 5_000_000), (1000, 5_001_000)], Some(1000)),
            // A sample too soon after the last one is ignored.
            (&[(0, 0), (100, 1), (200, 2), (2000, 4000)], Some(2000)),
            // No progress.
            (&[(0, 5), (5000, 5)], Some(0)),
            // The distant past does not count.
            (&[(0, 0), (1000, 1_000_000), (11_000, 1_000_010), (21_000, 1_000_020)], Some(1)),
        ];
        for (notes, expected) in table {
            assert_eq!(speed(notes).map(Speed::per_second), expected, "{notes:?}");
        }
    }

    #[test]
    fn times_by_table() {
        // Seconds of observation, thousandths of a unit per second (recent, long), units left.
        let table = [
            ((5, 1_000_000, 1_000_000), 10_000, Some(10)),
            ((5, 1_000_000, 1_000_000), 10_001, Some(11)),
            ((60, 250, 250), 3, Some(12)),
            ((60, 7_000, 7_000), 0, Some(0)),
            // Too early.
            ((4, 1_000_000, 1_000_000), 10_000, None),
            // The speed has just changed, so any estimate would be wrong.
            ((60, 1_000, 2_500), 100, Some(40)),
            ((60, 1_000, 2_501), 100, None),
            ((60, 2_501, 1_000), 100, None),
            // No progress.
            ((60, 0, 0), 5, None),
            ((60, 100, 100), u64::MAX, Some(u64::MAX)),
        ];
        for ((age, recent, long), todo, expected) in table {
            let speed = Speed { age: Duration::from_secs(age), units: 0, recent, long };
            let found = speed.time_for(todo).map(|time| time.as_secs());
            assert_eq!(found, expected, "{speed:?}, {todo}");
        }
    }

    /// The estimates at each second, for work at a speed of `rate(second)` units per second.
    fn times_left(total: u64, rate: impl Fn(u64) -> u64) -> Vec<Option<u64>> {
        let (mut pace, mut done, mut times) = (Pace::default(), 0, Vec::new());
        for tick in 0.. {
            pace.note(at(tick * 100), done);
            if tick % 10 == 0 {
                let left = pace.speed().and_then(|speed| speed.time_for(total - done));
                times.push(left.map(|left| left.as_secs()));
            }
            done += rate(tick / 10) / 10;
            if done >= total {
                break;
            }
        }
        times
    }

    #[test]
    fn steady_work_counts_down() {
        let times = times_left(60_000, |_| 1000);
        assert_eq!(times[..5], [None; 5]);
        for (second, left) in times.iter().enumerate().skip(5) {
            assert_eq!(*left, Some(60 - u64::try_from(second).unwrap()), "at {second} s");
        }
    }

    #[test]
    fn a_change_of_speed_hides_the_time_instead_of_making_it_jump() {
        // Most packages are known, then the others are downloaded: an estimate of 0:03 once became 24:37.
        type Rate = fn(u64) -> u64;
        let table: [(u64, Rate); 4] = [
            (18_000, |second| if second < 10 { 1500 } else { 10 }),
            (18_000, |second| if second < 30 { 10 } else { 500 }),
            (30_000, |second| if second % 4 == 0 { 400 } else { 40 }),
            (60_000, |second| if (20..40).contains(&second) { 0 } else { 1000 }),
        ];
        for (number, (total, rate)) in table.into_iter().enumerate() {
            let times = times_left(total, rate);
            let shown = times.iter().flatten().count();
            assert!(shown * 3 > times.len(), "row {number}: {shown} of {} seconds", times.len());
            for (second, pair) in times.windows(2).enumerate() {
                if let [Some(before), Some(after)] = *pair {
                    let difference = before.abs_diff(after);
                    assert!(
                        difference <= 4 + before / 4,
                        "row {number}, second {second}: {pair:?}"
                    );
                }
            }
        }
    }
}
