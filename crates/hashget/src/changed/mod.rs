//! Which files of packages are not as their packages have them: a report of tampering, and of damage.
//!
//! Invariant: what a file should be comes from packages alone, by their SHA-256; records of the tree only say where files lie and
//! which differences are wanted. Nothing is fetched or written.

mod claims;
mod scripts;
mod seen;
#[cfg(test)]
mod tests;

use crate::archive::Aspect;
use crate::detectors::{InstalledSystem, Override, SystemPackage, TreeFiles};
use crate::model::manifest::Prefix;
use crate::model::{Entry, Kind, Member, RelPath, Signature, effective_mode};
use crate::monitor::{Interrupted, Monitor};

use claims::{Claim, claims};
use scripts::Scripts;
use seen::Seen;

/// A package whose files are in the tree, and what is in it.
pub struct PackageFiles<'a> {
    /// What messages call it.
    pub name: String,
    /// Its name in its ecosystem.
    pub signature: Option<Signature>,
    /// All of its members, with their digests.
    pub members: Vec<Member>,
    /// Where its members lie: the first bytes of their paths, and what stands for them in the tree (in its system, if it is of one).
    pub places: Vec<(Prefix, Prefix)>,
    /// The system in which it is installed.
    pub of_system: Option<(&'a InstalledSystem, &'a SystemPackage)>,
    /// Does a record of the tree name it? If nothing does, it counts only if nearly all of its files are there.
    pub is_named: bool,
}

/// What is not as its package has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedEntry {
    /// Where it is, or should be.
    pub path: RelPath,
    /// The number of the package.
    pub package: usize,
    /// In what it differs; nothing if it is not there.
    pub aspects: Vec<Aspect>,
    /// Is it configuration, which administrators change?
    pub is_configuration: bool,
    /// What the package has.
    pub expected: Member,
    /// What the tree has; `None` if it is not there.
    pub found: Option<Entry>,
}

/// The outcome.
#[derive(Debug, Default)]
pub struct Changed {
    /// What differs, by package and path.
    pub entries: Vec<ChangedEntry>,
    /// Number of paths that packages have and that were compared.
    pub compared: u64,
    /// Files that are there, and whose contents could not be had to compare them.
    pub unread: Vec<RelPath>,
    /// Number of differences that are wanted.
    pub wanted: Wanted,
    /// Files and links of no package, by path.
    pub unowned: Vec<RelPath>,
    /// Have nearly all files other owners, so that these were not compared?
    pub owners_are_others: bool,
    /// The numbers of packages that nothing names and that have too few of their files in the tree to be installed there.
    pub dismissed: Vec<usize>,
}

/// Numbers of differences that are wanted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Not installed, or removed again, because the system was told so.
    pub unwanted: u64,
    /// A mode or owner that the system was told to set.
    pub overridden: u64,
    /// A mode, an owner or an absence that a script of the package itself brings about.
    pub by_script: u64,
}

/// Of a package that nothing names, at least so many of ten files must be in the tree as it has them.
const TENTHS_TO_COUNT: usize = 9;

/// If other owners are found of more than so many of ten files, the tree was copied by somebody else.
const TENTHS_OF_OTHERS: usize = 9;

/// What differs in the tree with these entries (sorted by path, hard links with the metadata and digest of their file) and `files`.
///
/// # Errors
/// The monitor asked to stop.
pub fn changed(
    entries: &[Entry],
    packages: &[PackageFiles<'_>],
    files: &dyn TreeFiles,
    monitor: &dyn Monitor,
) -> Result<Changed, Interrupted> {
    let seen = Seen::new(entries, files);
    let mut all = claims(packages, &seen);
    let outcome = Changed { dismissed: dismissed(&all, packages, &seen), ..Changed::default() };
    all.retain(|claim| !outcome.dismissed.contains(&claim.package));
    let mut comparison = Comparison {
        seen: &seen,
        packages,
        scripts: Scripts::new(packages, files),
        outcome,
        owners: Vec::new(),
    };
    let mut owned = vec![false; entries.len()];
    for group in all.chunk_by(|one, other| one.path == other.path) {
        monitor.check_interrupted()?;
        let found = seen.find(&group[0].path);
        found.into_iter().for_each(|index| owned[index] = true);
        comparison.outcome.compared += 1;
        comparison.compare(group, found);
    }
    let mut outcome = comparison.finished();
    let is_stray = |entry: &Entry| {
        matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. } | Kind::Symlink { .. })
    };
    let strays = entries.iter().zip(&owned).filter(|(entry, owned)| !**owned && is_stray(entry));
    outcome.unowned = strays.map(|(entry, _)| entry.path.clone()).collect();
    outcome.entries.sort_by(|a, b| (a.package, &a.path).cmp(&(b.package, &b.path)));
    Ok(outcome)
}

/// Packages that nothing names, and of which too little is there.
fn dismissed(claims: &[Claim], packages: &[PackageFiles<'_>], seen: &Seen<'_>) -> Vec<usize> {
    let mut counts = vec![(0_usize, 0_usize); packages.len()];
    let unnamed = claims.iter().filter(|claim| !packages[claim.package].is_named);
    for claim in unnamed {
        let member = claim.member(packages);
        if member.sha256.is_some() {
            let (own, all) = &mut counts[claim.package];
            *all += 1;
            let entry = seen.find(&claim.path).map(|index| seen.entry(index));
            let sha256 = entry.and_then(|entry| entry.sha256);
            *own += usize::from(sha256.is_some() && sha256 == member.sha256);
        }
    }
    let is_too_little =
        |package: &usize| counts[*package].0 * 10 < counts[*package].1 * TENTHS_TO_COUNT;
    (0..packages.len()).filter(is_too_little).collect()
}

/// Compares path by path.
struct Comparison<'c, 'a> {
    seen: &'c Seen<'c>,
    packages: &'c [PackageFiles<'a>],
    scripts: Scripts<'c, 'a>,
    outcome: Changed,
    /// For each path that has an owner in its package, and its contents: is it another one?
    owners: Vec<bool>,
}

