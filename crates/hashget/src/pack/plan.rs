//! The plan of a backup: which package gives which entry, and what is archived.
//!
//! Invariant: pure (no disk, no network); every entry of the tree is given by a package, archived, or
//! a link to one that is, exactly once.

use std::collections::HashMap;

use super::lay::{self, Role};
use crate::model::manifest::{EntryTable, Link, Package};
use crate::model::{Digest, Entry, Evidence, Kind, Member, PackageRecord, RelPath};

/// A package that was chosen, with what is in it.
#[derive(Debug)]
pub(super) struct ChosenPackage {
    /// Its record.
    pub(super) record: PackageRecord,
    /// Its members, in its own order.
    pub(super) members: Vec<Member>,
}

/// Which entries are given so far, and which names belong to which file.
#[derive(Debug)]
pub(super) struct Claims {
    /// For each entry the index of the first name of its hard-link group: itself for all but links.
    first_names: Vec<u32>,
    /// For each entry whether something gives it.
    given: Vec<bool>,
    /// For each entry whether a package may give it.
    eligible: Vec<bool>,
    /// For first names of hard-link groups: the name under which a package gives the file.
    heads: HashMap<usize, usize>,
}

impl Claims {
    /// Nothing is given yet. `eligible` says for each entry whether it may be left out at all.
    pub(super) fn new(entries: &[Entry], eligible: Vec<bool>) -> Self {
        let first_names = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let first = match &entry.kind {
                    Kind::HardLink { target } => entries
                        .binary_search_by(|other| other.path.cmp(target))
                        .expect("a scan has the first name of every group"),
                    _ => index,
                };
                u32::try_from(first).expect("a tree has fewer than 2^32 entries")
            })
            .collect();
        Self { first_names, given: vec![false; entries.len()], eligible, heads: HashMap::new() }
    }

    pub(super) fn first_name(&self, entry: usize) -> usize {
        self.first_names[entry] as usize
    }

    /// The entry that has the contents and metadata of this one.
    pub(super) fn file<'a>(&self, entries: &'a [Entry], entry: usize) -> &'a Entry {
        &entries[self.first_name(entry)]
    }

    pub(super) fn is_given(&self, entry: usize) -> bool {
        self.given[entry]
    }

    pub(super) fn may_leave_out(&self, first_name: usize) -> bool {
        self.eligible[first_name]
    }

    /// The name under which the file of this group is given.
    pub(super) fn head(&self, first_name: usize) -> Option<usize> {
        self.heads.get(&first_name).copied()
    }

    fn give(&mut self, entry: usize, role: Role) {
        self.given[entry] = true;
        if role == Role::Made {
            self.heads.insert(self.first_name(entry), entry);
        }
    }
}

/// What each package is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUse {
    /// Its URL.
    pub url: String,
    /// Bytes to download when restoring.
    pub size: u64,
    /// Files that it gives.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    /// The packages of the manifest, by URL; only those that give something.
    pub(super) packages: Vec<Package>,
    /// Each with its use.
    pub(super) uses: Vec<PackageUse>,
    /// Indices into the chosen packages, in the order of `packages`.
    pub(super) chosen: Vec<usize>,
    /// For each entry: does the archive hold it? Never a hard link.
    pub(super) archived: Vec<bool>,
    /// Further names of files that are given or archived.
    pub(super) links: Vec<Link>,
}

/// A digest in the manifest costs space: which files are worth it.
pub(super) type KeepDigest<'a> = &'a dyn Fn(u64) -> bool;

/// Trees of one package in a manifest; more are hardly ever shorter than a list.
const MOST_TREES: usize = 64;

/// Decides where each entry comes from. `packages` are sorted by URL.
pub(super) fn plan(
    entries: &[Entry],
    eligible: Vec<bool>,
    packages: &[ChosenPackage],
    keep_digest: KeepDigest<'_>,
) -> Plan {
    let mut claims = Claims::new(entries, eligible);
    let by_digest = entries_by_digest(entries, &claims);
    let mut manifest: Vec<Package> =
        packages.iter().map(|package| package_head(&package.record)).collect();
    // Positions count all members of a package: where not all are known, files can only be listed.
    let complete = |chosen: &ChosenPackage| chosen.record.evidence >= Evidence::Signed;
    for (package, chosen) in
        manifest.iter_mut().zip(packages).filter(|(_, chosen)| complete(chosen))
    {
        lay_down(package, chosen, entries, &by_digest, &mut claims, keep_digest);
    }
    // Single files come after all trees: a file that lies where its package puts it needs no word.
    for (package, chosen) in manifest.iter_mut().zip(packages) {
        list_files(package, chosen, entries, &by_digest, &mut claims, keep_digest);
    }
    finish(entries, manifest, &claims)
}

