//! Restoring a part of a tree: which entries are meant, where each goes, and which packages that takes.
//!
//! Invariant: what is not selected is not written, and a package is fetched only if something that is selected may come from it. The manifest is
//! not put into the target: nothing there continues with the whole tree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::sync::Mutex;

use super::RestoreError;
use super::accepting::known_members;
use super::ledger::{ARCHIVED, Rank};
use crate::archive::package_plan::{Destination, ManifestPart, PackagePlan};
use crate::archive::{PackageMembers, Selection};
use crate::formats::{Visitor, VisitorError};
use crate::model::manifest::{
    EntryTable, Link, Manifest, ManifestError, ManifestV1, Package, Pieces,
};
use crate::model::{Digest, Kind, Member, Metadata, RelPath, path_of};
use crate::monitor::{Monitor, ProblemKind};

/// A part of an archive's tree, and where it goes.
pub struct Part<'a> {
    /// What is restored. Folders above it get the metadata that the archive has of them, except the target itself.
    pub selection: &'a Selection,
    /// Number of components that are taken off the beginning of each path. What has no more than these is not restored.
    pub strip_components: usize,
    /// What may know which files are in a package, so that it is not fetched in vain.
    pub members: Option<&'a PackageMembers<'a>>,
}

/// Where the entries of a part go.
pub(super) struct Places<'p> {
    part: &'p Part<'p>,
    /// Files that are not selected, but have selected further names: the first of these, which becomes the file.
    moved: Mutex<HashMap<RelPath, RelPath>>,
    /// Folders that are not selected, by where they would be; something selected may come to lie in them.
    parents: Mutex<BTreeMap<RelPath, (Rank, Metadata)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

impl<'p> Places<'p> {
    pub(super) fn new(part: &'p Part<'p>) -> Self {
        Self { part, moved: Mutex::default(), parents: Mutex::default() }
    }

    /// Where the entry at `path` goes, if it is restored.
    pub(super) fn of(&self, path: &RelPath) -> Option<RelPath> {
        if self.part.selection.has(path) {
            return self.stripped(path);
        }
        lock(&self.moved).get(path).and_then(|path| self.stripped(path))
    }

    /// Do entries go elsewhere than they were in the tree?
    pub(super) fn strips(&self) -> bool {
        self.part.strip_components > 0
    }

    fn stripped(&self, path: &RelPath) -> Option<RelPath> {
        let strip = self.part.strip_components;
        if strip == 0 {
            return Some(path.clone());
        }
        let rest: Vec<&[u8]> = path.components().skip(strip).collect();
        (!rest.is_empty()).then(|| RelPath::new(rest.join(&b'/')).expect("components of a path"))
    }

    /// A folder that is not selected.
    pub(super) fn parent(&self, path: &RelPath, by: Rank, metadata: &Metadata) {
        let Some(place) = self.stripped(path).filter(|place| !place.is_root()) else { return };
        let mut parents = lock(&self.parents);
        if parents.get(&place).is_none_or(|(known, _)| by < *known) {
            parents.insert(place, (by, metadata.clone()));
        }
    }

    /// All such folders.
    pub(super) fn take_parents(&self) -> BTreeMap<RelPath, (Rank, Metadata)> {
        std::mem::take(&mut lock(&self.parents))
    }

    /// May what is at `path`, in `folder`, be removed because it is not of the tree?
    pub(super) fn may_remove(&self, folder: &RelPath, path: &RelPath) -> bool {
        let Part { selection, strip_components, .. } = self.part;
        *strip_components == 0 && selection.has(folder) && selection.has(path)
    }

    /// The hard link at `path` names `file`. If that is not selected, the link may become the file.
    pub(super) fn link(&self, path: &RelPath, file: &RelPath) {
        let is_selected = |path| self.part.selection.has(path) && self.stripped(path).is_some();
        if is_selected(path) && !is_selected(file) {
            lock(&self.moved).entry(file.clone()).or_insert_with(|| path.clone());
        }
    }

