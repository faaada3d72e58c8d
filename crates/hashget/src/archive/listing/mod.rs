//! Every entry of an archive's tree by its name: what the archive holds, and what packages give.
//!
//! Invariant: entries come sorted by path, each path once; what is not known by name is counted and never guessed. An entry is made
//! when it is asked for: a million of them take 300 MiB at most.

mod stored;

use std::borrow::Cow;
use std::collections::HashMap;

pub use stored::{StoredEntries, read_for_listing};

use super::names::GivenNames;
use super::package_members::{MembersError, PackageMembers};
use super::path_map::PathMap;
use super::placed::{Facts, Placed};
use crate::model::manifest::{
    AnyManifest, EntryTable, FileV1, Link, Manifest, ManifestError, Package, Placement,
    PlacementCursor,
};
use crate::model::{Amount, Entry, Kind, Member, Metadata, RelPath, Timestamp, path_of};
use crate::monitor::Monitor;

/// Who has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The archive.
    Archive,
    /// The package with this index in the manifest.
    Package(usize),
    /// One of the packages: manifests of version 1 do not say which.
    SomePackage,
}

/// An entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// What it is. A hard link has the metadata and the digest of the file that it names. The digest of a file may not be
    /// known without its package.
    pub entry: Entry,
    /// Who has it, or the file that it names.
    pub holder: Holder,
}

/// A part of a package that is in the tree, and whose entries are not known by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed<'m> {
    /// The index of the package in the manifest.
    pub package: usize,
    /// Where it is laid down.
    pub placement: &'m Placement,
}

/// The entries of an archive's tree.
pub struct Listing<'m> {
    tables: Vec<Table<'m>>,
    /// The table and the number in it of each entry, by path.
    order: Vec<(u32, u32)>,
    /// Files with a further name that comes before their own: that name.
    first_names: HashMap<RelPath, RelPath>,
    unnamed: Vec<Unnamed<'m>>,
    /// See [`Self::unnamed_amount`].
    unnamed_amount: Option<Amount>,
}

/// Entries that lie together. Of two entries of one path, that of the first table counts.
enum Table<'m> {
    Entries(&'m EntryTable, Holder),
    Links(Cow<'m, [Link]>),
    /// What packages give, with the numbers of the packages; or what an archive of version 1 holds.
    Placed(PathMap<Placed>, bool),
    FilesV1(&'m [FileV1]),
    /// What packages give, as the archive keeps it.
    Given(Box<GivenNames>),
}

impl Table<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Entries(table, _) => table.len(),
            Self::Links(links) => links.len(),
            Self::Placed(placed, _) => placed.len(),
            Self::FilesV1(files) => files.len(),
            Self::Given(names) => names.len(),
        }
    }

    fn path(&self, number: usize) -> &[u8] {
        match self {
            Self::Entries(table, _) => table.path(number),
            Self::Links(links) => links[number].path.as_bytes(),
            Self::Placed(placed, _) => placed.at(number).0,
            Self::FilesV1(files) => files[number].file.as_bytes(),
            Self::Given(names) => names.path(number),
        }
    }

    /// The file that this is another name of, if it is one.
    fn link_target(&self, number: usize) -> Option<&RelPath> {
        match self {
            Self::Links(links) => Some(&links[number].to),
            Self::Placed(placed, _) => placed.at(number).1.link_target(),
            Self::Entries(..) | Self::FilesV1(_) | Self::Given(_) => None,
        }
    }

    fn get(&self, number: usize) -> Result<ListedEntry, ManifestError> {
        match self {
            Self::Entries(table, holder) => {
                Ok(ListedEntry { entry: table.entry(number)?, holder: *holder })
            }
            Self::Links(links) => {
                let Link { path, to } = &links[number];
                Ok(ListedEntry { entry: link(path.clone(), to.clone()), holder: Holder::Archive })
            }
            Self::Placed(placed, by_packages) => {
                let (name, placed) = placed.at(number);
                let holder = match by_packages {
                    true => Holder::Package(usize::try_from(placed.by).unwrap_or(usize::MAX)),
                    false => Holder::Archive,
                };
                Ok(ListedEntry { entry: placed.entry(path_of(name)), holder })
            }
            Self::FilesV1(files) => {
                let entry = entry_v1(&files[number]);
                Ok(ListedEntry { entry, holder: Holder::SomePackage })
            }
            Self::Given(names) => {
                let (entry, package) = names.get(number)?;
                Ok(ListedEntry { entry, holder: Holder::Package(package) })
            }
        }
    }
}

fn link(path: RelPath, target: RelPath) -> Entry {
    let (metadata, kind) = (Metadata::default(), Kind::HardLink { target });
    Entry { path, kind, metadata, sha256: None, extents: None }
}

