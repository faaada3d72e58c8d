//! Follows a manifest before it is written, as restoring will, and compares with the tree.
//!
//! Invariant: no archive is written whose manifest would not give back exactly what was scanned.

use std::collections::HashMap;

use super::PackError;
use super::members::Members;
use super::plan::{ChosenPackage, PackageUse, Plan, ReadMembers};
use crate::error::ErrorClass;
use crate::hashdb::HashDbError;
use crate::model::manifest::{ManifestError, Package, PlacementCursor};
use crate::model::{Digest, Entry, Kind, Member, Metadata, RelPath};
use crate::tree::{Finder, find};

/// The manifest would not give an entry back as it is: a defect of ours, told rather than stored.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An entry would come back wrong, twice, or not at all.
    #[error(
        "internal error: {path} would not be restored as it is ({problem}); nothing was written"
    )]
    Entry {
        /// Which.
        path: RelPath,
        /// What is wrong.
        problem: &'static str,
    },
    /// The manifest contradicts itself.
    #[error("internal error: the manifest does not fit its package; nothing was written")]
    Manifest(#[from] ManifestError),
}

impl ReplayError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Entry { .. } | Self::Manifest(_) => ErrorClass::Internal,
        }
    }
}

/// The digests of the members with these paths.
fn digests<'p>(
    paths: impl Iterator<Item = &'p RelPath>,
    members: &Members<'_>,
) -> Result<HashMap<&'p RelPath, Option<Digest>>, HashDbError> {
    let mut digests: HashMap<&RelPath, Option<Digest>> = paths.map(|path| (path, None)).collect();
    members.each(&mut |_, member| {
        if let Some(digest) = digests.get_mut(&member.path) {
            *digest = member.sha256;
        }
    })?;
    Ok(digests)
}

impl PackageUse {
    /// Counts an entry that the package gives.
    fn count(&mut self, kind: &Kind) {
        if let Kind::File { size } = kind {
            self.files += 1;
            self.bytes += size;
        }
    }
}

struct Replay<'a> {
    entries: &'a [Entry],
    finder: Finder<'a>,
    restored: Vec<bool>,
}

/// Replays `plan` over the members of its packages; counts what each package gives on the way.
pub(super) fn replay(
    entries: &[Entry],
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    plan: &mut Plan,
) -> Result<(), PackError> {
    let mut replay =
        Replay { entries, finder: Finder::new(entries), restored: vec![false; entries.len()] };
    let Plan { packages: manifest, uses, chosen, archived, links } = plan;
    for ((package, used), &index) in manifest.iter().zip(uses).zip(chosen.iter()) {
        let chosen = &packages[index];
        chosen.with_members(read, |members| replay.package(package, used, chosen, members))?;
    }
    for (index, _) in archived.iter().enumerate().filter(|(_, archived)| **archived) {
        replay.once(index)?;
    }
    for link in links {
        let kind = Kind::HardLink { target: link.to.clone() };
        replay.restore(&link.path, &kind, &Metadata::default(), None)?;
    }
    match replay.restored.iter().position(|restored| !restored) {
        Some(index) => Err(replay.error(index, "nothing gives it").into()),
        None => Ok(()),
    }
}

impl<'a> Replay<'a> {
    /// What one package gives.
    fn package(
        &mut self,
        package: &Package,
        used: &mut PackageUse,
        chosen: &ChosenPackage<'_>,
        members: &Members<'_>,
    ) -> Result<(), PackError> {
        for tree in &package.placements {
            let mut cursor = PlacementCursor::new(tree);
            let mut result = Ok(());
            members.each(&mut |_, member| {
                if result.is_ok() {
                    result = self.member(&mut cursor, member, used);
                }
            })?;
            result?;
        }
        if package.files.is_empty() {
            return Ok(());
        }
        let digests = digests(package.files.from(), members)?;
        for row in package.files.entries() {
            let (row, from) = row.map_err(ReplayError::from)?;
            let sha256 = match &from {
                None => Some(chosen.record.sha256),
                Some(from) => digests.get(from).copied().flatten(),
            };
            self.restore(&row.path, &row.kind, &row.metadata, sha256)?;
            used.count(&row.kind);
        }
        Ok(())
    }

    /// What one member gives by the tree that `cursor` follows.
    fn member(
        &mut self,
        cursor: &mut PlacementCursor<'_>,
        member: &Member,
        used: &mut PackageUse,
    ) -> Result<(), ReplayError> {
        if let Some(given) = cursor.next(member)? {
            self.restore(&given.path, &given.kind, &given.metadata, member.sha256)?;
            used.count(&given.kind);
        }
        Ok(())
    }

    fn error(&self, index: usize, problem: &'static str) -> ReplayError {
        ReplayError::Entry { path: self.entries[index].path.clone(), problem }
    }

    fn once(&mut self, index: usize) -> Result<(), ReplayError> {
        if std::mem::replace(&mut self.restored[index], true) {
            return Err(self.error(index, "it is given twice"));
        }
        Ok(())
    }

    /// The first name of an entry.
    fn file(&self, entry: &'a Entry) -> Option<&'a Entry> {
        match &entry.kind {
            Kind::HardLink { target } => find(self.entries, target),
            _ => Some(entry),
        }
    }

    fn restore(
        &mut self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
        sha256: Option<Digest>,
    ) -> Result<(), ReplayError> {
        let found = self.finder.find(path.as_bytes());
        let file = found.and_then(|index| self.file(&self.entries[index]));
        let (Some(index), Some(file)) = (found, file) else {
            return Err(ReplayError::Entry { path: path.clone(), problem: "the tree has none" });
        };
        if *kind == Kind::Directory && self.restored[index] {
            // An earlier tree decided.
            return Ok(());
        }
        if let Kind::HardLink { target } = kind {
            let target = find(self.entries, target).and_then(|entry| self.file(entry));
            let same = target.is_some_and(|target| target.path == file.path);
            if !same {
                return Err(self.error(index, "it would be linked to another file"));
            }
        } else if *kind != file.kind {
            return Err(self.error(index, "it would be of another type, size or target"));
        } else if *metadata != file.metadata && !mode_alone_differs(kind, metadata, file) {
            return Err(self.error(index, "its metadata would differ"));
        } else if matches!(kind, Kind::File { .. }) && sha256 != file.sha256 {
            return Err(self.error(index, "its contents would differ"));
        }
        self.once(index)
    }
}

/// Symbolic links have no mode of their own.
fn mode_alone_differs(kind: &Kind, metadata: &Metadata, file: &Entry) -> bool {
    matches!(kind, Kind::Symlink { .. })
        && Metadata { mode: file.metadata.mode, ..metadata.clone() } == file.metadata
}
