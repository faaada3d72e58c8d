//! What an audit asks for next.
//!
//! Invariant: pure. Every place that is due is in the plan, what was proven longest ago first; a limit cuts off its end.

use std::time::Duration;

use super::super::RequiredPackage;
use super::beside;
use crate::hashdb::{Check, CheckOutcome};

/// How often places are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cadence {
    /// For the size and the last bytes of a package.
    pub every: Duration,
    /// For all of its bytes; never if absent.
    pub deep_every: Option<Duration>,
}

/// Number of bytes that a question costs at each place: a request and its answer.
const QUESTION: u64 = 1024;

/// How much of a package is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// Its size and some of its bytes.
    Size,
    /// All of them.
    Bytes,
}

/// A place of a package that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due<'p> {
    pub(super) package: &'p RequiredPackage,
    /// The place.
    pub(super) url: &'p str,
    pub(super) depth: Depth,
    /// When it last answered so, in seconds since 1970 UTC; `None` if it never did.
    last: Option<i64>,
}

impl Due<'_> {
    /// Bytes that it costs to ask. A size that nothing tells may be any.
    pub(super) fn cost(&self) -> u64 {
        match self.depth {
            Depth::Size => QUESTION,
            Depth::Bytes => self.package.size.unwrap_or(u64::MAX).saturating_add(QUESTION),
        }
    }
}

/// The places of packages that are due at `now` (seconds since 1970 UTC), in the order in which they are asked.
pub(super) fn plan<'p>(
    packages: impl Iterator<Item = (&'p RequiredPackage, &'p Vec<Check>)>,
    cadence: &Cadence,
    now: i64,
) -> Vec<Due<'p>> {
    let places = |(package, checks): (&'p RequiredPackage, &'p Vec<Check>)| {
        package.urls().filter_map(move |url| due((package, url), checks, cadence, now))
    };
    let mut plan: Vec<Due<'p>> =
        packages.filter(|(package, _)| beside(package).is_none()).flat_map(places).collect();
    // Asking is cheap, and tells more than nothing of everything; then come the downloads.
    plan.sort_by_key(|due| (due.depth, due.last, due.package.sha256));
    plan
}

fn due<'p>(
    (package, url): (&'p RequiredPackage, &'p str),
    checks: &[Check],
    cadence: &Cadence,
    now: i64,
) -> Option<Due<'p>> {
    let is_due = |last: Option<i64>, every: Duration| {
        let every = i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
        // A time that is still to come is none: a clock was wrong.
        last.filter(|last| *last <= now).is_none_or(|last| now.saturating_sub(last) >= every)
    };
    let answered = |deep: bool| {
        let fitting = checks.iter().filter(|check| {
            check.url == url && (check.deep || !deep) && check.outcome != CheckOutcome::Unreachable
        });
        fitting.map(|check| check.checked_at).max()
    };
    let (asked, proven) = (answered(false), answered(true));
    let all = cadence.deep_every.filter(|every| is_due(proven, *every));
    match (is_due(asked, cadence.every), all) {
        (true, _) => Some(Due { package, url, depth: Depth::Size, last: asked }),
        (false, Some(_)) => Some(Due { package, url, depth: Depth::Bytes, last: proven }),
        (false, None) => None,
    }
}

