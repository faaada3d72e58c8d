//! Why an entry would be left out of a backup, or archived: a dry run of packing, queried by path.
//!
//! Invariant: the verdicts are those of [`Packer::pack`] for the same tree and options, and the current
//! HashDB. Nothing is indexed, fetched or written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use super::eligibility::first_verdicts;
use super::known::Requirements;
use super::matching::Obstacle;
use super::plan::{PackageUse, Plan};
use super::verdict::{Verdict, Verdicts};
use super::{PackError, PackOptions, Packer, ReplayError, Summary};
use crate::hashdb::{HashDbError, HashDbWriter, Key, PackageId};
use crate::model::manifest::{Package, PiecedFile, Pieces};
use crate::model::{Digest, Entry, Kind, Member, PackageRecord, RelPath};
use crate::monitor::Monitor;
use crate::tree::{
    Absence, Entries, Scan, ScanError, ScanOptions, TreeRoot, is_nodump, read_entry, scan,
};

/// A package that has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The package.
    pub record: Arc<PackageRecord>,
    /// The member; `None` if it is the package itself.
    pub member: Option<RelPath>,
    /// Why it is not relied on, if it is not.
    pub obstacle: Option<Obstacle>,
}

/// What packing would make of a tree, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The entries of the tree.
    pub entries: Entries,
    /// The packages that would be relied on, by URL.
    pub packages: Vec<PackageUse>,
    /// The entries at and below the requested paths, by index, ascending.
    pub asked: Vec<usize>,
    /// What is at, below or around these paths and is not part of the tree.
    pub absent: Vec<(RelPath, Absence)>,
    verdicts: Verdicts,
    /// By digest, for the requested files.
    holders: HashMap<Digest, Vec<Holder>>,
    /// The recipes of derived entries, by index.
    recipes: HashMap<usize, String>,
    /// By index, of entries that are made of pieces: the bytes that come from packages, and these, by their indices.
    pieces: HashMap<usize, (u64, Vec<usize>)>,
}

impl Explanation {
    /// The verdict on an entry: packages by their index in [`Self::packages`].
    pub fn verdict(&self, entry: usize) -> Verdict {
        self.verdicts.get(entry)
    }

    /// The name of the recipe that makes an entry, if it is derived; of the encoder that compresses it, if one does.
    pub fn recipe(&self, entry: usize) -> Option<&str> {
        self.recipes.get(&entry).map(String::as_str)
    }

    /// Of an entry that is made of pieces: the bytes that come from packages, and these by their indices in [`Self::packages`].
    pub fn pieces(&self, entry: usize) -> Option<(u64, &[usize])> {
        self.pieces.get(&entry).map(|(bytes, packages)| (*bytes, &packages[..]))
    }

    /// The packages that have the contents of a requested entry; those that are relied on come first.
    pub fn holders(&self, entry: usize) -> &[Holder] {
        let digest = content(self.entries.file(entry));
        digest.and_then(|digest| self.holders.get(&digest)).map_or(&[], |holders| holders)
    }
}

/// Has this name in `root` the flag "no dump"?
fn has_nodump(root: &TreeRoot, path: &RelPath) -> bool {
    std::ffi::CString::new(path.as_bytes()).is_ok_and(|name| is_nodump(root.fd().as_fd(), &name))
}

