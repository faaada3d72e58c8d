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
    /// An archive needs it that is not in the destination yet.
    NeededByWaiting,
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
            Self::NeededByWaiting => f.write_str("needed by an archive that is not sent yet"),
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
    /// Does it need another archive?
    pub has_base: bool,
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
    /// The archives that are to be removed, the oldest first, but those that need another one before all others: whenever this
    /// is broken off, nothing is left that lacks what it needs.
    pub fn removed(&self) -> Vec<&ArchiveName> {
        let is_doomed = |fate: &&Fate| self.halt.is_none() && fate.why.is_empty();
        let mut fates: Vec<&Fate> = self.fates.iter().rev().filter(is_doomed).collect();
        fates.sort_by_key(|fate| !fate.has_base);
        fates.into_iter().map(|fate| &fate.name).collect()
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
    /// The archives that those need which are not in the destination yet.
    pub needed: BTreeSet<String>,
}

impl Circumstances {
    /// After a run that did not fail, with nothing that waits to be sent.
    pub fn at(now: Timestamp, zone: TimeZone) -> Self {
        Self { now, zone, last_run_failed: false, needed: BTreeSet::new() }
    }
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
        let is_awaited = circumstances.needed.contains(&candidate.name.to_string());
        reasons.extend(is_awaited.then_some(Why::NeededByWaiting));
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
        has_base: candidate.base.is_some(),
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
