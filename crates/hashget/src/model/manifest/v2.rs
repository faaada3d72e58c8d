//! Version 2: the fields of the JSON, one type for each object of `docs/format.md`.
//!
//! Invariant: writing is deterministic (fields in this order, lists sorted by their makers), and what is
//! read has columns of fitting lengths and ascending positions.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{
    Derived, ENCODED, EntryTable, FEATURES, ManifestError, Needs, PIECES, Pieces, RESTORER,
    Regenerable,
};
use crate::model::{Digest, Evidence, RelPath, escaped, own_name};

/// A manifest, version 2. To be written, it need not hold the archived entries itself: see
/// [`EntryColumns`](super::EntryColumns).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest<Archived = EntryTable> {
    /// `"hashget-restore"`.
    pub format: String,
    /// 2.
    pub version: u32,
    /// Features without which a reader would restore something else.
    #[serde(default, skip_serializing_if = "Needs::is_empty")]
    pub needs: Needs,
    /// Who wrote it.
    pub tool: String,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What was packed.
    pub tree: TreeSummary,
    /// What it relies on, by URL.
    pub packages: Vec<Package>,
    /// What the tar holds.
    pub archived: Archived,
    /// Further hard links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Entries that the tar holds under another path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Which of the archived files are made of pieces; the tar has only their rests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<Pieces>,
    /// What profiles excluded, since programs make it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regenerable: Vec<Regenerable>,
}

/// The packed tree as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSummary {
    /// The tree digest.
    pub sha256: Digest,
    /// Paths, the top folder included.
    pub entries: u64,
    /// Paths of regular files.
    pub files: u64,
    /// Bytes of the regular files, each hard-link group once.
    pub bytes: u64,
}

/// A package that is relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Permanent public URL.
    pub url: String,
    /// Other URLs of the same bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Number of its bytes.
    pub size: u64,
    /// How it is read.
    pub format: String,
    /// How it was known that the URL gives the bytes.
    pub evidence: Evidence,
    /// `TYPE:VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Nobody asked its URLs whether they have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unasked: bool,
    /// What recipes make out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived: Vec<Derived>,
    /// Where it is laid down.
    #[serde(rename = "trees", default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<Placement>,
    /// Single members.
    #[serde(default, skip_serializing_if = "EntryTable::is_empty")]
    pub files: EntryTable,
}

impl Package {
    /// What messages call it: its name in its ecosystem, or its URL. Safe for a terminal.
    pub fn shown_name(&self) -> String {
        escaped(own_name(&self.signatures).unwrap_or(&self.url).as_bytes())
    }
}

/// The first bytes of a path: any bytes, mostly ending in `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Prefix(#[serde(with = "crate::model::bytes_as_text")] pub Box<[u8]>);

impl Prefix {
    /// The rest of a member's path, if it begins with this prefix and does not go on into a package
    /// inside the package.
    pub(crate) fn rest_of<'m>(&self, member: &'m RelPath) -> Option<&'m [u8]> {
        let rest = member.as_bytes().strip_prefix(&*self.0)?;
        // Hardly any path has the first byte; looking for one byte is quick.
        let inside = rest.contains(&INNER[0]) && rest.windows(INNER.len()).any(|w| w == INNER);
        (!rest.is_empty() && !inside).then_some(rest)
    }
}

/// "This package is laid down here."
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Members that begin with this ...
    pub from: Prefix,
    /// ... are entries at this and the rest of their path.
    pub to: Prefix,
    /// Rests that are not given, sorted; one ending in `/` is a folder with all below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Prefix>,
    /// Bits that are taken from every mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Modes that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mode: Vec<Assignment>,
    /// Owners that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uid: Vec<Assignment>,
    /// Groups that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gid: Vec<Assignment>,
    /// Times that differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mtime: Vec<MtimeAssignment>,
    /// Extended attributes that differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xattrs: Option<XattrAssignment>,
    /// Digests of single files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<DigestColumn>,
}

/// One value for all, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// For all chosen members.
    One(u32),
    /// For each chosen member.
    Many(Vec<u32>),
}

/// Sets a number of the chosen members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Positions, ascending; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Vec<u32>>,
    /// The value.
    pub is: OneOrMany,
}

/// Sets or moves the times of the chosen members. Has `shift` or `seconds`, not both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MtimeAssignment {
    /// Positions, ascending; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Vec<u32>>,
    /// Seconds to add to the member's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<i64>,
    /// Seconds since 1970, each as the difference to the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Vec<i64>>,
    /// Nanoseconds after those; all 0 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanoseconds: Option<Vec<u32>>,
}

/// Replaces the extended attributes of the chosen members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct XattrAssignment {
    /// Positions, ascending; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Vec<u32>>,
    /// For each chosen member: name to base64 of the value.
    pub is: Vec<BTreeMap<String, String>>,
}

/// Digests of chosen given files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestColumn {
    /// Positions, ascending.
    pub at: Vec<u32>,
    /// The digests.
    pub is: Vec<Digest>,
}

/// Two names of one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// The further name.
    pub path: RelPath,
    /// The name that a package gives or the tar holds.
    pub to: RelPath,
}

/// An entry that the tar holds under another path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renamed {
    /// Its path in the tar.
    pub stored: RelPath,
    /// Its path in the tree.
    pub name: RelPath,
}

impl Renamed {
    /// The path in the tree of what the tar has at `stored`, if this is about it.
    pub(crate) fn path_in_tree(&self, stored: &RelPath) -> Option<RelPath> {
        let rest = stored.as_bytes().strip_prefix(self.stored.as_bytes())?;
        let is_below = rest.is_empty() || rest.starts_with(b"/");
        is_below.then(|| {
            let bytes = [self.name.as_bytes(), rest].concat();
            RelPath::new(bytes).expect("two valid paths, one after the other")
        })
    }
}

