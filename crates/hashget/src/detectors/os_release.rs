//! A system's description of itself in `os-release`.
//!
//! Invariant: only files of the tree are read, and no link is followed out of it.

use std::collections::BTreeMap;
use std::path::Path;

use url::Url;

use super::{DetectError, small_files};

/// Size limit of `os-release`; a larger file is reported and ignored.
const MAX_BYTES: u64 = 64 * 1024;

/// The fields of an `os-release`.
#[derive(Debug, Default)]
pub(super) struct OsRelease(BTreeMap<String, String>);

impl OsRelease {
    /// Reads that of the system at `root`; without any field if there is none.
    pub(super) fn read(root: &Path, note: &mut dyn FnMut(DetectError)) -> Self {
        // On most systems, the one in etc is a link to the other one, and links are not followed.
        let mut read = |path: &str| small_files::read_optional(&root.join(path), MAX_BYTES, note);
        let bytes = read("etc/os-release").or_else(|| read("usr/lib/os-release"));
        Self::parse(&String::from_utf8_lossy(&bytes.unwrap_or_default()))
    }

    pub(super) fn parse(text: &str) -> Self {
        let field = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()))
        };
        let mut fields = BTreeMap::new();
        for (name, value) in text.lines().filter_map(field) {
            fields.entry(name).or_insert(value);
        }
        Self(fields)
    }

    /// A field, without quotes; empty if it is missing.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `https://LABEL.HOST/PATH`, where HOST is that of the distribution's home page: many distributions host
    /// their services there. `None` if there is no home page.
    pub(super) fn service(&self, label: &str, path: &str) -> Option<String> {
        let home = Url::parse(self.field("HOME_URL")).ok()?;
        let host = home.domain()?;
        let host = host.strip_prefix("www.").unwrap_or(host);
        host.contains('.').then(|| format!("https://{label}.{host}/{path}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_no_part_of_a_field() {
        let release = OsRelease::parse("ID=\"a-b\"\nNAME='x y'\n# ID=c\nID=d\nEMPTY=\nbroken");
        assert_eq!(release.field("ID"), "a-b");
        assert_eq!((release.field("NAME"), release.field("EMPTY")), ("x y", ""));
        assert_eq!(release.field("VERSION"), "");
    }

    #[test]
    fn services_stand_beside_the_home_page() {
        for (home, expected) in [
            ("https://distribution.example/", Some("https://archive.distribution.example/x/")),
            (
                "https://www.distribution.example/en",
                Some("https://archive.distribution.example/x/"),
            ),
            ("https://localhost/", None),
            ("https://127.0.0.1/", None),
            ("distribution.example", None),
            ("", None),
        ] {
            let release = OsRelease::parse(&format!("HOME_URL=\"{home}\"\n"));
            assert_eq!(release.service("archive", "x/").as_deref(), expected, "{home}");
        }
    }
}
