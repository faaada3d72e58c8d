//! Which indexes this machine's Python clients use: from the configuration of pip and uv, from requirement
//! files, and otherwise pip's own default.
//!
//! Invariant: if an index replaces the default, the default is not asked. If a package may be private, no index is told its
//! name: the configuration forbids indexes or cannot be read, or one of the indexes wants a login.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ini;
use crate::detectors::json::without_mark;
use crate::detectors::{DetectError, Machine, public_url, small_files};

/// Size limit of a configuration file; a larger file is reported, and no index is asked.
const MAX_BYTES: u64 = 1 << 20;

/// pip's configuration: of a virtual environment, of a user, of the machine.
const PIP: &[&str] =
    &["pip.conf", ".config/pip/pip.conf", ".pip/pip.conf", "etc/pip.conf", "etc/xdg/pip/pip.conf"];
const UV: &[&str] = &["uv.toml", ".config/uv/uv.toml", "etc/uv/uv.toml"];
const PROJECT: &[&str] = &["pyproject.toml"];
const REQUIREMENTS: &[&str] = &["requirements.txt", "requirements-dev.txt", "constraints.txt"];

/// The file of pip with its default index, beside the package or in a Python above it.
const PIP_ITSELF: &str = "pip/_internal/models/index.py";

/// Where packages of any name are asked for.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    /// URLs of indexes, without a trailing `/`, in the order in which they are asked.
    urls: Vec<String>,
    /// Indexes only for the packages that are assigned to them, by their names.
    explicit: BTreeMap<String, String>,
    /// For packages, by their normalised names, the name of the index that they are assigned to.
    assigned: BTreeMap<String, String>,
    /// Is the only index the one that pip has built in?
    pub(super) is_built_in: bool,
    has_default: bool,
    /// Why no index is asked, and the file that says so.
    refusal: Option<(PathBuf, &'static str)>,
}

const LOGIN: &str = "its index asks for a password: its packages are not public";
const NO_INDEX: &str =
    "it says that no index is used (no-index): where its packages are from is not known";
const UNREADABLE: &str = "it cannot be read, so it is not known which indexes may be asked";

