//! Which archives of a series are kept, and why. A pure decision: nothing is listed or removed here.
//!
//! Invariant: the newest good archive is kept, and with it what it needs; so is everything that is locked or whose record cannot
//! be read. A clock that jumped, or a last run that failed, removes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::series::ArchiveName;

/// How far a clock may be behind the one that made the newest archive.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// The rules of a job: an archive that any of them keeps is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest one of each of so many hours that have one.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for ISO weeks.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// Everything that is younger than this before the newest archive.
    pub within: Option<Duration>,
}

impl Keep {
    /// Is there no rule? Everything is kept then.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// What a decision needs to know of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: ArchiveName,
    /// Does its record say that it is whole? `None` if it has no record that can be read.
    pub good: Option<bool>,
    /// The archive that it needs.
    pub base: Option<String>,
    /// The time until which it cannot be removed, in seconds since 1970.
    pub locked_until: Option<i64>,
}

/// The unit of a calendar rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// An ISO week.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// Why an archive is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There are no rules.
    NoRule,
    /// It is one of the newest.
    Last,
    /// It is the newest one of its hour, day, week, month or year.
    Newest(Unit),
    /// It is the oldest one, and the rule for such units has not found enough.
    Oldest(Unit),
    /// It is young enough.
    Within,
    /// It is the newest good one.
    NewestGood,
    /// This archive needs it.
    NeededBy(ArchiveName),
    /// It cannot be removed yet.
    Locked,
    /// It has no record that can be read.
    NoRecord,
    /// Its record does not say that it is whole: a person has to look at it.
    NotGood,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |unit: &Unit| match unit {
            Unit::Hour => "hourly",
            Unit::Day => "daily",
            Unit::Week => "weekly",
            Unit::Month => "monthly",
            Unit::Year => "yearly",
        };
        match self {
            Self::NoRule => f.write_str("no rule"),
            Self::Last => f.write_str("last"),
            Self::Newest(of) => f.write_str(unit(of)),
            Self::Oldest(of) => write!(f, "oldest {}", unit(of)),
            Self::Within => f.write_str("within"),
            Self::NewestGood => f.write_str("newest good"),
            Self::NeededBy(name) => write!(f, "needed by {name}"),
            Self::Locked => f.write_str("locked"),
            Self::NoRecord => f.write_str("no readable record"),
            Self::NotGood => f.write_str("not good"),
        }
    }
}

/// Why nothing is removed, whatever the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The newest archive is not good, or has no record that can be read.
    NewestNotGood(ArchiveName),
    /// The last run failed.
    LastRunFailed,
    /// The newest archive is of the future: a clock has jumped.
    Future(ArchiveName),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewestNotGood(name) => write!(
                f,
                "the newest archive, {name}, has no record that says that it is whole: see `hashget backup check`"
            ),
            Self::LastRunFailed => f.write_str("the last run failed: see `hashget backup status`"),
            Self::Future(name) => {
                write!(
                    f,
                    "the newest archive, {name}, is of the future: set this machine's clock right"
                )
            }
        }
    }
}

/// What is to become of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Its name.
    pub name: ArchiveName,
    /// Why it is kept; empty if the rules do not keep it.
    pub why: Vec<Why>,
}

/// What is to become of the archives of one series in one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Why nothing is removed after all.
    pub halt: Option<Halt>,
    /// Each archive, the newest first.
    pub fates: Vec<Fate>,
}

impl Decision {
    /// The archives that are to be removed, the oldest first: what a newer one needs goes last.
    pub fn removed(&self) -> Vec<&ArchiveName> {
        let fates =
            self.fates.iter().rev().filter(|fate| self.halt.is_none() && fate.why.is_empty());
        fates.map(|fate| &fate.name).collect()
    }
}

/// When and where a decision is made.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// The time.
    pub now: Timestamp,
    /// The zone whose hours and days count.
    pub zone: TimeZone,
    /// Did the last run of the job fail?
    pub last_run_failed: bool,
}

