//! Supplements: files beside archives, with what the world is losing of what they left out. `docs/format.md` says how they look.
//!
//! Invariant: what a supplement holds is taken only by its digest, so that a wrong or a damaged one costs nothing but itself. A supplement is
//! never changed: what is found later lies in a further one.

mod heal;
mod offered;
mod read;
mod write;

use serde::{Deserialize, Serialize};

use crate::error::ErrorClass;
use crate::formats::FormatError;
use crate::model::Digest;
use crate::model::manifest::AnyManifest;
use crate::monitor::Interrupted;

pub use heal::{Found, HealError, Healed, Healer, ToHeal};
pub use offered::Supplements;
pub use read::Supplement;
pub use write::SupplementWriter;

/// The first entry of a supplement.
pub const MANIFEST: &str = ".hashget-supplement.json";

/// The entry with the members of the packages whose files are here, as an export of a HashDB.
const MEMBERS: &str = "members.jsonl";

/// The folder of whole packages, by their digests.
const PACKAGES: &str = "packages";

/// The folder of files, by their paths in the tree.
const TREE: &str = "tree";

/// The version of the format.
const VERSION: u32 = 1;

/// What stands before the ending of a supplement's name.
const MARK: &str = ".sup";

/// The text of [`MANIFEST`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    hashget_supplement: u32,
    /// Who wrote it.
    pub tool: String,
    /// The archives that it was made for.
    pub archives: Vec<ArchiveOf>,
    /// The packages of which it has something.
    pub packages: Vec<PackageOf>,
}

/// An archive that a supplement was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveOf {
    /// Its name.
    pub name: String,
    /// Its tree digest, if it is known; an archive of version 1 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Digest>,
}

impl ArchiveOf {
    /// The archive with this name and manifest.
    pub fn new(name: String, manifest: &AnyManifest) -> Self {
        let tree = match manifest {
            AnyManifest::V2(manifest) => Some(manifest.tree.sha256),
            AnyManifest::V1(_) => None,
        };
        Self { name, tree }
    }

    /// Is this the same archive? Two of one tree may need different files of a package, so its name counts, too.
    fn is(&self, other: &Self) -> bool {
        let trees = self.tree.zip(other.tree);
        self.name == other.name && trees.is_none_or(|(one, other)| one == other)
    }
}

/// A package of which a supplement has something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageOf {
    /// Its digest.
    pub sha256: Digest,
    /// Its URL.
    pub url: String,
    /// What is here of it.
    pub has: Has,
}

/// What a supplement has of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Has {
    /// Some of the files that the archives need of it.
    Some,
    /// All of them.
    All,
    /// The package itself.
    Whole,
}

impl Contents {
    /// What a supplement for these archives says of these packages.
    pub fn new(archives: Vec<ArchiveOf>, packages: Vec<PackageOf>) -> Self {
        let tool = format!("hashget {}", env!("CARGO_PKG_VERSION"));
        Self { hashget_supplement: VERSION, tool, archives, packages }
    }

    /// The packages of which it says that it has all that this archive needs. Of one that it was not made for, these are the whole ones:
    /// another archive may need other files of a package.
    pub fn complete(&self, archive: &ArchiveOf) -> impl Iterator<Item = Digest> {
        let is_for_it = self.archives.iter().any(|one| one.is(archive));
        let least = if is_for_it { Has::All } else { Has::Whole };
        self.packages.iter().filter(move |package| package.has >= least).map(|one| one.sha256)
    }

    /// The name that this archive had when the supplement was made for it, if it has another one now: then only the whole packages count
    /// for it, and not the others that are here completely.
    pub fn name_before(&self, archive: &ArchiveOf) -> Option<&str> {
        let is_renamed = |one: &&ArchiveOf| one.tree.is_some() && one.tree == archive.tree;
        let has_parts = self.packages.iter().any(|package| package.has == Has::All);
        let is_for_it = self.archives.iter().any(|one| one.is(archive));
        let before = self.archives.iter().find(is_renamed).filter(|_| has_parts && !is_for_it);
        before.map(|one| &*one.name)
    }

    fn parse(text: &[u8]) -> Result<Self, Unfit> {
        let bad = |error: serde_json::Error| Unfit::Bad(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(text).map_err(bad)?;
        match value.get("hashget_supplement").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(Unfit::OtherVersion(version)),
            None => return Err(Unfit::Bad(format!("its {MANIFEST} does not say its version"))),
        }
        serde_json::from_value(value).map_err(bad)
    }
}

/// Why what a supplement says of itself cannot be used.
enum Unfit {
    /// It is none; what is wrong.
    Bad(String),
    /// Another hashget wrote it, in this version.
    OtherVersion(u64),
}

/// Is this the name of a supplement?
pub fn is_supplement(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name);
    let stem = name.split(".tar").next().unwrap_or_default();
    stem.len() < name.len() && stem.ends_with(MARK)
}

/// The beginning of the names of supplements for what is called `stem`, and their ending: `web`, `web.2`, ... with `.sup.tar.zst`.
pub fn name_for(stem: &str, number: u32) -> String {
    match number {
        0 | 1 => format!("{stem}{MARK}.tar.zst"),
        number => format!("{stem}.{number}{MARK}.tar.zst"),
    }
}

/// Why a supplement cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum SupplementError {
    /// A newer hashget wrote it.
    #[error(
        "{name} is no supplement that can be read: it has version {version}, and this hashget reads version {}: use a newer hashget",
        VERSION
    )]
    OtherVersion {
        /// The file.
        name: String,
        /// Its version.
        version: u64,
    },
    /// It is none.
    #[error("{name} is no supplement that can be read: {problem}")]
    Bad {
        /// The file.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// It is damaged.
    #[error("the supplement {name} cannot be read to its end")]
    Damaged {
        /// The file.
        name: String,
        /// What is wrong.
        #[source]
        error: Box<FormatError>,
    },
    /// Reading or writing failed.
    #[error("{name}")]
    Io {
        /// The file.
        name: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl SupplementError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::OtherVersion { .. } | Self::Bad { .. } => ErrorClass::BadInput,
            Self::Damaged { error, .. } => error.class(),
            Self::Io { error, .. } => ErrorClass::of_io(error),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supplements_are_known_by_their_names() {
        for (name, expected) in [
            ("web.sup.tar.zst", true),
            ("web.2.sup.tar.zst", true),
            ("web.sup.tar.zst.age", true),
            ("web.sup.tar", true),
            ("web.tar.zst", false),
            ("web.sup", false),
            ("web.supper.tar.zst", false),
            (".sup.tar.gz", true),
        ] {
            assert_eq!(is_supplement(name.as_bytes()), expected, "{name}");
        }
        assert!(is_supplement(name_for("web", 1).as_bytes()));
        assert!(is_supplement(name_for("web", 7).as_bytes()));
    }
}