impl Indexes {
    /// The indexes for a package installed with its `dist-info` in `folder`.
    pub(super) fn configured(
        machine: &Machine,
        folder: &Path,
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let mut indexes = Self::default();
        let environment = Path::new("the environment");
        for name in ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"] {
            indexes.add_words(machine.variable(name), true, environment);
        }
        for name in ["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"] {
            indexes.add_words(machine.variable(name), false, environment);
        }
        if ["PIP_NO_INDEX", "UV_NO_INDEX"]
            .iter()
            .any(|name| machine.variable(name).is_some_and(is_yes))
        {
            indexes.refuse(environment, NO_INDEX);
        }
        let named = machine.variable("PIP_CONFIG_FILE").map(PathBuf::from);
        for file in named.into_iter().chain(machine.files_for(folder, PIP)) {
            indexes.read(&file, note, Self::add_pip);
        }
        for file in machine.files_for(folder, UV) {
            indexes.read(&file, note, |indexes, text, file| match text.parse() {
                Ok(table) => indexes.add_uv(&table, file),
                Err(_) => indexes.refuse(file, UNREADABLE),
            });
        }
        for file in machine.files_for(folder, PROJECT) {
            indexes.read(&file, note, Self::add_project);
        }
        for file in machine.files_for(folder, REQUIREMENTS) {
            indexes.read(&file, note, Self::add_requirements);
        }
        if !indexes.has_default && indexes.refusal.is_none() {
            indexes.is_built_in = indexes.urls.is_empty();
            indexes.add_default(machine, folder, note);
        }
        indexes
    }

    /// Why no index is asked for packages, and the file that says so.
    pub(super) fn refusal(&self) -> Option<(&Path, &'static str)> {
        self.refusal.as_ref().map(|(file, why)| (file.as_path(), *why))
    }

    /// The indexes for the package of this normalised name.
    pub(super) fn for_package(&self, name: &str) -> Vec<String> {
        match self.assigned.get(name) {
            // An index that nobody names any more is not known.
            Some(index) => self.explicit.get(index).cloned().into_iter().collect(),
            None => self.urls.clone(),
        }
    }

    fn refuse(&mut self, file: &Path, why: &'static str) {
        self.refusal.get_or_insert_with(|| (file.to_owned(), why));
    }

    fn read(
        &mut self,
        file: &Path,
        note: &mut dyn FnMut(DetectError),
        add: impl Fn(&mut Self, &str, &Path),
    ) {
        match small_files::read_whole(file, MAX_BYTES) {
            Ok(Some(bytes)) => add(self, &String::from_utf8_lossy(without_mark(&bytes)), file),
            Ok(None) => {}
            Err(error) => {
                note(error);
                self.refuse(file, UNREADABLE);
            }
        }
    }

    fn add_words(&mut self, words: Option<&str>, is_default: bool, file: &Path) {
        for word in words.unwrap_or_default().split_ascii_whitespace() {
            // In uv, an index may have a name: NAME=URL.
            let url = word.split_once('=').filter(|(name, _)| !name.contains(':'));
            self.add(url.map_or(word, |(_, url)| url), is_default, file);
        }
    }

    fn add(&mut self, url: &str, is_default: bool, file: &Path) {
        // The nearest default wins.
        if is_default && self.has_default {
            return;
        }
        self.has_default |= is_default;
        if let Some(url) = self.checked(url, file)
            && !self.urls.contains(&url)
        {
            self.urls.push(url);
        }
    }

    /// The URL of an index, without a trailing `/`.
    fn checked(&mut self, url: &str, file: &Path) -> Option<String> {
        let url = url.trim().trim_matches(['"', '\'']);
        // Folders of a file system can be indexes, too.
        if url.starts_with("file:") || url.starts_with(['/', '.']) {
            return None;
        }
        match public_url(url) {
            Ok(url) => Some(url.trim_end_matches('/').to_owned()),
            Err(_) => {
                self.refuse(file, LOGIN);
                None
            }
        }
    }

    /// Sections `[global]` and `[install]`.
    fn add_pip(&mut self, text: &str, file: &Path) {
        let sections = ini::read(text);
        let value = |key: &str| {
            let of = |section: &str| sections.get(section)?.get(key).map(String::as_str);
            of("install").or_else(|| of("global"))
        };
        self.add_words(value("index-url"), true, file);
        self.add_words(value("extra-index-url"), false, file);
        if value("no-index").is_some_and(is_yes) {
            self.refuse(file, NO_INDEX);
        }
    }

    /// `[[index]]` with `url`, and the older `index-url` and `extra-index-url`.
    fn add_uv(&mut self, table: &toml::Table, file: &Path) {
        let is =
            |value: Option<&toml::Value>| value.and_then(toml::Value::as_bool).unwrap_or(false);
        if is(table.get("no-index")) {
            self.refuse(file, NO_INDEX);
        }
        let lists =
            |key: &str| table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        for index in lists("index") {
            let Some(url) = index.get("url").and_then(toml::Value::as_str) else { continue };
            if let Some(name) = index.get("name").and_then(toml::Value::as_str)
                && let Some(url) = self.checked(url, file)
            {
                self.explicit.entry(name.to_owned()).or_insert(url);
            }
            // An explicit index is only for the packages that are assigned to it.
            if !is(index.get("explicit")) {
                self.add(url, is(index.get("default")), file);
            }
        }
        self.add_assigned(table.get("sources"));
        if let Some(url) = table.get("index-url").and_then(toml::Value::as_str) {
            self.add(url, true, file);
        }
        for url in lists("extra-index-url").filter_map(toml::Value::as_str) {
            self.add(url, false, file);
        }
        if let Some(pip) = table.get("pip").and_then(toml::Value::as_table) {
            self.add_uv(pip, file);
        }
    }

    /// `[tool.uv.sources]`: `NAME = { index = "INDEX" }`, or a list of such.
    fn add_assigned(&mut self, sources: Option<&toml::Value>) {
        for (package, source) in sources.and_then(toml::Value::as_table).into_iter().flatten() {
            let several = source.as_array().and_then(|several| several.first());
            let index = several.unwrap_or(source).get("index").and_then(toml::Value::as_str);
            if let Some(index) = index {
                let package = super::names::normalised(package);
                self.assigned.entry(package).or_insert_with(|| index.to_owned());
            }
        }
    }

    /// `[tool.uv]`, and Poetry's `[[tool.poetry.source]]`.
    fn add_project(&mut self, text: &str, file: &Path) {
        let Ok(table) = text.parse::<toml::Table>() else {
            return self.refuse(file, UNREADABLE);
        };
        let Some(tool) = table.get("tool") else { return };
        if let Some(uv) = tool.get("uv").and_then(toml::Value::as_table) {
            self.add_uv(uv, file);
        }
        let sources = tool.get("poetry").and_then(|poetry| poetry.get("source"));
        for source in sources.and_then(toml::Value::as_array).into_iter().flatten() {
            let Some(url) = source.get("url").and_then(toml::Value::as_str) else { continue };
            // An explicit source is only for the packages that name it.
            if source.get("priority").and_then(toml::Value::as_str) == Some("explicit") {
                self.checked(url, file);
            } else {
                self.add(url, false, file);
            }
        }
    }

    /// Lines `--index-url URL`, `-i URL`, `--extra-index-url URL`, `--no-index`.
    fn add_requirements(&mut self, text: &str, file: &Path) {
        for line in text.lines() {
            if line.trim() == "--no-index" {
                self.refuse(file, NO_INDEX);
            }
            let Some((option, value)) = line.trim().split_once([' ', '=']) else { continue };
            match option {
                "--index-url" | "-i" => self.add_words(Some(value), true, file),
                "--extra-index-url" => self.add_words(Some(value), false, file),
                _ => {}
            }
        }
    }

    /// pip's default is in its code: `PyPI = PackageIndex("ADDRESS", ...`.
    fn add_default(&mut self, machine: &Machine, folder: &Path, note: &mut dyn FnMut(DetectError)) {
        for file in pips(machine, folder) {
            let Some(bytes) = small_files::read_optional(&file, MAX_BYTES, note) else { continue };
            let code = String::from_utf8_lossy(&bytes).into_owned();
            let address = code
                .lines()
                .find_map(|line| line.strip_prefix("PyPI = PackageIndex("))
                .and_then(|rest| rest.trim_start().strip_prefix(['"', '\'']))
                .and_then(|rest| rest.split(['"', '\'']).next());
            if let Some(address) = address {
                self.add(&format!("{}/simple", address.trim_end_matches('/')), true, &file);
                return;
            }
        }
    }
}

