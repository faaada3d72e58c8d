//! Repositories that never remove packages, from the metadata stored by dnf, yum and zypper.
//!
//! Invariant: a repository is used only if its URL in the tree's configuration begins with one that the
//! user's configuration declares as permanent; a URL with a password is never used.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::os_release::OsRelease;
use super::super::{DetectError, public_url, quoted, small_files};
use super::installed::Installed;
use super::primary::{self, Package};
use crate::formats::RpmIdentity;
use crate::model::{Digest, RelPath};
use crate::tree::TreeRoot;

/// Size limit of a configuration file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 1 << 20;

/// Folders with the repositories' configuration files.
const CONFIGURATION: [&str; 2] = ["etc/yum.repos.d", "etc/zypp/repos.d"];
/// Folders of the variables used in URLs, one file for each.
const VARIABLES: [&str; 3] = ["etc/dnf/vars", "etc/yum/vars", "etc/zypp/vars.d"];
/// Folders in which clients store repositories' metadata, a subfolder for each: dnf, dnf 5, zypper.
const CACHES: [&str; 3] = ["var/cache/dnf", "var/cache/libdnf5", "var/cache/zypp/raw"];
/// zypper stores packages in a different folder than metadata.
const ZYPP_RAW: &str = "var/cache/zypp/raw";
const ZYPP_PACKAGES: &str = "var/cache/zypp/packages";

/// A package that a repository keeps permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) url: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// The end of its header, in bytes from the start of the package.
    pub(super) header_end: Option<u64>,
    /// The package in the client's cache.
    pub(super) local_file: Option<PathBuf>,
}

/// The installed packages found in permanent repositories, by their file names.
#[derive(Debug, Default)]
pub(super) struct Repositories(HashMap<String, Listed>);

impl Repositories {
    /// Reads the metadata of those repositories of the system at `tree` whose URLs begin with one of `kept`.
    pub(super) fn read(
        tree: &TreeRoot,
        release: &OsRelease,
        kept: &[&str],
        installed: &[Installed],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let mut found = Self::default();
        if kept.is_empty() {
            return found;
        }
        let variables = variables(tree, release, installed, note);
        let wanted: HashMap<String, &RpmIdentity> = installed
            .iter()
            .map(|package| (package.identity.file_stem(), &package.identity))
            .collect();
        let names: HashSet<&str> =
            installed.iter().map(|package| &*package.identity.name).collect();
        for (id, addresses) in configured(tree, note) {
            let addresses = addresses.iter().filter_map(|text| address(text, &variables));
            let is_kept = |url: &String| kept.iter().any(|kept| url.starts_with(kept));
            let Some(url) = addresses.into_iter().find(is_kept) else { continue };
            for (cache, packages) in caches_of(tree, &id) {
                let add = &mut |package: Package| {
                    // A package with the same name and another build time is a different file.
                    if wanted.get(&package.identity.file_stem()) == Some(&&package.identity) {
                        found.add(&url, &packages, package);
                    }
                };
                let read = primary::read(tree, &cache, &|name| names.contains(name), add);
                if let Err(problem) = read {
                    note(DetectError::new(&cache.below(tree.path()), problem));
                }
            }
        }
        found
    }

    fn add(&mut self, base: &str, packages: &Path, package: Package) {
        // The location is relative to the repository, and must not lead out of it.
        let Ok(place) = RelPath::try_from(&*package.location) else { return };
        let Ok(url) = public_url(&format!("{base}{}", quoted(&package.location))) else { return };
        let name = String::from_utf8_lossy(place.file_name()).into_owned();
        let cached = [packages.join(name), place.below(packages)];
        let listed = Listed {
            url,
            sha256: package.sha256,
            size: package.size,
            header_end: package.header_end,
            local_file: cached.into_iter().find(|file| small_files::is_file(file)),
        };
        self.0.entry(package.identity.file_stem()).or_insert(listed);
    }

    /// The package in the repositories, if found.
    pub(super) fn find(&self, package: &RpmIdentity) -> Option<&Listed> {
        self.0.get(&package.file_stem())
    }
}

/// Repositories by name, each with its URLs as written in the configuration.
fn configured(tree: &TreeRoot, note: &mut dyn FnMut(DetectError)) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for folder in CONFIGURATION {
        for name in names_in(tree, folder).iter().filter(|name| name.ends_with(".repo")) {
            let Some(bytes) = read(tree, &format!("{folder}/{name}"), note) else { continue };
            sections(&String::from_utf8_lossy(&bytes), &mut found);
        }
    }
    found
}

