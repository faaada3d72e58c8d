//! A registry's files on this machine: `index/HOST-HASH/config.json` and Cargo's cache of the index.
//!
//! Invariant: errors name the registry's folder, so that an error of a registry is reported once, however
//! many crates it has.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Package;
use crate::detectors::{DetectError, Machine, PrivateHosts, public_url, small_files};
use crate::model::Digest;

/// Size limit of config.json; a larger file is an error.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// Size limit of Cargo's file about one crate; a larger file is an error.
const MAX_INDEX_BYTES: u64 = 64 * 1024 * 1024;

/// Size of the start of an entry, in bytes.
const HEAD_BYTES: usize = 5;

/// Bytes read from its end: they contain the last few dozen versions of a crate.
const TAIL_BYTES: usize = 48 * 1024;

/// A public registry.
pub(super) struct Registry {
    index: PathBuf,
    download: String,
}

/// The fields of `config.json` that are used here.
#[derive(Deserialize)]
struct Config {
    dl: String,
    #[serde(default, rename = "auth-required")]
    auth_required: bool,
}

/// The fields of a line of the index that are used here.
#[derive(Deserialize)]
struct Line {
    vers: String,
    cksum: Digest,
}

impl Registry {
    /// Opens the registry whose index is in the folder `index`.
    ///
    /// # Errors
    /// Its configuration is missing, damaged, or in a Git repository, or the registry is private.
    pub(super) fn open(machine: &Machine, index: &Path) -> Result<Self, DetectError> {
        let wrong = |problem: String| DetectError::new(index, problem);
        // The folder is called HOST-HASH.
        let host = index.file_name().and_then(|name| name.to_str()?.rsplit_once('-'));
        if host.is_some_and(|(host, _)| PrivateHosts::near(machine, index).has_name(host)) {
            return Err(wrong(
                "Cargo has a token for this registry: its crates may not be public".to_owned(),
            ));
        }
        let Some(json) = small_files::read_whole(&index.join("config.json"), MAX_CONFIG_BYTES)?
        else {
            return Err(wrong(if small_files::is_folder(&index.join(".git")) {
                "this registry's index is a Git repository, which is not read: use the registry's sparse \
                 index and run \"cargo fetch\" once, or index its crates by URL"
                    .to_owned()
            } else {
                "there is no config.json of this registry: expected Cargo's index folder beside src and \
                 cache; \"cargo fetch\" makes it"
                    .to_owned()
            }));
        };
        let config: Config = serde_json::from_slice(&json)
            .map_err(|error| wrong(format!("its config.json is damaged: {error}")))?;
        if config.auth_required {
            return Err(wrong(
                "this registry asks for a login: its crates are not public".to_owned(),
            ));
        }
        Ok(Self { index: index.to_path_buf(), download: config.dl })
    }

    /// The digest that the index has for `package`.
    ///
    /// # Errors
    /// The index on this machine does not have the package, or is damaged.
    pub(super) fn checksum(&self, package: &Package) -> Result<Digest, DetectError> {
        let name = package.name.to_lowercase();
        let file = self.index.join(".cache").join(prefix(&name)).join(&name);
        let wrong = |problem: String| DetectError::new(&self.index, problem);
        let damaged =
            |problem| wrong(format!("its entry for {} is damaged: {problem}", package.name));
        // Entries can have megabytes, and versions in use are usually among the last ones.
        if let Some((head, tail)) = small_files::read_ends(&file, HEAD_BYTES, TAIL_BYTES)? {
            texts(&head).map_err(damaged)?;
            if let Some(line) = last_line_of(&tail, &package.version).map_err(damaged)? {
                return Ok(line.cksum);
            }
        }
        let Some(bytes) = small_files::read_whole(&file, MAX_INDEX_BYTES)? else {
            return Err(wrong(format!(
                "this registry's index on this machine does not have {package}: \"cargo fetch\" in a \
                 project that uses it gets it"
            )));
        };
        let line = texts(&bytes).and_then(|texts| last_line_of(texts, &package.version));
        let line = line.map_err(damaged)?;
        line.map(|line| line.cksum).ok_or_else(|| {
            wrong(format!("this registry's index on this machine does not have {package}"))
        })
    }

