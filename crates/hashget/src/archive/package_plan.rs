//! What becomes of each member of a package. Pure: no disk, no network.
//!
//! Invariant: members are followed in the package's own order, each by every placement; a placement that does
//! not fit the package gives nothing from there on, and says so.

use std::collections::{BTreeSet, HashMap};

use crate::formats::PATH_SEPARATOR;
use crate::model::manifest::{Derived, ManifestError, Package, Placement, PlacementCursor};
use crate::model::{Digest, Entry, Kind, Member, Metadata, RelPath};

/// Why a derived file without a digest is not made.
const UNPROVEN: &str = "the manifest has no digest of it, which alone would prove a derived file";

/// Where a member goes, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) path: RelPath,
    /// What it is there. A hard link's target is a path of the tree.
    pub(crate) kind: Kind,
    pub(crate) metadata: Metadata,
    /// The digest that the manifest has of it.
    pub(crate) sha256: Option<Digest>,
    pub(crate) part: ManifestPart,
}

/// Which part of the manifest sends it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ManifestPart {
    /// The placement with this index.
    Placement(usize),
    /// The entry with this index of the package's `files`.
    File(usize),
}

/// One package of the manifest, while its members are followed.
pub(crate) struct PackagePlan<'m> {
    package: &'m Package,
    placements: Vec<Following<'m>>,
    files: Vec<Single>,
    /// Members that `files` want, and the indices of who wants them.
    wanted: HashMap<RelPath, Vec<usize>>,
    inner: BTreeSet<Vec<u8>>,
}

/// A placement and how far it came.
struct Following<'m> {
    from: &'m [u8],
    cursor: PlacementCursor<'m>,
    /// Why it gives nothing any more.
    broken: Option<String>,
}

/// An entry of `files` and how it went.
struct Single {
    entry: Entry,
    from: Option<RelPath>,
    outcome: Outcome,
    /// Is it in its place for good, whatever comes?
    kept: bool,
}

/// How it went with an entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// Its member has not come yet.
    Waiting,
    /// It is in its place.
    Done,
    /// It came, but could not be placed.
    Failed(String),
    /// It is not to be restored now.
    LeftOut,
}

impl<'m> PackagePlan<'m> {
    /// Starts before the first member.
    pub(crate) fn new(package: &'m Package) -> Result<Self, ManifestError> {
        let mut wanted: HashMap<RelPath, Vec<usize>> = HashMap::new();
        let mut files = Vec::with_capacity(package.files.len());
        for (index, item) in package.files.entries().enumerate() {
            let (entry, from) = item?;
            let derived = from.as_ref().and_then(|from| package.derivation(from));
            let outcome = match derived {
                Some(_) if entry.sha256.is_none() => Outcome::Failed(UNPROVEN.to_owned()),
                _ => Outcome::Waiting,
            };
            if let (Some(from), Kind::File { .. }, Outcome::Waiting) =
                (&from, &entry.kind, &outcome)
            {
                wanted.entry(from.clone()).or_default().push(index);
            }
            files.push(Single { entry, from, outcome, kept: false });
        }
        let placements: Vec<_> = package.placements.iter().map(Following::new).collect();
        let made_from = package.derived.iter().filter_map(|derived| derived.from.as_ref());
        let sources = wanted.keys().filter(|from| !Derived::is_path(from)).chain(made_from);
        let sources = sources.map(RelPath::as_bytes);
        let inner = placements
            .iter()
            .map(|placement| placement.from)
            .chain(sources)
            .flat_map(inner_of)
            .collect();
        Ok(Self { package, placements, files, wanted, inner })
    }

    /// Goes back before the first member. What is known of `files` stays.
    pub(crate) fn rewind(&mut self) {
        self.placements = self.package.placements.iter().map(Following::new).collect();
    }

    fn single(&self, index: usize) -> Destination {
        let Entry { path, kind, metadata, sha256, .. } = self.files[index].entry.clone();
        Destination { path, kind, metadata, sha256, part: ManifestPart::File(index) }
    }

