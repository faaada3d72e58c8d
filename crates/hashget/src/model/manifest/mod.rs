//! The restore manifest: `.hashget-restore.json`. `docs/format.md` is the normative text.
//!
//! Invariant: a [`Manifest`] that was read has a version and features that we know, and its names stay below the tree;
//! what its placements mean is in one place, [`PlacementCursor`], for packing and for restoring alike.

mod beginning;
mod columns;
mod cursor;
mod derived;
mod differences;
mod encoded;
mod needs;
mod pieces;
mod regenerable;
mod sparse;
mod table;
mod v1;
mod v2;

use std::io::{BufReader, Read, Seek};

use crate::error::ErrorClass;

pub use columns::EntryColumns;
pub use cursor::{Given, PlacementCursor};
pub use derived::{Derived, Patch};
pub use encoded::{Encoded, MOST_DECODED_BYTES};
pub use needs::{DERIVED, ENCODED, FEATURES, Feature, Needs, PIECES, RESTORER, TOOLS};
pub(crate) use pieces::rest_number;
pub use pieces::{PiecedFile, Pieces, RESTS_NAME, Run, data_bytes, is_of_rests, rest_path};
pub use regenerable::{ProfileItem, Regenerable};
pub use table::EntryTable;
pub(crate) use table::xattrs_to_map;
pub use v1::{FileV1, ManifestV1, PackageV1};
pub use v2::{
    Assignment, DigestColumn, Link, Manifest, MtimeAssignment, OneOrMany, Package, Placement,
    Prefix, Renamed, TreeSummary, XattrAssignment,
};

/// The name of the manifest in an archive and at the top of an unpacked one.
pub const MANIFEST_NAME: &str = ".hashget-restore.json";

/// The name in an archive of the program that restores it without hashget, if it travels there (see [`RESTORER`]).
pub const RESTORER_NAME: &str = ".hashget-restore.py";

/// The names at the top of an archive that are not for entries of a tree.
pub(crate) const OWN_NAMES: [&str; 2] = [MANIFEST_NAME, RESTORER_NAME];

/// The name among [`OWN_NAMES`] that `path` has or is below, and what follows it.
pub(crate) fn own_name_of(path: &[u8]) -> Option<(&'static str, &[u8])> {
    OWN_NAMES.into_iter().find_map(|name| {
        let rest = path.strip_prefix(name.as_bytes())?;
        (rest.is_empty() || rest.starts_with(b"/")).then_some((name, rest))
    })
}

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
    /// It uses features that this hashget does not know.
    #[error("this archive needs {version} ({features})")]
    Needs {
        /// Which versions read it: `hashget X or later`, or `a hashget later than X`.
        version: String,
        /// The features: `feature NAME`, or `features NAME, NAME`.
        features: String,
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
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Json(_) | Self::Field { .. } => ErrorClass::ManifestDamaged,
            Self::Version { .. } | Self::Needs { .. } => ErrorClass::NeedsNewer,
        }
    }
}

impl ManifestError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

/// Just enough of a manifest to say whether this hashget reads it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct ManifestHeader {
    version: Option<u64>,
    #[serde(default)]
    needs: Needs,
}

impl ManifestHeader {
    /// Reads the fields that decide whether the rest can be read. The JSON is read to its end, and not kept.
    ///
    /// # Errors
    /// [`ManifestError::Needs`] and [`ManifestError::Version`] of a manifest that only a newer hashget reads;
    /// [`ManifestError::Json`] otherwise.
    pub(crate) fn read(mut file: impl Read + Seek, limit: u64) -> Result<Self, ManifestError> {
        file.rewind().map_err(serde_json::Error::io)?;
        Self::from_reader(file.take(limit))
    }

