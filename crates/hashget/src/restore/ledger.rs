//! What is known of every entry so far: what was placed, what is missing, and the proof over it all.
//!
//! Invariant: an entry is in the ledger only with the digest of contents that were read or written in
//! this run; the tree digest is computed from nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::Summary;
use super::path_map::{PathMap, path_of};
use crate::model::manifest::{EntryTable, ManifestError};
use crate::model::{
    Digest, Entry, Kind, Metadata, RelPath, Timestamp, TreeDigest, Xattrs, add_bytes, entry_digest,
};

/// Who says what a folder's metadata is; the least decides. The archive is before all packages.
pub(super) type Rank = (usize, usize);

/// The archive's rank.
pub(super) const ARCHIVED: Rank = (0, 0);

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
    /// What packages gave: entries with one name, or the first that was placed of several. Not folders.
    placed: PathMap<Placed>,
    folders: BTreeMap<RelPath, (Rank, Metadata)>,
    /// Further names, and what they name.
    links: Vec<(RelPath, RelPath)>,
    /// Not restored, and why.
    missing: Vec<(RelPath, String)>,
    /// Two packages gave the same entry, or something else makes a proof worthless.
    contradicted: bool,
    files_from_packages: u64,
    bytes_from_packages: u64,
    kept_files: u64,
    packages_used: u64,
}

/// A row of the archive's table.
#[derive(Clone, Copy)]
enum Row {
    NotPlaced,
    /// In its place, and no regular file.
    Node,
    /// In its place; the digest of its contents.
    File(Digest),
}

/// An entry that is in its place. Small: there may be millions.
struct Placed {
    /// The package's rank.
    by: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    seconds: i64,
    nanoseconds: u32,
    sha256: Option<Digest>,
    what: What,
    /// Few entries have some.
    xattrs: Option<Box<Xattrs>>,
}

/// What kind of entry it is.
enum What {
    /// A regular file, with its size in bytes.
    File(u64),
    Other(Box<Kind>),
}

/// What an entry of a package is; all that its record needs.
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    pub(super) sha256: Option<Digest>,
}

impl Placed {
    fn new(by: Rank, facts: Facts) -> Self {
        let Facts { kind, metadata, sha256 } = facts;
        Self {
            by: u32::try_from(by.0).expect("a manifest has fewer than 2^32 packages"),
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            seconds: metadata.mtime.seconds,
            nanoseconds: metadata.mtime.nanoseconds,
            sha256,
            what: match kind {
                Kind::File { size } => What::File(size),
                other => What::Other(Box::new(other)),
            },
            xattrs: (!metadata.xattrs.is_empty()).then(|| Box::new(metadata.xattrs)),
        }
    }

    fn is_device(&self) -> bool {
        let What::Other(kind) = &self.what else { return false };
        matches!(**kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
    }

    /// The whole entry again, which lies at `path`.
    fn entry(&self, path: RelPath) -> Entry {
        let &Self { mode, uid, gid, seconds, nanoseconds, sha256, .. } = self;
        let xattrs = self.xattrs.as_deref().cloned().unwrap_or_default();
        let mtime = Timestamp { seconds, nanoseconds };
        let kind = match &self.what {
            What::File(size) => Kind::File { size: *size },
            What::Other(kind) => Kind::clone(kind),
        };
        let metadata = Metadata { mode, uid, gid, mtime, xattrs };
        Entry { path, kind, metadata, sha256, extents: None }
    }
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
        self.state().archived[row] = sha256.map_or(Row::Node, Row::File);
    }

