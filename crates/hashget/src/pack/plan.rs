//! The plan of a backup: which package gives which entry, and what is archived.
//!
//! Invariant: pure (no disk, no network); every entry of the tree is, exactly once, given by a package,
//! archived, or a link to one that is.

use super::claims::Claims;
use super::contents::{Contents, NONE};
use super::members::Members;
use super::placement::{self, Role};
use super::prefixes::prefixes;
use super::verdict::{Reason, Verdict, Verdicts};
use crate::hashdb::{HashDbError, PackageId};
use crate::model::manifest::{EntryTable, Link, Package, Pieces};
use crate::model::{Entry, Evidence, PackageRecord, RelPath};
use crate::places::Place;
use crate::tree::Entries;

/// A package that was chosen.
pub(super) struct ChosenPackage<'a> {
    /// Its record.
    pub(super) record: PackageRecord,
    /// Its ID in the HashDB.
    pub(super) id: PackageId,
    /// How the most certain of its places is known.
    pub(super) place: Place,
    /// The part of its data that is kept in memory between the steps.
    pub(super) kept: Kept<'a>,
}

/// The part of a package's data that is kept in memory.
pub(super) enum Kept<'a> {
    /// Its members.
    Members(Members<'a>),
    /// The contents of the tree that it has according to the HashDB, except empty ones.
    Contents(Vec<u32>),
}

/// Reads the members of a package.
pub(super) type ReadMembers<'a> = &'a dyn Fn(PackageId) -> Result<Members<'a>, HashDbError>;

impl ChosenPackage<'_> {
    /// Passes its members to `work`.
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

    /// Could it give a file that nothing gives yet? After all placements are planned, usually not; then its
    /// members need not be read again.
    fn could_give(&self, contents: &Contents<'_>, claims: &Claims<'_>) -> bool {
        let held = match &self.kept {
            Kept::Members(members) => members.contents(),
            Kept::Contents(contents) => contents,
        };
        let whole = contents.number(&self.record.sha256);
        let held = held.iter().copied().chain(std::iter::once(whole));
        held.flat_map(|content| contents.names(content)).any(|entry| !claims.is_given(entry))
    }
}

/// What a package is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUse {
    /// Its [display name](PackageRecord::display_name).
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Size of the download when restoring, in bytes.
    pub size: u64,
    /// How the most certain of its places is known.
    pub place: Place,
    /// Number of files that it gives.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Bytes of other files that are made of pieces of it.
    pub bytes_of_pieces: u64,
}

impl PackageUse {
    /// The use of a package that does not give anything yet.
    pub(super) fn none_of(record: &PackageRecord, place: Place) -> Self {
        let (name, url) = (record.display_name().to_owned(), record.url.clone());
        Self { name, url, size: record.size, place, files: 0, bytes: 0, bytes_of_pieces: 0 }
    }
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    /// The packages of the manifest, by URL; only those that give something.
    pub(super) packages: Vec<Package>,
    /// The use of each package.
    pub(super) uses: Vec<PackageUse>,
    /// For each of `packages`, its index in the list of chosen packages.
    pub(super) chosen: Vec<usize>,
    /// What becomes of each entry.
    pub(super) verdicts: Verdicts,
    /// Which of the archived files are made of pieces, if any are.
    pub(super) pieces: Option<Pieces>,
}

impl Plan {
    /// Is the archived file at `path` made of pieces?
    pub(super) fn is_pieced(&self, path: &RelPath) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.position(path).is_some())
    }

    /// The file at `path` is archived as a whole after all.
    pub(super) fn forget_pieces(&mut self, path: &RelPath) {
        let pieces = self.pieces.take();
        let kept =
            |pieces: Pieces| pieces.chosen(|file| (file.path != *path).then(|| file.path.clone()));
        // Even if none is left, the archive has the rests of some.
        self.pieces = pieces.map(kept);
    }

    /// The further names of files that are given or archived.
    pub(super) fn links(&self, entries: &Entries) -> Vec<Link> {
        let link = |(entry, verdict): (&Entry, Verdict)| match verdict {
            Verdict::Link { to } => {
                Some(Link { path: entry.path.clone(), to: entries[to].path.clone() })
            }
            Verdict::Given { .. } | Verdict::Archived(_) => None,
        };
        entries.iter().zip(self.verdicts.iter()).filter_map(link).collect()
    }
}

/// Decides by a file's size whether the manifest contains its digest, which costs space.
pub(super) type KeepDigest<'a> = &'a dyn Fn(u64) -> bool;

/// Limit on the placements of one package; more are almost never shorter than a list.
const MOST_PLACEMENTS: usize = 64;