    /// The URL from which the registry serves `package`.
    ///
    /// # Errors
    /// It is not a public URL.
    pub(super) fn url(&self, package: &Package, sha256: &Digest) -> Result<String, DetectError> {
        let prefix = prefix(&package.name);
        let markers = [
            ("{crate}", package.name.clone()),
            ("{version}", package.version.clone()),
            ("{lowerprefix}", prefix.to_lowercase()),
            ("{prefix}", prefix),
            ("{sha256-checksum}", sha256.to_string()),
        ];
        let url = if markers.iter().any(|(marker, _)| self.download.contains(marker)) {
            markers
                .iter()
                .fold(self.download.clone(), |url, (marker, value)| url.replace(marker, value))
        } else {
            format!("{}/{}/{}/download", self.download, package.name, package.version)
        };
        public_url(&url).map_err(|error| {
            DetectError::new(&self.index, format!("bad \"dl\" in its config.json: {error}"))
        })
    }
}

/// The folder of a crate within an index.
fn prefix(name: &str) -> String {
    match name.len() {
        length @ 1..=2 => length.to_string(),
        3 => format!("3/{}", &name[..1]),
        _ => format!("{}/{}", &name[..2], &name[2..4]),
    }
}

/// The data after the header in Cargo's cache of one crate's index lines. The header is a version byte,
/// followed since version 2 by the schema version in four bytes.
fn texts(bytes: &[u8]) -> Result<&[u8], String> {
    match bytes {
        [1, rest @ ..] | [2 | 3, _, _, _, _, rest @ ..] => Ok(rest),
        [] => Err("it is empty".to_owned()),
        [found, ..] => Err(format!("its format {found} is not known: expected 1, 2 or 3")),
    }
}

/// Finds the last line of a version at the end of such a file. The data consists of texts that each end with
/// a NUL: first the state of the index, then pairs of a crate's version and its line of JSON.
fn last_line_of(texts: &[u8], version: &str) -> Result<Option<Line>, String> {
    let plain = |version: &[u8]| {
        let end = version.iter().position(|&byte| byte == b'+').unwrap_or(version.len());
        version[..end].to_owned()
    };
    let wanted = plain(version.as_bytes());
    let texts = texts.strip_suffix(b"\0").ok_or("it ends too early")?;
    let mut texts = texts.rsplit(|&byte| byte == 0);
    while let (Some(json), Some(key)) = (texts.next(), texts.next()) {
        // Formats 1 and 2 dropped the part after a "+" from the key; the line itself has it.
        if !key.starts_with(&wanted) || plain(key) != wanted {
            continue;
        }
        let line: Line = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if line.vers == version {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(format: &[u8], lines: &[(&str, &str, Digest)]) -> Vec<u8> {
        let mut bytes = [format, b"etag: x\0"].concat();
        for (key, vers, cksum) in lines {
            bytes.extend(format!("{key}\0{{\"vers\":\"{vers}\",\"cksum\":\"{cksum}\"}}\0").bytes());
        }
        bytes
    }

    #[test]
    fn prefixes_are_those_of_the_index() {
        for (name, expected) in
            [("a", "1"), ("ab", "2"), ("url", "3/u"), ("serde", "se/rd"), ("Inflector", "In/fl")]
        {
            assert_eq!(prefix(name), expected);
        }
    }

    fn line_of(bytes: &[u8], version: &str) -> Result<Option<Line>, String> {
        last_line_of(texts(bytes)?, version)
    }

    #[test]
    fn lines_are_found_in_every_format_and_builds_told_apart() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let v3 = cache(
            &[3, 2, 0, 0, 0],
            &[("110.0.0", "110.0.0", one), ("110.0.0+b", "110.0.0+b", two)],
        );
        let v1 = cache(&[1], &[("110.0.0", "110.0.0", one), ("110.0.0", "110.0.0+b", two)]);
        for bytes in [v3, v1] {
            assert_eq!(line_of(&bytes, "110.0.0").unwrap().unwrap().cksum, one);
            assert_eq!(line_of(&bytes, "110.0.0+b").unwrap().unwrap().cksum, two);
            assert!(line_of(&bytes, "110.0.1").unwrap().is_none());
        }
    }

    #[test]
    fn damaged_entries_are_errors_and_never_panics() {
        let whole = cache(&[3, 2, 0, 0, 0], &[("1.0.0", "1.0.0", Digest::of(b"1"))]);
        for end in 0..whole.len() - 1 {
            let found = line_of(&whole[..end], "1.0.0");
            assert!(!matches!(found, Ok(Some(_))), "cut at {end}");
        }
        assert!(line_of(&[9, 0, 0], "1.0.0").is_err());
        assert!(
            line_of(b"\x03\x02\0\0\0x\x001.0.0\0{\"vers\":\"1.0.0\",\"cksum\":\"12\"}\0", "1.0.0")
                .is_err()
        );
    }
}
