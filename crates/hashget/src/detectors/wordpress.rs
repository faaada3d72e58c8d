//! WordPress: the program itself, and plugins and themes of its directory.
//!
//! Invariant: the directory that the program itself contacts for updates is asked whether it has exactly this
//! version; plugins and themes that it does not have (private or paid ones) are not relied on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeSeed, MapAccess};

use super::json::{Fields, Object, Scalar, skip};
use super::{
    Answer, Candidate, DetectError, Detector, Machine, PackageUrl, Question, of_kind, package_url,
    page_url, public_url, small_files,
};
use crate::model::{RelPath, Signature};

/// Recognises `wp-includes/version.php`, `plugins/NAME/readme.txt` (or `.md`) and `themes/NAME/style.css`.
pub(super) struct WordPress;

/// Headers are at the start of a file.
const HEAD_BYTES: u64 = 8192;
/// Size limit of the file that contacts the update server; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;
/// Plugins have few files in their top folder.
const MOST_FILES: usize = 200;

impl Detector for WordPress {
    fn name(&self) -> &str {
        "wordpress"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/');
        match names.next() {
            Some(b"version.php") => names.next().is_none_or(|folder| folder == b"wp-includes"),
            Some(name) if is_readme(name) => names.nth(1).is_none_or(|folder| folder == b"plugins"),
            Some(b"style.css") => names.nth(1).is_none_or(|folder| folder == b"themes"),
            _ => false,
        }
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let Some(kind) = Kind::from_path(&entry).filter(|_| small_files::is_file(&entry)) else {
            return Ok(Vec::new());
        };
        let Some((name, version)) = kind.name_and_version(&entry)? else { return Ok(Vec::new()) };
        let Some(host) = directory(&entry)? else { return Ok(Vec::new()) };
        let wrong = |error| DetectError::new(&entry, error);
        let page = page_url(&kind.page(&host, &name, &version)).map_err(wrong)?;
        let url = public_url(&kind.url(&host, &name, &version)).map_err(wrong)?;
        let value = format!("{}{name}-{version}", kind.folder());
        Ok(vec![Candidate {
            url: page.clone(),
            signature: Some(Signature { kind: "wordpress".to_owned(), value }),
            found_at: path.clone(),
            question: Some(Arc::new(Published { pages: vec![page], kind, version, url })),
            ..Candidate::default()
        }])
    }

    fn package_url(&self, signature: &Signature, url: &str) -> Option<PackageUrl> {
        let value = of_kind(signature, "wordpress")?;
        let (_, value) = value.rsplit_once('/').unwrap_or(("", value));
        let (name, version) = package_url::name_and_version(value);
        Some(PackageUrl::new("generic", name).at(version).with("download_url", url))
    }
}

/// The kind of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Program,
    Plugin,
    Theme,
}

impl Kind {
    fn from_path(entry: &Path) -> Option<Self> {
        let folder = |up: usize| entry.ancestors().nth(up)?.file_name()?.to_str();
        match (entry.file_name()?.to_str()?, folder(1)?, folder(2)) {
            ("version.php", "wp-includes", _) => Some(Self::Program),
            (name, _, Some("plugins")) if is_readme(name.as_bytes()) => Some(Self::Plugin),
            ("style.css", _, Some("themes")) => Some(Self::Theme),
            _ => None,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Program => "",
            Self::Plugin => "plugin/",
            Self::Theme => "theme/",
        }
    }

    /// The name in the directory (for the program, its language) and the version, if both can be part of a
    /// URL.
    fn name_and_version(self, entry: &Path) -> Result<Option<(String, String)>, DetectError> {
        let head = |file: &Path| {
            let bytes = small_files::read_head(file, HEAD_BYTES)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (name, version) = match self {
            Self::Program => {
                let head = head(entry)?;
                let language =
                    assigned(&head, "$wp_local_package").unwrap_or_else(|| "en_US".into());
                (Some(language), assigned(&head, "$wp_version"))
            }
            Self::Plugin => {
                let mut version = None;
                for file in scripts(entry) {
                    let head = head(&file)?;
                    if header(&head, "Plugin Name").is_some() {
                        version = header(&head, "Version");
                        break;
                    }
                }
                (folder_name(entry), version)
            }
            Self::Theme => {
                let head = head(entry)?;
                (folder_name(entry), header(&head, "Theme Name").and(header(&head, "Version")))
            }
        };
        let is_word = |text: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=100).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.')
        };
        Ok(name.zip(version).filter(|(name, version)| is_word(name) && is_word(version)))
    }

    /// The page that shows whether this version exists.
    fn page(self, host: &str, name: &str, version: &str) -> String {
        match self {
            Self::Program => {
                format!("https://api.{host}/core/checksums/1.0/?version={version}&locale={name}")
            }
            Self::Plugin => {
                format!("https://downloads.{host}/plugin-checksums/{name}/{version}.json")
            }
            Self::Theme => format!(
                "https://api.{host}/themes/info/1.1/?action=theme_information&request[slug]={name}\
                 &request[fields][versions]=1"
            ),
        }
    }

    fn url(self, host: &str, name: &str, version: &str) -> String {
        match self {
            Self::Program if name == "en_US" => format!("https://{host}/wordpress-{version}.zip"),
            Self::Program => {
                format!("https://downloads.{host}/release/{name}/wordpress-{version}.zip")
            }
            Self::Plugin | Self::Theme => {
                format!("https://downloads.{host}/{}{name}.{version}.zip", self.folder())
            }
        }
    }
}

