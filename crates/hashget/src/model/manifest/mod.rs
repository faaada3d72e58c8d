//! The restore manifest: `.hashget-restore.json`. `docs/format.md` is the normative text.
//!
//! Invariant: a [`Manifest`] that was read is of a version we know, and its names stay below the tree;
//! what its trees mean is in one place, [`PlacementCursor`], for packing and for restoring alike.

mod columns;
mod cursor;
mod table;
mod v1;
mod v2;

use std::io::{BufReader, Read, Seek};

use crate::error::ErrorClass;

pub use columns::EntryColumns;
pub use cursor::{Given, PlacementCursor};
pub use table::EntryTable;
pub(crate) use table::xattrs_to_map;
pub use v1::{FileV1, ManifestV1, PackageV1};
pub use v2::{
    Assignment, DigestColumn, Link, Manifest, MtimeAssignment, OneOrMany, Package, Placement,
    Prefix, Renamed, TreeSummary, XattrAssignment,
};

/// The name of the manifest in an archive and at the top of an unpacked one.
pub const MANIFEST_NAME: &str = ".hashget-restore.json";

/// A manifest of any version.
#[derive(Debug)]
pub enum AnyManifest {
    /// The older Python tool's.
    V1(ManifestV1),
    /// Ours.
    V2(Box<Manifest>),
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of the expected shape.
    #[error("not a restore manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer hashget.
    #[error(
        "manifest version {found} is unknown; this hashget reads versions 1 and 2: a newer hashget wrote it"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// A field contradicts the format.
    #[error("manifest field {field}: {problem}")]
    Field {
        /// Which field.
        field: String,
        /// What was found, and what was expected.
        problem: String,
    },
}

impl ManifestError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Json(_) | Self::Field { .. } => ErrorClass::ManifestDamaged,
            Self::Version { .. } => ErrorClass::NeedsNewer,
        }
    }
}

impl ManifestError {
    pub(super) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

/// Just enough of a manifest to tell its version.
#[derive(serde::Deserialize)]
struct Probe {
    version: Option<u64>,
}

impl AnyManifest {
    /// Reads a manifest's JSON, at most `limit` bytes of it. The file is read twice, and never held whole.
    ///
    /// # Errors
    /// [`ManifestError`] when it is not JSON, of an unknown version, or a field is not what
    /// `docs/format.md` says.
    pub fn read(mut file: impl Read + Seek, limit: u64) -> Result<Self, ManifestError> {
        let version = from_start::<Probe>(&mut file, limit)?.version;
        match version {
            None | Some(1) => Ok(Self::V1(from_start(&mut file, limit)?)),
            Some(2) => Ok(Self::V2(Box::new(Manifest::checked(from_start(&mut file, limit)?)?))),
            Some(found) => Err(ManifestError::Version { found }),
        }
    }

    /// As [`AnyManifest::read`], of JSON in memory.
    ///
    /// # Errors
    /// As [`AnyManifest::read`].
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::read(std::io::Cursor::new(json), u64::MAX)
    }
}

/// The JSON value that is all of a file.
fn from_start<T: serde::de::DeserializeOwned>(
    mut file: impl Read + Seek,
    limit: u64,
) -> Result<T, ManifestError> {
    file.rewind().map_err(serde_json::Error::io)?;
    Ok(serde_json::from_reader(BufReader::with_capacity(1 << 16, file.take(limit)))?)
}

#[cfg(test)]
mod tests;
