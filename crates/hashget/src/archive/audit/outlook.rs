//! Whether a package of an archive can be had today, and what endangers that.
//!
//! Invariant: pure. A package is lost only if each of its places has said so; what nobody has asked, or was asked too long ago, is at risk,
//! and never restorable.

use std::fmt;

use super::super::RequiredPackage;
use crate::hashdb::Check;
use crate::places::{Policy, Standing};

const DAY: i64 = 24 * 60 * 60;

/// Days before the last day of a URL from which its package is at risk.
const EXPIRES_SOON: i64 = 30;

/// Whether a package can be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// As many places as wanted have it, by answers that are young enough.
    Restorable,
    /// It may be had, but not as certainly as wanted.
    AtRisk(Vec<Risk>),
    /// None of its places has it, and no pool.
    Lost,
}

/// What endangers a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// No place was ever asked.
    NeverAsked,
    /// The last proof that a place has it is older than wanted.
    OldProof {
        /// How old, in days.
        days: i64,
    },
    /// Fewer independent places have it than are wanted.
    FewPlaces {
        /// Those that have it.
        have: usize,
        /// Those that are wanted.
        wanted: usize,
    },
    /// It was published so lately that its owner can take it back.
    Young,
    /// It is an archive that must lie beside the one that relies on it, and nobody has looked whether it does.
    NotLookedFor,
    /// The last day of its URL.
    Expires {
        /// `YYYY-MM-DD`.
        day: String,
    },
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverAsked => f.write_str("no server was asked for it yet"),
            Self::OldProof { days: 1 } => f.write_str("a server last had it 1 day ago"),
            Self::OldProof { days } => write!(f, "a server last had it {days} days ago"),
            Self::FewPlaces { have: 1, wanted } => {
                write!(f, "1 independent place has it, and {wanted} are wanted")
            }
            Self::FewPlaces { have, wanted } => {
                write!(f, "{have} independent places have it, and {wanted} are wanted")
            }
            Self::Young => f.write_str("its owner can still take it back"),
            Self::NotLookedFor => f.write_str(
                "this archive must lie beside the one that needs it, and where that is could not be looked at",
            ),
            Self::Expires { day } => write!(f, "its URL is expected to work until {day} only"),
        }
    }
}

impl Risk {
    /// The word for it in records.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NeverAsked => "never_asked",
            Self::OldProof { .. } => "old_proof",
            Self::FewPlaces { .. } => "few_places",
            Self::Young => "young",
            Self::NotLookedFor => "not_looked_for",
            Self::Expires { .. } => "expires",
        }
    }
}

/// By what packages are judged.
#[derive(Debug, Clone)]
pub struct Judge<'a> {
    /// What is wanted of places.
    pub policy: &'a Policy,
    /// Seconds for which the answer of a place counts.
    pub proof_counts: i64,
    /// Seconds since 1970 UTC.
    pub now: i64,
}