    /// Entries of `files` that need none of the package's bytes: all that are no regular files.
    pub(crate) fn without_contents(&self) -> Vec<Destination> {
        (0..self.files.len())
            .filter(|&index| !matches!(self.files[index].entry.kind, Kind::File { .. }))
            .map(|index| self.single(index))
            .collect()
    }

    /// Entries of `files` that are the package itself.
    pub(crate) fn itself(&self) -> Vec<Destination> {
        (0..self.files.len())
            .filter(|&index| {
                let single = &self.files[index];
                single.from.is_none() && matches!(single.entry.kind, Kind::File { .. })
            })
            .map(|index| self.single(index))
            .collect()
    }

    /// Entries of `files` that are not in their places, if the package has no placement.
    pub(crate) fn only_these(&self) -> Option<Vec<Destination>> {
        let is_open =
            |index: &usize| !matches!(self.files[*index].outcome, Outcome::Done | Outcome::LeftOut);
        let indices = (0..self.files.len()).filter(is_open);
        self.placements.is_empty().then(|| indices.map(|index| self.single(index)).collect())
    }

    /// Entries of `files` that are regular files and not in their places.
    pub(crate) fn waiting_files(&self) -> Vec<Destination> {
        (0..self.files.len())
            .map(|index| (index, &self.files[index]))
            .filter(|(_, single)| matches!(single.entry.kind, Kind::File { .. }))
            .filter(|(_, single)| !matches!(single.outcome, Outcome::Done | Outcome::LeftOut))
            .map(|(index, _)| self.single(index))
            .collect()
    }

    /// Must its members be read at all?
    pub(crate) fn needs_members(&self) -> bool {
        let is_wanted = |index: &usize| self.files[*index].outcome != Outcome::LeftOut;
        !self.placements.is_empty() || self.wanted.values().flatten().any(is_wanted)
    }

    /// The members that `files` want.
    pub(crate) fn wanted_members(&self) -> impl Iterator<Item = &RelPath> {
        self.wanted.keys()
    }

    /// The entries of `files` that are in their places stay as they are. Are those all that the package gives?
    pub(crate) fn keep_done(&mut self) -> bool {
        for single in &mut self.files {
            single.kept = matches!(single.outcome, Outcome::Done | Outcome::LeftOut);
        }
        self.placements.is_empty() && self.files.iter().all(|single| single.kept)
    }

    /// The packages inside the package that something is wanted of: the beginnings of paths in them.
    pub(crate) fn inner_packages(&self) -> &BTreeSet<Vec<u8>> {
        &self.inner
    }

    /// The next member: where it goes.
    pub(crate) fn next(&mut self, member: &Member) -> Vec<Destination> {
        let mut destinations = Vec::new();
        for (index, placement) in self.placements.iter_mut().enumerate() {
            if placement.broken.is_some() {
                continue;
            }
            match placement.cursor.next(member) {
                Ok(None) => {}
                Ok(Some(given)) => destinations.push(Destination {
                    path: given.path,
                    kind: given.kind,
                    metadata: given.metadata,
                    sha256: given.sha256,
                    part: ManifestPart::Placement(index),
                }),
                Err(error) => placement.broken = Some(error.to_string()),
            }
        }
        let Some(indices) = self.wanted.get(&member.path) else { return destinations };
        for &index in indices {
            let single = &mut self.files[index];
            if single.kept {
                continue;
            }
            match (&member.kind, &single.entry.kind) {
                (Kind::File { size }, Kind::File { size: expected }) if size != expected => {
                    single.fail(format!("its member has {size} bytes, expected {expected}"));
                }
                (Kind::File { .. }, _) => destinations.push(self.single(index)),
                _ => single.fail("its member is not a regular file".to_owned()),
            }
        }
        destinations
    }

    /// An entry of `files` is in its place.
    pub(crate) fn done(&mut self, part: ManifestPart) {
        if let ManifestPart::File(index) = part {
            self.files[index].outcome = Outcome::Done;
        }
    }

