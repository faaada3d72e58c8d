//! A repository's metadata about its packages: `repomd.xml` and the list `primary.xml` named in it.
//!
//! Invariant: one package of the list is in memory at a time, and at most [`text::MAX_PACKAGE`] bytes of it;
//! entities are not expanded. A damaged package costs itself only: the rest of the list is read.

#[cfg(test)]
mod tests;
mod text;

use std::io::{BufRead, BufReader};

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::LocalName;
use quick_xml::reader::Reader;
use roxmltree::{Document, Node};

use self::text::{Metered, REPLACEMENT, Utf8Lossy};
use super::super::small_files;
use crate::formats::RpmIdentity;
use crate::model::{Digest, RelPath, counted};
use crate::tree::TreeRoot;

/// Size limit of `repomd.xml`; a larger file is an error.
const MAX_INDEX: u64 = 4 << 20;
/// Size limit of a decompressed list; of a larger one only the start is read.
const MAX_LIST: u64 = 4 << 30;
/// Limit on nested elements; reading stops at deeper nesting.
const MAX_DEPTH: usize = 64;
/// Limit on damaged packages, which are skipped; reading stops after more.
const MAX_DAMAGED: usize = 1000;

/// A package in a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) identity: RpmIdentity,
    /// Its path, relative to the repository's URL.
    pub(super) location: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// The end of its header, in bytes from the start of the package.
    pub(super) header_end: Option<u64>,
}

/// Passes the packages with `wanted` names from the list in a client's `cache` to `found`.
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
    let list = BufReader::new(small_files::unpacked(list, MAX_LIST).map_err(failed)?);
    packages(list, wanted, found)
        .map_err(|problem| format!("its list {name} cannot be read: {problem}"))
}

/// Passes the packages with `wanted` names from a list to `found`.
///
/// # Errors
/// What is wrong with the list; the packages before the error were passed on.
fn packages(
    list: impl BufRead,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(Package),
) -> Result<(), String> {
    let mut reader = Reader::from_reader(Metered::new(Utf8Lossy::new(list)));
    // A package with damaged elements must not end the list.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut buffer = Vec::new();
    let mut package: Option<Described> = None;
    let (mut depth, mut damaged, mut missed) = (0_usize, 0, 0);
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).map_err(|error| error.to_string())?;
        match (event, &mut package) {
            (Event::Eof, None) if missed > 0 => {
                let packages = counted(missed, "installed package is", "installed packages are");
                return Err(format!("{packages} damaged in it"));
            }
            (Event::Eof, None) => return Ok(()),
            (Event::Eof, Some(_)) => return Err("it ends within a package".to_owned()),
            (Event::Start(tag), _) if is_package(tag.local_name()) => {
                damaged += usize::from(package.is_some());
                missed += usize::from(package.as_ref().is_some_and(Described::is_wanted));
                package = Some(Described::default());
            }
            (Event::Start(tag), Some(package)) => package.begin(&tag),
            (Event::Start(_), None) => depth += 1,
            (Event::Empty(tag), Some(package)) => {
                package.begin(&tag);
                package.end(wanted);
            }
            (Event::Text(text), Some(package)) => package.add(&text.xml10_content()),
            (Event::CData(text), Some(package)) => package.add(&text.xml10_content()),
            (Event::GeneralRef(reference), Some(package)) => package.add_reference(&reference),
            (Event::End(tag), open @ Some(_)) if is_package(tag.local_name()) => {
                let ended = open.take().unwrap_or_default();
                damaged += usize::from(ended.depth > 0);
                if ended.depth > 0 || ended.is_damaged() {
                    missed += usize::from(ended.is_wanted());
                } else {
                    ended.understand().into_iter().for_each(&mut *found);
                }
                reader.get_mut().restart();
            }
            (Event::End(_), Some(open)) => open.end(wanted),
            (Event::End(_), None) => depth = depth.saturating_sub(1),
            _ => {}
        }
        let depth = package.as_ref().map_or(depth, |package| package.depth);
        if depth > MAX_DEPTH || damaged > MAX_DAMAGED {
            return Err("its elements do not end".to_owned());
        }
    }
}

fn is_package(name: LocalName<'_>) -> bool {
    name.as_ref() == "package"
}

