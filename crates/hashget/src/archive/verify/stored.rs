//! Is what an archive holds what its manifest says? Reads all of it.
//!
//! Invariant: the archive is read to its end, and each of its entries is compared with the last manifest: contents by their digest,
//! where the manifest has one, and everything that the tar says of it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::ControlFlow;

use super::StoredContents;
use super::rests::{self, Rests};
use crate::archive::directory::damage_beside_entries;
use crate::archive::kept_contents::KeptContents;
use crate::archive::{ArchiveError, ArchiveVisitor, StoredEntry, read_archive};
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, Manifest, ManifestError};
use crate::model::{
    Digest, Entry, HashingReader, Kind, MemberMetadata, Metadata, RelPath, counted, effective_mode,
    escaped, path_of,
};
use crate::monitor::{Monitor, ProblemKind};
use crate::storage::ArchiveSource;
use crate::wording::{and_more, one_line};

/// What an archive holds, read to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredVerified {
    /// Entries that were read.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Bytes of these, without holes.
    pub bytes: u64,
    /// Files that were read, but of which the manifest has no digest.
    pub files_without_digest: u64,
    /// Entries that are missing, damaged, or not what the manifest says. Each was reported, the first of them by name.
    pub wrong: u64,
    /// Could it be read to its end?
    pub is_whole: bool,
}

