//! The files that an archive leaves out and that packages which cannot be had would give.
//!
//! Invariant: a digest is said of a path only if the manifest or the members of the package say so. What is not known by name is named by
//! its place, and never guessed.

use std::collections::{BTreeMap, HashSet};

use super::Unnamed;
use super::listing::StoredEntries;
use super::package_members::{MembersError, PackageMembers};
use super::package_plan::{Destination, PackagePlan};
use crate::hashdb::complete_members;
use crate::model::manifest::{AnyManifest, Manifest, ManifestError, ManifestV1, Package, Pieces};
use crate::model::{Digest, Entry, Kind, Member, RelPath};
use crate::monitor::Monitor;

/// A file of the tree that a package would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// Its path in the tree.
    pub path: RelPath,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its contents, if anything knows it.
    pub sha256: Option<Digest>,
    /// The index of the package in the manifest; `None` if an archive of version 1 does not say which one it is.
    pub package: Option<usize>,
}

/// What cannot be had of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingFiles<'m> {
    /// The files that are known by name, sorted by path; further names of a file are among them.
    pub files: Vec<MissingFile>,
    /// The parts of packages whose files are not known by name.
    pub unnamed: Vec<Unnamed<'m>>,
    /// Digests in the manifest of files that are not known by name or whose digest is not known by their name, each with the index
    /// of its package.
    pub digests: Vec<(usize, Digest)>,
}

impl MissingFiles<'_> {
    /// Number of files whose digest nothing knows.
    pub fn without_digest(&self) -> usize {
        self.files.iter().filter(|file| file.sha256.is_none()).count()
    }
}

/// The files that are missing if the `missing` packages, by their indices in the manifest, cannot be had. `stored` may have their names,
/// and `members` may know what is in the packages.
///
/// # Errors
/// See [`MembersError`].
pub fn missing_files<'m>(
    manifest: &'m AnyManifest,
    stored: &StoredEntries,
    missing: &[usize],
    members: &PackageMembers<'_>,
    monitor: &dyn Monitor,
) -> Result<MissingFiles<'m>, MembersError> {
    match manifest {
        AnyManifest::V1(manifest) => of_v1(manifest, missing, members),
        AnyManifest::V2(manifest) => {
            let mut search = Search::new(manifest, stored);
            for &index in missing {
                monitor.check_interrupted()?;
                search.package(index, members, monitor)?;
            }
            Ok(search.end())
        }
    }
}

/// The search in an archive of version 2.
struct Search<'m, 's> {
    manifest: &'m Manifest,
    stored: &'s StoredEntries,
    files: BTreeMap<RelPath, MissingFile>,
    /// Further names that packages give, and what they name.
    links: Vec<(RelPath, RelPath)>,
    found: MissingFiles<'m>,
}

impl<'m, 's> Search<'m, 's> {
    fn new(manifest: &'m Manifest, stored: &'s StoredEntries) -> Self {
        let (files, links, found) = Default::default();
        Self { manifest, stored, files, links, found }
    }

    fn add(&mut self, path: RelPath, size: u64, sha256: Option<Digest>, package: usize) {
        let sha256 = sha256.or_else(|| (size == 0).then(|| Digest::of(b"")));
        let file = MissingFile { path: path.clone(), size, sha256, package: Some(package) };
        self.files.entry(path).or_insert(file);
    }

    fn package(
        &mut self,
        index: usize,
        members: &PackageMembers<'_>,
        monitor: &dyn Monitor,
    ) -> Result<(), MembersError> {
        let package = &self.manifest.packages[index];
        let plan = PackagePlan::new(package)?;
        for Destination { path, kind, sha256, .. } in plan.itself() {
            if let Kind::File { size } = kind {
                self.add(path, size, sha256.or(Some(package.sha256)), index);
            }
        }
        let of_pieces = |pieces: &Pieces| pieces.files_of_package(index, &package.sha256);
        for path in self.manifest.pieces().into_iter().flat_map(of_pieces) {
            let row = self.manifest.archived.position(&path);
            let entry = row.map(|row| self.manifest.archived.entry(row)).transpose()?;
            if let Some(Entry { kind: Kind::File { size }, sha256, .. }) = entry {
                self.add(path, size, sha256, index);
            }
        }
        for entry in self.manifest.made_with(index)? {
            self.add(entry.path.clone(), entry.size(), entry.sha256, index);
        }
        match members.of(package, monitor)? {
            Some(members) => self.by_members(index, plan, &members),
            None => self.by_names(index, package)?,
        }
        Ok(())
    }