/// Is this what Python's configuration files call true?
fn is_yes(text: &str) -> bool {
    ["1", "yes", "true", "on", "y", "t"].contains(&text.trim().to_ascii_lowercase().as_str())
}

/// Copies of pip: beside the package, in a Python below one of the folders above it, in that of the machine.
fn pips(machine: &Machine, folder: &Path) -> Vec<PathBuf> {
    let beside = folder.parent().into_iter().map(|site| site.join(PIP_ITSELF));
    let mut found: Vec<PathBuf> = beside.collect();
    // Files in the top folder belong to the machine itself.
    let above = folder.ancestors().skip(2).filter(|folder| folder.parent().is_some());
    let above = above.map(Path::to_path_buf);
    let homes = machine.homes.iter().map(|home| home.join(".local"));
    for place in above.chain(homes).chain(machine.root.clone()) {
        for lib in [place.join("lib"), place.join("usr/lib"), place.join("usr/local/lib")] {
            let Ok(pythons) = fs_err::read_dir(&lib) else { continue };
            let mut pythons: Vec<PathBuf> = pythons.flatten().map(|entry| entry.path()).collect();
            pythons.retain(|python| {
                python
                    .file_name()
                    .is_some_and(|name| name.as_encoded_bytes().starts_with(b"python"))
            });
            pythons.sort();
            for python in pythons {
                found.push(python.join("site-packages").join(PIP_ITSELF));
                found.push(python.join("dist-packages").join(PIP_ITSELF));
            }
        }
    }
    found.retain(|file| small_files::is_file(file));
    found
}