/// Reads all of an archive; gives its manifest and what was found (`None` of a manifest without an archive around it). What is
/// wrong is reported to `monitor`.
///
/// # Errors
/// See [`ArchiveError`]: there is no manifest that could be read. What is no archive is [`ArchiveError::Damaged`].
pub fn verify_stored(
    archive: &mut dyn ArchiveSource,
    name: &str,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<(AnyManifest, Option<StoredVerified>), ArchiveError> {
    verify(archive, name, None, limits, monitor)
}

/// As [`verify_stored`]; also keeps in mind what the archive gave, to rehearse a restore of it.
///
/// # Errors
/// As [`verify_stored`].
pub fn verify_contents(
    archive: &mut dyn ArchiveSource,
    name: &str,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<(AnyManifest, Option<(StoredVerified, StoredContents)>), ArchiveError> {
    let mut contents = StoredContents::default();
    let (manifest, found) = verify(archive, name, Some(&mut contents), limits, monitor)?;
    Ok((manifest, found.map(|found| (found, contents))))
}

fn verify(
    archive: &mut dyn ArchiveSource,
    name: &str,
    contents: Option<&mut StoredContents>,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<(AnyManifest, Option<StoredVerified>), ArchiveError> {
    let mut comparing = Comparing { contents, ..Comparing::default() };
    let outcome = read_archive(archive, name, limits, &mut comparing, monitor);
    let outcome = outcome.map_err(as_damage);
    let damage = match outcome {
        Ok(()) => None,
        Err(error @ ArchiveError::Damaged { .. }) if comparing.manifest.is_some() => Some(error),
        Err(error) => return Err(error),
    };
    let is_alone = comparing.is_manifest_alone;
    let (damages, has_wrong_length) =
        (std::mem::take(&mut comparing.damages), comparing.wrong_length);
    let is_whole = damage.is_none() && damages.count == 0;
    let mut found = StoredVerified { is_whole, ..comparing.found };
    if let (Some(contents), false) = (&mut comparing.contents, is_whole) {
        contents.damage = Some("the archive is damaged".to_owned());
    }
    let manifest = comparing.manifest.take().ok_or(ArchiveError::NoManifestInArchive)?;
    if is_alone {
        return Ok((manifest, None));
    }
    let groups = comparing.groups(&manifest)?;
    let name = escaped(name.as_bytes());
    if let Some(damage) = damage {
        monitor.problem(ProblemKind::Verification, &name, one_line(&damage));
    }
    if damages.count > 0 {
        let message = format!("is damaged: {}", damages.listed("; "));
        monitor.problem(ProblemKind::Verification, &name, message);
    }
    let beside = || match damage_beside_entries(archive, limits) {
        Some(error) => Some(one_line(&error)),
        None if has_wrong_length => Some("the seek table has another length of a frame".to_owned()),
        None => None,
    };
    if found.is_whole
        && let Some(problem) = beside()
    {
        let problem = format!(
            "what is beside the entries is damaged ({problem}): no file is lost, but finding one takes reading all"
        );
        monitor.problem(ProblemKind::Verification, &name, problem);
        found.wrong += 1;
    }
    for (wrong, group) in groups {
        found.wrong = found.wrong.saturating_add(group.count);
        monitor.problem(ProblemKind::Verification, &name, wrong.message(&group));
    }
    // Damage that cost no entry is one fault.
    found.wrong = found.wrong.max(u64::from(!found.is_whole));
    Ok((manifest, Some(found)))
}

/// Whoever verifies an archive says that it is one: what cannot be read is damage.
fn as_damage(error: ArchiveError) -> ArchiveError {
    let error = match error {
        error @ ArchiveError::NotAnArchive { .. } => io::Error::other(error),
        ArchiveError::Manifest(error @ (ManifestError::Json(_) | ManifestError::Field { .. })) => {
            io::Error::other(error)
        }
        other => return other,
    };
    ArchiveError::Damaged { after: "its start".to_owned(), error }
}

/// How an entry differs from what the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Missing,
    Contents,
    Metadata,
    Stranger,
    Refused,
}

impl Wrong {
    fn message(self, group: &Group) -> String {
        let entries = counted(group.count, "entry", "entries");
        let names = group.listed(", ");
        let what = match self {
            Self::Missing => "could not be read from it, though its manifest has them",
            Self::Contents => "with other contents than were packed",
            Self::Metadata => "with another type or other metadata than its manifest says",
            Self::Stranger => "in it that its manifest does not have",
            Self::Refused => "in it whose names lead out of it",
        };
        format!("{entries} {what}: {names}")
    }
}

/// Number of entries that are named.
const NAMED: usize = 10;

/// Entries with the same fault.
#[derive(Default)]
struct Group {
    count: u64,
    names: Vec<String>,
}

impl Group {
    fn add(&mut self, name: String) {
        self.count += 1;
        if self.names.len() < NAMED {
            self.names.push(name);
        }
    }

    /// The names that are kept, and how many more there are.
    fn listed(&self, separator: &str) -> String {
        let named = self.names.len();
        let more = usize::try_from(self.count).unwrap_or(usize::MAX).saturating_sub(named);
        format!("{}{}", self.names.join(separator), and_more(more))
    }
}

/// Compares entries with the manifest while they pass.
#[derive(Default)]
struct Comparing<'c> {
    is_manifest_alone: bool,
    manifest: Option<AnyManifest>,
    /// For each row of the manifest's table: has the archive exactly this?
    right: Vec<bool>,
    /// What was read and is not as the table says, by its path in the tree.
    other: BTreeMap<RelPath, Entry>,
    refused: Group,
    /// Damage behind which the archive could be read on.
    damages: Group,
    /// Does the seek table say another length of a frame than it has?
    wrong_length: bool,
    found: StoredVerified,
    rests: Rests,
    /// What was read, if it is to be kept in mind.
    contents: Option<&'c mut StoredContents>,
}

impl Comparing<'_> {
    fn v2(&self) -> Option<&Manifest> {
        match &self.manifest {
            Some(AnyManifest::V2(manifest)) => Some(manifest),
            _ => None,
        }
    }

    /// The groups of what is wrong.
    fn groups(self, manifest: &AnyManifest) -> Result<BTreeMap<Wrong, Group>, ManifestError> {
        let mut groups: BTreeMap<Wrong, Group> = BTreeMap::new();
        if self.refused.count > 0 {
            groups.insert(Wrong::Refused, self.refused);
        }
        let AnyManifest::V2(manifest) = manifest else { return Ok(groups) };
        let (table, expected_rests) = (&manifest.archived, rests::expected(manifest)?);
        let mut add =
            |wrong, path: &RelPath| groups.entry(wrong).or_default().add(path.to_string());
        for (row, path) in table.paths().map(path_of).enumerate() {
            if self.right.get(row).copied().unwrap_or(false) {
                continue;
            }
            if let Some(rest) = expected_rests.get(&path) {
                match self.rests.is_right(*rest) {
                    Some(true) => {}
                    Some(false) => add(Wrong::Contents, &path),
                    None => add(Wrong::Missing, &path),
                }
                continue;
            }
            let Some(found) = self.other.get(&path) else {
                add(Wrong::Missing, &path);
                continue;
            };
            let expected = table.entry(row)?;
            let has_contents = found.kind == expected.kind
                && found.extents == expected.extents
                && (expected.sha256.is_none() || found.sha256 == expected.sha256);
            let is_file = matches!(expected.kind, Kind::File { .. });
            add(if is_file && !has_contents { Wrong::Contents } else { Wrong::Metadata }, &path);
        }
        for path in self.other.keys().filter(|path| table.position(path).is_none()) {
            add(Wrong::Stranger, path);
        }
        Ok(groups)
    }

    /// Compares with the rows of another manifest what was compared with those of the one before.
    fn adopt(&mut self, manifest: Manifest) -> Result<(), ManifestError> {
        if let Some(contents) = &mut self.contents {
            contents.kept = KeptContents::for_programs(&manifest);
        }
        let mut found: BTreeMap<RelPath, Entry> = std::mem::take(&mut self.other);
        let mut right = vec![false; manifest.archived.len()];
        if let Some(AnyManifest::V2(before)) = &self.manifest {
            let (before, table) = (&before.archived, &manifest.archived);
            for row in (0..self.right.len()).filter(|row| self.right[*row]) {
                let entry = before.entry(row)?;
                match table.position(&entry.path) {
                    Some(same) if table.entry(same)? == entry => right[same] = true,
                    _ => drop(found.insert(entry.path.clone(), entry)),
                }
            }
        }
        (self.right, self.manifest) = (right, Some(AnyManifest::V2(Box::new(manifest))));
        for (_, entry) in found {
            self.compare(entry)?;
        }
        Ok(())
    }

    /// Notes whether an entry is what the manifest says.
    fn compare(&mut self, entry: Entry) -> Result<(), ManifestError> {
        let Some(manifest) = self.v2() else {
            return Ok(());
        };
        if let Kind::HardLink { target } = &entry.kind {
            let link = manifest.links.binary_search_by(|link| link.path.cmp(&entry.path));
            if link.is_ok_and(|at| manifest.links[at].to == *target) {
                return Ok(());
            }
        }
        let Some(row) = manifest.archived.position(&entry.path) else {
            // Folders that packages give are in the archive, too, if something archived lies in them.
            if entry.kind != Kind::Directory {
                self.other.insert(entry.path.clone(), entry);
            }
            return Ok(());
        };
        let expected = manifest.archived.entry(row)?;
        let is_right = is_as_expected(&entry, &expected);
        if is_right && !self.right[row] {
            self.right[row] = true;
            let has_digest =
                expected.sha256.is_some() || !matches!(expected.kind, Kind::File { .. });
            self.found.files_without_digest += u64::from(!has_digest);
        } else {
            self.other.insert(entry.path.clone(), entry);
        }
        Ok(())
    }
}

