//! How verifying reports packages that are not where they should be.
//!
//! Invariant: a lost package has a message of its own, with the files that need it. Packages that are still available
//! somewhere, or could not be checked, share one message if a host has more than a few of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{PackageState, VerifiedPackage};
use crate::archive::host_of;
use crate::fetch::shown;
use crate::hashdb::CheckOutcome;
use crate::monitor::{Monitor, ProblemKind};
use crate::wording::and_more;

/// Up to this number, the packages of one host have a message each.
const FEW: usize = 3;

/// Number of paths that a message names.
const NAMED: usize = 5;

/// Reports a package that is found nowhere.
pub(super) fn lost(package: &VerifiedPackage, monitor: &dyn Monitor) {
    if package.state() == PackageState::Lost {
        let kind = match package.is_other() {
            true => ProblemKind::Verification,
            false => ProblemKind::Unreachable,
        };
        let message =
            format!("lost: found nowhere ({}); {}", answers(package), dependents(package));
        monitor.problem(kind, package.package.shown_name(), message);
    }
}

/// Reports all others that one of their URLs does not have.
pub(super) fn others(packages: &[VerifiedPackage], monitor: &dyn Monitor) {
    let mut groups: BTreeMap<Group, Vec<&VerifiedPackage>> = BTreeMap::new();
    for package in packages {
        if let Some(group) = Group::for_package(package) {
            groups.entry(group).or_default().push(package);
        }
    }
    for (group, packages) in groups {
        if packages.len() > FEW {
            monitor.problem(group.kind, group.hosts(), group.message(&packages));
            continue;
        }
        for package in packages {
            let message = format!("{} ({})", group.single(package), answers(package));
            monitor.problem(group.kind, package.package.shown_name(), message);
        }
    }
}

/// Packages that share a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    kind: ProblemKind,
    still: Still,
    /// The hosts that do not have them, each with its answer.
    answers: Vec<(String, CheckOutcome)>,
}

/// Where they still are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Still {
    /// In a pool or the cache only.
    Local,
    /// Other bytes have all that is needed.
    InOtherBytes,
    /// At another URL, if anywhere.
    Elsewhere,
}

impl Group {
    /// The group of a package that is not lost, but that one of its URLs does not have.
    fn for_package(package: &VerifiedPackage) -> Option<Self> {
        let kind = match package.state() {
            PackageState::Present => ProblemKind::Note,
            PackageState::Unreachable if package.is_other() => ProblemKind::Verification,
            PackageState::Unreachable | PackageState::NotAsked => ProblemKind::Unreachable,
            PackageState::Lost => return None,
        };
        let bad = package.bad_places();
        let mut answers: Vec<(String, CheckOutcome)> =
            bad.map(|(url, outcome, _)| (shown(&host_of(url)), outcome)).collect();
        answers.sort();
        answers.dedup();
        let still = match (&package.local, package.suffices) {
            (Some(_), _) => Still::Local,
            (None, true) => Still::InOtherBytes,
            (None, false) => Still::Elsewhere,
        };
        (!answers.is_empty()).then_some(Self { kind, still, answers })
    }

    fn hosts(&self) -> String {
        let mut hosts: Vec<&str> = self.answers.iter().map(|(host, _)| host.as_str()).collect();
        hosts.dedup();
        hosts.join(", ")
    }

    /// The message for one package.
    fn single(&self, package: &VerifiedPackage) -> String {
        match (self.kind, &package.local) {
            (ProblemKind::Unreachable, _) => "could not be checked".to_owned(),
            (ProblemKind::Verification, _) => "no URL gave the right bytes".to_owned(),
            (_, Some(local)) => format!("only {local} still has it"),
            (_, None) if package.suffices => "all that is needed of it is right".to_owned(),
            (_, None) => "another URL still has it".to_owned(),
        }
    }

    /// The message for many packages.
    fn message(&self, packages: &[&VerifiedPackage]) -> String {
        let outcomes: BTreeSet<CheckOutcome> = self.answers.iter().map(|(_, one)| *one).collect();
        let outcomes: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        let rest = match (self.kind, self.still) {
            (ProblemKind::Unreachable, _) => "none of their URLs could be checked",
            (ProblemKind::Verification, _) => "none of their URLs gave the right bytes",
            (_, Still::Local) => "only a pool or the cache still has them",
            (_, Still::InOtherBytes) => "all that is needed of them is right",
            (_, Still::Elsewhere) => "other URLs still have them",
        };
        let first = packages[0].bad_places().next().map_or_else(String::new, answer);
        let count = packages.len();
        format!("{count} packages {}: {rest}; the first: {first}", outcomes.join(" or "))
    }
}

/// The answers of the URLs that do not have a package.
pub(super) fn answers(package: &VerifiedPackage) -> String {
    package.bad_places().map(answer).collect::<Vec<_>>().join("; ")
}

fn answer((url, outcome, what): (&str, CheckOutcome, &str)) -> String {
    let url = shown(url);
    // Most errors name the URL themselves.
    if what.contains(&url) {
        format!("{outcome}: {what}")
    } else {
        format!("{url} {outcome}: {what}")
    }
}

/// The files that need a package, in a few words.
fn dependents(package: &VerifiedPackage) -> String {
    let named: Vec<String> = package.files.iter().take(NAMED).map(ToString::to_string).collect();
    let more = package.files.len().saturating_sub(NAMED);
    let mut parts = Vec::new();
    if !named.is_empty() {
        parts.push(format!("{}{}", named.join(", "), and_more(more)));
    }
    parts.extend(
        package.under.iter().map(|under| format!("everything that it gives below \"{under}\"")),
    );
    if parts.is_empty() {
        "no known file needs it".to_owned()
    } else {
        format!("needed for {}", parts.join("; "))
    }
}
