//! What a recipe makes out of a package: further members of it, described in `docs/derived.md`.
//!
//! Invariant: pure. The members have paths that no member of a package has that `from` may name otherwise; their size and digest
//! are those of the entries that want them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ManifestError, Package};
use crate::model::{Digest, Entry, Kind, Member, MemberMetadata, RelPath};

/// How one further member of a package is made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Derived {
    /// The name of the recipe.
    pub recipe: String,
    /// The member that it is made from; `None`: from the package as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// What else the recipe has to know.
    #[serde(default, rename = "with", skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// The beginning of the paths of derived members.
const BEGINNING: &str = "!/";

impl Derived {
    /// The path of the member that is made as the item with this index of [`Package::derived`] says.
    pub(crate) fn path(index: usize) -> RelPath {
        RelPath::new(format!("{BEGINNING}{index}")).expect("two components")
    }

    /// Is a member at this path of a package derived?
    pub(crate) fn is_path(path: &RelPath) -> bool {
        path.as_bytes().starts_with(BEGINNING.as_bytes())
    }

    /// The index in [`Package::derived`] that a path speaks of.
    fn index(path: &RelPath) -> Option<usize> {
        let number = path.as_bytes().strip_prefix(BEGINNING.as_bytes())?;
        let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        // Only one way to write a number names it.
        (Self::path(number) == *path).then_some(number)
    }
}

impl Package {
    /// How the member at this path is made, if it is a derived one.
    pub fn derivation(&self, from: &RelPath) -> Option<&Derived> {
        self.derived.get(Derived::index(from)?)
    }

    /// The entries that derived members are for, each with how it is made.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub fn derived_files(&self) -> Result<Vec<(Entry, &Derived)>, ManifestError> {
        let mut found = Vec::new();
        // Most packages have none, and their tables may be long.
        let rows = self.files.entries().take_while(|_| !self.derived.is_empty());
        for row in rows {
            let (entry, from) = row?;
            if let Some(derived) = from.as_ref().and_then(|from| self.derivation(from)) {
                found.push((entry, derived));
            }
        }
        Ok(found)
    }

    /// The derived members that entries are wanted of, with the size and digest that the manifest has of them, each once.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub(crate) fn derived_members(&self) -> Result<Vec<Member>, ManifestError> {
        let mut found: BTreeMap<usize, (u64, Digest)> = BTreeMap::new();
        let rows = self.files.entries().take_while(|_| !self.derived.is_empty());
        for row in rows {
            let (entry, from) = row?;
            let index = from.as_ref().and_then(Derived::index);
            if let (Some(index), Kind::File { size }, Some(sha256)) =
                (index, entry.kind, entry.sha256)
                && index < self.derived.len()
            {
                found.entry(index).or_insert((size, sha256));
            }
        }
        let member = |(index, (size, sha256))| Member {
            path: Derived::path(index),
            kind: Kind::File { size },
            metadata: MemberMetadata::default(),
            sha256: Some(sha256),
            extents: None,
        };
        Ok(found.into_iter().map(member).collect())
    }
}