    /// `path`, which a package gives, is in its place. False if another one placed it before.
    pub(super) fn placed(&self, path: &RelPath, by: Rank, facts: Facts) -> bool {
        let mut state = self.state();
        let placed = Placed::new(by, facts);
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

    /// A package was read.
    pub(super) fn package_used(&self) {
        self.state().packages_used += 1;
    }

    /// `path` is a folder and should have this metadata.
    pub(super) fn folder(&self, path: RelPath, by: Rank, metadata: Metadata) {
        let mut state = self.state();
        match state.folders.get_mut(&path) {
            Some(known) if known.0 > by => *known = (by, metadata),
            Some(_) => {}
            None => {
                state.folders.insert(path, (by, metadata));
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
            placed: PathMap::default(),
            folders: BTreeMap::new(),
            links: Vec::new(),
            missing: Vec::new(),
            contradicted: false,
            files_from_packages: 0,
            bytes_from_packages: 0,
            kept_files: 0,
            packages_used: 0,
        }
    }

    /// The folders and their metadata, the deepest first.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&RelPath, &Metadata)> {
        self.folders.iter().rev().map(|(path, (_, metadata))| (path, metadata))
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
        let row = self.table.paths().binary_search(path).ok()?;
        (!matches!(self.archived[row], Row::NotPlaced)).then_some(row)
    }

    /// Is `path` a device?
    pub(super) fn is_device(&self, path: &RelPath) -> bool {
        match self.row(path) {
            Some(row) => self.table.is_device(row),
            None => self.placed.get(path).is_some_and(Placed::is_device),
        }
    }

    /// Is `path` a folder of the archive or of a package?
    pub(super) fn gives_folder(&self, path: &RelPath) -> bool {
        self.folders.contains_key(path)
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

    /// `path` is not restored.
    pub(super) fn add_missing(&mut self, path: RelPath, reason: impl Into<String>) {
        self.missing.push((path, reason.into()));
    }

    /// The proof cannot succeed any more.
    pub(super) fn contradict(&mut self) {
        self.contradicted = true;
    }

    /// Is everything restored, as far as is known without the tree digest?
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty() && !self.contradicted
    }

    /// Computes the tree digest and the summary. `links` are the further names
    /// that were made; `expected` is the tree digest that the manifest has.
    pub(super) fn summarise(
        self,
        links: &[(RelPath, RelPath)],
        expected: Option<Digest>,
    ) -> Result<Summary, ManifestError> {
        let mut summary = Summary {
            files_from_packages: self.files_from_packages,
            bytes_from_packages: self.bytes_from_packages,
            kept_files: self.kept_files,
            packages_used: self.packages_used,
            ..Summary::default()
        };
        let mut proof = Proof::new(links);
        for (row, entry) in self.table.entries().enumerate() {
            let (mut entry, _) = entry?;
            entry.sha256 = match self.archived[row] {
                Row::NotPlaced => continue,
                Row::Node => None,
                Row::File(sha256) => Some(sha256),
            };
            proof.add(self.table.paths()[row].as_bytes(), &entry, &mut summary);
        }
        for (name, placed) in self.placed.iter() {
            proof.add(name, &placed.entry(path_of(name)), &mut summary);
        }
        for (path, (_, metadata)) in &self.folders {
            let (kind, sha256, extents) = (Kind::Directory, None, None);
            let (name, path, metadata) = (path.as_bytes(), path.clone(), metadata.clone());
            proof.add(name, &Entry { path, kind, metadata, sha256, extents }, &mut summary);
        }
        let proven = !self.contradicted && expected.is_some_and(|digest| proof.finish() == digest);
        summary.proven = expected.filter(|_| self.missing.is_empty()).map(|_| proven);
        summary.missing = self.missing;
        summary.missing.sort_unstable();
        Ok(summary)
    }
}

/// The tree digest, entry by entry.
struct Proof<'l> {
    /// Entries with further names, and those, sorted.
    further: HashMap<&'l RelPath, Vec<&'l RelPath>>,
    tree: TreeDigest<'l>,
}

impl<'l> Proof<'l> {
    fn new(links: &'l [(RelPath, RelPath)]) -> Self {
        let mut further: HashMap<_, Vec<_>> = HashMap::new();
        for (path, to) in links {
            further.entry(to).or_default().push(path);
        }
        Self { further, tree: TreeDigest::default() }
    }

    /// Adds the entry at the path with the bytes `name`, under all its names.
    fn add(&mut self, name: &'l [u8], entry: &Entry, summary: &mut Summary) {
        let names = self.further.get(&entry.path).map_or(&[][..], Vec::as_slice);
        let first = names.iter().copied().chain([&entry.path]).min().unwrap_or(&entry.path);
        let all = 1 + count(names.len());
        summary.entries += all;
        if let Kind::File { size } = entry.kind {
            summary.files += all;
            add_bytes(&mut summary.bytes, size);
        }
        self.tree.add(name, entry_digest(&entry.path, entry, first));
        for name in names {
            self.tree.add(name.as_bytes(), entry_digest(name, entry, first));
        }
    }

    fn finish(self) -> Digest {
        self.tree.finish()
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
