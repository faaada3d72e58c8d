//! The plan of a backup: which package gives which entry, and what is archived.
//!
//! Invariant: pure (no disk, no network); every entry of the tree is given by a package, archived, or
//! a link to one that is, exactly once.

use std::collections::HashMap;

use super::contents::{Contents, NONE};
use super::members::Members;
use super::placement::{self, Role};
use super::prefixes::prefixes;
use crate::hashdb::{HashDbError, PackageId};
use crate::model::manifest::{EntryTable, Link, Package};
use crate::model::{Entry, Evidence, Kind, PackageRecord, RelPath};

/// A package that was chosen.
pub(super) struct ChosenPackage<'a> {
    /// Its record.
    pub(super) record: PackageRecord,
    /// What the HashDB calls it.
    pub(super) id: PackageId,
    /// What is kept of it from one step to the next.
    pub(super) kept: Kept<'a>,
}

/// What is kept of a package.
pub(super) enum Kept<'a> {
    /// What is in it.
    Members(Members<'a>),
    /// Those contents of the tree that the HashDB says it has, all of them that have any bytes.
    Contents(Vec<u32>),
}

/// Reads what is in a package.
pub(super) type ReadMembers<'a> = &'a dyn Fn(PackageId) -> Result<Members<'a>, HashDbError>;

impl ChosenPackage<'_> {
    /// Works with what is in it.
    pub(super) fn with_members<E: From<HashDbError>>(
        &self,
        read: ReadMembers<'_>,
        work: impl FnOnce(&Members<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.kept {
            Kept::Members(members) => work(members),
            Kept::Contents(_) => work(&read(self.id)?),
        }
    }

    /// Could it give a file that nothing gives yet? Mostly not, once all trees are laid down, and then its members
    /// need not be read again.
    fn could_give(&self, contents: &Contents<'_>, claims: &Claims) -> bool {
        let held = match &self.kept {
            Kept::Members(members) => members.contents(),
            Kept::Contents(contents) => contents,
        };
        let whole = contents.number(&self.record.sha256);
        let held = held.iter().copied().chain(std::iter::once(whole));
        held.flat_map(|content| contents.names(content)).any(|entry| !claims.is_given(entry))
    }
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
    /// For each entry whether there are links to it.
    has_links: Vec<bool>,
    /// For first names of hard-link groups: the name under which a package gives the file.
    heads: HashMap<usize, usize>,
}

impl Claims {
    /// Nothing is given yet. `eligible` says for each entry whether it may be left out at all.
    pub(super) fn new(entries: &[Entry], eligible: Vec<bool>) -> Self {
        let mut has_links = vec![false; entries.len()];
        let first_names = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let first = match &entry.kind {
                    Kind::HardLink { target } => {
                        let first = entries
                            .binary_search_by(|other| other.path.cmp(target))
                            .expect("a scan has the first name of every group");
                        has_links[first] = true;
                        first
                    }
                    _ => index,
                };
                u32::try_from(first).expect("a tree has fewer than 2^32 entries")
            })
            .collect();
        let (given, heads) = (vec![false; entries.len()], HashMap::new());
        Self { first_names, given, eligible, has_links, heads }
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

    /// Has this file further names?
    pub(super) fn has_links(&self, first_name: usize) -> bool {
        self.has_links[first_name]
    }

    /// The name under which the file of this group is given, if it has several names.
    pub(super) fn head(&self, first_name: usize) -> Option<usize> {
        self.heads.get(&first_name).copied()
    }

    fn give(&mut self, entry: usize, role: Role) {
        self.given[entry] = true;
        let first = self.first_name(entry);
        if role == Role::Made && self.has_links(first) {
            self.heads.insert(first, entry);
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
    mut claims: Claims,
    contents: &Contents<'_>,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    keep_digest: KeepDigest<'_>,
) -> Result<Plan, HashDbError> {
    let mut manifest: Vec<Package> =
        packages.iter().map(|package| package_head(&package.record)).collect();
    // Positions count all members of a package: where not all are known, files can only be listed.
    let complete = |chosen: &ChosenPackage<'_>| chosen.record.evidence >= Evidence::Signed;
    for (package, chosen) in
        manifest.iter_mut().zip(packages).filter(|(_, chosen)| complete(chosen))
    {
        chosen.with_members(read, |members| {
            lay_down(package, members, entries, contents, &mut claims, keep_digest)
        })?;
    }
    // Single files come after all trees: a file that lies where its package puts it needs no word.
    for (package, chosen) in manifest.iter_mut().zip(packages) {
        if !chosen.could_give(contents, &claims) {
            continue;
        }
        chosen.with_members(read, |members| {
            list_files(package, members, entries, contents, &mut claims, keep_digest)
        })?;
    }
    Ok(finish(entries, manifest, &claims))
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
        placements: Vec::new(),
        files: EntryTable::default(),
    }
}

fn lay_down(
    package: &mut Package,
    members: &Members<'_>,
    entries: &[Entry],
    contents: &Contents<'_>,
    claims: &mut Claims,
    keep_digest: KeepDigest<'_>,
) -> Result<(), HashDbError> {
    let prefixes = prefixes(entries, members, contents, claims)?;
    for (from, to) in prefixes.into_iter().take(MOST_TREES) {
        let mut proposal = placement::lay(&from, &to, entries, members, claims)?;
        if proposal.is_worth(entries) {
            proposal.keep_digests(entries, claims, keep_digest);
            for given in &proposal.given {
                claims.give(given.entry as usize, given.role);
            }
            package.placements.push(proposal.placement);
        }
    }
    Ok(())
}

fn list_files(
    package: &mut Package,
    members: &Members<'_>,
    entries: &[Entry],
    contents: &Contents<'_>,
    claims: &mut Claims,
    keep_digest: KeepDigest<'_>,
) -> Result<(), HashDbError> {
    let mut rows: Vec<(Entry, Option<RelPath>)> = Vec::new();
    let mut list = |content: u32, from: Option<&RelPath>| {
        for index in contents.names(content) {
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
    };
    let numbers = members.contents();
    members.each(&mut |index, member| {
        if numbers[index] != NONE && !members.is_duplicate_path(index) {
            list(numbers[index], Some(&member.path));
        }
    })?;
    list(contents.number(&package.sha256), None);
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let from = rows.iter().map(|(_, from)| from.clone()).collect();
    package.files = EntryTable::new(rows.iter().map(|(row, _)| row)).with_from(from);
    Ok(())
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
        if !package.placements.is_empty() || !package.files.is_empty() {
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