/// Decides about all archives of one series in one destination.
pub fn decide(candidates: &[Candidate], keep: &Keep, circumstances: &Circumstances) -> Decision {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|one, other| {
        other.name.started().cmp(&one.name.started()).then(one.name.cmp(&other.name))
    });
    let mut why: BTreeMap<&ArchiveName, Vec<Why>> = BTreeMap::new();
    for candidate in &sorted {
        let reasons = why.entry(&candidate.name).or_default();
        let locked =
            candidate.locked_until.is_some_and(|until| until > circumstances.now.as_second());
        reasons.extend(locked.then_some(Why::Locked));
        reasons.extend(match candidate.good {
            None => Some(Why::NoRecord),
            Some(false) => Some(Why::NotGood),
            Some(true) => None,
        });
        reasons.extend(keep.is_everything().then_some(Why::NoRule));
    }
    let good: Vec<&Candidate> =
        sorted.iter().copied().filter(|candidate| candidate.good == Some(true)).collect();
    for (name, reason) in by_rules(&good, keep, &circumstances.zone) {
        why.entry(name).or_default().push(reason);
    }
    if let Some(newest) = good.first() {
        let reasons = why.entry(&newest.name).or_default();
        if reasons.is_empty() {
            reasons.push(Why::NewestGood);
        }
    }
    keep_bases(&sorted, &mut why);
    let fates = sorted.iter().map(|candidate| Fate {
        name: candidate.name.clone(),
        why: why.remove(&candidate.name).unwrap_or_default(),
    });
    Decision { fates: fates.collect(), halt: halt(&sorted, circumstances) }
}

/// Why nothing is removed.
fn halt(sorted: &[&Candidate], circumstances: &Circumstances) -> Option<Halt> {
    let newest = sorted.first()?;
    let ahead = newest.name.started().duration_since(circumstances.now);
    if ahead.try_into().is_ok_and(|ahead: Duration| ahead > CLOCK_TOLERANCE) {
        return Some(Halt::Future(newest.name.clone()));
    }
    if newest.good != Some(true) {
        return Some(Halt::NewestNotGood(newest.name.clone()));
    }
    circumstances.last_run_failed.then_some(Halt::LastRunFailed)
}

/// What the rules keep of good archives, which are given the newest first.
fn by_rules<'c>(
    good: &[&'c Candidate],
    keep: &Keep,
    zone: &TimeZone,
) -> Vec<(&'c ArchiveName, Why)> {
    let last = usize::try_from(keep.last).unwrap_or(usize::MAX);
    let mut kept: Vec<(&ArchiveName, Why)> =
        good.iter().take(last).map(|candidate| (&candidate.name, Why::Last)).collect();
    for (unit, count) in [
        (Unit::Hour, keep.hourly),
        (Unit::Day, keep.daily),
        (Unit::Week, keep.weekly),
        (Unit::Month, keep.monthly),
        (Unit::Year, keep.yearly),
    ] {
        let mut left = count;
        let mut before = None;
        for (position, candidate) in good.iter().enumerate().take_while(|_| count > 0) {
            let unit_of = of(unit, &candidate.name.started().to_zoned(zone.clone()));
            let is_new = before.as_ref() != Some(&unit_of);
            before = Some(unit_of);
            if left == 0 {
                break;
            }
            if is_new {
                kept.push((&candidate.name, Why::Newest(unit)));
                left -= 1;
            } else if position + 1 == good.len() {
                kept.push((&candidate.name, Why::Oldest(unit)));
            }
        }
    }
    if let (Some(within), Some(newest)) = (keep.within, good.first()) {
        let young = good.iter().filter(|candidate| {
            let age = newest.name.started().duration_since(candidate.name.started());
            age.try_into().is_ok_and(|age: Duration| age < within)
        });
        kept.extend(young.map(|candidate| (&candidate.name, Why::Within)));
    }
    kept
}

