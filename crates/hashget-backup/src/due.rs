//! When a job was to have run, and when it is next. Pure: what knows calendar expressions is passed in.
//!
//! Invariant: a night counts as missed only if it is certain that a run was due.

use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// How late a run may be: the timer spreads starts, and packing takes time.
pub(crate) const LATE: Duration = Duration::from_secs(2 * 60 * 60);

/// When a job is due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// The last time at which it was to have run by now, if there was one.
    pub before: Option<Timestamp>,
    /// The next time, if it is known.
    pub next: Option<Timestamp>,
}

impl Due {
    /// Of a schedule that is a time of the day, in this zone; `None` if it is another expression.
    pub fn daily(schedule: &str, now: Timestamp, zone: &TimeZone) -> Option<Self> {
        let time = daily_time(schedule)?;
        let late = now - LATE;
        let at = |moment: Timestamp, day: i64| {
            let date = moment.to_zoned(zone.clone()).date().checked_add(day.days()).ok()?;
            date.to_datetime(time).to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
        };
        let before = [at(late, 0)?, at(late, -1)?].into_iter().find(|before| *before <= late);
        let next = [at(now, 0)?, at(now, 1)?].into_iter().find(|next| *next > now);
        Some(Self { before, next })
    }

    /// Of a calendar expression. `next_after` knows the first time after another one; `since` is when the job ran last.
    pub fn by_calendar(
        since: Option<Timestamp>,
        now: Timestamp,
        next_after: &dyn Fn(Timestamp) -> Option<Timestamp>,
    ) -> Self {
        let before = since.and_then(next_after).filter(|due| *due <= now - LATE);
        Self { before, next: next_after(now) }
    }
}

/// A schedule that is a time of the day, `02:30`; `None` if it is another expression.
pub fn daily_time(schedule: &str) -> Option<Time> {
    let (hour, minute) = schedule.split_once(':')?;
    let number = |text: &str| -> Option<i8> {
        let is_number = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// The first time that `systemd-analyze calendar` prints, in UTC; `None` if there is none.
pub fn printed_time(printed: &str) -> Option<Timestamp> {
    let after = |label: &str| {
        let line = printed.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
        // `Mon 2026-11-30 02:30:00 UTC`
        let mut words = line.split_whitespace().skip(1);
        let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
        format!("{date}T{time}Z").parse().ok().filter(|_| zone == "UTC")
    };
    after("(in UTC):").or_else(|| after("Next elapse:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_of_the_day_are_told_from_other_schedules() {
        assert_eq!(daily_time("02:30"), Time::new(2, 30, 0, 0).ok());
        assert_eq!(daily_time("2:05"), Time::new(2, 5, 0, 0).ok());
        for other in
            ["", "24:00", "02:60", "02:30:00", "Mon 02:30", "+2:30", "daily", "*-*-* 02:30"]
        {
            assert_eq!(daily_time(other), None, "{other}");
        }
    }

    #[test]
    fn a_calendar_says_what_was_missed() {
        // Each Monday at noon; 2026-11-30 is one.
        let mondays = ["2026-11-23T12:00:00Z", "2026-11-30T12:00:00Z", "2026-12-07T12:00:00Z"];
        let next_after = |after: Timestamp| mondays.map(time).into_iter().find(|due| *due > after);
        for (since, now, before) in [
            (Some("2026-11-23T12:20:00Z"), "2026-11-29T12:00:00Z", None),
            (Some("2026-11-23T12:20:00Z"), "2026-11-30T13:00:00Z", None),
            (Some("2026-11-23T12:20:00Z"), "2026-11-30T14:00:00Z", Some(mondays[1])),
            // Nothing is known of an earlier run.
            (None, "2026-11-30T14:00:00Z", None),
        ] {
            let due = Due::by_calendar(since.map(time), time(now), &next_after);
            assert_eq!(due.before, before.map(time), "{now}");
        }
        let due = Due::by_calendar(None, time("2026-11-29T12:00:00Z"), &next_after);
        assert_eq!(due.next, Some(time(mondays[1])));
    }

    #[test]
    fn what_systemd_prints_is_read_in_utc() {
        let utc = "  Original form: hourly\n    Next elapse: Mon 2026-11-30 01:00:00 UTC\n       From now: 5h left\n";
        let zoned = "    Next elapse: Mon 2026-11-30 02:00:00 CET\n       (in UTC): Mon 2026-11-30 01:00:00 UTC\n";
        for printed in [utc, zoned] {
            assert_eq!(printed_time(printed), Some(time("2026-11-30T01:00:00Z")));
        }
        for none in
            ["", "    Next elapse: never\n", "    Next elapse: Mon 2026-11-30 02:00:00 CET\n"]
        {
            assert_eq!(printed_time(none), None, "{none}");
        }
    }
}
