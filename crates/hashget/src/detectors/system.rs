//! What a system says of itself: what is installed, and what it was told to do otherwise than its packages say.
//!
//! Invariant: only records of the tree are read, and nothing of them is proven: they say where to look and what to expect,
//! never what the contents of a file should be.

use rustix::fs::Dir;
use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};

use super::os_release::OsRelease;
use super::{PackageUrl, Signature, small_files};
use crate::model::RelPath;
use crate::tree::TreeRoot;

/// Size limit of a record; a larger file counts as missing.
const MAX_BYTES: u64 = 256 << 20;

/// The files of a tree, in a folder or in an archive.
pub trait TreeFiles {
    /// The contents of the regular file at `path`, if they can be had. Links among its folders are followed within the tree.
    fn read(&self, path: &RelPath) -> Option<Vec<u8>>;

    /// The names in a folder, sorted; none if there is no such folder.
    fn names(&self, folder: &RelPath) -> Vec<Vec<u8>>;
}

impl TreeFiles for TreeRoot {
    fn read(&self, path: &RelPath) -> Option<Vec<u8>> {
        small_files::read_below(self, path, MAX_BYTES).ok().flatten()
    }

    fn names(&self, folder: &RelPath) -> Vec<Vec<u8>> {
        let opened = self.open_directory_as_root(folder).ok();
        let Some(entries) = opened.and_then(|opened| Dir::read_from(opened).ok()) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_bytes().to_vec());
        let mut names: Vec<Vec<u8>> =
            names.filter(|name| !matches!(&name[..], b"." | b"..")).collect();
        names.sort_unstable();
        names
    }
}

/// A system in a tree.
#[derive(Debug, Default)]
pub struct InstalledSystem {
    /// Its folder in the tree.
    pub folder: RelPath,
    /// What it calls itself.
    pub release: Release,
    /// What is installed.
    pub packages: Vec<SystemPackage>,
    /// What it was told to do otherwise than its packages say.
    pub told: Told,
}

/// What a system calls itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// `fedora`, ...; empty if it does not say so.
    pub id: String,
    /// `40`, ...; empty if it does not say so.
    pub version: String,
    /// As it is shown to people.
    pub name: String,
}

/// An installed package of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPackage {
    /// Its name in its ecosystem.
    pub signature: Signature,
    /// Its name without version.
    pub name: String,
    /// What everybody calls it.
    pub package_url: PackageUrl,
    /// Where its members lie in the system: the first bytes of their paths, and what stands for them there.
    pub places: Vec<(&'static str, String)>,
    /// Configuration files, which administrators change.
    pub configuration: Vec<RelPath>,
    /// What its client did not lay down, or may be missing.
    pub may_be_missing: BTreeSet<RelPath>,
    /// Scripts that it runs when it is installed: the member, and where it lies in the system.
    pub scripts: Vec<(RelPath, RelPath)>,
}

/// What a system was told to do otherwise than its packages say.
#[derive(Debug, Default)]
pub struct Told {
    /// By the path in packages: where the file lies instead, and the name of the package whose own file stays there.
    pub diverted: BTreeMap<RelPath, (RelPath, Option<String>)>,
    /// Modes and owners that are set in place of those of the package.
    pub overridden: BTreeMap<RelPath, Override>,
    /// What of packages is not to be installed, or is removed again.
    pub unwanted: PathRules,
    /// Folders, each with a `/` at its end, in which all files are configuration.
    pub configuration: Vec<&'static str>,
}

/// A mode and an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// Permission bits.
    pub mode: u32,
    /// The owner, if its name is known.
    pub uid: Option<u32>,
    /// The group, if its name is known.
    pub gid: Option<u32>,
}

/// Patterns of absolute paths, of which the last one that matches counts.
#[derive(Debug, Default)]
pub struct PathRules(Vec<(GlobMatcher, bool)>);

impl PathRules {
    /// Adds a pattern of what is unwanted, or is wanted after all. A `*` matches a `/`, too; what is no pattern is ignored.
    pub(super) fn add(&mut self, pattern: &str, is_unwanted: bool) {
        if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(false).build() {
            self.0.push((glob.compile_matcher(), is_unwanted));
        }
    }

    /// Is what packages have at this path unwanted?
    pub fn has(&self, path: &RelPath) -> bool {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let path = [b"/", path.as_bytes()].concat();
        let last = self.0.iter().rev().find(|(glob, _)| glob.is_match(OsStr::from_bytes(&path)));
        last.is_some_and(|(_, is_unwanted)| *is_unwanted)
    }
}

impl Release {
    /// What the system at `folder` says.
    pub(super) fn read(tree: &dyn TreeFiles, folder: &RelPath) -> Self {
        let read = |path: &str| tree.read(&within(folder, path)?);
        let bytes = read("etc/os-release").or_else(|| read("usr/lib/os-release"));
        let release = OsRelease::parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
        let field = |name| release.field(name).to_owned();
        Self { id: field("ID"), version: field("VERSION_ID"), name: field("PRETTY_NAME") }
    }

    /// `ID-VERSION`, as package URLs have it; empty if the system does not say so.
    pub(super) fn distribution(&self) -> String {
        match (&*self.id, &*self.version) {
            ("", _) => String::new(),
            (id, "") => id.to_owned(),
            (id, version) => format!("{id}-{version}"),
        }
    }
}

/// The path in the tree of a path in the system at `folder`.
pub(super) fn within(folder: &RelPath, path: &str) -> Option<RelPath> {
    folder.join(path.as_bytes()).ok()
}

/// The systems that entries of a tree lead to, each once.
pub fn systems<'p>(
    tree: &dyn TreeFiles,
    paths: impl IntoIterator<Item = &'p RelPath>,
) -> Vec<InstalledSystem> {
    let mut systems = Vec::new();
    for path in paths {
        let interested = super::DETECTORS.iter().filter(|detector| detector.interested_in(path));
        let found = interested.filter_map(|detector| detector.system(tree, path));
        systems.extend(found.filter(|system| !system.packages.is_empty()));
    }
    systems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_counts() {
        let mut rules = PathRules::default();
        rules.add("/usr/share/doc/*", true);
        rules.add("/usr/share/doc/*/copyright", false);
        rules.add("[", true);
        for (path, expected) in [
            ("usr/share/doc/a/b/c", true),
            ("usr/share/doc/a/copyright", false),
            ("usr/share/man/a", false),
        ] {
            assert_eq!(rules.has(&RelPath::new(path).unwrap()), expected, "{path}");
        }
    }
}
