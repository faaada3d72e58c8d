//! What verifying tells of packages that are not where they should be.
//!
//! Invariant: a lost package is told by itself, with what hangs on it; packages that are somewhere still, or
//! could not be asked for, are told together once one host has more than a few of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{PackageState, VerifiedPackage};
use crate::archive::host_of;
use crate::fetch::shown;
use crate::hashdb::CheckOutcome;
use crate::monitor::{Monitor, ProblemKind};

/// So many packages of one host are told one by one.
const FEW: usize = 3;

/// Paths that are named of those that hang on a package.
const NAMED: usize = 5;

/// Tells of a package that no place has.
pub(super) fn lost(package: &VerifiedPackage, monitor: &dyn Monitor) {
    if package.state() == PackageState::Lost {
        let message =
            format!("it is lost: no place has it ({}); {}", answers(package), hanging(package));
        monitor.problem(ProblemKind::Verification, shown(&package.package.url), message);
    }
}

/// Tells of all others that some place does not have.
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
            monitor.problem(group.kind, shown(&package.package.url), message);
        }
    }
}

/// Packages of which the same is to be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    kind: ProblemKind,
    /// Has a pool or the cache them, and no URL?
    local: bool,
    /// The hosts that do not have them, each with its answer.
    answers: Vec<(String, CheckOutcome)>,
}

impl Group {
    /// Where a package belongs that some place does not have, and that is not lost.
    fn for_package(package: &VerifiedPackage) -> Option<Self> {
        let kind = match package.state() {
            PackageState::Present => ProblemKind::Note,
            PackageState::Unreachable => ProblemKind::Unreachable,
            PackageState::Lost => return None,
        };
        let bad = package.bad_places();
        let mut answers: Vec<(String, CheckOutcome)> =
            bad.map(|(url, outcome, _)| (shown(&host_of(url)), outcome)).collect();
        answers.sort();
        answers.dedup();
        let local = package.local.is_some();
        (!answers.is_empty()).then_some(Self { kind, local, answers })
    }

    fn hosts(&self) -> String {
        let mut hosts: Vec<&str> = self.answers.iter().map(|(host, _)| host.as_str()).collect();
        hosts.dedup();
        hosts.join(", ")
    }

    /// What is told of one package alone.
    fn single(&self, package: &VerifiedPackage) -> String {
        match (self.kind, &package.local) {
            (ProblemKind::Unreachable, _) => "no place could be asked".to_owned(),
            (_, Some(local)) => format!("only {local} has it still"),
            (_, None) => "another place has it still".to_owned(),
        }
    }

    /// What is told of many packages together.
    fn message(&self, packages: &[&VerifiedPackage]) -> String {
        let outcomes: BTreeSet<CheckOutcome> = self.answers.iter().map(|(_, one)| *one).collect();
        let outcomes: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        let rest = match (self.kind, self.local) {
            (ProblemKind::Unreachable, _) => "no place of them could be asked",
            (_, true) => "only pools or the cache have them still",
            (_, false) => "other places have them still",
        };
        let first = packages[0].bad_places().next().map_or_else(String::new, answer);
        let count = packages.len();
        format!("{count} packages {}: {rest}; the first: {first}", outcomes.join(" or "))
    }
}

/// What each place answered that does not have a package.
fn answers(package: &VerifiedPackage) -> String {
    package.bad_places().map(answer).collect::<Vec<_>>().join("; ")
}

fn answer((url, outcome, what): (&str, CheckOutcome, &str)) -> String {
    format!("{} {outcome}: {what}", shown(url))
}

/// What hangs on a package, in a few words.
fn hanging(package: &VerifiedPackage) -> String {
    let named: Vec<String> = package.files.iter().take(NAMED).map(ToString::to_string).collect();
    let more = package.files.len().saturating_sub(NAMED);
    let mut parts = Vec::new();
    if !named.is_empty() {
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("{}{more}", named.join(", ")));
    }
    parts.extend(package.under.iter().map(|under| format!("what it gives under \"{under}\"")));
    if parts.is_empty() {
        "nothing hangs on it".to_owned()
    } else {
        format!("on it hang {}", parts.join("; "))
    }
}
