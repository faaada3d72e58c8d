//! What is known of every entry so far: what was placed, what is missing, and the proof over it all.
//!
//! Invariant: an entry is in the ledger only with the digest of contents that were read or written in
//! this run; the tree digest is computed from nothing else.

mod summary;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use super::differences::Affected;
use super::part::above;
use crate::archive::path_map::PathMap;
use crate::archive::placed::{Facts, Placed};
use crate::model::manifest::EntryTable;
use crate::model::{Digest, Entry, Kind, Metadata, RelPath, Timestamp, path_of};

/// Who says what a folder's metadata is; the least decides. The archive is before all packages.
pub(super) type Rank = (usize, usize);

/// The archive's rank; and that of what its tar alone says of a folder.
pub(super) const ARCHIVED: Rank = (0, 0);
pub(super) const LAST: Rank = (usize::MAX, usize::MAX);

/// The rank of a placement of a package.
pub(super) fn rank(package: usize, placement: usize) -> Rank {
    (package + 1, placement)
}

/// Everything that is known, from all threads.
pub(super) struct Ledger<'m> {
    state: Mutex<State<'m>>,
}

/// See [`Ledger`].
pub(super) struct State<'m> {
    /// What the archive holds, as the manifest says it.
    table: &'m EntryTable,
    /// For each row of `table` that is in its place: the digest of its contents, if it has some. Not
    /// folders.
    archived: Vec<Row>,
    /// Digests that `table` does not say.
    found: Vec<Digest>,
    /// What packages gave: entries with one name, or the first that was placed of several. Not folders.
    placed: PathMap<Placed>,
    folders: BTreeMap<RelPath, Folder>,
    /// Further names, and what they name.
    links: Vec<(RelPath, RelPath)>,
    /// Not restored, and why.
    missing: Vec<(RelPath, String)>,
    /// Of those: entries of the archive that are not there, by the reason.
    not_there: BTreeMap<&'static str, Affected>,
    /// Of those: derived files that are not made, by the reason.
    not_made: BTreeMap<&'static str, Affected>,
    /// What stays as it was before.
    left: BTreeSet<RelPath>,
    /// Two packages gave the same entry, or something else makes a proof worthless.
    contradicted: bool,
    files_from_packages: u64,
    bytes_from_packages: u64,
    kept_files: u64,
    files_without_digest: u64,
    packages_used: u64,
    /// Packages that cannot be had, and of which nothing knows the files: how many, and the first name.
    nameless: (usize, String),
}

/// A folder of the tree.
pub(super) struct Folder {
    by: Rank,
    pub(super) metadata: Metadata,
    /// Was it found in the folder that holds it?
    pub(super) seen: Cell<bool>,
    /// Was everything in it looked at?
    pub(super) listed: Cell<bool>,
}

/// Where the ledger has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// A row of the archive's table.
    Row(usize),
    /// Something that a package gave.
    Placed(usize),
    Folder,
}

/// A row of the archive's table.
#[derive(Clone, Copy)]
enum Row {
    NotPlaced,
    /// In its place, and no regular file.
    Node,
    /// In its place; its contents have the digest that the table says.
    AsStated,
    /// In its place; the digest of its contents is the one with this number in `found`.
    Found(u32),
}

