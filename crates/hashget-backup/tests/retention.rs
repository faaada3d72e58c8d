//! Retention: a table of calendars, and what is never removed.
//!
//! Invariant: whatever the rules, the newest good archive stays.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use hashget_backup::retention::{Candidate, Circumstances, Keep, Unit, Why, decide};
use hashget_backup::series::{ArchiveName, Series};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

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
    Circumstances { now, zone: TimeZone::UTC, last_run_failed: false, needed: BTreeSet::new() }
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
    assert_eq!(kept(&archives, Keep { hourly: 2, ..Keep::default() }), ["11-20T01", "11-20T02"]);
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
fn what_needs_another_one_goes_before_it() {
    let mut archives = november(5);
    for night in [1, 2] {
        archives[night].base = Some(archives[0].name.to_string());
    }
    let one = Keep { last: 1, ..Keep::default() };
    let decision = decide(&archives, &one, &circumstances());
    let expected = [1, 2, 0, 3].map(|night: usize| &archives[night].name);
    assert_eq!(decision.removed(), expected);
    // An archive that is not sent yet needs the first one.
    let needed = BTreeSet::from([archives[0].name.to_string()]);
    let waiting = Circumstances { needed, ..circumstances() };
    let decision = decide(&archives, &one, &waiting);
    assert_eq!(decision.removed(), [1, 2, 3].map(|night: usize| &archives[night].name));
    assert_eq!(decision.fates[4].why, [Why::NeededByWaiting]);
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
    let early = Circumstances { now: "2026-11-03T11:00:00Z".parse().unwrap(), ..circumstances() };
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
        let series = Series::new("h", "j").unwrap();
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
