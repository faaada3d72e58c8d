//! Which registries this machine's npm, yarn and pnpm use: from `.npmrc`, `.yarnrc`, `.yarnrc.yml`, the environment, and
//! npm's own default.
//!
//! Invariant: the nearest configuration wins; a registry with a password in its URL gives no URL. (Registries for which a
//! client has credentials elsewhere are left out by the caller of the detectors, for all ecosystems alike.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::detectors::json::without_mark;
use crate::detectors::{DetectError, Machine, public_url, small_files, yaml};

/// Size limit of a configuration file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 4 << 20;

const CONFIGURATION: &[&str] = &[
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "etc/npmrc",
    "usr/etc/npmrc",
    "usr/local/etc/npmrc",
    "lib/node_modules/npm/npmrc",
];

/// The file in npm with its default, relative to a folder of global packages.
const ITSELF: &str = "npm/node_modules/@npmcli/config/lib/definitions/definitions.js";

/// Folders of global packages.
const GLOBAL: &[&str] = &[
    "usr/lib/node_modules",
    "usr/local/lib/node_modules",
    "lib/node_modules",
    ".local/lib/node_modules",
];

/// The same file in a distribution.
const OF_SYSTEM: &str = "usr/share/nodejs/@npmcli/config/lib/definitions/definitions.js";

/// Folders with a folder for each version of Node, and the path of the global packages in that.
const VERSIONS: &[(&str, &str)] = &[
    (".nvm/versions/node", "lib/node_modules"),
    (".volta/tools/image/node", "lib/node_modules"),
    (".volta/tools/image/npm", "lib/node_modules"),
    (".fnm/node-versions", "installation/lib/node_modules"),
    (".local/share/fnm/node-versions", "installation/lib/node_modules"),
    (".asdf/installs/nodejs", "lib/node_modules"),
    (".nodenv/versions", "lib/node_modules"),
    (".local/share/mise/installs/node", "lib/node_modules"),
    ("usr/local/n/versions/node", "lib/node_modules"),
    ("opt/nvm/versions/node", "lib/node_modules"),
];

/// Registries by scope; the empty one is for all others.
#[derive(Debug, Default)]
pub(super) struct Registries {
    by_scope: BTreeMap<String, String>,
}

impl Registries {
    /// The registries configured for `file`.
    pub(super) fn configured(
        machine: &Machine,
        file: &Path,
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let mut registries = Self::default();
        for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER"] {
            if let Some(url) = machine.variable(name) {
                registries.add("", url);
            }
        }
        for file in machine.files_for(file, CONFIGURATION) {
            if let Some(bytes) = small_files::read_optional(&file, MAX_BYTES, note) {
                let text = String::from_utf8_lossy(without_mark(&bytes)).into_owned();
                match file.file_name().and_then(|name| name.to_str()) {
                    Some(".yarnrc.yml") => registries.add_yaml(&text),
                    Some(".yarnrc") => registries.add_yarnrc(&text),
                    _ => registries.add_npmrc(&text),
                }
            }
        }
        if !registries.by_scope.contains_key("") {
            let files = defaults(machine, file);
            if let Some(url) = files.iter().find_map(|file| default_in(file, note)) {
                registries.add("", &url);
            }
        }
        registries
    }

    /// Adds a registry, unless a nearer file has one for the scope.
    fn add(&mut self, scope: &str, url: &str) {
        self.by_scope.entry(scope.to_owned()).or_insert_with(|| url.to_owned());
    }

    /// Lines `registry=URL` and `@SCOPE:registry=URL`.
    fn add_npmrc(&mut self, text: &str) {
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            self.add_key(key.trim(), value);
        }
    }

    /// Is this the URL of a package in one of the registries?
    pub(super) fn has(&self, url: &str) -> bool {
        self.by_scope.values().any(|registry| {
            let rest = url.strip_prefix(registry.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Lines `registry "URL"` and `"@SCOPE:registry" "URL"`.
    fn add_yarnrc(&mut self, text: &str) {
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once([' ', '\t']) else { continue };
            self.add_key(key.trim_matches('"'), value);
        }
    }

    fn add_key(&mut self, key: &str, value: &str) {
        let scope = match key.strip_suffix("registry") {
            Some("") => "",
            Some(scope) => match scope.strip_suffix(':') {
                Some(scope) => scope,
                None => return,
            },
            None => return,
        };
        self.add(scope, value.trim().trim_matches(['"', '\'']));
    }

    /// `npmRegistryServer`, for all packages and by scope. What stands before an error counts.
    fn add_yaml(&mut self, text: &str) {
        let _ = yaml::read(text, &mut |keys, value| match (keys, value) {
            (["npmRegistryServer"], Some(url)) => self.add("", url),
            (["npmScopes", scope, "npmRegistryServer"], Some(url)) => {
                self.add(&format!("@{scope}"), url);
            }
            _ => {}
        });
    }

    /// The URL of a package's version, or why it is not known.
    pub(super) fn url(&self, name: &str, version: &str) -> Result<String, String> {
        let scope = name.split_once('/').map_or("", |(scope, _)| scope);
        let registry =
            self.by_scope.get(scope).or_else(|| self.by_scope.get("")).ok_or_else(|| {
                "neither the lock file nor any configuration says which registry it is from"
                    .to_owned()
            })?;
        let registry = registry.trim_end_matches('/');
        let base = name.rsplit('/').next().unwrap_or(name);
        public_url(&format!("{registry}/{name}/-/{base}-{version}.tgz"))
            .map_err(|error| format!("its registry's address: {error}"))
    }
}

/// Copies of npm's own configuration, those of the newest Node first.
fn defaults(machine: &Machine, file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for root in machine.systems_for(file) {
        found.extend(GLOBAL.iter().map(|folder| root.join(folder).join(ITSELF)));
        found.push(root.join(OF_SYSTEM));
        for (folder, within) in VERSIONS {
            let Ok(entries) = fs_err::read_dir(root.join(folder)) else { continue };
            let mut versions: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            versions.sort();
            found.extend(versions.iter().rev().map(|version| version.join(within).join(ITSELF)));
        }
    }
    found.retain(|file| small_files::is_file(file));
    found
}

/// `registry: new Definition('registry', { default: 'URL'`, or the syntax of older versions.
fn default_in(file: &Path, note: &mut dyn FnMut(DetectError)) -> Option<String> {
    let bytes = small_files::read_optional(file, MAX_BYTES, note)?;
    let code = String::from_utf8_lossy(&bytes).into_owned();
    let rest = code.split("('registry', {").nth(1)?.split("default:").nth(1)?;
    let url = rest.trim_start().strip_prefix(['"', '\''])?.split(['"', '\'']).next()?;
    Some(url.to_owned())
}
