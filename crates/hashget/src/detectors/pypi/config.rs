//! Which indexes this machine's Python clients use: from the configuration of pip and uv, from requirement
//! files, and otherwise pip's own default.
//!
//! Invariant: if an index replaces the default, the default is not asked; an index with a password is
//! reported and never used.

use std::path::{Path, PathBuf};

use crate::detectors::{DetectError, Machine, public_url, small_files};

/// Size limit of a configuration file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 4 << 20;

/// pip's configuration: of a virtual environment, of a user, of the machine.
const PIP: &[&str] =
    &["pip.conf", ".config/pip/pip.conf", ".pip/pip.conf", "etc/pip.conf", "etc/xdg/pip/pip.conf"];
const UV: &[&str] = &["uv.toml", ".config/uv/uv.toml", "etc/uv/uv.toml"];
const PROJECT: &[&str] = &["pyproject.toml"];
const REQUIREMENTS: &[&str] = &["requirements.txt", "requirements-dev.txt", "constraints.txt"];

/// The file of pip with its default index, beside the package or in a Python above it.
const PIP_ITSELF: &str = "pip/_internal/models/index.py";

/// URLs of indexes, without a trailing `/`, in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    pub(super) urls: Vec<String>,
    has_default: bool,
    private: Option<PathBuf>,
}

impl Indexes {
    /// The indexes for a package installed with its `dist-info` in `folder`.
    pub(super) fn of(machine: &Machine, folder: &Path, note: &mut dyn FnMut(DetectError)) -> Self {
        let mut indexes = Self::default();
        let environment = Path::new("the environment");
        for name in ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"] {
            indexes.add_words(machine.variable(name), true, environment);
        }
        for name in ["PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"] {
            indexes.add_words(machine.variable(name), false, environment);
        }
        let named = machine.variable("PIP_CONFIG_FILE").map(PathBuf::from);
        for file in named.into_iter().chain(machine.files_for(folder, PIP)) {
            indexes.read(&file, note, Self::add_pip);
        }
        for file in machine.files_for(folder, UV) {
            indexes
                .read(&file, note, |indexes, text, file| indexes.add_uv(&text.parse().ok(), file));
        }
        for file in machine.files_for(folder, PROJECT) {
            indexes.read(&file, note, Self::add_project);
        }
        for file in machine.files_for(folder, REQUIREMENTS) {
            indexes.read(&file, note, Self::add_requirements);
        }
        if !indexes.has_default {
            indexes.add_default(machine, folder, note);
        }
        indexes
    }

    /// The file that configures an index with a password, if there is no other index.
    pub(super) fn only_private(&self) -> Option<&Path> {
        self.private.as_deref().filter(|_| self.urls.is_empty())
    }

    fn read(
        &mut self,
        file: &Path,
        note: &mut dyn FnMut(DetectError),
        add: impl Fn(&mut Self, &str, &Path),
    ) {
        if let Some(bytes) = small_files::read_optional(file, MAX_BYTES, note) {
            add(self, &String::from_utf8_lossy(&bytes), file);
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
        match public_url(url.trim().trim_matches(['"', '\''])) {
            Ok(url) => {
                let url = url.trim_end_matches('/').to_owned();
                if !url.contains('?') && !self.urls.contains(&url) {
                    self.urls.push(url);
                }
            }
            Err(_) => self.private = Some(file.to_owned()),
        }
    }

    /// `[global]` and other sections with `index-url = ...`, and `extra-index-url`, which may continue on
    /// lines that begin with a space.
    fn add_pip(&mut self, text: &str, file: &Path) {
        let mut key = String::new();
        for line in text.lines() {
            let begins = !line.starts_with([' ', '\t']);
            let plain = line.trim();
            if plain.starts_with(['#', ';', '[']) || plain.is_empty() {
                key.clear();
                continue;
            }
            let value = match plain.split_once(['=', ':']).filter(|_| begins) {
                Some((name, value)) => {
                    key = name.trim().replace('_', "-");
                    value
                }
                None => plain,
            };
            match key.as_str() {
                "index-url" => self.add_words(Some(value), true, file),
                "extra-index-url" => self.add_words(Some(value), false, file),
                _ => {}
            }
        }
    }

    /// `[[index]]` with `url`, and the older `index-url` and `extra-index-url`.
    fn add_uv(&mut self, table: &Option<toml::Table>, file: &Path) {
        let Some(table) = table else { return };
        let lists =
            |key: &str| table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
        for index in lists("index") {
            let is_default = index.get("default").and_then(toml::Value::as_bool).unwrap_or(false);
            if let Some(url) = index.get("url").and_then(toml::Value::as_str) {
                self.add(url, is_default, file);
            }
        }
        if let Some(url) = table.get("index-url").and_then(toml::Value::as_str) {
            self.add(url, true, file);
        }
        for url in lists("extra-index-url").filter_map(toml::Value::as_str) {
            self.add(url, false, file);
        }
        if let Some(pip) = table.get("pip").and_then(toml::Value::as_table) {
            self.add_uv(&Some(pip.clone()), file);
        }
    }

    /// `[tool.uv]`, and Poetry's `[[tool.poetry.source]]`.
    fn add_project(&mut self, text: &str, file: &Path) {
        let Ok(table) = text.parse::<toml::Table>() else { return };
        let Some(tool) = table.get("tool") else { return };
        self.add_uv(&tool.get("uv").and_then(toml::Value::as_table).cloned(), file);
        let sources = tool.get("poetry").and_then(|poetry| poetry.get("source"));
        for source in sources.and_then(toml::Value::as_array).into_iter().flatten() {
            if let Some(url) = source.get("url").and_then(toml::Value::as_str) {
                self.add(url, false, file);
            }
        }
    }

    /// Lines `--index-url URL`, `-i URL`, `--extra-index-url URL`.
    fn add_requirements(&mut self, text: &str, file: &Path) {
        for line in text.lines() {
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
