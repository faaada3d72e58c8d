//! The rests of files that are made of pieces: has the archive each of them, with the bytes that it should have?
//!
//! Invariant: nothing proves a rest alone. The file that it is put into has a digest, which a rehearsal computes.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use super::StoredContents;
use crate::archive::ArchiveError;
use crate::model::RelPath;
use crate::model::manifest::{Manifest, ManifestError, data_bytes};

/// The rests that were read, by their numbers, with their bytes.
#[derive(Default)]
pub(super) struct Rests(BTreeMap<u32, u64>);

/// The number of a rest, and the bytes that it should have.
pub(super) type Expected = (u32, u64);

/// What the manifest says of the rest of each file, by the file's path.
pub(super) fn expected(manifest: &Manifest) -> Result<HashMap<RelPath, Expected>, ManifestError> {
    let Some(pieces) = manifest.pieces() else { return Ok(HashMap::new()) };
    let files = pieces.files().zip(manifest.assembled_entries()?);
    let expected = files.map(|(file, entry)| {
        let bytes = data_bytes(&entry).saturating_sub(pieces.run_bytes(&file));
        (file.path, (file.rest, bytes))
    });
    Ok(expected.collect())
}

impl Rests {
    /// Reads a rest, and keeps it in `contents` if these are to be kept in mind; its bytes.
    pub(super) fn take(
        &mut self,
        number: u32,
        content: &mut dyn Read,
        contents: Option<&mut StoredContents>,
    ) -> Result<u64, ArchiveError> {
        let failed = |error| ArchiveError::Read { error };
        let bytes = match contents {
            None => io::copy(content, &mut io::sink()).map_err(failed)?,
            Some(contents) => {
                let mut kept = tempfile::tempfile().map_err(failed)?;
                let bytes = io::copy(content, &mut kept).map_err(failed)?;
                contents.rests.insert(number, kept);
                bytes
            }
        };
        self.0.insert(number, bytes);
        Ok(bytes)
    }

    /// Has a rest the bytes that it should have? `None` if it was not there.
    pub(super) fn is_right(&self, (number, bytes): Expected) -> Option<bool> {
        self.0.get(&number).map(|found| *found == bytes)
    }
}