impl<'m> Ledger<'m> {
    /// Nothing is placed yet; `table` is what the archive holds.
    pub(super) fn new(table: &'m EntryTable) -> Self {
        Self { state: Mutex::new(State::new(table, table.len())) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<'m>> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The entry in this row of the archive's table is in its place; a regular file with the digest of
    /// its contents.
    pub(super) fn archived(&self, row: usize, sha256: Option<Digest>) {
        let mut state = self.state();
        state.archived[row] = match sha256 {
            None => Row::Node,
            Some(sha256) if state.table.digest(row) == Some(sha256) => Row::AsStated,
            Some(sha256) => {
                let number = u32::try_from(state.found.len()).expect("fewer than 2^32 entries");
                state.found.push(sha256);
                Row::Found(number)
            }
        };
    }

    /// `path`, which a package gives, is in its place. False if another one placed it before.
    pub(super) fn placed(&self, path: &RelPath, by: Rank, facts: Facts) -> bool {
        let mut state = self.state();
        let placed = Placed::new(by.0, facts);
        let package = placed.by;
        let before = state.placed.insert(path, placed);
        let alone = before.is_none_or(|before| before.by == package);
        state.contradicted |= !alone;
        alone
    }

    /// A file of a package is in its place.
    pub(super) fn file_from_package(&self, bytes: u64, kept: bool) {
        let mut state = self.state();
        state.files_from_packages += 1;
        state.bytes_from_packages += bytes;
        state.kept_files += u64::from(kept);
    }

    /// An archived file was right already.
    pub(super) fn kept(&self) {
        self.state().kept_files += 1;
    }

    /// The manifest has no digest of an archived file.
    pub(super) fn without_digest(&self) {
        self.state().files_without_digest += 1;
    }

    /// A package was read.
    pub(super) fn package_used(&self) {
        self.state().packages_used += 1;
    }

    /// A package cannot be had, and nothing knows its files.
    pub(super) fn nameless(&self, package: &str) {
        let (count, first) = &mut self.state().nameless;
        *count += 1;
        // Whatever the order in which threads come here.
        if *count == 1 || package < first.as_str() {
            package.clone_into(first);
        }
    }

    /// The number of such packages, and the first of their names.
    pub(super) fn all_nameless(&self) -> (usize, String) {
        self.state().nameless.clone()
    }

    /// Is `path` in its place, and no folder?
    pub(super) fn has(&self, path: &RelPath) -> bool {
        self.state().is_placed(path)
    }

    /// The regular files in their places whose paths are wanted, with their times.
    pub(super) fn files_in_place(
        &self,
        is_wanted: &dyn Fn(&RelPath) -> bool,
    ) -> Vec<(RelPath, Timestamp)> {
        let state = self.state();
        let rows = (0..state.archived.len()).filter(|&row| state.is_in_place(row));
        let archived = rows.filter_map(|row| state.table.entry(row).ok());
        let placed = (0..state.placed.len()).map(|number| state.placed(number));
        let is_file = |entry: &Entry| matches!(entry.kind, Kind::File { .. });
        let files = archived.chain(placed).filter(|one| is_file(one) && is_wanted(&one.path));
        files.map(|entry| (entry.path, entry.metadata.mtime)).collect()
    }

    /// Does what was at `path` before stay, although it is not as it was packed?
    pub(super) fn is_left(&self, path: &RelPath) -> bool {
        self.state().left.contains(path)
    }

    /// `path`, which was missing, may be in its place by now: then it is not missing.
    pub(super) fn found(&self, path: &RelPath) {
        let mut state = self.state();
        if state.is_placed(path) {
            state.missing.retain(|(missing, _)| missing != path);
        }
    }

    /// `path` is a folder and should have this metadata.
    pub(super) fn folder(&self, path: RelPath, by: Rank, metadata: Metadata) {
        let mut state = self.state();
        match state.folders.get_mut(&path) {
            Some(known) if known.by > by => (known.by, known.metadata) = (by, metadata),
            Some(_) => {}
            None => {
                let (seen, listed) = (Cell::default(), Cell::default());
                state.folders.insert(path, Folder { by, metadata, seen, listed });
            }
        }
    }

    /// `path` is a further name of `to`.
    pub(super) fn link(&self, path: RelPath, to: RelPath) {
        self.state().links.push((path, to));
    }

    /// `path` is not restored.
    pub(super) fn missing(&self, path: RelPath, reason: impl Into<String>) {
        self.state().missing.push((path, reason.into()));
    }

    /// What is at `path` is not as it was packed, and stays so.
    pub(super) fn left(&self, path: RelPath) {
        self.state().left.insert(path);
    }

    /// `path`, an entry of the archive, is not there; it is reported with all others of that reason.
    pub(super) fn not_there(&self, path: &RelPath, reason: &'static str) {
        let mut state = self.state();
        state.missing.push((path.clone(), reason.to_owned()));
        state.not_there.entry(reason).or_default().add(path);
    }

    /// The derived file at `path` is not made; it is reported with all others of that reason.
    pub(super) fn not_made(&self, path: &RelPath, reason: &'static str) {
        let mut state = self.state();
        state.missing.push((path.clone(), reason.to_owned()));
        state.not_made.entry(reason).or_default().add(path);
    }

    /// The derived files that are not made, by the reason.
    pub(super) fn all_not_made(&self) -> BTreeMap<&'static str, Affected> {
        self.state().not_made.clone()
    }

    /// The entries of the archive that are not there, by the reason.
    pub(super) fn all_not_there(&self) -> BTreeMap<&'static str, Affected> {
        self.state().not_there.clone()
    }

    /// The proof cannot succeed any more.
    pub(super) fn contradicted(&self) {
        self.state().contradicted = true;
    }

    /// All that is known, when all threads are done.
    pub(super) fn take(&self) -> State<'m> {
        let mut state = self.state();
        let nothing = State::new(state.table, 0);
        std::mem::replace(&mut state, nothing)
    }
}

impl<'m> State<'m> {
    fn new(table: &'m EntryTable, rows: usize) -> Self {
        Self {
            table,
            archived: vec![Row::NotPlaced; rows],
            found: Vec::new(),
            placed: PathMap::default(),
            folders: BTreeMap::new(),
            links: Vec::new(),
            missing: Vec::new(),
            not_there: BTreeMap::new(),
            not_made: BTreeMap::new(),
            left: BTreeSet::new(),
            contradicted: false,
            files_from_packages: 0,
            bytes_from_packages: 0,
            kept_files: 0,
            files_without_digest: 0,
            packages_used: 0,
            nameless: Default::default(),
        }
    }