/// The hour, day, ISO week, month or year of a time.
fn of(unit: Unit, time: &Zoned) -> String {
    match unit {
        // With the offset: where clocks go back, two hours have one name.
        Unit::Hour => time.strftime("%Y-%m-%dT%H%z").to_string(),
        Unit::Day => time.strftime("%Y-%m-%d").to_string(),
        Unit::Week => time.strftime("%G-W%V").to_string(),
        Unit::Month => time.strftime("%Y-%m").to_string(),
        Unit::Year => time.strftime("%Y").to_string(),
    }
}

/// Keeps what kept archives need, over any number of steps.
fn keep_bases<'c>(sorted: &[&'c Candidate], why: &mut BTreeMap<&'c ArchiveName, Vec<Why>>) {
    let by_name: BTreeMap<String, &Candidate> =
        sorted.iter().map(|candidate| (candidate.name.to_string(), *candidate)).collect();
    let is_kept = |name: &ArchiveName| why.get(name).is_some_and(|reasons| !reasons.is_empty());
    let mut waiting: Vec<&Candidate> =
        sorted.iter().copied().filter(|candidate| is_kept(&candidate.name)).collect();
    let mut seen: BTreeSet<&ArchiveName> = BTreeSet::new();
    while let Some(candidate) = waiting.pop() {
        let base = candidate.base.as_ref().and_then(|base| by_name.get(base));
        if !seen.insert(&candidate.name) {
            continue;
        }
        if let Some(base) = base {
            why.entry(&base.name).or_default().push(Why::NeededBy(candidate.name.clone()));
            waiting.push(base);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    fn archive(time: &str) -> Candidate {
        let name = ArchiveName::parse(&format!("h_j_{time}Z.tar.zst")).unwrap();
        Candidate { name, good: Some(true), base: None, locked_until: None }
    }

    /// An archive at noon of each of the days of November from the first one on.
    fn november(days: u32) -> Vec<Candidate> {
        (1..=days).map(|day| archive(&format!("2026-11-{day:02}T120000"))).collect()
    }

    fn circumstances() -> Circumstances {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        Circumstances { now, zone: TimeZone::UTC, last_run_failed: false }
    }

    /// The times that are kept, the oldest first, as `DDTHH`.
    fn kept(candidates: &[Candidate], keep: Keep) -> Vec<String> {
        let decision = decide(candidates, &keep, &circumstances());
        assert_eq!(decision.halt, None);
        let kept = decision.fates.iter().rev().filter(|fate| !fate.why.is_empty());
        kept.map(|fate| fate.name.time()[5..13].to_owned()).collect()
    }

    #[test]
    fn rules_by_table() {
        let keep = Keep::default();
        let days = november(30);
        for (rule, keep, expected) in [
            ("last", Keep { last: 2, ..keep }, &["11-29T12", "11-30T12"][..]),
            ("daily", Keep { daily: 3, ..keep }, &["11-28T12", "11-29T12", "11-30T12"]),
            // Weeks end on Sundays: the 29th, 22nd, 15th. The 30th is the Monday of a new one.
            ("weekly", Keep { weekly: 3, ..keep }, &["11-22T12", "11-29T12", "11-30T12"]),
            // There is one month only: the rule has not found enough, and keeps the oldest as well.
            ("monthly", Keep { monthly: 2, ..keep }, &["11-01T12", "11-30T12"]),
            ("one month", Keep { monthly: 1, ..keep }, &["11-30T12"]),
            (
                "within",
                Keep { within: Some(Duration::from_secs(2 * 86_400)), ..keep },
                &["11-29T12", "11-30T12"],
            ),
            ("both", Keep { last: 1, weekly: 2, ..keep }, &["11-29T12", "11-30T12"]),
        ] {
            assert_eq!(kept(&days, keep), expected, "{rule}");
        }
        assert_eq!(kept(&days, Keep::default()).len(), 30);
    }

    #[test]
    fn of_each_day_the_newest_is_kept_and_days_without_one_do_not_count() {
        let archives = [
            "2026-11-03T010000",
            "2026-11-03T230000",
            "2026-11-09T010000",
            "2026-11-20T010000",
            "2026-11-20T020000",
        ]
        .map(archive);
        assert_eq!(
            kept(&archives, Keep { daily: 3, ..Keep::default() }),
            ["11-03T23", "11-09T01", "11-20T02"]
        );
        assert_eq!(
            kept(&archives, Keep { hourly: 2, ..Keep::default() }),
            ["11-20T01", "11-20T02"]
        );
        assert_eq!(kept(&archives, Keep { yearly: 1, ..Keep::default() }), ["11-20T02"]);
    }

    #[test]
    fn weeks_are_those_of_iso_and_days_those_of_the_zone() {
        // 2027-01-01 is a Friday: it belongs to the last week of 2026.
        let archives = ["2026-12-28T120000", "2027-01-01T120000", "2027-01-04T120000"].map(archive);
        let now = "2027-01-05T00:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(-12));
        let circumstances = Circumstances { now, zone, ..circumstances() };
        let weekly = decide(&archives, &Keep { weekly: 9, ..Keep::default() }, &circumstances);
        let whys: Vec<String> = weekly.fates.iter().map(|fate| format!("{:?}", fate.why)).collect();
        assert_eq!(whys, ["[Newest(Week)]", "[Newest(Week)]", "[Oldest(Week)]"]);
        // In a zone twelve hours behind, noon is the start of the day, and 11:59 belongs to the day before.
        let archives = ["2026-11-10T115900", "2026-11-10T120000"].map(archive);
        let daily = decide(&archives, &Keep { daily: 2, ..Keep::default() }, &circumstances);
        assert!(daily.fates.iter().all(|fate| fate.why == [Why::Newest(Unit::Day)]));
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_hours() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // On 2026-10-25, 02:30 is at 00:30 UTC and once more at 01:30 UTC.
        let archives = ["2026-10-25T003000", "2026-10-25T013000"].map(archive);
        assert_eq!(date(2026, 10, 25).at(2, 30, 0, 0).to_zoned(zone.clone()).unwrap().hour(), 2);
        let circumstances = Circumstances { zone, ..circumstances() };
        let hourly = decide(&archives, &Keep { hourly: 2, ..Keep::default() }, &circumstances);
        assert!(hourly.fates.iter().all(|fate| fate.why == [Why::Newest(Unit::Hour)]));
        let daily = decide(&archives, &Keep { daily: 1, ..Keep::default() }, &circumstances);
        assert_eq!(daily.removed().len(), 1);
    }

    #[test]
    fn what_has_no_good_record_is_not_counted_and_not_removed() {
        let mut archives = november(4);
        archives[1].good = None;
        archives[2].good = Some(false);
        assert_eq!(
            kept(&archives, Keep { last: 2, ..Keep::default() }),
            ["11-01T12", "11-02T12", "11-03T12", "11-04T12"]
        );
        assert_eq!(
            kept(&archives, Keep { last: 1, ..Keep::default() }),
            ["11-02T12", "11-03T12", "11-04T12"]
        );
    }

    #[test]
    fn what_is_locked_or_needed_stays() {
        let mut archives = november(5);
        archives[0].locked_until = Some(i64::MAX);
        archives[1].locked_until = Some(1);
        archives[4].base = Some(archives[3].name.to_string());
        archives[3].base = Some(archives[2].name.to_string());
        archives[2].base = Some(archives[4].name.to_string());
        let one = Keep { last: 1, ..Keep::default() };
        assert_eq!(kept(&archives, one), ["11-01T12", "11-03T12", "11-04T12", "11-05T12"]);
        let decision = decide(&archives, &one, &circumstances());
        assert_eq!(decision.removed(), [&archives[1].name]);
        assert_eq!(decision.fates[1].why, [Why::NeededBy(archives[4].name.clone())]);
    }

    #[test]
    fn nothing_is_removed_after_what_should_not_have_happened() {
        let one = Keep { last: 1, ..Keep::default() };
        let decided = |archives: &[Candidate], circumstances: &Circumstances| {
            let decision = decide(archives, &one, circumstances);
            assert!(decision.removed().is_empty(), "{decision:?}");
            decision.halt.unwrap().to_string()
        };
        let mut archives = november(3);
        let failed = Circumstances { last_run_failed: true, ..circumstances() };
        assert!(decided(&archives, &failed).contains("last run failed"));
        let early =
            Circumstances { now: "2026-11-03T11:00:00Z".parse().unwrap(), ..circumstances() };
        assert!(decided(&archives, &early).contains("of the future"));
        for good in [None, Some(false)] {
            archives[2].good = good;
            assert!(decided(&archives, &circumstances()).contains("11-03T120000Z"));
        }
        let slightly =
            Circumstances { now: "2026-11-03T11:55:00Z".parse().unwrap(), ..circumstances() };
        assert_eq!(decide(&november(3), &one, &slightly).halt, None);
    }

    #[test]
    fn the_newest_good_one_stays_whatever_the_rules_keep() {
        let archives = november(2);
        let none = Keep { within: Some(Duration::ZERO), ..Keep::default() };
        let decision = decide(&archives, &none, &circumstances());
        assert_eq!(decision.fates[0].why, [Why::NewestGood]);
        assert_eq!(decision.removed(), [&archives[0].name]);
        assert_eq!(decide(&[], &none, &circumstances()).removed(), Vec::<&ArchiveName>::new());
    }

    fn any_keep() -> impl Strategy<Value = Keep> {
        (0u32..4, 0u32..4, 0u32..4, 0u32..4, 0u32..4, 0u32..4).prop_map(
            |(last, hourly, daily, weekly, monthly, yearly)| Keep {
                last,
                hourly,
                daily,
                weekly,
                monthly,
                yearly,
                within: None,
            },
        )
    }

    fn any_archives() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0i64..100_000, prop::option::weighted(0.9, prop::bool::weighted(0.9)));
        prop::collection::btree_map(0i64..100_000, one, 0..40).prop_map(|found| {
            let series = crate::series::Series::new("h", "j").unwrap();
            let name = |quarter: i64| {
                series.at(Timestamp::from_second(1_700_000_000 + quarter * 900).unwrap(), "")
            };
            found
                .into_iter()
                .map(|(quarter, (_, good))| Candidate {
                    name: name(quarter),
                    good,
                    base: None,
                    locked_until: None,
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_newest_good_archive_is_never_removed(archives in any_archives(), keep in any_keep()) {
            let decision = decide(&archives, &keep, &circumstances());
            let removed = decision.removed();
            let newest = archives.iter().filter(|found| found.good == Some(true)).max_by_key(|found| found.name.started());
            if let Some(newest) = newest {
                prop_assert!(!removed.contains(&&newest.name));
            }
            prop_assert!(archives.iter().all(|found| found.good == Some(true) || !removed.contains(&&found.name)));
            prop_assert_eq!(decision.fates.len(), archives.len());
        }

        #[test]
        fn what_was_kept_once_is_kept_again(archives in any_archives(), keep in any_keep()) {
            let first = decide(&archives, &keep, &circumstances());
            let gone: Vec<ArchiveName> = first.removed().into_iter().cloned().collect();
            let left: Vec<Candidate> = archives.iter().filter(|found| !gone.contains(&found.name)).cloned().collect();
            prop_assert!(decide(&left, &keep, &circumstances()).removed().is_empty());
        }

        #[test]
        fn more_rules_keep_more(archives in any_archives(), keep in any_keep()) {
            let more = Keep { last: keep.last + 1, daily: keep.daily + 1, ..keep };
            let few = decide(&archives, &keep, &circumstances());
            let many = decide(&archives, &more, &circumstances());
            if !keep.is_everything() {
                prop_assert!(many.removed().iter().all(|name| few.removed().contains(name)));
            }
        }
    }
}