/// Those of a plan that cost at most `most` bytes together, and the others. What is larger than the limit alone is left out only if something
/// else can be done: it would be left for ever.
pub fn within<T>(plan: &[T], cost: impl Fn(&T) -> u64, most: Option<u64>) -> (Vec<&T>, Vec<&T>) {
    let Some(most) = most else { return (plan.iter().collect(), Vec::new()) };
    let mut sum = 0_u64;
    let (mut chosen, mut left): (Vec<_>, Vec<_>) = plan.iter().partition(|due| {
        let after = sum.saturating_add(cost(due));
        let fits = after <= most;
        sum = if fits { after } else { sum };
        fits
    });
    if chosen.is_empty() && !left.is_empty() {
        chosen.push(left.remove(0));
    }
    (chosen, left)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Digest;

    const DAY: i64 = 24 * 60 * 60;

    fn package(number: u32, size: u64) -> RequiredPackage {
        RequiredPackage {
            url: format!("https://host.example/{number}"),
            also: Vec::new(),
            sha256: Digest::of(&number.to_be_bytes()),
            size: Some(size),
            evidence: None,
            unasked: false,
            expires: None,
            signatures: Vec::new(),
        }
    }

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * 60 * 60)
    }

    /// Asks for what a run may ask for, and dates the answers.
    fn run(
        packages: &[RequiredPackage],
        checks: &mut BTreeMap<Digest, Vec<Check>>,
        cadence: &Cadence,
        most: u64,
        now: i64,
    ) -> (u64, usize) {
        let known: Vec<Vec<Check>> = packages
            .iter()
            .map(|package| checks.get(&package.sha256).cloned().unwrap_or_default())
            .collect();
        let plan = plan(packages.iter().zip(&known), cadence, now);
        let (chosen, left) = within(&plan, Due::cost, Some(most));
        let mut bytes = 0;
        for due in chosen {
            bytes += due.cost();
            let deep = due.depth == Depth::Bytes;
            let answer =
                Check::now(due.package.sha256, &due.package.url, deep, CheckOutcome::Present);
            let answer = Check { checked_at: now, seen_at: Some(now), ..answer };
            let kept = checks.entry(due.package.sha256).or_default();
            kept.retain(|check| check.deep != deep);
            kept.push(answer);
        }
        (bytes, left.len())
    }

    /// 300 archives of 40 machines rely on 9,000 packages of 24 GB: each night at most 1 GiB, and everything is asked for in time.
    #[test]
    fn thirty_nights_of_a_gigabyte_reach_everything() {
        let packages: Vec<RequiredPackage> = (0..9_000)
            .map(|number| package(number, 1000 + u64::from(number % 97) * 56_000))
            .collect();
        let total: u64 = packages.iter().filter_map(|package| package.size).sum();
        let cadence = Cadence { every: days(30), deep_every: Some(days(180)) };
        let (mut checks, most) = (BTreeMap::new(), 1 << 30);
        let mut nights = 0;
        for night in 0..30 {
            let (bytes, left) =
                run(&packages, &mut checks, &cadence, most, 1_800_000_000 + night * DAY);
            assert!(bytes <= most, "night {night}: {bytes}");
            nights += usize::from(left > 0);
        }
        assert_eq!(checks.len(), packages.len());
        let deep =
            |package: &&RequiredPackage| checks[&package.sha256].iter().any(|check| check.deep);
        let proven: u64 = packages.iter().filter(deep).filter_map(|one| one.size).sum();
        assert!(total > 20 << 30, "{total}");
        assert_eq!(proven, total, "after 30 nights, {nights} of which were not enough");
    }

    #[test]
    fn what_was_proven_longest_ago_comes_first() {
        let packages = [package(1, 10), package(2, 10), package(3, 10), package(4, 10)];
        let now = 1_800_000_000;
        let seen = |package: &RequiredPackage, days: i64, deep, outcome| {
            let checked_at = now - days * DAY;
            vec![Check { checked_at, ..Check::now(package.sha256, &package.url, deep, outcome) }]
        };
        let checks = [
            seen(&packages[0], 40, false, CheckOutcome::Present),
            // It gave no answer, which proves nothing.
            seen(&packages[1], 1, false, CheckOutcome::Unreachable),
            seen(&packages[2], 50, true, CheckOutcome::Present),
            // By a clock that was wrong.
            seen(&packages[3], -1, false, CheckOutcome::Present),
        ];
        let cadence = Cadence { every: days(30), deep_every: None };
        let plan = plan(packages.iter().zip(&checks), &cadence, now);
        let order: Vec<&str> =
            plan.iter().filter_map(|due| due.package.url.rsplit('/').next()).collect();
        assert_eq!(order, ["2", "3", "1", "4"], "{plan:?}");
    }

    #[test]
    fn each_place_is_asked_and_one_that_was_not_makes_it_due() {
        let one =
            RequiredPackage { also: vec!["https://other.example/1".into()], ..package(1, 10) };
        let now = 1_800_000_000;
        let check = |url: &str| {
            let check = Check::now(one.sha256, url, false, CheckOutcome::Present);
            Check { checked_at: now, ..check }
        };
        let cadence = Cadence { every: days(30), deep_every: None };
        let is_due =
            |checks: &Vec<Check>| !plan([(&one, checks)].into_iter(), &cadence, now).is_empty();
        assert!(is_due(&vec![check(&one.url)]));
        assert!(!is_due(&vec![check(&one.url), check("https://other.example/1")]));
    }

    #[test]
    fn a_place_that_stays_silent_keeps_no_other_from_being_proven() {
        let silent = "https://silent.example/1";
        let one = RequiredPackage { also: vec![silent.into()], ..package(1, 10) };
        let now = 1_800_000_000;
        let check = |url: &str, outcome| {
            let check = Check::now(one.sha256, url, false, outcome);
            Check { checked_at: now, ..check }
        };
        let checks =
            vec![check(&one.url, CheckOutcome::Present), check(silent, CheckOutcome::Unreachable)];
        let cadence = Cadence { every: days(30), deep_every: Some(days(180)) };
        let plan = plan([(&one, &checks)].into_iter(), &cadence, now);
        let due: Vec<(&str, Depth)> = plan.iter().map(|due| (due.url, due.depth)).collect();
        assert_eq!(due, [(silent, Depth::Size), (&*one.url, Depth::Bytes)]);
        // What was proven is not downloaded once more because of the other.
        let proven = Check { deep: true, ..check(&one.url, CheckOutcome::Present) };
        let checks = [&checks[..], &[proven]].concat();
        let plan = super::plan([(&one, &checks)].into_iter(), &cadence, now);
        assert_eq!(plan.iter().map(|due| due.url).collect::<Vec<_>>(), [silent]);
    }

    #[test]
    fn one_that_is_larger_than_the_limit_is_not_left_for_ever() {
        let cadence = Cadence { every: days(30), deep_every: Some(days(1)) };
        let packages = [package(1, 5000)];
        let now = 1_800_000_000;
        let check = Check::now(packages[0].sha256, &packages[0].url, false, CheckOutcome::Present);
        let checks = [vec![Check { checked_at: now, ..check }]];
        let plan = plan(packages.iter().zip(&checks), &cadence, now);
        let (chosen, left) = within(&plan, Due::cost, Some(100));
        assert_eq!((chosen.len(), left.len()), (1, 0));
    }
}