    /// The folders, the deepest first.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&RelPath, &Folder)> {
        self.folders.iter().rev()
    }

    /// The folder at `path`, if it is one of the archive or of a package.
    pub(super) fn folder(&self, path: &RelPath) -> Option<&Folder> {
        self.folders.get(path)
    }

    /// Where `path` is found here, if it is in its place.
    pub(super) fn slot(&self, path: &RelPath) -> Option<Slot> {
        let placed = || self.placed.position(path).map(Slot::Placed);
        let folder = || self.folders.contains_key(path).then_some(Slot::Folder);
        self.row(path).map(Slot::Row).or_else(placed).or_else(folder)
    }

    /// How many rows the archive's table has, and how many entries packages gave.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.archived.len(), self.placed.len())
    }

    /// Is this row of the archive's table in its place, and no folder?
    pub(super) fn is_in_place(&self, row: usize) -> bool {
        !matches!(self.archived[row], Row::NotPlaced)
    }

    /// The digest of the contents of this row, if it is in its place; `None` within of what has none.
    fn digest_in_place(&self, row: usize) -> Option<Option<Digest>> {
        match self.archived[row] {
            Row::NotPlaced => None,
            Row::Node => Some(None),
            Row::AsStated => Some(self.table.digest(row)),
            Row::Found(number) => Some(Some(self.found[number as usize])),
        }
    }

    /// What a package gave as the entry with this number.
    pub(super) fn placed(&self, number: usize) -> Entry {
        let (name, placed) = self.placed.at(number);
        placed.entry(path_of(name))
    }

    /// Is `path` an entry of the tree, as far as is known?
    pub(super) fn knows(&self, path: &RelPath) -> bool {
        self.is_placed(path) || self.folders.contains_key(path)
    }

    /// Is `path` in its place, and no folder?
    fn is_placed(&self, path: &RelPath) -> bool {
        self.row(path).is_some() || self.placed.contains(path)
    }

    /// The row of the archive's table that is in its place at `path`.
    fn row(&self, path: &RelPath) -> Option<usize> {
        let row = self.table.position(path)?;
        self.is_in_place(row).then_some(row)
    }

    /// Is `path` a device?
    pub(super) fn is_device(&self, path: &RelPath) -> bool {
        match self.row(path) {
            Some(row) => self.table.is_device(row),
            None => self.placed.get(path).is_some_and(Placed::is_device),
        }
    }

    /// Takes the further names, each with the placed entry that it finally names, sorted.
    pub(super) fn take_links(&mut self) -> Vec<(RelPath, Option<RelPath>)> {
        let links: HashMap<RelPath, RelPath> =
            std::mem::take(&mut self.links).into_iter().collect();
        let mut resolved: Vec<_> = links
            .iter()
            .map(|(path, to)| {
                let mut to = to;
                // A chain of names is not longer than there are names, or it is a circle.
                for _ in 0..links.len() {
                    match links.get(to) {
                        Some(next) if !self.is_placed(to) => to = next,
                        _ => break,
                    }
                }
                let placed = self.is_placed(to) && to != path;
                (path.clone(), placed.then(|| to.clone()))
            })
            .collect();
        resolved.sort_unstable();
        resolved
    }

    /// Adds those of `parents` in which something is in its place.
    pub(super) fn add_parents(
        &mut self,
        mut parents: BTreeMap<RelPath, (Rank, Metadata)>,
        links: &[(RelPath, RelPath)],
    ) {
        let rows = self.table.paths().enumerate();
        let rows = rows.filter(|(row, _)| self.is_in_place(*row)).map(|(_, path)| path);
        let others = self.folders.keys().chain(links.iter().map(|(path, _)| path));
        let all = rows.chain(others.map(RelPath::as_bytes));
        for folder in above(all.chain(self.placed.iter().map(|(name, _)| name))) {
            let Some((by, metadata)) = parents.remove(&folder) else { continue };
            let (seen, listed) = (Cell::default(), Cell::default());
            self.folders.entry(folder).or_insert(Folder { by, metadata, seen, listed });
        }
    }

    /// What is at `path` is not as it was packed, and stays so.
    pub(super) fn leave(&mut self, path: RelPath) {
        self.left.insert(path);
    }

    /// What is not as it was packed, and is known to be so: missing, or left as it was.
    pub(super) fn accounted_for(&self) -> BTreeSet<RelPath> {
        let missing = self.missing.iter().map(|(path, _)| path);
        missing.chain(&self.left).cloned().collect()
    }

    /// Does what was at `path` before stay, although it is not as it was packed?
    pub(super) fn is_left(&self, path: &RelPath) -> bool {
        self.left.contains(path)
    }

    /// `path` is not restored.
    pub(super) fn add_missing(&mut self, path: RelPath, reason: impl Into<String>) {
        self.missing.push((path, reason.into()));
    }

    /// The paths of what is not restored; of packages of which nothing knows the files, the folder into which they belong.
    pub(super) fn missing_paths(&self) -> HashSet<RelPath> {
        self.missing.iter().map(|(path, _)| path.clone()).collect()
    }

    /// The proof cannot succeed any more.
    pub(super) fn contradict(&mut self) {
        self.contradicted = true;
    }

    /// Is everything restored, as far as is known without the tree digest?
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty() && !self.contradicted
    }
}
