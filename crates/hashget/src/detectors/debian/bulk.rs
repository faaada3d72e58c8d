//! One question for many packages: do the snapshots hold the very Release file that names them?
//!
//! Invariant: the snapshots take an archive as a whole. If they have a Release file with the same bytes at a
//! moment, they have every package of its lists at that moment.

use super::archives::SNAPSHOT;
use crate::model::Digest;

/// A question whose answer holds for all packages of a signed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPlace {
    /// The URL to request.
    pub url: String,
    /// What it must give; anything else says nothing about the packages.
    pub sha256: Digest,
    /// The number of bytes that it must give.
    pub size: u64,
}

/// A Release file on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReleaseFile {
    /// `InRelease` or `Release`.
    pub(super) name: &'static str,
    /// The path of its suite in the archive, if it has one.
    pub(super) suite: Option<String>,
    pub(super) sha256: Digest,
    pub(super) size: u64,
}

impl ReleaseFile {
    /// The question that answers for the package at `url` and for all others that this file's lists name.
    pub(super) fn bulk_place(&self, url: &str) -> Option<BulkPlace> {
        let url = release_beside(url, self.suite.as_deref()?, self.name)?;
        Some(BulkPlace { url, sha256: self.sha256, size: self.size })
    }
}

/// The URL of the Release file `release` of `suite` beside the package at `url`, which is one in the snapshots:
/// `.../archive/NAME/STAMP/pool/...`; `None` for any other URL.
fn release_beside(url: &str, suite: &str, release: &str) -> Option<String> {
    let mut parts = url.strip_prefix(SNAPSHOT)?.strip_prefix("archive/")?.splitn(3, '/');
    let (archive, stamp, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_suite = suite.split('/').all(is_plain);
    let is_package = rest.starts_with("pool/") && is_plain(archive) && is_plain(stamp);
    (is_package && is_suite)
        .then(|| format!("{SNAPSHOT}archive/{archive}/{stamp}/dists/{suite}/{release}"))
}

/// The suite of a list, by the prefix that apt gives to the names of its files
/// (`deb.example_debian_dists_bookworm_`).
pub(super) fn suite_of(prefix: &str) -> Option<String> {
    let (_, suite) = prefix.strip_suffix('_')?.rsplit_once("_dists_")?;
    (!suite.is_empty()).then(|| suite.replace('_', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_in_the_snapshots_has_a_release_file_beside_it() {
        let at = |place: &str| format!("{SNAPSHOT}archive/{place}");
        let package = at("debian/20260102T000000Z/pool/main/v/vim/vim_9_amd64.deb");
        for (suite, name) in [("bookworm", "bookworm"), ("buster/updates", "buster/updates")] {
            let release = at(&format!("debian/20260102T000000Z/dists/{name}/InRelease"));
            assert_eq!(release_beside(&package, suite, "InRelease"), Some(release));
        }
        for url in [
            at("debian/20260102T000000Z/dists/x/pool/a.deb"),
            at("debian/pool/a.deb"),
            at("debian/../pool/a.deb"),
            format!("{SNAPSHOT}file/a9993e364706816aba3e25717850c26c9cd0d89d"),
            "https://other.example/archive/debian/20260102T000000Z/pool/a.deb".to_owned(),
        ] {
            assert_eq!(release_beside(&url, "bookworm", "InRelease"), None, "{url}");
        }
        for suite in ["", "..", "a b", "x//y", "x?y"] {
            assert_eq!(release_beside(&package, suite, "InRelease"), None, "{suite}");
        }
    }

    #[test]
    fn the_names_of_apts_files_have_the_suite() {
        for (prefix, suite) in [
            ("deb.example_debian_dists_bookworm-updates_", Some("bookworm-updates")),
            ("deb.example_debian-security_dists_buster_updates_", Some("buster/updates")),
            ("flat.example_repository_._", None),
            ("deb.example_debian_dists_", None),
        ] {
            assert_eq!(suite_of(prefix).as_deref(), suite, "{prefix}");
        }
    }
}