/// A list's data about a package.
#[derive(Default)]
struct Described {
    /// Depth of open elements within that of the package.
    depth: usize,
    /// Is its name not wanted? Most packages are not installed.
    is_unwanted: bool,
    /// The current element of the package, if its text is needed.
    text_of: Option<TextOf>,
    is_in_format: bool,
    is_elsewhere: bool,
    is_sha256: bool,
    /// Can an attribute that is needed not be read?
    has_bad_attribute: bool,
    name: String,
    architecture: String,
    checksum: String,
    epoch: Option<String>,
    version: Option<String>,
    release: Option<String>,
    built: Option<String>,
    size: Option<String>,
    location: Option<String>,
    header_end: Option<String>,
}

/// Elements whose text is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TextOf {
    Name,
    Architecture,
    Checksum,
}

impl Described {
    /// Handles the start of an element.
    fn begin(&mut self, tag: &BytesStart<'_>) {
        self.depth += 1;
        if self.is_unwanted {
            return;
        }
        let mut is_bad = false;
        let mut attribute = |name: &str| {
            let attributes = tag.attributes().flatten();
            let found = attributes.into_iter().find(|one| one.key.local_name().as_ref() == name)?;
            let value = found.normalized_value(XmlVersion::Implicit1_0);
            is_bad |= value.is_err();
            Some(value.ok()?.into_owned())
        };
        let name = tag.local_name();
        match (self.depth, name.as_ref()) {
            (1, "name") => self.text_of = Some(TextOf::Name),
            (1, "arch") => self.text_of = Some(TextOf::Architecture),
            (1, "checksum") => {
                self.is_sha256 = attribute("type").as_deref() == Some("sha256");
                self.text_of = Some(TextOf::Checksum);
            }
            (1, "version") => {
                (self.epoch, self.version) = (attribute("epoch"), attribute("ver"));
                self.release = attribute("rel");
            }
            (1, "time") => self.built = attribute("build"),
            (1, "size") => self.size = attribute("package"),
            (1, "location") => {
                self.is_elsewhere = attribute("base").is_some();
                self.location = attribute("href");
            }
            (1, "format") => self.is_in_format = true,
            (2, "header-range") if self.is_in_format => self.header_end = attribute("end"),
            _ => {}
        }
        self.has_bad_attribute |= is_bad;
    }

    /// Handles the end of an element.
    fn end(&mut self, wanted: &dyn Fn(&str) -> bool) {
        let Some(depth) = self.depth.checked_sub(1) else { return };
        if depth == 0 {
            self.is_unwanted |= self.text_of == Some(TextOf::Name) && !wanted(&self.name);
            (self.text_of, self.is_in_format) = (None, false);
        }
        self.depth = depth;
    }

    /// Adds the text of an element.
    fn add(&mut self, text: &str) {
        match self.text_of.filter(|_| self.depth == 1) {
            Some(TextOf::Name) => self.name.push_str(text),
            Some(TextOf::Architecture) => self.architecture.push_str(text),
            Some(TextOf::Checksum) => self.checksum.push_str(text),
            None => {}
        }
    }

    /// Adds a reference in text. Entities defined by the document itself are not expanded.
    fn add_reference(&mut self, reference: &BytesRef<'_>) {
        match reference.resolve_char_ref() {
            Ok(Some(character)) => self.add(character.encode_utf8(&mut [0; 4])),
            _ => self.add(resolve_predefined_entity(reference).unwrap_or(REPLACEMENT)),
        }
    }

    /// Is its name known, and wanted?
    fn is_wanted(&self) -> bool {
        !self.is_unwanted && self.text_of.is_none() && !self.name.is_empty()
    }

    /// Is a value that is needed not what the repository meant?
    fn is_damaged(&self) -> bool {
        let attributes =
            [&self.epoch, &self.version, &self.release, &self.built, &self.size, &self.location];
        let texts = [&self.name, &self.architecture, &self.checksum];
        let mut values = attributes.into_iter().flatten().chain(texts);
        self.has_bad_attribute || values.any(|value| value.contains(char::REPLACEMENT_CHARACTER))
    }

    /// `None` for a package that is not wanted, has incomplete data, or is not stored in the repository
    /// itself.
    fn understand(self) -> Option<Package> {
        if self.is_unwanted || self.is_elsewhere || !self.is_sha256 || self.name.is_empty() {
            return None;
        }
        Some(Package {
            identity: RpmIdentity {
                name: self.name,
                epoch: self.epoch.as_deref().unwrap_or("0").parse().ok()?,
                version: self.version?,
                release: self.release?,
                architecture: self.architecture,
                built: self.built?.parse().ok()?,
            },
            location: self.location?,
            sha256: self.checksum.trim().parse().ok()?,
            size: self.size?.parse().ok()?,
            header_end: self.header_end.and_then(|end| end.parse().ok()),
        })
    }
}

/// The file name of the list `primary` in a `repomd.xml`.
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
