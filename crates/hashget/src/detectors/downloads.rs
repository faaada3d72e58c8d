//! Packages that lie around: a browser's download folder, installers kept for later.
//!
//! Invariant: a candidate's URL was written down by whoever downloaded the file, or by its publisher beside
//! it; a URL with a query is left alone, for it may hold a token or an end.

use std::ffi::OsString;
use std::path::Path;

use super::{Candidate, DetectError, Detector, Machine, public_url, small_files};
use crate::model::{Digest, RelPath};

/// Recognises packages by the ends of their names.
pub(super) struct Downloads;

/// Names of packages end so; no end has a second dot.
const ENDS: [&str; 36] = [
    ".7z",
    ".aar",
    ".apk",
    ".appimage",
    ".bin",
    ".bz2",
    ".conda",
    ".crate",
    ".deb",
    ".dmg",
    ".egg",
    ".exe",
    ".flatpak",
    ".gem",
    ".gz",
    ".img",
    ".iso",
    ".jar",
    ".lz4",
    ".msi",
    ".nupkg",
    ".pkg",
    ".qcow2",
    ".rpm",
    ".run",
    ".snap",
    ".tar",
    ".tbz2",
    ".tgz",
    ".txz",
    ".vsix",
    ".war",
    ".whl",
    ".xz",
    ".zip",
    ".zst",
];

/// Names of metalinks are those of what they describe, and end so; the first that says something counts.
const METALINKS: [&str; 2] = [".meta4", ".metalink"];

/// Where browsers, wget and curl write whence they have a file.
const ORIGIN: &str = "user.xdg.origin.url";
/// Longer URLs are no use to anybody.
const MAX_URL: usize = 4096;
/// More bytes than this are no metalink.
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
            // Systems have thousands of compressed pages without an origin: one question to each.
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

/// Does a package have such a name?
fn is_package(name: &[u8]) -> bool {
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|dot| *dot > 0);
    dot.is_some_and(|dot| ENDS.iter().any(|end| name[dot..].eq_ignore_ascii_case(end.as_bytes())))
}

/// Bytes of a regular file that has any.
fn size(file: &Path) -> Option<u64> {
    let found = fs_err::symlink_metadata(file).ok().filter(std::fs::Metadata::is_file)?;
    Some(found.len()).filter(|size| *size > 0)
}

/// The URL that is written at the file itself.
fn origin(file: &Path) -> Option<String> {
    let mut value = [0; MAX_URL];
    let length = rustix::fs::lgetxattr(file, ORIGIN, &mut value).ok()?;
    permanent(std::str::from_utf8(value.get(..length)?).ok()?)
}

/// `text` as the URL of a package, if it can be one for ever.
fn permanent(text: &str) -> Option<String> {
    public_url(text.trim_end_matches('\0')).ok().filter(|url| !url.contains('?'))
}

/// What the publisher says of the file in a metalink beside it, and how the metalink's name ends.
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