fn entry_v1(file: &FileV1) -> Entry {
    Entry {
        path: file.file.clone(),
        kind: Kind::File { size: file.size },
        metadata: Metadata {
            mode: file.mode & 0o7777,
            uid: file.uid,
            gid: file.gid,
            mtime: Timestamp::from_seconds(file.mtime),
            ..Metadata::default()
        },
        sha256: Some(file.sha256),
        extents: None,
    }
}

/// What can be found out about an archive's entries.
pub struct Listed<'m> {
    /// The manifest.
    pub manifest: &'m AnyManifest,
    /// What the archive holds, if its manifest does not say so (version 1).
    pub stored: StoredEntries,
}

impl<'m> Listing<'m> {
    /// Lists what `listed` has, with the members of packages where `members` knows them. Only packages for which
    /// `is_wanted` says so, by where they are laid down, are asked for.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub fn new(
        listed: Listed<'m>,
        members: &PackageMembers<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        monitor: &dyn Monitor,
    ) -> Result<Self, MembersError> {
        match listed.manifest {
            AnyManifest::V1(manifest) => {
                let stored = Table::Placed(listed.stored.held, false);
                Ok(Self::of_tables(vec![stored, Table::FilesV1(&manifest.files)], Vec::new(), None))
            }
            AnyManifest::V2(manifest) => match listed.stored.given {
                // The names that an archive keeps have no digests.
                Some(names) if !members.digests => Ok(Self::of_names(manifest, names)),
                _ => Self::of_v2(manifest, members, is_wanted, monitor),
            },
        }
    }

    /// Lists with the names that the archive keeps.
    fn of_names(manifest: &'m Manifest, mut names: GivenNames) -> Self {
        let archived = Table::Entries(&manifest.archived, Holder::Archive);
        let of_package = |(index, package): (usize, &'m Package)| {
            Table::Entries(&package.files, Holder::Package(index))
        };
        let files = manifest.packages.iter().enumerate().map(of_package);
        let links = [Cow::Owned(std::mem::take(&mut names.links)), Cow::Borrowed(&*manifest.links)];
        let given = [Table::Given(Box::new(names))].into_iter().chain(links.map(Table::Links));
        Self::of_tables(
            [archived].into_iter().chain(files).chain(given).collect(),
            Vec::new(),
            None,
        )
    }

    fn of_v2(
        manifest: &'m Manifest,
        members: &PackageMembers<'_>,
        is_wanted: &dyn Fn(&[u8]) -> bool,
        monitor: &dyn Monitor,
    ) -> Result<Self, MembersError> {
        let mut tables = vec![Table::Entries(&manifest.archived, Holder::Archive)];
        let (mut placed, mut unnamed) = (PathMap::default(), Vec::new());
        let mut all_asked = true;
        for (index, package) in manifest.packages.iter().enumerate() {
            monitor.check_interrupted()?;
            tables.push(Table::Entries(&package.files, Holder::Package(index)));
            let wanted = package.placements.iter().any(|placement| is_wanted(&placement.to.0));
            if !wanted {
                all_asked &= package.placements.is_empty();
                continue;
            }
            let known = members.of(package, monitor)?;
            let fits = match known {
                Some(members) => place(package, index, &members, &mut placed).map_err(|error| {
                    monitor.problem(
                        crate::monitor::ProblemKind::Verification,
                        package.shown_name(),
                        error,
                    );
                }),
                None => Err(()),
            };
            if fits.is_err() {
                let parts = package.placements.iter();
                unnamed.extend(parts.map(|placement| Unnamed { package: index, placement }));
            }
        }
        tables.push(Table::Placed(placed, true));
        tables.push(Table::Links(Cow::Borrowed(&manifest.links)));
        Ok(Self::of_tables(tables, unnamed, Some(manifest).filter(|_| all_asked)))
    }

    fn of_tables(
        tables: Vec<Table<'m>>,
        unnamed: Vec<Unnamed<'m>>,
        manifest: Option<&Manifest>,
    ) -> Self {
        let narrow = |number: usize| u32::try_from(number).expect("fewer than 2^32 entries");
        let mut order = Vec::with_capacity(tables.iter().map(Table::len).sum());
        for (table, entries) in tables.iter().enumerate() {
            order.extend((0..entries.len()).map(|number| (narrow(table), narrow(number))));
        }
        let path = |&(table, number): &(u32, u32)| tables[table as usize].path(number as usize);
        order.sort_unstable_by(|a, b| path(a).cmp(path(b)).then(a.cmp(b)));
        order.dedup_by(|later, first| path(later) == path(first));
        let unnamed_amount = Some(Amount::default()).filter(|_| unnamed.is_empty());
        let mut first_names: HashMap<RelPath, RelPath> = HashMap::new();
        for &(table, number) in &order {
            let Some(file) = tables[table as usize].link_target(number as usize) else { continue };
            // Paths come sorted: the first one stays.
            let link = tables[table as usize].path(number as usize);
            if link < file.as_bytes() && !first_names.contains_key(file) {
                first_names.insert(file.clone(), path_of(link));
            }
        }
        let mut listing = Self { tables, order, first_names, unnamed, unnamed_amount };
        if let (Some(manifest), None) = (manifest, unnamed_amount) {
            listing.unnamed_amount = listing.named_files().map(|named| Amount {
                files: manifest.tree.files.saturating_sub(named.files),
                bytes: manifest.tree.bytes.saturating_sub(named.bytes),
            });
        }
        listing
    }

    /// The regular files that are known by name, each name counted, the bytes of each file once.
    fn named_files(&self) -> Option<Amount> {
        let mut amount = Amount::default();
        for entry in self.entries() {
            let entry = entry.ok()?.entry;
            match entry.kind {
                Kind::File { size } => amount.add(1, size),
                Kind::HardLink { .. } => amount.add(1, 0),
                _ => {}
            }
        }
        Some(amount)
    }

    /// The entries, sorted by the bytes of their paths.
    pub fn entries(&self) -> impl Iterator<Item = Result<ListedEntry, ManifestError>> + '_ {
        self.order.iter().map(|&slot| self.at(slot))
    }

    /// How many entries are known by name.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Is no entry known by name?
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The parts of packages whose entries are not known by name.
    pub fn unnamed(&self) -> &[Unnamed<'m>] {
        &self.unnamed
    }

    /// The files that are not known by name, and their bytes; `None` if that is not known either.
    pub fn unnamed_amount(&self) -> Option<Amount> {
        self.unnamed_amount
    }

    /// The path of the entry with this number, in the order of [`Self::entries`].
    pub(super) fn path(&self, number: usize) -> &[u8] {
        let (table, number) = self.order[number];
        self.tables[table as usize].path(number as usize)
    }

    /// The entry with this number as it is stored: a hard link names the path that was put down for it, and has no metadata.
    pub(super) fn as_stored(&self, number: usize) -> Result<ListedEntry, ManifestError> {
        let (table, number) = self.order[number];
        self.tables[table as usize].get(number as usize)
    }

    /// The entry at `path`.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub fn get(&self, path: &RelPath) -> Result<Option<ListedEntry>, ManifestError> {
        self.find(path).map(|slot| self.at(slot)).transpose()
    }

    fn find(&self, path: &RelPath) -> Option<(u32, u32)> {
        let of = |&(table, number): &(u32, u32)| self.tables[table as usize].path(number as usize);
        let found = self.order.binary_search_by(|slot| of(slot).cmp(path.as_bytes())).ok()?;
        Some(self.order[found])
    }

    fn at(&self, (table, number): (u32, u32)) -> Result<ListedEntry, ManifestError> {
        let mut listed = self.tables[table as usize].get(number as usize)?;
        let path = listed.entry.path.clone();
        let target = match &listed.entry.kind {
            Kind::HardLink { target } => target.clone(),
            // The first name of a file, by its bytes, is the file; the others are links to it.
            _ => match self.first_names.get(&path) {
                Some(first) => {
                    listed.entry.kind = Kind::HardLink { target: first.clone() };
                    return Ok(listed);
                }
                None => return Ok(listed),
            },
        };
        if let Some((table, number)) = self.find(&target) {
            let file = self.tables[table as usize].get(number as usize)?;
            listed.holder = file.holder;
            let first = self.first_names.get(&target).unwrap_or(&target);
            let kind = match *first == path {
                true => file.entry.kind,
                false => Kind::HardLink { target: first.clone() },
            };
            listed.entry = Entry { path, kind, ..file.entry };
        }
        Ok(listed)
    }
}

/// Adds what the placements of a package give, unless it is there already: the first placement decides.
fn place(
    package: &Package,
    index: usize,
    members: &[Member],
    placed: &mut PathMap<Placed>,
) -> Result<(), ManifestError> {
    for placement in &package.placements {
        let mut cursor = PlacementCursor::new(placement);
        for member in members {
            let Some(given) = cursor.next(member)? else { continue };
            let path = given.path;
            placed.insert_new(&path, || {
                let sha256 = given.sha256.or(member.sha256);
                let facts = Facts { kind: given.kind, metadata: given.metadata, sha256 };
                Placed::new(index, facts)
            });
        }
    }
    Ok(())
}