/// Decides where each entry comes from. `packages` are sorted by URL.
pub(super) fn plan(
    claims: Claims<'_>,
    contents: &Contents<'_>,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    keep_digest: KeepDigest<'_>,
) -> Result<Plan, HashDbError> {
    let mut manifest: Vec<Package> = packages.iter().map(package_head).collect();
    let mut planning = Planning { claims, contents, keep_digest };
    // Positions count all members of a package; if not all are known, files can only be listed.
    let complete = |chosen: &ChosenPackage<'_>| chosen.record.evidence >= Evidence::Signed;
    for (index, (package, chosen)) in manifest.iter_mut().zip(packages).enumerate() {
        if complete(chosen) {
            chosen.with_members(read, |members| planning.place(index, package, members))?;
        }
    }
    // Single files come after all placements: a file covered by a placement need not be listed.
    for (index, (package, chosen)) in manifest.iter_mut().zip(packages).enumerate() {
        if chosen.could_give(contents, &planning.claims) {
            chosen.with_members(read, |members| planning.list_files(index, package, members))?;
        }
    }
    Ok(finish(planning.claims, manifest, packages))
}

pub(super) fn package_head(package: &ChosenPackage<'_>) -> Package {
    let record = &package.record;
    Package {
        url: record.url.clone(),
        also: record.also.clone(),
        sha256: record.sha256,
        size: record.size,
        format: record.format.clone(),
        evidence: record.evidence,
        signatures: record.signatures.iter().map(ToString::to_string).collect(),
        expires: record.expires.clone(),
        unasked: package.place == Place::Supposed,
        derived: Vec::new(),
        placements: Vec::new(),
        files: EntryTable::default(),
    }
}

/// State shared by the steps of planning.
struct Planning<'a, 'b> {
    claims: Claims<'a>,
    contents: &'b Contents<'a>,
    keep_digest: KeepDigest<'b>,
}

impl Planning<'_, '_> {
    /// Adds the worthwhile placements of the package with this index.
    fn place(
        &mut self,
        index: usize,
        package: &mut Package,
        members: &Members<'_>,
    ) -> Result<(), HashDbError> {
        let prefixes = prefixes(members, self.contents, &self.claims)?;
        for (from, to) in prefixes.into_iter().take(MOST_PLACEMENTS) {
            let mut proposal = placement::propose(&from, &to, members, &self.claims)?;
            if proposal.is_worth(self.claims.entries) {
                proposal.keep_digests(&self.claims, self.keep_digest);
                for given in &proposal.given {
                    self.claims.give(given.entry as usize, given.role, index);
                }
                package.placements.push(proposal.placement);
            }
        }
        Ok(())
    }

    /// Lists the files that the package with this index gives outside of placements.
    fn list_files(
        &mut self,
        index: usize,
        package: &mut Package,
        members: &Members<'_>,
    ) -> Result<(), HashDbError> {
        let mut rows: Vec<(Entry, Option<RelPath>)> = Vec::new();
        let numbers = members.contents();
        members.each(&mut |member, of_package| {
            let content = numbers[member];
            if content != NONE && members.is_duplicate_path(member) {
                self.note_duplicate(content);
            } else if content != NONE {
                self.list(index, content, Some(&of_package.path), &mut rows);
            }
        })?;
        self.list(index, self.contents.number(&package.sha256), None, &mut rows);
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        let from = rows.iter().map(|(_, from)| from.clone()).collect();
        package.files = EntryTable::new(rows.iter().map(|(row, _)| row)).with_from(from);
        Ok(())
    }

    /// Lists the entries with a content, from the member at `from` or the package itself.
    fn list(
        &mut self,
        package: usize,
        content: u32,
        from: Option<&RelPath>,
        rows: &mut Vec<(Entry, Option<RelPath>)>,
    ) {
        let claims = &mut self.claims;
        for index in self.contents.names(content) {
            let first = claims.entries.first_name(index);
            let taken = claims.is_given(index) || claims.head(first).is_some();
            let entry = &claims.entries[index];
            // Archiving an empty file is shorter than listing it.
            if index != first || taken || entry.size() == 0 {
                continue;
            }
            claims.give(index, Role::Made, package);
            let mut row = entry.clone();
            row.sha256 = row.sha256.filter(|_| (self.keep_digest)(row.size()));
            rows.push((row, from.cloned()));
        }
    }

    /// Sets the reason for archiving files with this content: if several members have the same path, it
    /// depends on the reader which one counts.
    fn note_duplicate(&mut self, content: u32) {
        for index in self.contents.names(content) {
            if self.claims.entries[index].size() > 0 {
                self.claims.set_reason(index, Reason::DuplicatePath);
            }
        }
    }
}

/// Drops the packages that do not give anything.
fn finish(claims: Claims<'_>, manifest: Vec<Package>, records: &[ChosenPackage<'_>]) -> Plan {
    let (mut packages, mut uses, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    let mut numbers = Vec::with_capacity(manifest.len());
    for (index, package) in manifest.into_iter().enumerate() {
        numbers.push(packages.len());
        if !package.placements.is_empty() || !package.files.is_empty() {
            uses.push(PackageUse::none_of(&records[index].record, records[index].place));
            packages.push(package);
            chosen.push(index);
        }
    }
    Plan {
        packages,
        uses,
        chosen,
        verdicts: claims.finish(|package| numbers[package]),
        pieces: None,
    }
}