/// Is it the name of a plugin's readme, in one of the spellings that the directory accepts?
fn is_readme(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"readme.txt") || name.eq_ignore_ascii_case(b"readme.md")
}

/// The scripts beside a plugin's readme, one of which contains its header.
fn scripts(readme: &Path) -> Vec<PathBuf> {
    let entries = readme.parent().and_then(|folder| fs_err::read_dir(folder).ok());
    let paths = entries.into_iter().flatten().take(MOST_FILES).flatten().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "php")).collect();
    scripts.sort();
    scripts
}

fn folder_name(entry: &Path) -> Option<String> {
    entry.parent()?.file_name()?.to_str().map(str::to_owned)
}

/// The value of `NAME: VALUE` in a comment, as the program itself reads it: in any case, on a line of any system, also on the one
/// with which the script begins; the end of the comment is no part of the value.
fn header(head: &str, name: &str) -> Option<String> {
    head.split(['\n', '\r']).find_map(|line| {
        let line = line.trim_start_matches([' ', '\t']);
        let line = line.strip_prefix("<?php").unwrap_or(line);
        let line = line.trim_start_matches([' ', '\t', '/', '*', '#', '@']);
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(':').filter(|_| found.eq_ignore_ascii_case(name))?;
        let end = ["*/", "?>"].iter().filter_map(|end| value.find(end)).min();
        Some(value[..end.unwrap_or(value.len())].trim().to_owned())
    })
}

/// The text that a script assigns to a variable.
fn assigned(head: &str, variable: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let value = line.trim_start().strip_prefix(variable)?.trim_start().strip_prefix('=')?;
        let value = value.trim().strip_suffix(';')?.trim_end();
        Some(value.strip_prefix('\'')?.strip_suffix('\'')?.to_owned())
    })
}

/// The host that the program at or above `entry` contacts for updates, without its `api.`.
fn directory(entry: &Path) -> Result<Option<String>, DetectError> {
    for folder in entry.ancestors().skip(1) {
        let file = folder.join("wp-includes/update.php");
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let host = text.split("://api.").skip(1).find_map(|rest| {
            let (host, _) = rest.split_once("/core/version-check/")?;
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            (host.contains('.') && host.bytes().all(allowed)).then(|| host.to_owned())
        });
        return Ok(host);
    }
    Ok(None)
}

/// Asks the directory whether it has a version.
#[derive(Debug)]
struct Published {
    pages: Vec<String>,
    kind: Kind,
    version: String,
    url: String,
}

impl Question for Published {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, _url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let mut page_of = Page { version: &self.version, ..Page::default() };
        let mut json = serde_json::Deserializer::from_slice(page);
        DeserializeSeed::deserialize(Object(&mut page_of), &mut json)
            .and_then(|_| json.end())
            .map_err(|error| error.to_string())?;
        let is_there = match self.kind {
            Kind::Program => page_of.checksums == Scalar::Object,
            Kind::Plugin => page_of.files == Scalar::Object,
            Kind::Theme => page_of.has_version,
        };
        Ok(is_there.then(|| Answer { url: self.url.clone(), ..Answer::default() }))
    }
}

/// The fields of a page that are used here.
#[derive(Default)]
struct Page<'a> {
    version: &'a str,
    checksums: Scalar,
    files: Scalar,
    /// Does `versions` have the version?
    has_version: bool,
}

impl<'de> Fields<'de> for Page<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: &str, object: &mut A) -> Result<(), A::Error> {
        match key {
            "checksums" => self.checksums = object.next_value()?,
            "files" => self.files = object.next_value()?,
            "versions" => {
                let mut versions = Versions { wanted: self.version, has_it: false };
                object.next_value_seed(Object(&mut versions))?;
                self.has_version = versions.has_it;
            }
            _ => skip(object)?,
        }
        Ok(())
    }
}

/// `"VERSION": "URL"`.
struct Versions<'a> {
    wanted: &'a str,
    has_it: bool,
}

impl<'de> Fields<'de> for Versions<'_> {
    fn field<A: MapAccess<'de>>(&mut self, version: &str, object: &mut A) -> Result<(), A::Error> {
        let url: Scalar = object.next_value()?;
        self.has_it |= version == self.wanted && matches!(url, Scalar::Text(_));
        Ok(())
    }
}
