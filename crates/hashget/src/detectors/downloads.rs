//! Downloaded packages that were kept: in a browser's download folder, or as saved installers.
//!
//! Invariant: a candidate's URL was stored by the program that downloaded the file, or by its publisher
//! beside the file; a URL that is secret, expires or moves is ignored.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use super::{Candidate, DetectError, Detector, Machine, permanent_url, small_files};
use crate::formats::FORMATS;
use crate::model::{Digest, RelPath};

/// Recognises packages by the extensions of their names.
pub(super) struct Downloads;

/// Extensions of packages that no format reads, so that only the file itself is known, and of single
/// compressed files.
const FILE_ENDINGS: [&str; 18] = [
    ".appimage",
    ".bin",
    ".bz2",
    ".dmg",
    ".exe",
    ".flatpak",
    ".gz",
    ".img",
    ".lz4",
    ".msi",
    ".pkg",
    ".qcow2",
    ".run",
    ".snap",
    ".tlz",
    ".xz",
    ".z",
    ".zst",
];

/// Length of the longest extension; names are checked for every entry of a tree.
const LONGEST_ENDING: usize = 9;

/// All extensions, sorted. (`.tar.gz` and the like are included as `.gz`.)
static ENDINGS: LazyLock<Vec<&'static [u8]>> = LazyLock::new(|| {
    let of_formats = FORMATS.iter().flat_map(|format| format.endings()).copied();
    let mut endings: Vec<&[u8]> =
        FILE_ENDINGS.into_iter().chain(of_formats).map(str::as_bytes).collect();
    endings.sort_unstable();
    endings
});

/// Extensions of metalinks, whose names begin with that of the file they describe; the first usable one is
/// used.
const METALINKS: [&str; 2] = [".meta4", ".metalink"];

/// The attribute in which browsers, wget and curl store the URL of a file.
const ORIGIN: &str = "user.xdg.origin.url";
/// Length limit of a URL; longer ones are ignored.
const MAX_URL: usize = 4096;
/// Size limit of a metalink; a larger file is an error.
const MAX_METALINK: u64 = 1 << 20;

impl Detector for Downloads {
    fn name(&self) -> &str {
        "downloads"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let name = path.file_name();
        is_package(name) || METALINKS.iter().any(|end| name.ends_with(end.as_bytes()))
    }

    fn detect(
        &self,
        _machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let name = path.file_name();
        let metalink = METALINKS.iter().find(|end| name.ends_with(end.as_bytes()));
        let candidate = match metalink {
            Some(end) => {
                let package = &path.as_bytes()[..path.as_bytes().len() - end.len()];
                let package =
                    RelPath::new(package).ok().filter(|path| is_package(path.file_name()));
                let Some(package) = package else { return Ok(Vec::new()) };
                let described = described(&package.below(root))?.filter(|(by, _)| by == end);
                described.map(|(_, candidate)| Candidate { found_at: package, ..candidate })
            }
            // Systems have thousands of compressed manual pages without an origin, so only one system call is
            // made for each.
            None => {
                let file = path.below(root);
                let Some(url) = origin(&file) else { return Ok(Vec::new()) };
                let size = size(&file).filter(|_| !matches!(described(&file), Ok(Some(_))));
                let found_at = path.clone();
                size.map(|_| Candidate { url, size, found_at, ..Candidate::default() })
            }
        };
        Ok(candidate.into_iter().collect())
    }
}

/// Is this a package's name?
fn is_package(name: &[u8]) -> bool {
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|dot| *dot > 0);
    let Some(ending) = dot.map(|dot| &name[dot..]) else { return false };
    let mut lower = [0; LONGEST_ENDING];
    let Some(lower) = lower.get_mut(..ending.len()) else { return false };
    lower.copy_from_slice(ending);
    lower.make_ascii_lowercase();
    ENDINGS.binary_search(&&*lower).is_ok()
}

/// The size of a regular file that is not empty, in bytes.
fn size(file: &Path) -> Option<u64> {
    let found = fs_err::symlink_metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some(found.len()).filter(|size| *size > 0)
}

/// The URL stored in the file's attribute.
fn origin(file: &Path) -> Option<String> {
    let mut value = [0; MAX_URL];
    let length = rustix::fs::lgetxattr(file, ORIGIN, &mut value).ok()?;
    permanent(std::str::from_utf8(value.get(..length)?).ok()?)
}

/// `text` as the URL of a package, if it can be permanent.
fn permanent(text: &str) -> Option<String> {
    permanent_url(text.trim_end_matches('\0')).ok()
}

/// The publisher's data about the file in a metalink beside it, and the metalink's extension.
fn described(file: &Path) -> Result<Option<(&'static str, Candidate)>, DetectError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|_| size(file).is_some()) else { return Ok(None) };
    for end in METALINKS {
        let mut metalink = OsString::from(file);
        metalink.push(end);
        let metalink = Path::new(&metalink);
        let Some(bytes) = small_files::read_whole(metalink, MAX_METALINK)? else { continue };
        let wrong = |problem: String| DetectError::new(metalink, problem);
        let xml = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
        let document = roxmltree::Document::parse(xml)
            .map_err(|error| wrong(format!("it is no metalink: {error}")))?;
        let is =
            |tag: &'static str| move |node: &roxmltree::Node<'_, '_>| node.tag_name().name() == tag;
        let described = document
            .descendants()
            .find(|node| is("file")(node) && node.attribute("name") == Some(name));
        let Some(described) = described else { continue };
        let text =
            |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().trim().to_owned();
        let mut urls = described.descendants().filter(is("url")).map(text);
        let Some(url) = urls.find_map(|url| permanent(&url)) else { continue };
        let sha256 = described.descendants().filter(is("hash")).find_map(|node| {
            let kind = node.attribute("type")?.to_ascii_lowercase().replace('-', "");
            (kind == "sha256").then(|| text(node).parse::<Digest>().ok())?
        });
        let size = described.descendants().find(is("size"));
        let candidate = Candidate {
            url,
            sha256,
            size: size.and_then(|size| text(size).parse().ok()),
            local_file: sha256.map(|_| file.to_owned()),
            ..Candidate::default()
        };
        return Ok(Some((end, candidate)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_formats_and_of_other_packages_count() {
        for name in
            ["a.deb", "a.RPM", "a.tar.gz", "a.tbz2", "a.xpi", "a.zipx", "a.iso", "a.AppImage"]
        {
            assert!(is_package(name.as_bytes()), "{name}");
        }
        for name in
            ["a", ".deb", "deb", "a.debx", "a.txt", "a.", "a.tar.gz.asc", "a.averylongending"]
        {
            assert!(!is_package(name.as_bytes()), "{name}");
        }
        // Names with a second dot end like compressed files.
        for ending in ENDINGS.iter() {
            let name = [b"a", *ending].concat();
            assert!(is_package(&name), "{}", ending.escape_ascii());
        }
    }
}
