//! What is installed according to rpm.
//!
//! Invariant: an [`Installed`] has a name, version, release and architecture that can be used unchanged in a
//! URL and a file name. Other packages are reported as a note, and the rest is read.

use std::collections::BTreeMap;

use super::database::Database;
use crate::formats::{PackageHeader, RpmIdentity};
use crate::model::escaped;

/// Limit on the total size of a system's headers: those of 5,000 packages take about 500 MiB.
const MOST_BYTES: u64 = 2 << 30;

/// A package whose files are in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) identity: RpmIdentity,
    /// The source package from which it was built.
    pub(super) source: Option<Source>,
    pub(super) vendor: String,
    /// The key of its header in the database.
    pub(super) key: i64,
}

/// A source package, by the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) release: String,
}

/// Everything that is installed.
pub(super) struct AllInstalled {
    pub(super) packages: Vec<Installed>,
    /// The vendor of the distribution: that of most packages.
    pub(super) vendor: String,
}

/// All packages in `database`. `note` receives those that cannot be parsed.
pub(super) fn all(
    database: &Database,
    note: &mut dyn FnMut(String),
) -> Result<AllInstalled, String> {
    let mut packages = Vec::new();
    let mut left = MOST_BYTES;
    for key in database.keys()? {
        let bytes = database.header(key);
        let count = bytes.as_ref().map_or(0, Vec::len) as u64;
        // In a forged database, many headers could share the same bytes.
        let too_many = || format!("its headers have more than {MOST_BYTES} bytes");
        left = left.checked_sub(count).ok_or_else(too_many)?;
        let header = bytes
            .and_then(|bytes| PackageHeader::of_database(bytes).map_err(|error| error.to_string()));
        let header = match header {
            Ok(header) => header,
            Err(problem) => {
                note(format!("package {key} is passed over: {problem}"));
                continue;
            }
        };
        match understand(&header, key) {
            Ok(Some(package)) => packages.push(package),
            Ok(None) => {}
            Err(problem) => note(format!("package {key} is passed over: {problem}")),
        }
    }
    let vendor = most_frequent(packages.iter().map(|package| &package.vendor));
    Ok(AllInstalled { packages, vendor })
}

/// The text that occurs most often.
fn most_frequent<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let mut counts = BTreeMap::<&String, usize>::new();
    texts.for_each(|text| *counts.entry(text).or_default() += 1);
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(text, _)| text.clone()).unwrap_or_default()
}

/// `None` for packagers' keys, which are stored as packages.
fn understand(header: &PackageHeader, key: i64) -> Result<Option<Installed>, String> {
    let Some(identity) = header.identity() else { return Ok(None) };
    let RpmIdentity { name, version, release, architecture, .. } = &identity;
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    for part in [name, version, release, architecture] {
        check(part)?;
    }
    let source = header.source().as_deref().and_then(source_of);
    Ok(Some(Installed { identity, source, vendor: header.vendor(), key }))
}

fn check(part: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~^-".contains(&byte);
    if !part.is_empty() && !part.starts_with(['.', '-']) && part.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!("\"{}\" is no part of a name", escaped(part.as_bytes())))
}

/// `NAME-VERSION-RELEASE.src.rpm`, or `.nosrc.rpm`.
fn source_of(file: &str) -> Option<Source> {
    let stem = file.strip_suffix(".rpm")?;
    let stem = stem.strip_suffix(".src").or_else(|| stem.strip_suffix(".nosrc"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    [name, version, release].into_iter().try_for_each(check).ok()?;
    let [name, version, release] = [name, version, release].map(str::to_owned);
    Some(Source { name, version, release })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_packages_are_named_by_their_files() {
        let parts = |file| source_of(file).map(|it| [it.name, it.version, it.release].join(" "));
        for (file, expected) in [
            ("bash-5.2.26-3.fc40.src.rpm", Some("bash 5.2.26 3.fc40")),
            ("gtk+-2~rc1-1^git.nosrc.rpm", Some("gtk+ 2~rc1 1^git")),
            ("java-17-openjdk-17.0.9-1.src.rpm", Some("java-17-openjdk 17.0.9 1")),
            ("bash-5.2.26-3.fc40.x86_64.rpm", None),
            ("a/../b-1-1.src.rpm", None),
            ("b-..-1.src.rpm", None),
            ("bash.src.rpm", None),
            ("", None),
        ] {
            assert_eq!(parts(file).as_deref(), expected, "{file}");
        }
    }
}