    /// An entry of `files` could not be placed. False if it is none of them.
    pub(crate) fn failed(&mut self, part: ManifestPart, reason: &str) -> bool {
        let ManifestPart::File(index) = part else { return false };
        self.files[index].fail(reason.to_owned());
        true
    }

    /// Entries of `files` that are derived and not in their places.
    pub(crate) fn derived(&self) -> Vec<Destination> {
        let is_derived = |single: &Single| {
            let from = single.from.as_ref();
            from.is_some_and(|from| self.package.derivation(from).is_some())
        };
        (0..self.files.len())
            .filter(|&index| self.files[index].outcome == Outcome::Waiting)
            .filter(|&index| is_derived(&self.files[index]))
            .map(|index| self.single(index))
            .collect()
    }

    /// The run of a program that makes an entry of `files`, by its index, and where that was in the tree.
    pub(crate) fn run_of(&self, part: ManifestPart) -> Option<(usize, RelPath)> {
        let ManifestPart::File(index) = part else { return None };
        let (number, _, made) = self.package.run_of(self.files[index].from.as_ref()?)?;
        Some((number, made?))
    }

    /// An entry of `files` that is not to be restored now: whoever says so names it.
    pub(crate) fn leave_out(&mut self, part: ManifestPart) {
        if let ManifestPart::File(index) = part {
            let single = &mut self.files[index];
            single.outcome = Outcome::LeftOut;
            single.kept = true;
        }
    }

    /// The member of this name cannot be made. False if nothing waits for it, or it is no derived one.
    pub(crate) fn cannot_be_made(&mut self, member: &[u8], reason: &str) -> bool {
        let member = RelPath::new(member).ok().filter(Derived::is_path);
        let Some(waiting) = member.and_then(|member| self.wanted.get(&member)) else {
            return false;
        };
        for &index in waiting {
            self.files[index]
                .fail(format!("it is derived from {}, and {reason}", self.package.shown_name()));
        }
        true
    }

    /// All that is not in its place, and why; `problem` says what was wrong with the package as a
    /// whole, if anything was.
    pub(crate) fn missing(&self, problem: Option<&str>) -> Vec<(RelPath, String)> {
        let mut missing = Vec::new();
        let package = self.package.shown_name();
        for (placement, following) in self.package.placements.iter().zip(&self.placements) {
            let Some(why) = following.broken.as_deref().or(problem) else { continue };
            let to = &*placement.to.0;
            let folder = to.iter().rposition(|&byte| byte == b'/').map_or(&b""[..], |at| &to[..at]);
            let folder = RelPath::normalise(folder).unwrap_or_default();
            let what = if to.is_empty() {
                format!("everything from {package}")
            } else {
                format!("everything below \"{}\" from {package}", crate::model::escaped(to))
            };
            missing.push((folder, format!("{what}: {why}")));
        }
        for single in &self.files {
            let why = match (&single.outcome, problem) {
                (Outcome::Done | Outcome::LeftOut, _) => continue,
                (Outcome::Failed(why), _) => why.clone(),
                (Outcome::Waiting, Some(problem)) => problem.to_owned(),
                (Outcome::Waiting, None) => match &single.from {
                    Some(from) => format!("{package} has no member {from}"),
                    None => format!("{package} could not be copied"),
                },
            };
            missing.push((single.entry.path.clone(), why));
        }
        missing
    }
}

/// The beginnings of `path` that end where a package inside a package begins.
fn inner_of(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let separator = PATH_SEPARATOR.as_bytes();
    let ends = path.windows(separator.len()).enumerate();
    ends.filter(move |(_, window)| *window == separator)
        .map(move |(at, _)| path[..at + separator.len()].to_vec())
}

impl<'m> Following<'m> {
    fn new(placement: &'m Placement) -> Self {
        let (from, cursor) = (&*placement.from.0, PlacementCursor::new(placement));
        Self { from, cursor, broken: None }
    }
}

impl Single {
    fn fail(&mut self, reason: String) {
        if !matches!(self.outcome, Outcome::Done | Outcome::LeftOut) {
            self.outcome = Outcome::Failed(reason);
        }
    }
}
