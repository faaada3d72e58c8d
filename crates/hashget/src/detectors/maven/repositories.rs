//! The URLs of Maven's repositories, by name: from its settings, and from the defaults in its own jar.
//!
//! Invariant: a repository with a login in the settings, or in its URL, is private.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use super::super::{DetectError, Machine, public_url, small_files};

const SETTINGS: [&str; 4] = [
    ".m2/settings.xml",
    "etc/maven/settings.xml",
    "usr/share/maven/conf/settings.xml",
    "opt/maven/conf/settings.xml",
];
/// A file in the jar of Maven's model builder, from which every project inherits.
const DEFAULTS: &str = "org/apache/maven/model/pom-4.0.0.xml";
/// Possible folders of that jar, relative to a machine's root.
const LIBRARIES: [&str; 3] = ["usr/share/maven/lib", "opt/maven/lib", "usr/share/java"];
/// Size limit of settings; a larger file is an error.
const MAX_BYTES: u64 = 4 << 20;
/// Size limit of Maven's jar; a larger file is reported and ignored.
const MAX_JAR: u64 = 16 << 20;

/// Repositories by their names.
#[derive(Debug, Default)]
pub(in super::super) struct Repositories(BTreeMap<String, Repository>);

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Repository {
    /// A public repository at this URL (without a trailing `/`).
    Public(String),
    /// It needs a login.
    Private,
}

impl Repositories {
    /// The repositories configured for `entry`, with the local repository at `top`.
    pub(in super::super) fn read(
        machine: &Machine,
        entry: &Path,
        top: &Path,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Self, DetectError> {
        let mut found = Self::default();
        let mut private = Vec::new();
        for file in machine.files_for(entry, &SETTINGS) {
            let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { continue };
            let wrong = |problem: String| DetectError::new(&file, problem);
            let xml = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
            let document = Document::parse(xml).map_err(|error| wrong(error.to_string()))?;
            found.add(&document);
            private.extend(all(&document, "server").filter_map(|node| child(node, "id")));
        }
        if let Some(defaults) = defaults(machine, top, note)
            && let Ok(document) = Document::parse(&defaults)
        {
            found.add(&document);
        }
        for id in private {
            found.0.insert(id, Repository::Private);
        }
        Ok(found)
    }

    /// The repository of this name.
    pub(in super::super) fn find(&self, id: &str) -> Option<&Repository> {
        self.0.get(id)
    }

    /// The URLs of all public ones.
    pub(in super::super) fn public(&self) -> impl Iterator<Item = &String> {
        self.0.values().filter_map(|repository| match repository {
            Repository::Public(url) => Some(url),
            Repository::Private => None,
        })
    }

    /// Entries that were found earlier take precedence.
    fn add(&mut self, document: &Document<'_>) {
        for tag in ["mirror", "repository", "pluginRepository"] {
            for node in all(document, tag) {
                let (Some(id), Some(url)) = (child(node, "id"), child(node, "url")) else {
                    continue;
                };
                if url.contains("${") || child(node, "blocked").is_some_and(|is| is == "true") {
                    continue;
                }
                let repository = match public_url(&url) {
                    Ok(url) => Repository::Public(url.trim_end_matches('/').to_owned()),
                    Err(_) => Repository::Private,
                };
                self.0.entry(id).or_insert(repository);
            }
        }
    }
}

/// The local repositories of the settings that apply to `entry`, relative to a root. Settings that cannot be read are reported
/// where the addresses are read.
pub(super) fn local(machine: &Machine, entry: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in machine.files_for(entry, &SETTINGS) {
        let Ok(Some(bytes)) = small_files::read_whole(&file, MAX_BYTES) else { continue };
        let Some(document) =
            std::str::from_utf8(&bytes).ok().and_then(|xml| Document::parse(xml).ok())
        else {
            continue;
        };
        let text = child(document.root_element(), "localRepository");
        // `${user.home}/x`, or an absolute path.
        let path = text.as_deref().map(|text| text.rsplit('}').next().unwrap_or(text));
        let path = path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
        found.extend(path.map(PathBuf::from));
    }
    found
}

fn all<'a>(document: &'a Document<'_>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.root().descendants().filter(move |node| node.tag_name().name() == tag)
}

fn child(node: Node<'_, '_>, tag: &str) -> Option<String> {
    let child = node.children().find(|child| child.tag_name().name() == tag)?;
    child.text().map(|text| text.trim().to_owned())
}

/// The defaults from Maven's own jar: in the local repository, to which plugins downloaded it, or in an
/// installed Maven.
fn defaults(machine: &Machine, top: &Path, note: &mut dyn FnMut(DetectError)) -> Option<String> {
    let mut jars = Vec::new();
    for version in listed(&top.join("org/apache/maven/maven-model-builder")) {
        jars.extend(listed(&version));
    }
    let homes = ["MAVEN_HOME", "M2_HOME"].iter().filter_map(|name| machine.variable(name));
    jars.extend(homes.flat_map(|home| listed(&Path::new(home).join("lib"))));
    for root in machine.systems_for(top) {
        jars.extend(LIBRARIES.iter().flat_map(|library| listed(&root.join(library))));
    }
    let is_jar = |jar: &PathBuf| {
        let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".jar") && name.contains("model-builder")
    };
    jars.iter().filter(|jar| is_jar(jar)).find_map(|jar| in_jar(jar, note))
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn in_jar(jar: &Path, note: &mut dyn FnMut(DetectError)) -> Option<String> {
    // In distributions, the jar is a link.
    let jar = fs_err::canonicalize(jar).ok()?;
    let bytes = small_files::read_optional(&jar, MAX_JAR, note)?;
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).ok()?;
    let mut defaults = String::new();
    archive.by_name(DEFAULTS).ok()?.take(MAX_BYTES).read_to_string(&mut defaults).ok()?;
    Some(defaults)
}