    /// The same of JSON that is read once.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn from_reader(json: impl Read) -> Result<Self, ManifestError> {
        all_of::<Self>(json)?.checked()
    }

    /// The same of JSON that begins with these fields, as that of every hashget of version 2 does: they come before all but
    /// `format`. `None` if others come before them, or it is not clear whether some follow.
    ///
    /// # Errors
    /// [`ManifestError::Needs`] and [`ManifestError::Version`] of a manifest that only a newer hashget reads.
    pub(crate) fn at_beginning(json: impl Read) -> Result<Option<Self>, ManifestError> {
        beginning::of(json).map(Self::checked).transpose()
    }

    /// Does the restorer travel in the archive? Then the entry of its name is no part of the tree.
    pub(crate) fn has_restorer(&self) -> bool {
        self.needs.has(&RESTORER)
    }

    /// Has the archive rests of files that are made of pieces? Then what is below their folder is no part of the tree.
    pub(crate) fn has_pieces(&self) -> bool {
        self.needs.has(&PIECES)
    }

    fn checked(self) -> Result<Self, ManifestError> {
        self.needs.check(FEATURES)?;
        match self.version {
            None | Some(1 | 2) => Ok(self),
            Some(found) => Err(ManifestError::Version { found }),
        }
    }

    /// Reads the whole manifest whose header this is.
    ///
    /// # Errors
    /// As [`AnyManifest::read`].
    pub(crate) fn read_all(
        &self,
        mut file: impl Read + Seek,
        limit: u64,
    ) -> Result<AnyManifest, ManifestError> {
        file.rewind().map_err(serde_json::Error::io)?;
        self.whole_from_reader(file.take(limit))
    }

    /// As [`Self::read_all`], of the same JSON once more.
    ///
    /// # Errors
    /// As [`AnyManifest::read`].
    pub(crate) fn whole_from_reader(&self, json: impl Read) -> Result<AnyManifest, ManifestError> {
        if self.version == Some(2) {
            Ok(AnyManifest::V2(Box::new(Manifest::checked(all_of(json)?)?)))
        } else {
            Ok(AnyManifest::V1(all_of(json)?))
        }
    }
}

impl AnyManifest {
    /// Does the restorer travel in the archive? Then the entry of its name is no part of the tree.
    pub(crate) fn has_restorer(&self) -> bool {
        matches!(self, Self::V2(manifest) if manifest.has_restorer())
    }

    /// Has the archive rests of files that are made of pieces? Then what is below their folder is no part of the tree.
    pub(crate) fn has_pieces(&self) -> bool {
        matches!(self, Self::V2(manifest) if manifest.has_pieces())
    }

    /// What profiles excluded, since programs make it again.
    pub fn regenerable(&self) -> &[Regenerable] {
        match self {
            Self::V2(manifest) => &manifest.regenerable,
            Self::V1(_) => &[],
        }
    }

    /// The files that are made of pieces, if there are any.
    pub fn pieces(&self) -> Option<&Pieces> {
        match self {
            Self::V2(manifest) => manifest.pieces(),
            Self::V1(_) => None,
        }
    }

    /// Reads a manifest's JSON, at most `limit` bytes of it. The file is read twice, and never held whole.
    ///
    /// # Errors
    /// [`ManifestError`] if it is not JSON, has an unknown version, needs an unknown feature, or a field
    /// contradicts `docs/format.md`.
    pub fn read(mut file: impl Read + Seek, limit: u64) -> Result<Self, ManifestError> {
        ManifestHeader::read(&mut file, limit)?.read_all(&mut file, limit)
    }

    /// As [`AnyManifest::read`], of JSON in memory.
    ///
    /// # Errors
    /// As [`AnyManifest::read`].
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        Self::read(std::io::Cursor::new(json), u64::MAX)
    }
}

/// The JSON value that is all of what is read.
fn all_of<T: serde::de::DeserializeOwned>(json: impl Read) -> Result<T, ManifestError> {
    Ok(serde_json::from_reader(BufReader::with_capacity(1 << 16, json))?)
}

#[cfg(test)]
mod tests;