    /// What of a package's placements is restored, and where.
    pub(super) fn chosen(
        &self,
        destinations: Vec<Destination>,
        rank: impl Fn(ManifestPart) -> Rank,
    ) -> Vec<Destination> {
        let chosen = destinations.into_iter().filter_map(|mut destination| {
            // The table of single files has only those that are restored.
            if let ManifestPart::File(_) = destination.part {
                return Some(destination);
            }
            let Some(place) = self.of(&destination.path) else {
                if destination.kind == Kind::Directory {
                    let by = rank(destination.part);
                    self.parent(&destination.path, by, &destination.metadata);
                }
                return None;
            };
            if let Kind::HardLink { target } = &mut destination.kind {
                *target = self.of(target)?;
                if *target == place {
                    return None;
                }
            }
            destination.path = place;
            Some(destination)
        });
        chosen.collect()
    }

    /// The archive's own entries that are restored, with the folders above them; and those folders of the archive in which
    /// something else that is restored may lie.
    pub(super) fn wanted(&self, manifest: &Manifest) -> (BTreeSet<RelPath>, BTreeSet<RelPath>) {
        for Link { path, to } in &manifest.links {
            self.link(path, to);
        }
        let paths = manifest.archived.paths();
        let own: Vec<RelPath> =
            paths.clone().map(path_of).filter(|path| self.of(path).is_some()).collect();
        let mut wanted = above(own.iter().map(RelPath::as_bytes));
        wanted.extend(own);
        let mut folders = above(paths);
        let may_hold =
            |folder: &RelPath| self.part.selection.may_have(&[folder.as_bytes(), b"/"].concat());
        folders.retain(may_hold);
        (wanted, folders)
    }

    /// The manifest of the part alone.
    ///
    /// # Errors
    /// The manifest contradicts the format, or the HashDB failed.
    pub(super) fn reduce(
        &self,
        manifest: Manifest,
        monitor: &dyn Monitor,
    ) -> Result<Manifest, RestoreError> {
        let links = self.links(&manifest.links);
        let archived = self.table(&manifest.archived, true, monitor)?;
        let pieces = manifest.pieces.as_ref();
        let pieces = pieces.map(|pieces| pieces.chosen(|file| self.of(&file.path)));
        let given = pieces.as_ref().map(|one| one.uses_packages(manifest.packages.len()));
        let programs = self.programs(&manifest)?;
        let (mut packages, mut indices) = (Vec::new(), Vec::new());
        for (index, mut package) in manifest.packages.into_iter().enumerate() {
            package.files = self.table(&package.files, false, monitor)?;
            if !self.needs_placements(&package, monitor)? {
                package.placements.clear();
            }
            indices.push(u32::try_from(packages.len()).unwrap_or(u32::MAX));
            let has_pieces = given.as_ref().is_some_and(|given| given[index]);
            let is_needed = has_pieces || programs.contains(&package.sha256);
            if is_needed || !(package.files.is_empty() && package.placements.is_empty()) {
                packages.push(package);
            }
        }
        let index = |old: u32| indices.get(old as usize).copied().unwrap_or_default();
        let pieces = pieces.map(|pieces| pieces.with_packages(index));
        Ok(Manifest { archived, packages, links, renamed: Vec::new(), pieces, ..manifest })
    }

    /// The packages of the programs that make something which is restored.
    fn programs(&self, manifest: &Manifest) -> Result<HashSet<Digest>, ManifestError> {
        let mut programs = HashSet::new();
        for package in &manifest.packages {
            for (entry, derived) in package.derived_files()? {
                if derived.is_run() && self.of(&entry.path).is_some() {
                    programs.extend(derived.tool.iter().copied());
                }
            }
        }
        for (file, encoded) in manifest.pieces().into_iter().flat_map(Pieces::encoded_files) {
            if self.of(&file.path).is_some() {
                programs.extend(encoded.tool.iter().copied());
            }
        }
        Ok(programs)
    }

