//! What a repository says of its packages: `repomd.xml` and the list `primary.xml` that it names.
//!
//! Invariant: one package of the list is in memory at a time, and never more than [`MAX_PACKAGE`] bytes of it.

use std::io::{BufRead as _, BufReader, Read as _};

use roxmltree::{Document, Node};

use super::super::small_files;
use crate::formats::RpmIdentity;
use crate::model::{Digest, RelPath};
use crate::tree::TreeRoot;

/// More bytes than this has no `repomd.xml`.
const MAX_INDEX: u64 = 4 << 20;
/// More bytes than this has no list, unpacked.
const MAX_LIST: u64 = 4 << 30;
/// More bytes than this are no package of a list.
const MAX_PACKAGE: usize = 16 << 20;

const BEGIN: &[u8] = b"<package ";
const END: &[u8] = b"</package>";

/// A package of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) identity: RpmIdentity,
    /// Its place, below the address of the repository.
    pub(super) location: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// Where its header ends.
    pub(super) header_end: Option<u64>,
}

/// Hands `found` those packages of the list in a client's `cache` whose names are `wanted`.
pub(super) fn read(
    tree: &TreeRoot,
    cache: &RelPath,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(Package),
) -> Result<(), String> {
    let below = |path: &str| cache.join(path.as_bytes()).map_err(|error| error.to_string());
    let index = small_files::read_below(tree, &below("repodata/repomd.xml")?, MAX_INDEX);
    let Some(index) = index.map_err(|error| error.problem)? else { return Ok(()) };
    let name = list_name(&index).map_err(|problem| format!("its repomd.xml: {problem}"))?;
    let Some(list) = small_files::open_below(tree, &below(&format!("repodata/{name}"))?) else {
        return Ok(());
    };
    let failed = |error: std::io::Error| format!("its list {name} cannot be read: {error}");
    let mut list = BufReader::new(small_files::unpacked(list, MAX_LIST).map_err(failed)?);
    let mut package = Vec::new();
    loop {
        let before = package.len();
        let left = (MAX_PACKAGE + 1).saturating_sub(before) as u64;
        let count = list.by_ref().take(left).read_until(b'>', &mut package).map_err(failed)?;
        if count == 0 && package.len() > MAX_PACKAGE {
            return Err(format!("its list {name} has a package of more than {MAX_PACKAGE} bytes"));
        }
        if count == 0 {
            return Ok(());
        }
        if is_begin(&package[before..]) {
            package.drain(..before);
        } else if package.ends_with(END) {
            found_in(&package, wanted)?.into_iter().for_each(&mut *found);
            package.clear();
        }
    }
}

/// Does a package begin with the last tag?
fn is_begin(tag: &[u8]) -> bool {
    tag.trim_ascii_start().starts_with(BEGIN)
}

/// The package of which `xml` is the text, if it is wanted.
fn found_in(xml: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Option<Package>, String> {
    let Ok(xml) = std::str::from_utf8(xml) else { return Ok(None) };
    // Most packages are not installed: a look at the name is cheaper than understanding all of it.
    let name = xml.split_once("<name>").and_then(|(_, rest)| rest.split_once("</name>"));
    if !name.is_some_and(|(name, _)| wanted(name)) {
        return Ok(None);
    }
    let xml = format!("<list xmlns:rpm=\"rpm\">{xml}</list>");
    let document = Document::parse(&xml).map_err(|error| format!("its list: {error}"))?;
    Ok(document.root_element().first_element_child().and_then(understand))
}

/// `None` for a package that does not say all that is needed, or lies somewhere else.
fn understand(package: Node<'_, '_>) -> Option<Package> {
    let child = |name: &str| child(package, name);
    let (version, checksum, location) = (child("version")?, child("checksum")?, child("location")?);
    let is_elsewhere = location.attributes().any(|attribute| attribute.name() == "base");
    if checksum.attribute("type") != Some("sha256") || is_elsewhere {
        return None;
    }
    let range = self::child(child("format")?, "header-range");
    Some(Package {
        identity: RpmIdentity {
            name: child("name")?.text()?.to_owned(),
            epoch: version.attribute("epoch").unwrap_or("0").parse().ok()?,
            version: version.attribute("ver")?.to_owned(),
            release: version.attribute("rel")?.to_owned(),
            architecture: child("arch")?.text()?.to_owned(),
            built: child("time")?.attribute("build")?.parse().ok()?,
        },
        location: location.attribute("href")?.to_owned(),
        sha256: checksum.text()?.trim().parse().ok()?,
        size: child("size")?.attribute("package")?.parse().ok()?,
        header_end: range.and_then(|range| range.attribute("end")?.parse().ok()),
    })
}

/// The file name of the list `primary` that a `repomd.xml` names.
fn list_name(index: &[u8]) -> Result<String, String> {
    let xml = std::str::from_utf8(index).map_err(|error| error.to_string())?;
    let document = Document::parse(xml).map_err(|error| error.to_string())?;
    let lists = document.root_element().children();
    let location = lists
        .filter(|node| node.attribute("type") == Some("primary"))
        .find_map(|node| child(node, "location")?.attribute("href"));
    let name = location.and_then(|location| location.rsplit('/').next());
    name.map(str::to_owned).ok_or_else(|| "it names no list of packages".to_owned())
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|child| child.tag_name().name() == name)
}
