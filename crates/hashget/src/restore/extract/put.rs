//! Putting an entry of the archive in its place.
//!
//! Invariant: what is there and stays by the rule of overwriting is not touched, and is no target of a hard link.

use std::io::{self, Read};

use super::{Extracting, Refusal};
use crate::formats::tar::{RawKind, TarEntry};
use crate::model::manifest::{AnyManifest, rest_number};
use crate::model::{Digest, Kind, Metadata, RelPath, add_bytes};
use crate::restore::closing::WITHOUT_FILE;
use crate::restore::destinations::Watched;
use crate::restore::place::{Made, PlaceError};
use crate::restore::run::own_metadata;
use crate::restore::target::Content;

impl Extracting<'_> {
    pub(super) fn file(
        &mut self,
        path: RelPath,
        size: u64,
        metadata: &Metadata,
        entry: &mut TarEntry<'_, Box<dyn Read + '_>>,
    ) -> Result<(), Refusal> {
        let extents = entry.extents.clone();
        let monitor = self.monitor;
        let sha256 = if self.stays(&path, metadata)? {
            let mut data = entry.stored();
            let read = Digest::of_reader(Watched { content: &mut data, monitor });
            read.map_err(PlaceError::Read)?
        } else if let Some(extents) = &extents {
            let mut data = Watched { content: &mut entry.stored(), monitor };
            let staged = self.target.stage_with_holes(&path, size, extents, &mut data)?;
            let sha256 = staged.sha256();
            staged.put(&path, metadata)?;
            sha256
        } else {
            let mut content = Watched { content: entry, monitor };
            let content = match self.may_keep {
                true => self.target.keep_or_stage(&path, size, &mut content)?,
                false => Content::Staged(self.target.stage(&path, size, &mut content)?),
            };
            match content {
                Content::Kept(file, sha256) => {
                    file.adjust(&path, metadata, (sha256, None))?;
                    sha256
                }
                Content::Staged(staged) => {
                    let sha256 = staged.sha256();
                    staged.put(&path, metadata)?;
                    sha256
                }
            }
        };
        self.found.folders.remove(&path);
        self.found.entries.insert(&path, extents.is_none().then_some(sha256));
        self.found.files += 1;
        add_bytes(&mut self.found.bytes, size);
        self.progress.advance(0, 1);
        Ok(())
    }

    /// Takes the rest of a file that is made of pieces: into the target, where another restore finds it, too, or for this one alone.
    pub(super) fn rest(
        &mut self,
        path: &RelPath,
        entry: &mut TarEntry<'_, Box<dyn Read + '_>>,
    ) -> Result<(), Refusal> {
        let (RawKind::File { size }, Some(number)) = (&entry.kind, rest_number(path)) else {
            return Ok(());
        };
        let (size, monitor) = (*size, self.monitor);
        let mut content = Watched { content: entry, monitor };
        match self.manifest_to {
            Some(folder) => {
                let staged = folder.stage(path, size, &mut content)?;
                staged.put(path, &Metadata { mode: 0o600, ..own_metadata() })?;
            }
            None if self.wants_rest(number) => {
                let mut kept = tempfile::tempfile().map_err(PlaceError::Io)?;
                io::copy(&mut content, &mut kept).map_err(PlaceError::Read)?;
                self.found.rests.insert(number, kept);
            }
            None => {}
        }
        Ok(())
    }

    /// Is a file restored that needs the rest with this number?
    fn wants_rest(&self, number: u32) -> bool {
        let pieces = self.found.in_memory.as_ref().and_then(AnyManifest::pieces);
        pieces.is_some_and(|pieces| pieces.position_of_rest(number).is_some())
    }

    /// Does what is at `path` stay as it is?
    fn stays(&mut self, path: &RelPath, metadata: &Metadata) -> Result<bool, Refusal> {
        let stays = self.target.stays(path, metadata)?;
        if stays {
            self.found.left.push(path.clone());
        }
        Ok(stays)
    }

    pub(super) fn link(
        &mut self,
        path: RelPath,
        to: RelPath,
        metadata: &Metadata,
    ) -> Result<(), Refusal> {
        // Only to what the archive itself brought: anything else in the target is not its to share.
        if self.found.not_made.contains(&to) {
            self.found.not_made.insert(path);
            return Ok(());
        }
        if self.not_placed.contains(&to) {
            return Err(PlaceError::Blocked(WITHOUT_FILE.to_owned()).into());
        }
        let Some(&sha256) = self.found.entries.get(&to) else {
            return Err(Refusal::Hostile(format!(
                "a link to {to}, which is not an earlier entry of the archive"
            )));
        };
        let stays = self.stays(&path, metadata)? || self.target.stays(&to, metadata)?;
        if !stays {
            self.target.link(&path, &to)?;
        }
        self.found.entries.insert(&path, sha256);
        self.found.links.push((path, to));
        Ok(())
    }

    pub(super) fn node(
        &mut self,
        path: RelPath,
        kind: &Kind,
        metadata: &Metadata,
    ) -> Result<(), Refusal> {
        let made = match self.stays(&path, metadata)? {
            true => Made::Yes,
            false => self.target.make_node(&path, kind, metadata)?,
        };
        match made {
            Made::Yes => {
                self.found.entries.insert(&path, None);
            }
            Made::NotAllowed => {
                self.found.not_made.insert(path);
            }
        }
        Ok(())
    }
}