impl Packer<'_> {
    /// Explains the entries at and below `paths` of the tree at `tree`. Options for indexing and writing are
    /// ignored.
    ///
    /// # Errors
    /// The tree or the HashDB cannot be read.
    pub fn explain(
        &self,
        tree: &Path,
        paths: &[RelPath],
        options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Explanation, PackError> {
        let scan_options = self.scan_options(tree, Vec::new(), &options)?;
        let scan_options = ScanOptions { for_explaining: true, ..scan_options };
        let scan = scan(tree, &scan_options, monitor)?;
        self.explain_scan(scan, paths, options, monitor)
    }

    /// Explains the single file at `file`, as if it were the only one of its tree: packages that are worth
    /// their download only for many files are not relied on. A symbolic link in the last component is not
    /// followed.
    ///
    /// # Errors
    /// The file or the HashDB cannot be read.
    pub fn explain_alone(
        &self,
        file: &Path,
        options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Explanation, PackError> {
        let unreadable = |error| ScanError::Root { path: file.to_path_buf(), error };
        let parent = file.parent().filter(|parent| *parent != Path::new(""));
        let folder = parent.unwrap_or(Path::new("."));
        let root = TreeRoot::open(folder).map_err(unreadable)?;
        let entry = read_entry(file).map_err(unreadable)?;
        let path = entry.path.clone();
        let regenerable = options.regenerable()?.first_match(root.path(), &path);
        let regenerable = regenerable.map(Absence::Regenerable);
        let absence = match entry.kind {
            Kind::Socket => Some(Absence::Socket),
            _ if regenerable.is_some() => regenerable,
            _ if options.excluded(folder)?.matches(root.path(), &path) => Some(Absence::Excluded),
            Kind::File { size } if options.exclude_larger_than.is_some_and(|most| size > most) => {
                Some(Absence::TooLarge)
            }
            _ if options.respect_nodump && has_nodump(&root, &path) => Some(Absence::NoDump),
            _ => None,
        };
        let entries = if absence.is_some() { Vec::new() } else { vec![entry] };
        let absent = absence.map(|absence| (path.clone(), absence)).into_iter().collect();
        let scan =
            Scan { root, entries: Entries::new(entries), absent, regenerable: BTreeMap::new() };
        self.explain_scan(scan, &[path], options, monitor)
    }

    fn explain_scan(
        &self,
        scan: Scan,
        paths: &[RelPath],
        options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Explanation, PackError> {
        // Nobody is asked: what nobody asked yet is not relied on.
        let options = PackOptions { ask: false, ..options };
        let (first, mut summary) = (first_verdicts(&scan, &options)?, Summary::default());
        let Plan { uses, verdicts, packages, pieces, .. } =
            self.plan(&scan, first, &options, false, &mut summary, monitor)?.plan;
        let entries = scan.entries;
        let mut recipes = recipes(&packages, &entries)?;
        let encoded = pieces.iter().flat_map(Pieces::encoded_files);
        recipes.extend(encoded.filter_map(|(file, encoded)| {
            Some((entries.position(&file.path)?, encoded.recipe.clone()))
        }));
        let pieces = pieces.map(|pieces| of_pieces(&pieces, &entries)).unwrap_or_default();
        let mut asked: Vec<usize> = paths.iter().flat_map(|path| below(&entries, path)).collect();
        asked.sort_unstable();
        asked.dedup();
        let mut digests: Vec<Digest> =
            asked.iter().filter_map(|&entry| content(entries.file(entry))).collect();
        digests.sort_unstable();
        digests.dedup();
        let urls = |uses: &[PackageUse]| uses.iter().map(|used| used.url.clone()).collect();
        let choice = Choice { relied: urls(&uses), not_worth: urls(&summary.not_worth) };
        let requirements = Requirements::new(&options, &scan.root, &entries);
        let holders = choice.holders(self.hashdb, &digests, &requirements)?;
        let absent = absent(&entries, scan.absent, paths);
        Ok(Explanation {
            entries,
            packages: uses,
            asked,
            absent,
            verdicts,
            holders,
            recipes,
            pieces,
        })
    }
}

/// The recipes by which entries are made.
fn recipes(packages: &[Package], entries: &Entries) -> Result<HashMap<usize, String>, ReplayError> {
    let mut recipes = HashMap::new();
    for package in packages {
        for (entry, derived) in package.derived_files()? {
            let index = entries.position(&entry.path);
            recipes.extend(index.map(|index| (index, derived.recipe.clone())));
        }
    }
    Ok(recipes)
}

/// What of which entries comes from packages, as pieces.
fn of_pieces(pieces: &Pieces, entries: &Entries) -> HashMap<usize, (u64, Vec<usize>)> {
    let of_file = |file: PiecedFile| {
        let index = entries.position(&file.path)?;
        let bytes = pieces.left_out_of(&file, entries[index].size());
        Some((index, (bytes, pieces.packages_of(&file))))
    };
    pieces.files().filter_map(of_file).collect()
}

/// The entries at and below a path.
fn below<'a>(entries: &'a Entries, path: &'a RelPath) -> impl Iterator<Item = usize> + 'a {
    let all: Range<usize> = entries.below(path);
    all.filter(move |&entry| is_within(&entries[entry].path, path))
}

/// Is `path` equal to `folder`, or below it?
fn is_within(path: &RelPath, folder: &RelPath) -> bool {
    let rest = path.as_bytes().strip_prefix(folder.as_bytes());
    rest.is_some_and(|rest| folder.is_root() || rest.is_empty() || rest[0] == b'/')
}

/// The part of `absent` that concerns one of `paths`. A path that does not exist is reported as missing.
fn absent(
    entries: &Entries,
    absent: Vec<(RelPath, Absence)>,
    paths: &[RelPath],
) -> Vec<(RelPath, Absence)> {
    let mut concerned = Vec::new();
    for path in paths {
        let is_entry = entries.position(path).is_some();
        let (mut below, above): (Vec<_>, Vec<_>) = absent
            .iter()
            .filter(|(one, _)| is_within(one, path) || !is_entry && is_within(path, one))
            .cloned()
            .partition(|(one, _)| is_within(one, path));
        if !is_entry && below.is_empty() {
            let absence = above.first().map_or(Absence::Missing, |(_, absence)| *absence);
            concerned.push((path.clone(), absence));
        }
        concerned.append(&mut below);
    }
    concerned.sort_by(|(one, _), (other, _)| one.cmp(other));
    concerned.dedup();
    concerned
}

/// The digest of contents that are looked up in packages.
fn content(file: &Entry) -> Option<Digest> {
    match file.kind {
        Kind::File { size: 1.. } if file.extents.is_none() => file.sha256,
        _ => None,
    }
}

/// The chosen packages, and those not worth their download, by URL.
struct Choice {
    relied: HashSet<String>,
    not_worth: HashSet<String>,
}

impl Choice {
    /// The packages that have these contents.
    fn holders(
        &self,
        hashdb: &dyn HashDbWriter,
        digests: &[Digest],
        requirements: &Requirements<'_>,
    ) -> Result<HashMap<Digest, Vec<Holder>>, HashDbError> {
        let mut contents: BTreeMap<PackageId, Vec<Digest>> = BTreeMap::new();
        let keys: Vec<Key<'_>> = digests.iter().map(|digest| Key::Content(*digest)).collect();
        for (digest, ids) in digests.iter().zip(hashdb.find(&keys)?) {
            for id in ids {
                contents.entry(id).or_default().push(*digest);
            }
        }
        let mut holders: HashMap<Digest, Vec<Holder>> = HashMap::new();
        let ids: Vec<PackageId> = contents.keys().copied().collect();
        let records = hashdb.records(&ids)?;
        hashdb.prefetch_members(&ids)?;
        for ((id, digests), record) in contents.into_iter().zip(records) {
            let Some(record) = record.map(Arc::new) else { continue };
            let checks = hashdb.checks(&[record.sha256])?.pop().unwrap_or_default();
            let of_package = requirements.obstacle(&record, &checks);
            let members = hashdb.members(id)?;
            let members = with_contents(&members);
            for digest in digests {
                let member = members.get(&digest);
                if member.is_some() || record.sha256 == digest {
                    let is_duplicate = member.is_some_and(|(_, is_duplicate)| *is_duplicate);
                    let obstacle =
                        of_package.clone().or_else(|| self.obstacle(&record, is_duplicate));
                    let member = member.map(|(member, _)| member.path.clone());
                    let holder = Holder { record: Arc::clone(&record), member, obstacle };
                    holders.entry(digest).or_default().push(holder);
                }
            }
        }
        for list in holders.values_mut() {
            list.sort_by(|a, b| {
                let rank = |holder: &Holder| (holder.obstacle.is_some(), holder.record.size);
                rank(a).cmp(&rank(b)).then_with(|| a.record.url.cmp(&b.record.url))
            });
        }
        Ok(holders)
    }

    /// Why this package is not used for a file, although it may be relied on.
    fn obstacle(&self, record: &PackageRecord, is_duplicate: bool) -> Option<Obstacle> {
        match &record.url {
            _ if is_duplicate => Some(Obstacle::DuplicatePath),
            url if self.relied.contains(url) => None,
            url if self.not_worth.contains(url) => Some(Obstacle::NotWorth),
            _ => Some(Obstacle::NotNeeded),
        }
    }
}

/// For each content the first member that has it, and whether other members have the same path. Members with
/// a unique path take precedence.
fn with_contents(members: &[Member]) -> HashMap<Digest, (&Member, bool)> {
    let mut paths: HashMap<&RelPath, usize> = HashMap::new();
    members.iter().for_each(|member| *paths.entry(&member.path).or_default() += 1);
    let mut found: HashMap<Digest, (&Member, bool)> = HashMap::new();
    for member in members {
        let Some(digest) = member.sha256 else { continue };
        let is_duplicate = paths[&member.path] > 1;
        let known = found.entry(digest).or_insert((member, is_duplicate));
        if known.1 && !is_duplicate {
            *known = (member, false);
        }
    }
    found
}