fn package_head(record: &PackageRecord) -> Package {
    Package {
        url: record.url.clone(),
        also: record.also.clone(),
        sha256: record.sha256,
        size: record.size,
        format: record.format.clone(),
        evidence: record.evidence,
        signatures: record.signatures.iter().map(ToString::to_string).collect(),
        expires: record.expires.clone(),
        trees: Vec::new(),
        files: EntryTable::default(),
    }
}

type ByDigest = HashMap<Digest, Vec<usize>>;

/// The names of every file that may be left out, by its contents.
fn entries_by_digest(entries: &[Entry], claims: &Claims) -> ByDigest {
    let mut map = ByDigest::new();
    for index in 0..entries.len() {
        let first = claims.first_name(index);
        if let (true, Some(sha256)) = (claims.may_leave_out(first), entries[first].sha256) {
            map.entry(sha256).or_default().push(index);
        }
    }
    map
}

fn lay_down(
    package: &mut Package,
    chosen: &ChosenPackage,
    entries: &[Entry],
    by_digest: &ByDigest,
    claims: &mut Claims,
    keep_digest: KeepDigest<'_>,
) {
    let mut members: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (index, member) in chosen.members.iter().enumerate() {
        if let Some(sha256) = member.sha256.filter(|sha256| by_digest.contains_key(sha256)) {
            members.entry(sha256).or_default().push(index);
        }
    }
    let mut matches: Vec<(usize, Vec<usize>)> = members
        .into_iter()
        .flat_map(|(sha256, members)| {
            by_digest[&sha256].iter().map(move |&entry| (entry, members.clone()))
        })
        .filter(|(entry, _)| !claims.is_given(*entry))
        .collect();
    matches.sort_unstable();
    for (from, to) in lay::prefixes(entries, &chosen.members, &matches).into_iter().take(MOST_TREES)
    {
        let mut proposal = lay::lay(&from, &to, entries, &chosen.members, claims);
        if proposal.is_worth(entries) {
            proposal.keep_digests(entries, &chosen.members, keep_digest);
            for given in &proposal.given {
                claims.give(given.entry, given.role);
            }
            package.trees.push(proposal.tree);
        }
    }
}

fn list_files(
    package: &mut Package,
    chosen: &ChosenPackage,
    entries: &[Entry],
    by_digest: &ByDigest,
    claims: &mut Claims,
    keep_digest: KeepDigest<'_>,
) {
    let mut rows: Vec<(Entry, Option<RelPath>)> = Vec::new();
    let twice = lay::repeated(chosen.members.iter().map(|member| member.path.as_bytes()));
    let members = chosen
        .members
        .iter()
        .filter(|member| !twice.contains(member.path.as_bytes()))
        .filter_map(|member| Some((member.sha256?, Some(&member.path))));
    for (sha256, from) in members.chain([(chosen.record.sha256, None)]) {
        for &index in by_digest.get(&sha256).into_iter().flatten() {
            let first = claims.first_name(index);
            let taken = claims.is_given(index) || claims.head(first).is_some();
            // An empty file is shorter archived than listed.
            if index != first || taken || size_of(&entries[index]) == 0 {
                continue;
            }
            claims.give(index, Role::Made);
            let mut row = entries[index].clone();
            row.sha256 = row.sha256.filter(|_| keep_digest(size_of(&row)));
            rows.push((row, from.cloned()));
        }
    }
    rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let from = rows.iter().map(|(_, from)| from.clone()).collect();
    package.files = EntryTable::new(rows.iter().map(|(row, _)| row)).with_from(from);
}

fn size_of(entry: &Entry) -> u64 {
    if let Kind::File { size } = entry.kind { size } else { 0 }
}

fn finish(entries: &[Entry], manifest: Vec<Package>, claims: &Claims) -> Plan {
    let mut plan = Plan {
        packages: Vec::new(),
        uses: Vec::new(),
        chosen: Vec::new(),
        archived: vec![false; entries.len()],
        links: Vec::new(),
    };
    for (index, package) in manifest.into_iter().enumerate() {
        if !package.trees.is_empty() || !package.files.is_empty() {
            plan.uses.push(PackageUse {
                url: package.url.clone(),
                size: package.size,
                files: 0,
                bytes: 0,
            });
            plan.packages.push(package);
            plan.chosen.push(index);
        }
    }
    for index in (0..entries.len()).filter(|&index| !claims.is_given(index)) {
        let first = claims.first_name(index);
        match claims.head(first) {
            Some(head) => plan.link(entries, index, head),
            None if first != index => plan.link(entries, index, first),
            None => plan.archived[index] = true,
        }
    }
    plan
}

impl Plan {
    fn link(&mut self, entries: &[Entry], name: usize, to: usize) {
        self.links.push(Link { path: entries[name].path.clone(), to: entries[to].path.clone() });
    }
}
