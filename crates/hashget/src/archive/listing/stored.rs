//! The names of what an archive of version 1 holds: its manifest does not have them.
//!
//! Invariant: of an archive whose manifest says what it holds, nothing is read but manifests. Of two, the last one counts if the
//! archive can be read at random; otherwise it is not looked for.

use std::io::Read;
use std::ops::ControlFlow;

use crate::archive::directory::Directory;
use crate::archive::names::GivenNames;
use crate::archive::path_map::PathMap;
use crate::archive::placed::{Facts, Placed};
use crate::archive::{ArchiveError, ArchiveVisitor, StoredEntry, read_archive};
use crate::limits::Limits;
use crate::model::manifest::AnyManifest;
use crate::model::{MemberMetadata, Metadata, RelPath};
use crate::monitor::Monitor;
use crate::storage::ArchiveSource;

/// What an archive knows by name beside its manifest.
#[derive(Default)]
pub struct StoredEntries {
    /// What it holds, if its manifest does not say so.
    pub(super) held: PathMap<Placed>,
    /// What packages give, if it keeps the names.
    pub(in crate::archive) given: Option<GivenNames>,
}

/// Reads as much of an archive as listing it needs: up to the manifest, or, of version 1, everything.
///
/// # Errors
/// See [`ArchiveError`].
pub fn read_for_listing(
    archive: &mut dyn ArchiveSource,
    name: &str,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<(AnyManifest, StoredEntries), ArchiveError> {
    let at_random = Directory::open(archive, limits).is_some();
    let mut names = Names { at_random, ..Names::default() };
    read_archive(archive, name, limits, &mut names, monitor)?;
    match names.manifest.ok_or(ArchiveError::NoManifestInArchive)? {
        AnyManifest::V2(manifest) => {
            let given = GivenNames::read(archive, manifest.packages.len(), limits);
            let stored = StoredEntries { given, ..StoredEntries::default() };
            Ok((AnyManifest::V2(manifest), stored))
        }
        manifest @ AnyManifest::V1(_) => Ok((manifest, names.stored)),
    }
}

#[derive(Default)]
struct Names {
    /// Is the archive read at random, so that all its manifests come cheaply?
    at_random: bool,
    manifest: Option<AnyManifest>,
    stored: StoredEntries,
}

impl Names {
    /// Does a manifest say what the archive holds?
    fn is_named_by_manifest(&self) -> bool {
        matches!(self.manifest, Some(AnyManifest::V2(_)))
    }
}

impl ArchiveVisitor for Names {
    type Error = ArchiveError;

    fn manifest(&mut self, manifest: AnyManifest) -> Result<ControlFlow<()>, ArchiveError> {
        self.manifest = Some(manifest);
        let is_enough = self.is_named_by_manifest() && !self.at_random;
        Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn wants(&mut self, _path: &RelPath) -> bool {
        !self.is_named_by_manifest()
    }

    fn wants_between(&mut self, _first: &RelPath, _next: Option<&RelPath>) -> bool {
        !self.is_named_by_manifest()
    }

    fn entry(
        &mut self,
        entry: StoredEntry,
        _content: &mut dyn Read,
    ) -> Result<ControlFlow<()>, ArchiveError> {
        let StoredEntry { path, kind, metadata, .. } = entry;
        let facts = Facts { kind, metadata: complete(&metadata), sha256: None };
        self.stored.held.insert(&path, Placed::new(0, facts));
        Ok(ControlFlow::Continue(()))
    }
}

/// What a tar entry says; what it does not say is nothing.
fn complete(metadata: &MemberMetadata) -> Metadata {
    Metadata {
        mode: metadata.mode.unwrap_or_default() & 0o7777,
        uid: metadata.uid.unwrap_or_default(),
        gid: metadata.gid.unwrap_or_default(),
        mtime: metadata.mtime.unwrap_or_default(),
        xattrs: metadata.xattrs.clone(),
    }
}
