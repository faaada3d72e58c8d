//! What a recipe makes out of a package: further members of it, described in `docs/derived.md`.
//!
//! Invariant: pure. The members have paths that no member of a package has that `from` may name otherwise; their size and digest
//! are those of the entries that want them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Manifest, ManifestError, Package};
use crate::model::{Digest, Entry, Kind, Member, MemberMetadata, RelPath};

/// How one further member of a package is made; or, by a program, several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Derived {
    /// The name of the recipe.
    pub recipe: String,
    /// The member that it is made from; `None`: from the package as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// The packages that the program consists of which makes members out of files of the tree; empty: hashget makes it itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool: Vec<Digest>,
    /// What turns what the program makes into what is wanted, where that is not the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
    /// What else the recipe has to know.
    #[serde(default, rename = "with", skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// A difference from what a program makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Patch {
    /// Where the file was in the tree.
    pub path: RelPath,
    /// A zstd frame in base64 that has what the program makes as its prefix (`zstd --patch-from`).
    pub zstd: String,
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

    /// The path of the member that the run of a program with this index makes, which was at `path` of the tree.
    pub(crate) fn path_of_run(index: usize, path: &RelPath) -> RelPath {
        let run = Self::path(index);
        RelPath::new([run.as_bytes(), b"/", path.as_bytes()].concat()).expect("valid components")
    }

    /// The index in [`Package::derived`] that a path speaks of, and, of what a program makes, where that was in the tree.
    fn index(path: &RelPath) -> Option<(usize, Option<RelPath>)> {
        let rest = path.as_bytes().strip_prefix(BEGINNING.as_bytes())?;
        let end = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
        let number: usize = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        // Only one way to write a number names it.
        if Self::path(number).as_bytes() != &path.as_bytes()[..BEGINNING.len() + end] {
            return None;
        }
        let made = rest.get(end + 1..).map(RelPath::new).transpose().ok()?;
        Some((number, made))
    }

    /// The patch of what a program makes for what was at `path` of the tree.
    pub(crate) fn patch(&self, path: &RelPath) -> Option<&Patch> {
        self.patches.iter().find(|patch| patch.path == *path)
    }

    /// Is this what a program makes?
    pub(crate) fn is_run(&self) -> bool {
        !self.tool.is_empty()
    }
}

impl Package {
    /// How the member at this path is made, if it is a derived one.
    pub fn derivation(&self, from: &RelPath) -> Option<&Derived> {
        self.run_of(from).map(|(_, derived, _)| derived)
    }

    /// The same, with its index, and, of what a program makes, where that was in the tree.
    pub(crate) fn run_of(&self, from: &RelPath) -> Option<(usize, &Derived, Option<RelPath>)> {
        let (index, made) = Derived::index(from)?;
        let derived = self.derived.get(index)?;
        (derived.is_run() == made.is_some()).then_some((index, derived, made))
    }

    /// What each run of a program makes, by its index: where that was in the tree, sorted.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub(crate) fn runs(&self) -> Result<BTreeMap<usize, Vec<RelPath>>, ManifestError> {
        let mut runs: BTreeMap<usize, Vec<RelPath>> = BTreeMap::new();
        let rows = self.files.entries().take_while(|_| !self.derived.is_empty());
        for row in rows {
            let (_, from) = row?;
            if let Some((number, _, Some(made))) = from.as_ref().and_then(|from| self.run_of(from))
            {
                runs.entry(number).or_default().push(made);
            }
        }
        runs.values_mut().for_each(|made| made.sort());
        Ok(runs)
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
        let mut found: BTreeMap<RelPath, (u64, Digest)> = BTreeMap::new();
        let rows = self.files.entries().take_while(|_| !self.derived.is_empty());
        for row in rows {
            let (entry, from) = row?;
            let from = from.filter(|from| self.derivation(from).is_some());
            if let (Some(from), Kind::File { size }, Some(sha256)) =
                (from, entry.kind, entry.sha256)
            {
                found.entry(from).or_insert((size, sha256));
            }
        }
        let member = |(path, (size, sha256))| Member {
            path,
            kind: Kind::File { size },
            metadata: MemberMetadata::default(),
            sha256: Some(sha256),
            extents: None,
        };
        Ok(found.into_iter().map(member).collect())
    }
}

impl Manifest {
    /// The entries that programs make which consist of the package with this index, too: those that another package lists.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub(crate) fn made_with(&self, package: usize) -> Result<Vec<Entry>, ManifestError> {
        let sha256 = self.packages[package].sha256;
        let others = self.packages.iter().enumerate().filter(|(index, _)| *index != package);
        let mut made = Vec::new();
        for (_, other) in others {
            let files = other.derived_files()?.into_iter();
            let of_it = files.filter(|(_, derived)| derived.tool.contains(&sha256));
            made.extend(of_it.map(|(entry, _)| entry));
        }
        Ok(made)
    }
}