/// Is an entry of the archive what the manifest says?
fn is_as_expected(found: &Entry, expected: &Entry) -> bool {
    let mode = |entry: &Entry| effective_mode(&entry.kind, entry.metadata.mode);
    found.kind == expected.kind
        && found.extents == expected.extents
        && (expected.sha256.is_none() || found.sha256 == expected.sha256)
        && mode(found) == mode(expected)
        && (Metadata { mode: 0, ..found.metadata.clone() })
            == (Metadata { mode: 0, ..expected.metadata.clone() })
}

/// What the tar says; what it does not say is as in no entry of ours.
fn metadata(stored: MemberMetadata) -> Metadata {
    Metadata {
        mode: stored.mode.unwrap_or(u32::MAX) & 0o7777,
        uid: stored.uid.unwrap_or(u32::MAX),
        gid: stored.gid.unwrap_or(u32::MAX),
        mtime: stored.mtime.unwrap_or_default(),
        xattrs: stored.xattrs,
    }
}

impl ArchiveVisitor for Comparing<'_> {
    type Error = ArchiveError;

    fn is_manifest_alone(&mut self) {
        self.is_manifest_alone = true;
    }

    fn manifest(&mut self, manifest: AnyManifest) -> Result<ControlFlow<()>, ArchiveError> {
        match manifest {
            AnyManifest::V2(manifest) => self.adopt(*manifest)?,
            manifest @ AnyManifest::V1(_) => self.manifest = Some(manifest),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn entry(
        &mut self,
        stored: StoredEntry,
        content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, ArchiveError> {
        let StoredEntry { path, kind, metadata: said, extents } = stored;
        let is_file = matches!(kind, Kind::File { .. });
        let renamed = self.v2().map_or(&[][..], |manifest| &manifest.renamed);
        let in_tree = |stored: RelPath| {
            renamed.iter().find_map(|one| one.path_in_tree(&stored)).unwrap_or(stored)
        };
        let in_tree_path = in_tree(path.clone());
        let kind_in_tree = match kind.clone() {
            Kind::HardLink { target } => Kind::HardLink { target: in_tree(target) },
            kind => kind,
        };
        let kept = self.contents.as_ref().map(|contents| &contents.kept);
        let sha256 = match kept.filter(|kept| is_file && kept.wants(&in_tree_path)) {
            Some(kept) => {
                let bytes = &mut self.found.bytes;
                let read = |content: &mut dyn Read| Ok::<_, io::Error>(digest(content, bytes));
                let kept = kept.keep(&in_tree_path, content, read);
                Some(kept.map_err(|error| ArchiveError::Read { error })??)
            }
            None if is_file => Some(digest(content, &mut self.found.bytes)?),
            None => None,
        };
        self.found.entries += 1;
        self.found.files += u64::from(is_file);
        if let Some(contents) = &mut self.contents {
            contents.add(&path, &kind, sha256, extents.as_deref());
        }
        let (path, kind) = (in_tree_path, kind_in_tree);
        self.compare(Entry { path, kind, metadata: metadata(said), sha256, extents })?;
        Ok(ControlFlow::Continue(()))
    }

    fn rest(&mut self, number: u32, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let bytes = self.rests.take(number, content, self.contents.as_deref_mut())?;
        self.found.entries += 1;
        self.found.bytes = self.found.bytes.saturating_add(bytes);
        Ok(())
    }

    fn goes_on(&mut self, first: &RelPath, next: Option<&RelPath>, problem: &str) -> bool {
        let next = next.map_or("its end".to_owned(), |next| format!("\"{next}\""));
        self.damages.add(format!("from \"{first}\" up to {next} ({problem})"));
        true
    }

    fn wrong_length(&mut self) {
        self.wrong_length = true;
    }

    fn refused(&mut self, name: &str, reason: &str) {
        if let Some(contents) = &mut self.contents {
            contents.refused.push((RelPath::root(), format!("{name}: {reason}")));
        }
        self.refused.add(format!("{name} ({reason})"));
    }
}

fn digest(content: &mut dyn Read, bytes: &mut u64) -> Result<Digest, ArchiveError> {
    let mut hashing = HashingReader::new(content);
    io::copy(&mut hashing, &mut io::sink()).map_err(|error| ArchiveError::Read { error })?;
    let (sha256, length) = hashing.finish();
    *bytes = bytes.saturating_add(length);
    Ok(sha256)
}
