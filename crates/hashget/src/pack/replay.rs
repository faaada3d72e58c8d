//! Applies a manifest before it is written, like restoring will, and compares the result with the tree.
//!
//! Invariant: no archive is written unless its manifest gives back exactly what was scanned.

use std::collections::HashMap;

use super::PackError;
use super::members::Members;
use super::plan::{ChosenPackage, PackageUse, Plan, ReadMembers};
use super::verdict::{Verdict, Verdicts};
use crate::error::ErrorClass;
use crate::hashdb::HashDbError;
use crate::model::manifest::{ManifestError, Package, PlacementCursor};
use crate::model::{Digest, Entry, Kind, Member, Metadata, RelPath, add_bytes};
use crate::tree::{Entries, Finder};

/// The manifest would not restore an entry as it is: a bug in hashget, which is reported instead of stored.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An entry would be restored wrongly, twice, or not at all.
    #[error(
        "internal error: {path} would not be restored as it is ({problem}); nothing was written"
    )]
    Entry {
        /// The entry.
        path: RelPath,
        /// What is wrong.
        problem: &'static str,
    },
    /// The manifest contradicts itself.
    #[error("internal error: the manifest does not fit its package; nothing was written")]
    Manifest(#[from] ManifestError),
}

impl ReplayError {
    /// The class of the error, from which exit code and hint follow.
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
    /// Counts an entry given by the package.
    fn count(&mut self, kind: &Kind) {
        if let Kind::File { size } = kind {
            self.files += 1;
            add_bytes(&mut self.bytes, *size);
        }
    }
}

struct Replay<'a> {
    entries: &'a Entries,
    verdicts: &'a Verdicts,
    finder: Finder<'a>,
    restored: Vec<bool>,
    /// The index of the package whose entries are being restored.
    package: usize,
}

/// Replays `plan` with the members of its packages; also counts what each package gives.
pub(super) fn replay(
    entries: &Entries,
    packages: &[ChosenPackage<'_>],
    read: ReadMembers<'_>,
    plan: &mut Plan,
) -> Result<(), PackError> {
    let Plan { packages: manifest, uses, chosen, verdicts, .. } = plan;
    let restored = vec![false; entries.len()];
    let mut replay = Replay { entries, verdicts, finder: entries.finder(), restored, package: 0 };
    for (number, (package, used)) in manifest.iter().zip(uses).enumerate() {
        let chosen = &packages[chosen[number]];
        replay.package = number;
        chosen.with_members(read, |members| replay.package(package, used, chosen, members))?;
    }
    for (index, verdict) in verdicts.iter().enumerate() {
        match verdict {
            Verdict::Given { .. } => {}
            Verdict::Archived(_) => replay.once(index)?,
            Verdict::Link { to } => {
                let kind = Kind::HardLink { target: entries[to].path.clone() };
                replay.restore(&entries[index].path, &kind, &Metadata::default(), None)?;
            }
        }
    }
    match replay.restored.iter().position(|restored| !restored) {
        Some(index) => Err(replay.error(index, "nothing gives it").into()),
        None => Ok(()),
    }
}

impl<'a> Replay<'a> {
    /// Replays one package.
    fn package(
        &mut self,
        package: &Package,
        used: &mut PackageUse,
        chosen: &ChosenPackage<'_>,
        members: &Members<'_>,
    ) -> Result<(), PackError> {
        for placement in &package.placements {
            let mut cursor = PlacementCursor::new(placement);
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
                // It was made when this was planned.
                Some(from) if package.derivation(from).is_some() => row.sha256,
                Some(from) => digests.get(from).copied().flatten(),
            };
            self.give(&row.path, &row.kind, &row.metadata, sha256)?;
            used.count(&row.kind);
        }
        Ok(())
    }

    /// Replays one member, by the placement that `cursor` follows.
    fn member(
        &mut self,
        cursor: &mut PlacementCursor<'_>,
        member: &Member,
        used: &mut PackageUse,
    ) -> Result<(), ReplayError> {
        if let Some(given) = cursor.next(member)? {
            self.give(&given.path, &given.kind, &given.metadata, member.sha256)?;
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

    /// Restores an entry from the package.
    fn give(
        &mut self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
        sha256: Option<Digest>,
    ) -> Result<(), ReplayError> {
        let index = self.restore(path, kind, metadata, sha256)?;
        let expected = Verdict::Given { package: self.package };
        match index {
            Some(index) if self.verdicts.get(index) != expected => {
                Err(self.error(index, "the plan does not have it from this package"))
            }
            _ => Ok(()),
        }
    }

    /// Restores an entry; returns its index, unless it is a folder that an earlier placement made.
    fn restore(
        &mut self,
        path: &RelPath,
        kind: &Kind,
        metadata: &Metadata,
        sha256: Option<Digest>,
    ) -> Result<Option<usize>, ReplayError> {
        let Some(index) = self.finder.find(path.as_bytes()) else {
            return Err(ReplayError::Entry { path: path.clone(), problem: "the tree has none" });
        };
        let file = self.entries.file(index);
        if *kind == Kind::Directory && self.restored[index] {
            // An earlier placement has decided its metadata.
            return Ok(None);
        }
        if let Kind::HardLink { target } = kind {
            let target = self.entries.position(target);
            let target = target.map(|target| self.entries.first_name(target));
            if target != Some(self.entries.first_name(index)) {
                return Err(self.error(index, "it would be linked to another file"));
            }
        } else if *kind != file.kind {
            return Err(self.error(index, "it would be of another type, size or target"));
        } else if *metadata != file.metadata && !mode_alone_differs(kind, metadata, file) {
            return Err(self.error(index, "its metadata would differ"));
        } else if matches!(kind, Kind::File { .. }) && sha256 != file.sha256 {
            return Err(self.error(index, "its contents would differ"));
        }
        self.once(index)?;
        Ok(Some(index))
    }
}

/// Symbolic links have no mode of their own.
fn mode_alone_differs(kind: &Kind, metadata: &Metadata, file: &Entry) -> bool {
    matches!(kind, Kind::Symlink { .. })
        && Metadata { mode: file.metadata.mode, ..metadata.clone() } == file.metadata
}
