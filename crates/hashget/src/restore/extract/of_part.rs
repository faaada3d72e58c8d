//! Unpacking a part of an archive: which of its entries that takes; and a manifest that is not put into the target.
//!
//! Invariant: such a manifest is read, and reduced to the part, in memory.

use std::io::Read;

use super::{Extracting, Refusal};
use crate::archive::{ArchiveError, manifest_path, read_manifest_text};
use crate::formats::tar::RawKind;
use crate::model::manifest::AnyManifest;
use crate::model::{Metadata, RelPath};
use crate::monitor::ProblemKind;
use crate::restore::ledger::LAST;
use crate::restore::place::PlaceError;

impl Extracting<'_> {
    /// Where an entry of the archive goes, if it is unpacked: of a whole archive, where it is stored.
    pub(super) fn place(
        &self,
        stored: RelPath,
        kind: &RawKind,
        metadata: &Metadata,
    ) -> Option<RelPath> {
        let Some(places) = self.part.filter(|_| stored != manifest_path()) else {
            return Some(stored);
        };
        let renamed = self.renamed.iter().find_map(|renamed| renamed.path_in_tree(&stored));
        let path = renamed.unwrap_or(stored);
        // Manifests of version 2 have all links, also those to files of packages.
        let is_link = matches!(kind, RawKind::HardLink { .. });
        if is_link && matches!(self.found.in_memory, Some(AnyManifest::V2(_))) {
            return None;
        }
        let place = places.of(&path);
        if place.is_none() && *kind == RawKind::Directory {
            places.parent(&path, LAST, metadata);
        }
        place
    }

    /// Takes the manifest, reduced to the part.
    pub(super) fn manifest_in_memory(&mut self, content: &mut dyn Read) -> Result<(), Refusal> {
        let manifest = read_manifest_text(content, self.limits).map_err(|error| match error {
            ArchiveError::Read { error } => Refusal::Place(PlaceError::Read(error)),
            error => Refusal::Stop(error.into()),
        })?;
        let Some(places) = self.part else {
            self.found.in_memory = Some(manifest);
            return Ok(());
        };
        self.found.in_memory = Some(match manifest {
            AnyManifest::V1(manifest) => AnyManifest::V1(places.reduce_v1(manifest)),
            AnyManifest::V2(manifest) => {
                self.renamed.clone_from(&manifest.renamed);
                let (mut wanted, folders) = places.wanted(&manifest);
                let reduced = places.reduce(*manifest, self.monitor).map_err(Refusal::Stop)?;
                // Folders above what packages give may be known from the archive alone.
                if !reduced.packages.is_empty() {
                    wanted.extend(folders);
                }
                self.found.wanted = Some(wanted.into_iter().collect());
                AnyManifest::V2(Box::new(reduced))
            }
        });
        Ok(())
    }

    /// Where the file goes that the hard link at `path` names; if nowhere, that was reported.
    pub(super) fn link_target(&mut self, path: &RelPath, to: RelPath) -> Option<RelPath> {
        let Some(places) = self.part else { return Some(to) };
        let place = places.of(&to);
        if place.is_none() {
            let reason = format!("a hard link to {to}, which is not selected");
            self.monitor.problem(ProblemKind::Incomplete, path, &reason);
            self.found.missing.push((path.clone(), reason));
        }
        place
    }
}