/// `[ID]`, `baseurl = ADDRESS`, and further URLs on lines that begin with blanks.
fn sections(text: &str, found: &mut Vec<(String, Vec<String>)>) {
    let mut is_address = false;
    for line in text.lines() {
        let is_more = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(id) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push((id.to_owned(), Vec::new()));
            is_address = false;
            continue;
        }
        let value = match line.split_once('=').filter(|_| !is_more) {
            Some((key, value)) => {
                is_address = key.trim() == "baseurl";
                value
            }
            None => line,
        };
        if let Some((_, addresses)) = found.last_mut().filter(|_| is_address) {
            let each = value.split([' ', ',', '\t']).filter(|address| !address.is_empty());
            addresses.extend(each.map(str::to_owned));
        }
    }
}

/// A URL with its variables replaced, and a trailing `/`; `None` if it is not public, or contains an unknown
/// variable.
fn address(text: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let (name, after) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}')?,
            None => after.split_at(after.find(|letter| !is_name(letter)).unwrap_or(after.len())),
        };
        filled.push_str(variables.get(name)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(format!("{}/", public_url(&filled).ok()?.trim_end_matches('/')))
}

/// The variables of the system's configuration, then those predefined by every client.
fn variables(
    tree: &TreeRoot,
    release: &OsRelease,
    installed: &[Installed],
    note: &mut dyn FnMut(DetectError),
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in VARIABLES {
        for name in names_in(tree, folder) {
            let bytes = read(tree, &format!("{folder}/{name}"), note).unwrap_or_default();
            let value = String::from_utf8_lossy(&bytes).trim().to_owned();
            found.entry(name).or_insert(value);
        }
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for package in installed.iter().filter(|package| package.identity.architecture != "noarch") {
        *counts.entry(&package.identity.architecture).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    let architecture = most.map_or("noarch", |(architecture, _)| architecture);
    let base = match architecture {
        "i486" | "i586" | "i686" => "i386",
        other => other,
    };
    let version = release.field("VERSION_ID");
    for (name, value) in [("basearch", base), ("arch", architecture), ("releasever", version)] {
        found.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    found
}

/// Where clients store the metadata of the repository with this name, and its packages. dnf appends a digest
/// to the name.
fn caches_of(tree: &TreeRoot, id: &str) -> Vec<(RelPath, PathBuf)> {
    let mut found = Vec::new();
    for cache in CACHES {
        for name in names_in(tree, cache) {
            let rest = name.strip_prefix(id);
            let is_digest = |rest: &str| {
                rest.strip_prefix('-').is_some_and(|digits| {
                    digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
                })
            };
            if !rest.is_some_and(|rest| rest.is_empty() || is_digest(rest)) {
                continue;
            }
            let Ok(folder) = RelPath::new(format!("{cache}/{name}")) else { continue };
            let packages = match cache {
                ZYPP_RAW => tree.path().join(ZYPP_PACKAGES).join(&name),
                _ => folder.below(tree.path()).join("packages"),
            };
            found.push((folder, packages));
        }
    }
    found
}

/// The names in a folder of the tree, sorted; none if it does not exist or is a link.
fn names_in(tree: &TreeRoot, folder: &str) -> Vec<String> {
    let folder = tree.path().join(folder);
    if !small_files::is_folder(&folder) {
        return Vec::new();
    }
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn read(tree: &TreeRoot, path: &str, note: &mut dyn FnMut(DetectError)) -> Option<Vec<u8>> {
    small_files::read_optional_below(tree, &RelPath::new(path).ok()?, MAX_BYTES, note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_with_all_their_addresses() {
        let mut found = Vec::new();
        let text = "# x\nbaseurl=http://no.example\n[one]\nname = One\nbaseurl = http://a.example/x\n\
                    \thttp://b.example, http://c.example\ngpgkey=http://k.example\n  http://l.example\n\
                    [two]\nmetalink=http://m.example\n[broken\n";
        sections(text, &mut found);
        let one = ["http://a.example/x", "http://b.example", "http://c.example"].map(str::to_owned);
        assert_eq!(found, [("one".to_owned(), one.to_vec()), ("two".to_owned(), vec![])]);
    }

    #[test]
    fn variables_are_filled_in() {
        let variables = BTreeMap::from([("basearch".to_owned(), "x86_64".to_owned())]);
        for (text, expected) in [
            ("http://a.example/$basearch/os/", Some("http://a.example/x86_64/os/")),
            ("http://a.example/${basearch}os", Some("http://a.example/x86_64os/")),
            ("http://a.example/$basearch", Some("http://a.example/x86_64/")),
            ("http://a.example/$other/", None),
            ("http://a.example/${basearch", None),
            ("http://u:secret@a.example/", None),
            ("file:///a", None),
        ] {
            assert_eq!(address(text, &variables).as_deref(), expected, "{text}");
        }
    }
}
