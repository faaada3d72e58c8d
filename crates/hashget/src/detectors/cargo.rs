//! Cargo's registries: unpacked crates in `registry/src`, packed ones in `registry/cache`, and vendored ones.
//!
//! Invariant: URL and digest of a crate come from its own registry's files on this machine
//! (`index/HOST-HASH`), never from the crate itself; a registry that is not public gives no candidates.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Candidate, DetectError, Detector, Machine, PackageUrl, of_kind, small_files};
use crate::model::{Digest, Keeping, Origin, RelPath, Signature, escaped};

mod registry;
mod replaced;
mod vendored;

use registry::Registry;
use replaced::Behind;

/// Recognises crates by `HOST-HASH/NAME-VERSION/Cargo.toml`, `HOST-HASH/NAME-VERSION.crate`, and
/// `.cargo-checksum.json`.
pub(super) struct Cargo;

impl Detector for Cargo {
    fn name(&self) -> &str {
        "cargo"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == vendored::CHECKSUMS || Names::read(path).is_some()
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        // The tree may start anywhere below ~/.cargo, so the folders above it are also matched.
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        if path.file_name() == vendored::CHECKSUMS {
            return vendored::detect(machine, &entry, path, note);
        }
        let Some(place) = CratePath::on_disk(&entry).filter(|_| small_files::is_file(&entry))
        else {
            return Ok(Vec::new());
        };
        let package = place.package;
        let index = place.registry.join("index").join(&place.host);
        let registry = Registry::open(machine, &index)?;
        let sha256 = registry.checksum(&package)?;
        let index = Index { registry: &registry, folder: &place.registry, host: &place.host };
        let (url, keeping) = index.url(machine, (&package, &sha256), note)?;
        let packed = place.registry.join("cache").join(&place.host).join(package.file_name());
        let size = fs_err::symlink_metadata(&packed)
            .ok()
            .filter(|metadata| metadata.is_file() && metadata.len() > 0)
            .map(|metadata| metadata.len());
        Ok(vec![Candidate {
            url,
            origin: Origin::Client,
            keeping,
            sha256: Some(sha256),
            size,
            signature: Some(Signature { kind: "crate".to_owned(), value: package.to_string() }),
            project: None,
            local_file: size.map(|_| packed),
            found_at: path.clone(),
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let package = Package::parse(of_kind(signature, "crate")?.as_bytes())?;
        Some(PackageUrl::new("cargo", package.name).at(package.version))
    }
}

/// The index of a registry on this machine.
struct Index<'a> {
    registry: &'a Registry,
    /// The folder `registry` in which it lies.
    folder: &'a Path,
    /// `HOST-HASH`.
    host: &'a Path,
}

impl Index<'_> {
    /// The permanent URL of a crate, and how long it is kept: if the registry is a mirror of another one, that of
    /// the other one, or a note says that it is not known.
    fn url(
        &self,
        machine: &Machine,
        (package, sha256): (&Package, &Digest),
        note: &mut dyn FnMut(DetectError),
    ) -> Result<(String, Keeping), DetectError> {
        let index = self.folder.join("index").join(self.host);
        match &*machine.once(&index, || Behind::find(machine, self.folder, self.host)) {
            Behind::Itself => Ok((self.registry.url(package, sha256)?, Keeping::Withdrawable)),
            Behind::Public(public) => Ok((public.url(package, sha256)?, Keeping::Withdrawable)),
            Behind::Unknown(configuration) => {
                note(DetectError::new(
                    &index,
                    format!(
                        "{} says that it is a mirror, and nothing on this machine says of which public \
                         registry: archives with crates from it can be restored only where the mirror is \
                         reachable. [[mirror]] in hashget's configuration names the public URLs",
                        escaped(configuration.as_os_str().as_bytes())
                    ),
                ));
                Ok((self.registry.url(package, sha256)?, Keeping::Unknown))
            }
        }
    }
}

/// A crate: its name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, self.version)
    }
}

impl Package {
    /// Parses `NAME-VERSION`. Names may contain digits and dashes, versions may contain dashes; but a name
    /// contains no dot, and a version begins with a number and a dot, so the result is unambiguous.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let dot = text.find('.')?;
        let (name, _) = text[..dot].rsplit_once('-')?;
        let version = &text[name.len() + 1..];
        let first_is_letter =
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let named =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        (first_is_letter && named && is_version(version))
            .then(|| Self { name: name.to_owned(), version: version.to_owned() })
    }

    /// The name of its file in a cache.
    fn file_name(&self) -> String {
        format!("{self}.crate")
    }
}

/// Is `text` a semantic version: three numbers, optionally `-PRE` and `+BUILD`?
fn is_version(text: &str) -> bool {
    let (text, build) =
        text.split_once('+').map_or((text, None), |(text, rest)| (text, Some(rest)));
    let (text, pre) = text.split_once('-').map_or((text, None), |(text, rest)| (text, Some(rest)));
    let numbers: Vec<&str> = text.split('.').collect();
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    numbers.len() == 3
        && numbers.iter().all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(is_word))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