impl Judge<'_> {
    /// Whether `package`, which has URLs, can be had, by these `checks` of it.
    pub fn outlook(&self, package: &RequiredPackage, checks: &[Check]) -> Outlook {
        let standings: Vec<(&str, Standing)> =
            package.urls().map(|url| (url, Standing::new(checks, url))).collect();
        let is_gone = |standing: &Standing| standing.moves || standing.lost_at.is_some();
        let own = self.policy.own_places(&package.sha256, package.size);
        if standings.iter().all(|(_, standing)| is_gone(standing)) && own == 0 {
            return Outlook::Lost;
        }
        let there = standings.iter().filter(|(_, standing)| !is_gone(standing));
        let seen = |standing: &Standing| standing.seen_at.filter(|at| !self.is_to_come(*at));
        let counts = |at: i64| self.now.saturating_sub(at) <= self.proof_counts;
        let proven = there.clone().filter(|(_, one)| seen(one).is_some_and(counts));
        let have = self.policy.operators_of(proven.map(|(url, _)| *url)) + own;
        let wanted = self.policy.sources_for(package.kinds(), &package.url);
        let mut risks = Vec::new();
        if have < wanted {
            let latest = there.filter_map(|(_, standing)| seen(standing)).max();
            risks.push(match latest {
                None if have == 0 => Risk::NeverAsked,
                Some(at) if !counts(at) => {
                    Risk::OldProof { days: self.now.saturating_sub(at) / DAY }
                }
                _ => Risk::FewPlaces { have, wanted },
            });
        }
        let is_young = || self.policy.is_young(package.kinds(), None, checks, self.now);
        risks.extend((own == 0 && is_young()).then_some(Risk::Young));
        risks.extend(self.expiry(package).filter(|_| own == 0));
        if risks.is_empty() { Outlook::Restorable } else { Outlook::AtRisk(risks) }
    }

    /// Is a proof dated later than now, by a clock that was wrong?
    fn is_to_come(&self, at: i64) -> bool {
        at.saturating_sub(self.now) > DAY
    }

    fn expiry(&self, package: &RequiredPackage) -> Option<Risk> {
        let day = package.expires.as_ref()?;
        let soon = jiff::Timestamp::from_second(self.now + EXPIRES_SOON * DAY).ok()?;
        let soon = soon.strftime("%Y-%m-%d").to_string();
        (*day < soon).then(|| Risk::Expires { day: day.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hashdb::CheckOutcome;
    use crate::model::Digest;
    use crate::places::InPool;

    const NOW: i64 = 1_800_000_000;
    const ONE: &str = "https://one.example/a.deb";
    const TWO: &str = "https://two.example/a.deb";

    fn package() -> RequiredPackage {
        RequiredPackage {
            url: ONE.to_owned(),
            also: vec![TWO.to_owned()],
            sha256: Digest::of(b"a"),
            size: Some(1),
            evidence: None,
            unasked: false,
            expires: None,
            signatures: vec!["npm:a@1".to_owned()],
        }
    }

    fn check(url: &str, days_ago: i64, outcome: CheckOutcome) -> Check {
        let checked_at = NOW - days_ago * DAY;
        let seen_at = (outcome == CheckOutcome::Present).then_some(checked_at);
        Check { checked_at, seen_at, ..Check::now(Digest::of(b"a"), url, false, outcome) }
    }

    fn judged(policy: &Policy, package: &RequiredPackage, checks: &[Check]) -> Outlook {
        Judge { policy, proof_counts: 60 * DAY, now: NOW }.outlook(package, checks)
    }

    #[test]
    fn what_is_known_of_places_decides() {
        use CheckOutcome::{Differs, Gone, Moves, Present, Unreachable};
        let two = Policy { sources: 2, ..Policy::default() };
        let risk = |risk| Outlook::AtRisk(vec![risk]);
        let few = || risk(Risk::FewPlaces { have: 1, wanted: 2 });
        let there = |url, days| check(url, days, Present);
        for (policy, checks, expected) in [
            (&Policy::default(), vec![], risk(Risk::NeverAsked)),
            (&Policy::default(), vec![there(ONE, 1)], Outlook::Restorable),
            (&Policy::default(), vec![there(TWO, 59)], Outlook::Restorable),
            (&Policy::default(), vec![there(ONE, 61)], risk(Risk::OldProof { days: 61 })),
            (&Policy::default(), vec![check(ONE, 1, Gone)], risk(Risk::NeverAsked)),
            (&Policy::default(), vec![check(ONE, 1, Gone), there(TWO, 1)], Outlook::Restorable),
            (&Policy::default(), vec![check(ONE, 1, Gone), check(TWO, 1, Differs)], Outlook::Lost),
            (&Policy::default(), vec![check(ONE, 1, Moves), check(TWO, 1, Gone)], Outlook::Lost),
            (
                &Policy::default(),
                vec![check(ONE, 1, Gone), check(TWO, 1, Unreachable)],
                risk(Risk::NeverAsked),
            ),
            // A clock that was wrong.
            (&Policy::default(), vec![there(ONE, -300)], risk(Risk::NeverAsked)),
            (&two, vec![there(ONE, 1), there(TWO, 1)], Outlook::Restorable),
            (&two, vec![there(ONE, 1)], few()),
            (&two, vec![there(ONE, 1), there(TWO, 61)], few()),
            (&two, vec![there(ONE, 70), there(TWO, 61)], risk(Risk::OldProof { days: 61 })),
        ] {
            assert_eq!(judged(policy, &package(), &checks), expected, "{checks:?}");
        }
    }

    #[test]
    fn bytes_that_were_others_are_not_taken_for_the_package_because_of_their_size() {
        let one = RequiredPackage { also: Vec::new(), ..package() };
        let deep = |days, outcome| Check { deep: true, ..check(ONE, days, outcome) };
        let (present, differs) = (CheckOutcome::Present, CheckOutcome::Differs);
        let policy = Policy::default();
        for (checks, expected) in [
            (vec![deep(9, differs), check(ONE, 1, present)], Outlook::Lost),
            (vec![deep(1, present), check(ONE, 9, differs)], Outlook::Restorable),
            (vec![deep(9, CheckOutcome::Gone), check(ONE, 1, present)], Outlook::Restorable),
            (vec![deep(9, present), check(ONE, 1, differs)], Outlook::Lost),
        ] {
            assert_eq!(judged(&policy, &one, &checks), expected, "{checks:?}");
        }
    }

    #[test]
    fn a_pool_is_a_place() {
        let pooled = InPool::new(|_, _| true);
        let gone = [check(ONE, 1, CheckOutcome::Gone), check(TWO, 1, CheckOutcome::Gone)];
        let one = Policy { pooled: pooled.clone(), ..Policy::default() };
        assert_eq!(judged(&one, &package(), &gone), Outlook::Restorable);
        let two = Policy { sources: 2, pooled, ..Policy::default() };
        let few = Outlook::AtRisk(vec![Risk::FewPlaces { have: 1, wanted: 2 }]);
        assert_eq!(judged(&two, &package(), &gone), few);
        let there = [check(TWO, 1, CheckOutcome::Present)];
        assert_eq!(judged(&two, &package(), &there), Outlook::Restorable);
        // So is a supplement, and both are two.
        let both = Policy { supplemented: InPool::new(|_, _| true), ..two };
        assert_eq!(judged(&both, &package(), &gone), Outlook::Restorable);
    }

    #[test]
    fn what_is_young_or_ends_soon_is_at_risk() {
        let policy = Policy::default();
        let there = check(ONE, 0, CheckOutcome::Present);
        let published =
            |hours: i64| Check { published_at: Some(NOW - hours * 3600), ..there.clone() };
        let young = Outlook::AtRisk(vec![Risk::Young]);
        assert_eq!(judged(&policy, &package(), &[published(71)]), young);
        assert_eq!(judged(&policy, &package(), &[published(73)]), Outlook::Restorable);
        let deb = RequiredPackage { signatures: vec!["deb:a".to_owned()], ..package() };
        assert_eq!(judged(&policy, &deb, &[published(1)]), Outlook::Restorable);
        // NOW is 2027-01-15.
        for (day, is_at_risk) in [("2027-01-10", true), ("2027-02-13", true), ("2027-02-14", false)]
        {
            let ending = RequiredPackage { expires: Some(day.to_owned()), ..package() };
            let outlook = judged(&policy, &ending, std::slice::from_ref(&there));
            assert_eq!(outlook != Outlook::Restorable, is_at_risk, "{day}: {outlook:?}");
        }
    }
}