    /// The members are known: so is everything.
    fn by_members(&mut self, index: usize, mut plan: PackagePlan<'_>, members: &[Member]) {
        for member in members {
            for destination in plan.next(member) {
                let Destination { path, kind, sha256, .. } = destination;
                match kind {
                    Kind::File { size } => {
                        self.add(path, size, sha256.or(member.sha256), index);
                    }
                    Kind::HardLink { target } => self.links.push((path, target)),
                    _ => {}
                }
            }
        }
    }

    /// The members are not known: there are the single files of the manifest, and names that the archive may keep.
    fn by_names(&mut self, index: usize, package: &'m Package) -> Result<(), ManifestError> {
        for row in package.files.entries() {
            let (entry, _) = row?;
            if let Kind::File { size } = entry.kind {
                self.add(entry.path, size, entry.sha256, index);
            }
        }
        let digests = package.placements.iter().filter_map(|placement| placement.sha256.as_ref());
        let digests = digests.flat_map(|digests| digests.is.iter().map(|digest| (index, *digest)));
        self.found.digests.extend(digests);
        let Some(names) = &self.stored.given else {
            let parts = package.placements.iter();
            self.found.unnamed.extend(parts.map(|placement| Unnamed { package: index, placement }));
            return Ok(());
        };
        for row in 0..names.len() {
            let (entry, of) = names.get(row)?;
            if let (Kind::File { size }, true) = (entry.kind, of == index) {
                self.add(entry.path, size, None, index);
            }
        }
        self.links.extend(names.links.iter().map(|link| (link.path.clone(), link.to.clone())));
        Ok(())
    }

    /// Adds the further names of what was found.
    fn end(mut self) -> MissingFiles<'m> {
        let of_manifest = self.manifest.links.iter();
        let all = self.links.into_iter();
        for (path, to) in all.chain(of_manifest.map(|link| (link.path.clone(), link.to.clone()))) {
            if let Some(file) = self.files.get(&to).cloned() {
                self.files.entry(path.clone()).or_insert(MissingFile { path, ..file });
            }
        }
        self.found.files = self.files.into_values().collect();
        self.found
    }
}

/// A manifest of version 1 names the files, and their digests, but not which package has which. A file is missing unless a package that
/// can be had is known to have it.
fn of_v1<'m>(
    manifest: &'m ManifestV1,
    missing: &[usize],
    members: &PackageMembers<'_>,
) -> Result<MissingFiles<'m>, MembersError> {
    let mut there = HashSet::new();
    // The packages that cannot be had, each with the digests that it has, if these are known.
    let mut gone: Vec<(usize, Option<HashSet<Digest>>)> = Vec::new();
    for (index, package) in manifest.packages.iter().enumerate() {
        let known = complete_members(members.hashdb, &package.hash)?;
        let digests = known.map(|members| {
            let digests = members.iter().filter_map(|member| member.sha256);
            digests.chain([package.hash]).collect::<HashSet<Digest>>()
        });
        match missing.contains(&index) {
            true => gone.push((index, digests)),
            false => there.extend(digests.into_iter().flatten()),
        }
    }
    let holder = |sha256: &Digest| {
        let has = |(index, digests): &(usize, Option<HashSet<Digest>>)| {
            digests.as_ref().is_some_and(|digests| digests.contains(sha256)).then_some(*index)
        };
        if let Some(index) = gone.iter().find_map(has) {
            return Some(Some(index));
        }
        let mut unknown = gone.iter().filter(|(_, digests)| digests.is_none());
        let first = unknown.next()?.0;
        Some(Some(first).filter(|_| unknown.next().is_none()))
    };
    let files = manifest.files.iter().filter(|file| !there.contains(&file.sha256));
    let files = files.filter_map(|file| {
        let (path, size, sha256) = (file.file.clone(), file.size, Some(file.sha256));
        Some(MissingFile { path, size, sha256, package: holder(&file.sha256)? })
    });
    let mut files: Vec<MissingFile> = files.collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(MissingFiles { files, ..MissingFiles::default() })
}
