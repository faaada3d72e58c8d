//! How archives grow: the newest one beside earlier ones. Pure.
//!
//! Invariant: an archive is compared only with those that are made as it is: full ones with full ones, others with others.

use jiff::Timestamp;

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// An archive, as far as its growth is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it was begun.
    pub started: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
    /// Does it need no other archive?
    pub is_full: bool,
}

/// How much larger the newest archive is than an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How long before the newest one the earlier one was begun, in seconds.
    pub seconds: i64,
    /// The size of the earlier one in bytes.
    pub bytes_before: u64,
    /// How many bytes the newest one has more; fewer, if it is negative.
    pub bytes: i64,
}

impl Growth {
    /// The growth in percent of the earlier size, towards 0; `None` if that was 0.
    pub fn percent(&self) -> Option<i64> {
        let percent = (i128::from(self.bytes) * 100).checked_div(i128::from(self.bytes_before))?;
        Some(i64::try_from(percent).unwrap_or(i64::MAX))
    }
}

/// The newest archive beside earlier ones. `None` is said of what there is no archive for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growths {
    /// Beside the one before it.
    pub before: Option<Growth>,
    /// Beside the one of about 7 days earlier: the nearest that is at most a quarter of this off.
    pub week: Option<Growth>,
    /// Beside the one of about 30 days earlier, in the same way.
    pub month: Option<Growth>,
}

impl Growths {
    /// Of these archives, in any order.
    pub fn of(points: &[Point]) -> Self {
        let Some(newest) = points.iter().max_by_key(|point| point.started) else {
            return Self::default();
        };
        let age = |point: &Point| newest.started.as_second() - point.started.as_second();
        let is_like = |point: &&Point| age(point) > 0 && point.is_full == newest.is_full;
        let earlier: Vec<&Point> = points.iter().filter(is_like).collect();
        let growth = |point: &&Point| {
            let bytes = i128::from(newest.bytes) - i128::from(point.bytes);
            let at_most = if bytes < 0 { i64::MIN } else { i64::MAX };
            Growth {
                seconds: age(point),
                bytes_before: point.bytes,
                bytes: i64::try_from(bytes).unwrap_or(at_most),
            }
        };
        let about = |days: i64| {
            let off = |point: &Point| (age(point) - days * DAY).abs();
            let nearest = earlier.iter().min_by_key(|point| off(point));
            nearest.filter(|point| off(point) <= days * DAY / 4).map(growth)
        };
        Self {
            before: earlier.iter().min_by_key(|point| age(point)).map(growth),
            week: about(7),
            month: about(30),
        }
    }

    /// Those that there are, with what they are called.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Growth)> {
        let all = [("before", self.before), ("week", self.week), ("month", self.month)];
        all.into_iter().filter_map(|(name, growth)| Some((name, growth?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(day: i64, bytes: u64, is_full: bool) -> Point {
        Point { started: Timestamp::from_second(day * DAY).unwrap(), bytes, is_full }
    }

    /// The sizes with which the newest archive is compared.
    fn sizes(points: &[Point]) -> [Option<u64>; 3] {
        let found = Growths::of(points);
        [found.before, found.week, found.month].map(|growth| growth.map(|it| it.bytes_before))
    }

    #[test]
    fn the_newest_is_beside_those_of_a_night_a_week_and_a_month_before() {
        let nights: Vec<Point> =
            (0..=40).map(|day| point(day, 1000 + day.unsigned_abs(), true)).collect();
        assert_eq!(sizes(&nights), [Some(1039), Some(1033), Some(1010)]);
        // The nearest is taken, and nothing that is further away than a quarter.
        for (days, expected) in [
            (&[][..], [None, None, None]),
            (&[40], [None, None, None]),
            (&[0, 40], [Some(0), None, None]),
            (&[35, 40], [Some(35), None, None]),
            (&[34, 40], [Some(34), Some(34), None]),
            (&[32, 31, 40], [Some(32), Some(32), None]),
            (&[30, 40], [Some(30), None, None]),
            (&[16, 5, 40], [Some(16), None, Some(5)]),
            (&[2, 18, 40], [Some(18), None, None]),
        ] {
            let points: Vec<Point> =
                days.iter().map(|day: &i64| point(*day, day.unsigned_abs(), true)).collect();
            assert_eq!(sizes(&points), expected, "{days:?}");
        }
    }

    #[test]
    fn a_full_archive_is_not_beside_one_that_hangs_on_another() {
        let points = [point(1, 900, true), point(7, 10, false), point(8, 1000, true)];
        assert_eq!(sizes(&points), [Some(900), Some(900), None]);
        assert_eq!(sizes(&points[..2]), [None; 3]);
    }

    #[test]
    fn growth_by_table() {
        for (before, after, bytes, percent) in [
            (100, 150, 50, Some(50)),
            (150, 100, -50, Some(-33)),
            (100, 100, 0, Some(0)),
            (0, 100, 100, None),
            (0, 0, 0, None),
            (1, u64::MAX, i64::MAX, Some(i64::MAX)),
            (u64::MAX, 0, i64::MIN, Some(-50)),
        ] {
            let found = Growths::of(&[point(1, before, true), point(2, after, true)]);
            let growth = found.before.unwrap();
            assert_eq!((growth.bytes, growth.percent()), (bytes, percent), "{before} {after}");
        }
    }
}