/// Stands between the path of a package inside a package and the paths in it.
const INNER: &[u8] = b"!/";

impl Manifest {
    /// Does the restorer travel in the archive? Then the entry of its name is no part of the tree.
    pub(crate) fn has_restorer(&self) -> bool {
        self.needs.has(&RESTORER)
    }

    /// The `format` field.
    pub const FORMAT: &'static str = "hashget-restore";

    /// The manifest itself, if it is one.
    pub(super) fn checked(manifest: Self) -> Result<Self, ManifestError> {
        manifest.needs.check(FEATURES)?;
        if manifest.format != Self::FORMAT {
            return Err(ManifestError::field("format", format!("expected \"{}\"", Self::FORMAT)));
        }
        manifest.archived.check("archived")?;
        for (index, package) in manifest.packages.iter().enumerate() {
            let name = format!("packages[{index}]");
            package.files.check(&format!("{name}.files"))?;
            if !package.files.is_empty() && !package.files.has_from() {
                return Err(ManifestError::field(format!("{name}.files.from"), "is missing"));
            }
            if let Some(index) =
                package.derived.iter().position(|one| one.is_run() && one.from.is_some())
            {
                let field = format!("{name}.derived[{index}].from");
                return Err(ManifestError::field(field, "a program makes it, expected none"));
            }
            for (index, placement) in package.placements.iter().enumerate() {
                placement.check(&format!("{name}.trees[{index}]"))?;
            }
        }
        if let Some(pieces) = &manifest.pieces {
            if !manifest.needs.has(&PIECES) {
                let problem = format!("the manifest has it without needing {}", PIECES.name);
                return Err(ManifestError::field("pieces", problem));
            }
            if pieces.has_encoded() && !manifest.needs.has(&ENCODED) {
                let problem = format!("the manifest has it without needing {}", ENCODED.name);
                return Err(ManifestError::field("pieces.encoded", problem));
            }
            pieces.check(&manifest.archived, manifest.packages.len())?;
        }
        Ok(manifest)
    }
}

impl<Archived: Serialize> Manifest<Archived> {
    /// The JSON, without needless white space.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.write_json(&mut json).expect("a vector takes everything");
        json
    }

    /// Writes the JSON to `output`, in small pieces.
    ///
    /// # Errors
    /// Only those of `output`: a manifest has nothing that JSON cannot hold.
    pub fn write_json(&self, mut output: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut output, self)?;
        output.write_all(b"\n")
    }
}

impl Placement {
    /// May it give the entry at `path`? Which members the package has is not considered.
    pub fn may_give(&self, path: &RelPath) -> bool {
        let rest = path.as_bytes().strip_prefix(&*self.to.0);
        rest.is_some_and(|rest| !rest.is_empty() && !self.excepts(rest))
    }

    /// Is the member with this rest (its path after `from`) excepted, by itself or with a folder?
    pub(super) fn excepts(&self, rest: &[u8]) -> bool {
        let listed = |bytes: &[u8]| self.except.binary_search_by(|one| (*one.0).cmp(bytes)).is_ok();
        if self.except.is_empty() {
            return false;
        }
        listed(rest)
            || listed(&[rest, b"/"].concat())
            || rest.iter().enumerate().any(|(at, &byte)| byte == b'/' && listed(&rest[..=at]))
    }

    fn check(&self, name: &str) -> Result<(), ManifestError> {
        for (field, list) in [("mode", &self.mode), ("uid", &self.uid), ("gid", &self.gid)] {
            for assignment in list {
                let length = match &assignment.is {
                    OneOrMany::One(_) => None,
                    OneOrMany::Many(values) => Some(values.len()),
                };
                check_column(&format!("{name}.{field}"), assignment.at.as_deref(), length)?;
            }
        }
        for assignment in &self.mtime {
            let field = format!("{name}.mtime");
            let seconds = assignment.seconds.as_ref().map(Vec::len);
            if seconds.is_some() == assignment.shift.is_some() {
                return Err(ManifestError::field(field, "expected either shift or seconds"));
            }
            check_column(&field, assignment.at.as_deref(), seconds)?;
            if let Some(nanoseconds) = &assignment.nanoseconds
                && (Some(nanoseconds.len()) != seconds
                    || nanoseconds.iter().any(|&value| value >= 1_000_000_000))
            {
                return Err(ManifestError::field(
                    format!("{field}.nanoseconds"),
                    "expected one value below 1000000000 for each of seconds",
                ));
            }
        }
        if let Some(xattrs) = &self.xattrs {
            check_column(&format!("{name}.xattrs"), xattrs.at.as_deref(), Some(xattrs.is.len()))?;
        }
        if !self.except.is_sorted() {
            return Err(ManifestError::field(format!("{name}.except"), "rests must be sorted"));
        }
        if let Some(digests) = &self.sha256 {
            check_column(&format!("{name}.sha256"), Some(&digests.at), Some(digests.is.len()))?;
        }
        Ok(())
    }
}

/// Positions ascend, and there are as many values as positions.
fn check_column(
    field: &str,
    at: Option<&[u32]>,
    values: Option<usize>,
) -> Result<(), ManifestError> {
    let Some(at) = at else { return Ok(()) };
    if !at.is_sorted_by(|a, b| a < b) {
        return Err(ManifestError::field(format!("{field}.at"), "positions must ascend"));
    }
    match values {
        Some(count) if count != at.len() => Err(ManifestError::field(
            field,
            format!("has {} positions and {count} values", at.len()),
        )),
        _ => Ok(()),
    }
}