    /// The further names that are restored, each of a file that is restored.
    fn links(&self, links: &[Link]) -> Vec<Link> {
        let mut kept = Vec::new();
        for Link { path, to } in links {
            self.link(path, to);
            if let (Some(path), Some(to)) = (self.of(path), self.of(to))
                && path != to
            {
                kept.push(Link { path, to });
            }
        }
        kept.sort_unstable();
        kept
    }

    fn table(
        &self,
        table: &EntryTable,
        is_archived: bool,
        monitor: &dyn Monitor,
    ) -> Result<EntryTable, ManifestError> {
        let mut rows = Vec::new();
        for row in table.entries() {
            let (mut entry, from) = row?;
            match self.of(&entry.path) {
                Some(place) => {
                    entry.path = place;
                    rows.push((entry, from));
                }
                None if is_archived && entry.kind == Kind::Directory => {
                    self.parent(&entry.path, ARCHIVED, &entry.metadata);
                }
                None => {}
            }
        }
        // Without their first components, paths have another order, and two of them may be one.
        rows.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        rows.dedup_by(|(later, _), (first, _)| {
            let is_double = later.path == first.path;
            if is_double && later.kind != Kind::Directory {
                let why = "several entries would have this path: only the first is restored";
                monitor.problem(ProblemKind::Incomplete, &later.path, why);
            }
            is_double
        });
        let (entries, from): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let reduced = EntryTable::new(&entries);
        Ok(if is_archived { reduced } else { reduced.with_from(from) })
    }

    /// May a placement of the package give something that is restored?
    fn needs_placements(
        &self,
        package: &Package,
        monitor: &dyn Monitor,
    ) -> Result<bool, RestoreError> {
        let may_give = package.placements.iter().any(|placement| {
            let to = &*placement.to.0;
            self.part.selection.may_have(to)
                || lock(&self.moved).keys().any(|path| path.as_bytes().starts_with(to))
        });
        let Some(members) = self.part.members.filter(|_| may_give) else { return Ok(may_give) };
        let Some(members) = known_members(members, package, monitor)? else { return Ok(true) };
        let mut plan = PackagePlan::new(package)?;
        Ok(members.iter().any(|member| {
            let destinations = plan.next(member);
            destinations.iter().any(|destination| self.of(&destination.path).is_some())
        }))
    }

    /// The manifest of version 1 of the part alone.
    pub(super) fn reduce_v1(&self, mut manifest: ManifestV1) -> ManifestV1 {
        manifest.files.retain_mut(|file| match self.of(&file.file) {
            Some(place) => {
                file.file = place;
                true
            }
            None => false,
        });
        if manifest.files.is_empty() {
            manifest.packages.clear();
        }
        manifest
    }
}

/// Tells where the hard links of a package lead.
pub(super) struct Links<'l> {
    pub(super) plan: PackagePlan<'l>,
    pub(super) places: &'l Places<'l>,
}

impl Links<'_> {
    /// The next member.
    pub(super) fn follow(&mut self, member: &Member) {
        for destination in self.plan.next(member) {
            if let Kind::HardLink { target } = &destination.kind {
                self.places.link(&destination.path, target);
            }
        }
    }
}

impl Visitor for Links<'_> {
    fn visit(&mut self, member: Member, _content: &mut dyn Read) -> Result<(), VisitorError> {
        self.follow(&member);
        Ok(())
    }
}

/// All folders above `paths`, without the top folder.
pub(super) fn above<'a>(paths: impl Iterator<Item = &'a [u8]>) -> BTreeSet<RelPath> {
    let mut found = BTreeSet::new();
    for path in paths {
        let mut path = RelPath::new(path).ok().and_then(|path| path.parent());
        while let Some(folder) = path.filter(|folder| !folder.is_root()) {
            path = folder.parent();
            // Those above a known one are known.
            if !found.insert(folder) {
                break;
            }
        }
    }
    found
}