impl Comparison<'_, '_> {
    /// Compares what is at a path with what these packages have there: one of them is enough.
    fn compare(&mut self, group: &[Claim], found: Option<usize>) {
        let Some(index) = found else { return self.missing(group) };
        let entry = self.seen.entry(index);
        let mut best: Option<(Vec<Aspect>, &Claim)> = None;
        for claim in group {
            let member = claim.member(self.packages);
            let Some(mut aspects) = self.seen.contents_differ(entry, member, claim.sha256) else {
                self.outcome.unread.push(entry.path.clone());
                return;
            };
            if aspects.is_empty() {
                aspects = self.metadata_differs(entry, claim);
            }
            if best.as_ref().is_none_or(|(known, _)| weight(&aspects) < weight(known)) {
                best = Some((aspects, claim));
            }
        }
        let Some((aspects, claim)) = best else { return };
        let member = claim.member(self.packages);
        let is_of_system = self.packages[claim.package].of_system.is_some();
        let is_known = member.metadata.uid.is_some() && aspects.iter().all(is_metadata);
        if is_of_system && is_known {
            self.owners.push(aspects.contains(&Aspect::Owner));
        }
        if !aspects.is_empty() {
            self.add(claim, aspects, Some(entry));
        }
    }

    /// Nothing is at a path where these packages have something.
    fn missing(&mut self, group: &[Claim]) {
        let claim = &group[0];
        let package = &self.packages[claim.package];
        if let Some((system, of)) = package.of_system
            && (system.told.unwanted.has(&claim.in_system)
                || of.may_be_missing.contains(&claim.in_system))
        {
            self.outcome.wanted.unwanted += 1;
        } else if self.scripts.remove(claim) {
            self.outcome.wanted.by_script += 1;
        } else {
            self.add(claim, Vec::new(), None);
        }
    }

    /// Mode and owner, of packages of systems: others have them from whoever unpacked them.
    fn metadata_differs(&mut self, entry: &Entry, claim: &Claim) -> Vec<Aspect> {
        let Some((system, _)) = self.packages[claim.package].of_system else { return Vec::new() };
        let member = claim.member(self.packages);
        let mode = |mode: u32| effective_mode(&entry.kind, mode);
        let mut aspects = Vec::new();
        let expected = &member.metadata;
        if expected.mode.is_some_and(|it| mode(it) != mode(entry.metadata.mode)) {
            aspects.push(Aspect::Mode);
        }
        let differs = |own: Option<u32>, found: u32| own.is_some_and(|own| own != found);
        if differs(expected.uid, entry.metadata.uid) || differs(expected.gid, entry.metadata.gid) {
            aspects.push(Aspect::Owner);
        }
        if aspects.is_empty() {
            return aspects;
        }
        if let Some(wanted) = system.told.overridden.get(&claim.in_system) {
            if is_overridden(entry, wanted) {
                self.outcome.wanted.overridden += 1;
                return Vec::new();
            }
            return aspects;
        }
        if self.scripts.set(claim) {
            self.outcome.wanted.by_script += 1;
            return Vec::new();
        }
        aspects
    }

    fn add(&mut self, claim: &Claim, aspects: Vec<Aspect>, found: Option<&Entry>) {
        let of_system = self.packages[claim.package].of_system;
        let is_configuration = of_system.is_some_and(|(system, package)| {
            let is_below =
                |folder: &&str| claim.in_system.as_bytes().starts_with(folder.as_bytes());
            package.configuration.contains(&claim.in_system)
                || system.told.configuration.iter().any(is_below)
        });
        self.outcome.entries.push(ChangedEntry {
            path: claim.path.clone(),
            package: claim.package,
            aspects,
            is_configuration,
            expected: claim.member(self.packages).clone(),
            found: found.cloned(),
        });
    }

    /// The outcome; without owners, if the tree was copied by somebody else.
    fn finished(mut self) -> Changed {
        let others = self.owners.iter().filter(|is_other| **is_other).count();
        if others > 0 && others * 10 > self.owners.len() * TENTHS_OF_OTHERS {
            self.outcome.owners_are_others = true;
            for entry in &mut self.outcome.entries {
                entry.aspects.retain(|aspect| *aspect != Aspect::Owner);
            }
            self.outcome.entries.retain(|one| one.found.is_none() || !one.aspects.is_empty());
        }
        self.outcome
    }
}

/// How much two entries differ: contents count before all else.
fn weight(aspects: &[Aspect]) -> usize {
    aspects.len() + 10 * aspects.iter().filter(|aspect| !is_metadata(aspect)).count()
}

/// Is it a mode or an owner?
fn is_metadata(aspect: &Aspect) -> bool {
    matches!(aspect, Aspect::Mode | Aspect::Owner)
}

fn is_overridden(entry: &Entry, wanted: &Override) -> bool {
    let is = |wanted: Option<u32>, found: u32| wanted.is_none_or(|wanted| wanted == found);
    entry.metadata.mode == wanted.mode
        && is(wanted.uid, entry.metadata.uid)
        && is(wanted.gid, entry.metadata.gid)
}

impl ChangedEntry {
    /// Is it something else than its package has, and not only missing, or with another mode or owner?
    pub fn has_other_contents(&self) -> bool {
        !self.aspects.iter().all(is_metadata)
    }
}