/// The path components that identify a crate, read from last to first; those above the start of the path are
/// `None`.
struct Names<'a> {
    /// `NAME-VERSION` or `NAME-VERSION.crate`.
    package: Option<Package>,
    /// `HOST-HASH`.
    host: Option<&'a [u8]>,
    /// `src` or `cache`.
    kind: Option<&'a [u8]>,
}

impl<'a> Names<'a> {
    /// `None` if one of the existing components does not fit a crate.
    fn read(path: &'a RelPath) -> Option<Self> {
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/');
        let last = names.next()?;
        let (package, expected_kind) = match last.strip_suffix(b".crate") {
            Some(stem) => (Some(Package::parse(stem)?), b"cache".as_slice()),
            None if last != b"Cargo.toml" => return None,
            None => match names.next() {
                Some(folder) => (Some(Package::parse(folder)?), b"src".as_slice()),
                None => (None, b"src".as_slice()),
            },
        };
        let (host, kind) = (names.next(), names.next());
        (host.is_none_or(is_registry_name) && kind.is_none_or(|kind| kind == expected_kind))
            .then_some(Self { package, host, kind })
    }
}

/// Where a crate lies within Cargo's folders.
struct CratePath {
    package: Package,
    /// `HOST-HASH`.
    host: PathBuf,
    /// The folder `registry`.
    registry: PathBuf,
}

impl CratePath {
    /// The place of the file at this absolute path, with all components:
    /// `.../src/HOST-HASH/NAME-VERSION/Cargo.toml` or `.../cache/HOST-HASH/NAME-VERSION.crate`.
    fn on_disk(path: &Path) -> Option<Self> {
        let below = RelPath::new(path.as_os_str().as_bytes().strip_prefix(b"/")?).ok()?;
        let Names { package: Some(package), host: Some(host), kind: Some(kind) } =
            Names::read(&below)?
        else {
            return None;
        };
        let up = if kind == b"src" { 4 } else { 3 };
        Some(Self {
            package,
            host: PathBuf::from(OsStr::from_bytes(host)),
            registry: path.ancestors().nth(up)?.to_path_buf(),
        })
    }
}

/// Is this a name as Cargo gives it to a registry's folder: `HOST-` and 16 hex digits?
fn is_registry_name(name: &[u8]) -> bool {
    name.len() > 17
        && name[name.len() - 17] == b'-'
        && name[name.len() - 16..].iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_told_apart() {
        for (text, name, version) in [
            ("base64-0.23.1", "base64", "0.23.1"),
            ("serde-1.0.200", "serde", "1.0.200"),
            ("windows-x86_64-0.1.0-rc.1+b2", "windows-x86_64", "0.1.0-rc.1+b2"),
            ("a-1-2-0.1.0", "a-1-2", "0.1.0"),
            ("openssl-src-300.1.0+3.1.0", "openssl-src", "300.1.0+3.1.0"),
            ("x-1.0.0-2.0.0", "x", "1.0.0-2.0.0"),
            ("zstd-sys-2.0.16+zstd.1.5.7", "zstd-sys", "2.0.16+zstd.1.5.7"),
        ] {
            let expected = Package { name: name.to_owned(), version: version.to_owned() };
            assert_eq!(Package::parse(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "serde",
            "serde-1.0",
            "-1.0.0",
            "se rde-1.0.0",
            "a.b-1.0.0",
            "serde-1.0.0-",
            "1-1.0.0",
            "s-1..0",
        ] {
            assert_eq!(Package::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn interest_follows_from_the_names_alone() {
        for (path, expected) in [
            ("registry/src/example.org-0123456789abcdef/serde-1.0.0/Cargo.toml", true),
            ("src/example.org-0123456789abcdef/serde-1.0.0/Cargo.toml", true),
            ("example.org-0123456789abcdef/serde-1.0.0/Cargo.toml", true),
            ("serde-1.0.0/Cargo.toml", true),
            ("Cargo.toml", true),
            ("cache/example.org-0123456789abcdef/serde-1.0.0.crate", true),
            ("serde-1.0.0.crate", true),
            ("src/example.org-0123456789abcdef/serde-1.0.0/sub-1.0.0/Cargo.toml", false),
            ("vendor/serde-1.0.0/Cargo.toml", false),
            ("cache/example.org-0123456789abcdef/serde-1.0.0/Cargo.toml", false),
            ("src/example.org-0123456789abcdef/serde-1.0.0/src/lib.rs", false),
            ("my-project/Cargo.toml", false),
        ] {
            assert_eq!(Cargo.interested_in(&RelPath::try_from(path).unwrap()), expected, "{path}");
        }
    }
}
