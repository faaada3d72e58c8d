//! What is known of every entry so far: what was placed, what is missing, and the proof over it all.
//!
//! Invariant: an entry is in the ledger only with the digest of contents that were read or written in
//! this run; the tree digest is computed from nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::Summary;
use crate::model::{
    Digest, Entry, Extent, Kind, Metadata, RelPath, Timestamp, TreeDigest, Xattrs, entry_digest,
};

/// Who says what a folder's metadata is; the least decides. The archive is before all packages.
pub(super) type Rank = (usize, usize);

/// The archive's rank.
pub(super) const ARCHIVED: Rank = (0, 0);

/// The rank of a tree of a package.
pub(super) fn rank(package: usize, tree: usize) -> Rank {
    (package + 1, tree)
}

/// Everything that is known, from all threads.
#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

/// See [`Ledger`].
#[derive(Default)]
pub(super) struct State {
    /// Entries with one name, or the first that was placed of several. Not folders.
    placed: BTreeMap<RelPath, Placed>,
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
    rare: Option<Box<Rare>>,
}

/// What kind of entry it is.
enum What {
    /// A regular file of so many bytes.
    File(u64),
    Other(Box<Kind>),
}

/// What few entries have.
struct Rare {
    xattrs: Xattrs,
    extents: Option<Vec<Extent>>,
}

/// What an entry is; all that its record needs.
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
    pub(super) sha256: Option<Digest>,
    pub(super) extents: Option<Vec<Extent>>,
}

impl Placed {
    fn new(by: Rank, facts: Facts) -> Self {
        let Facts { kind, metadata, sha256, extents } = facts;
        let rare = !metadata.xattrs.is_empty() || extents.is_some();
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
            rare: rare.then(|| Box::new(Rare { xattrs: metadata.xattrs, extents })),
        }
    }

    fn is_device(&self) -> bool {
        let What::Other(kind) = &self.what else { return false };
        matches!(**kind, Kind::CharDevice { .. } | Kind::BlockDevice { .. })
    }

    /// The whole entry again, which lies at `path`.
    fn into_entry(self, path: RelPath) -> Entry {
        let Self { mode, uid, gid, seconds, nanoseconds, sha256, .. } = self;
        let (xattrs, extents) =
            self.rare.map_or_else(Default::default, |rare| (rare.xattrs, rare.extents));
        let mtime = Timestamp { seconds, nanoseconds };
        let kind = match self.what {
            What::File(size) => Kind::File { size },
            What::Other(kind) => *kind,
        };
        Entry { path, kind, metadata: Metadata { mode, uid, gid, mtime, xattrs }, sha256, extents }
    }
}

impl Ledger {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// `path` is in its place. False if somebody else placed it before.
    pub(super) fn placed(&self, path: RelPath, by: Rank, facts: Facts) -> bool {
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
    pub(super) fn into_state(self) -> State {
        self.state.into_inner().expect("no holder of this lock panics")
    }
}

impl State {
    /// The folders and their metadata, the deepest first.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&RelPath, &Metadata)> {
        self.folders.iter().rev().map(|(path, (_, metadata))| (path, metadata))
    }

    /// Is `path` an entry of the tree, as far as is known?
    pub(super) fn knows(&self, path: &RelPath) -> bool {
        self.placed.contains_key(path) || self.folders.contains_key(path)
    }

    /// Is `path` a device?
    pub(super) fn is_device(&self, path: &RelPath) -> bool {
        self.placed.get(path).is_some_and(Placed::is_device)
    }

    /// Is `path` a folder that somebody gave?
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
                        Some(next) if !self.placed.contains_key(to) => to = next,
                        _ => break,
                    }
                }
                let placed = self.placed.contains_key(to) && to != path;
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

    /// Is everything restored, as far as it can be told without a proof?
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty() && !self.contradicted
    }

    /// Computes the tree digest and everything that is told at the end. `links` are the further names
    /// that were made; `expected` is the tree digest that the manifest has.
    pub(super) fn summarise(
        self,
        links: &[(RelPath, RelPath)],
        expected: Option<Digest>,
    ) -> Summary {
        let mut first_names: HashMap<&RelPath, &RelPath> = HashMap::new();
        for (path, to) in links {
            let first = first_names.entry(to).or_insert(to);
            *first = path.min(first);
        }
        let mut summary = Summary {
            entries: count(self.placed.len() + self.folders.len() + links.len()),
            files_from_packages: self.files_from_packages,
            bytes_from_packages: self.bytes_from_packages,
            kept_files: self.kept_files,
            packages_used: self.packages_used,
            ..Summary::default()
        };
        let mut tree = TreeDigest::default();
        let further = group(links);
        for (path, placed) in self.placed {
            let names = further.get(&path).map_or(&[][..], Vec::as_slice);
            let first = first_names.get(&path).copied().unwrap_or(&path).clone();
            let entry = placed.into_entry(path);
            if let Kind::File { size } = entry.kind {
                summary.files += 1 + count(names.len());
                summary.bytes += size;
            }
            for name in names {
                tree.add((*name).clone(), entry_digest(name, &entry, &first));
            }
            let digest = entry_digest(&entry.path, &entry, &first);
            tree.add(entry.path, digest);
        }
        for (path, (_, metadata)) in self.folders {
            let (kind, sha256, extents) = (Kind::Directory, None, None);
            let entry = Entry { path, kind, metadata, sha256, extents };
            let digest = entry_digest(&entry.path, &entry, &entry.path);
            tree.add(entry.path, digest);
        }
        let proven = !self.contradicted && expected.is_some_and(|digest| tree.finish() == digest);
        summary.proven = expected.filter(|_| self.missing.is_empty()).map(|_| proven);
        summary.missing = self.missing;
        summary.missing.sort_unstable();
        summary
    }
}

fn group(links: &[(RelPath, RelPath)]) -> HashMap<&RelPath, Vec<&RelPath>> {
    let mut groups: HashMap<&RelPath, Vec<&RelPath>> = HashMap::new();
    for (path, to) in links {
        groups.entry(to).or_default().push(path);
    }
    groups
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
