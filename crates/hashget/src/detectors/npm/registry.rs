//! Which registries this machine's npm uses: from `.npmrc`, the environment, and npm's own default.
//!
//! Invariant: a registry with a password in its URL, or with a token configured for it, gives no URL.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::detectors::{DetectError, Machine, public_url, small_files};

/// Size limit of a configuration file; a larger file is reported and ignored.
const MAX_BYTES: u64 = 4 << 20;

const CONFIGURATION: &[&str] =
    &[".npmrc", "etc/npmrc", "usr/etc/npmrc", "usr/local/etc/npmrc", "lib/node_modules/npm/npmrc"];

/// Possible paths of npm's own defaults.
const DEFAULTS: &[&str] = &[
    "usr/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
    "usr/local/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
    "lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js",
    "usr/share/nodejs/@npmcli/config/lib/definitions/definitions.js",
];

/// Registries by scope; the empty one is for all others.
#[derive(Debug, Default)]
pub(super) struct Registries {
    by_scope: BTreeMap<String, String>,
    /// Registries, without scheme, for which a password or token is configured.
    private: BTreeSet<String>,
}

impl Registries {
    /// The registries configured for `file`.
    pub(super) fn of(machine: &Machine, file: &Path, note: &mut dyn FnMut(DetectError)) -> Self {
        let mut registries = Self::default();
        for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY", "YARN_NPM_REGISTRY_SERVER"] {
            if let Some(url) = machine.variable(name) {
                registries.by_scope.entry(String::new()).or_insert_with(|| url.to_owned());
            }
        }
        for file in machine.files_for(file, CONFIGURATION) {
            if let Some(bytes) = small_files::read_optional(&file, MAX_BYTES, note) {
                registries.add(&String::from_utf8_lossy(&bytes));
            }
        }
        if !registries.by_scope.contains_key("") {
            let files = machine.files_for(file, DEFAULTS);
            if let Some(url) = files.iter().find_map(|file| default_in(file, note)) {
                registries.by_scope.insert(String::new(), url);
            }
        }
        registries
    }

    /// Lines `registry=URL`, `@SCOPE:registry=URL`, `//HOST/PATH/:_authToken=...`.
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
            if let Some(scope) = key.strip_suffix("registry") {
                let scope = scope.trim_end_matches(':').to_owned();
                self.by_scope.entry(scope).or_insert_with(|| value.to_owned());
            } else if let Some((registry, secret)) = key.rsplit_once(':')
                && registry.starts_with("//")
                && secret.starts_with('_')
            {
                self.private.insert(registry.trim_end_matches('/').to_owned());
            }
        }
    }

    /// Is this the URL of a package in one of the registries?
    pub(super) fn has(&self, url: &str) -> bool {
        self.by_scope.values().any(|registry| {
            let rest = url.strip_prefix(registry.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
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
        let without_scheme = registry.find("//").map_or(registry, |at| &registry[at..]);
        if self.private.contains(without_scheme) {
            return Err("its registry asks for a token: it is not public".to_owned());
        }
        let base = name.rsplit('/').next().unwrap_or(name);
        public_url(&format!("{registry}/{name}/-/{base}-{version}.tgz"))
            .map_err(|error| format!("its registry's address: {error}"))
    }
}

/// `registry: new Definition('registry', { default: 'URL'`, or the syntax of older versions.
fn default_in(file: &Path, note: &mut dyn FnMut(DetectError)) -> Option<String> {
    let bytes = small_files::read_optional(file, MAX_BYTES, note)?;
    let code = String::from_utf8_lossy(&bytes).into_owned();
    let rest = code.split("('registry', {").nth(1)?.split("default:").nth(1)?;
    let url = rest.trim_start().strip_prefix(['"', '\''])?.split(['"', '\'']).next()?;
    Some(url.to_owned())
}
