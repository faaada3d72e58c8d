//! Registries that stand in for another one: a company's mirror, by Cargo's source replacement.
//!
//! Invariant: what Cargo's configuration calls a mirror of another source is never taken for the permanent place
//! of a crate without a note.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::{Registry, is_registry_name};
use crate::detectors::{Machine, small_files};

/// Size limit of a configuration; a larger file is ignored.
const MAX_BYTES: u64 = 1 << 20;

/// Limit on the length of a chain of replacements.
const MAX_CHAIN: usize = 8;

/// The names of Cargo's configuration.
const NAMES: [&str; 2] = [".cargo/config.toml", ".cargo/config"];

/// What stands behind the index of a registry.
pub(super) enum Behind {
    /// It is the registry itself.
    Itself,
    /// It is a mirror of this one.
    Public(Registry),
    /// It is a mirror of one that this machine has no index of; the file says so.
    Unknown(PathBuf),
}

impl Behind {
    /// What stands behind the index `host` in the folder `registry`.
    pub(super) fn find(machine: &Machine, registry: &Path, host: &Path) -> Self {
        let configurations = configurations(machine, registry);
        let is_mirror = |name: &OsStr| {
            configurations.iter().find(|(_, configuration)| {
                configuration.mirrors().iter().any(|mirror| is_index_of(name, mirror))
            })
        };
        let Some((file, _)) = is_mirror(host.as_os_str()) else { return Self::Itself };
        let entries = fs_err::read_dir(registry.join("index"));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        // The registry that Cargo has built in needs no configuration.
        let is_own = |name: &OsStr| {
            is_registry_name(name.as_bytes())
                && !configurations.iter().any(|(_, configuration)| {
                    configuration.addresses().any(|address| is_index_of(name, address))
                })
        };
        let mut own = names.filter(|name| is_own(name));
        let public = match (own.next(), own.next()) {
            (Some(name), None) => Registry::open(machine, &registry.join("index").join(name)).ok(),
            _ => None,
        };
        public.map_or_else(|| Self::Unknown(file.clone()), Self::Public)
    }
}

/// Cargo's configurations for a folder `registry`.
fn configurations(machine: &Machine, registry: &Path) -> Vec<(PathBuf, Configuration)> {
    let mut files = machine.files_for(registry, &NAMES);
    let homes = [machine.variable("CARGO_HOME").map(Path::new), registry.parent()];
    for home in homes.into_iter().flatten() {
        files.extend(["config.toml", "config"].map(|name| home.join(name)));
    }
    let read = |file: PathBuf| {
        let bytes = small_files::read_whole(&file, MAX_BYTES).ok()??;
        let configuration = toml::from_str(&String::from_utf8_lossy(&bytes)).ok()?;
        Some((file, configuration))
    };
    files.into_iter().filter_map(read).collect()
}

/// The fields that are used here.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Configuration {
    source: BTreeMap<String, Source>,
    registries: BTreeMap<String, Index>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Source {
    replace_with: Option<String>,
    registry: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Index {
    index: Option<String>,
}

impl Configuration {
    /// The addresses of registries that stand in for the one that Cargo has built in: that source has no
    /// address in a configuration.
    fn mirrors(&self) -> Vec<&str> {
        let replaced = self.source.values().filter(|source| source.registry.is_none());
        replaced.filter_map(|source| self.end_of(source.replace_with.as_deref()?)).collect()
    }

    /// The address of the source at the end of a chain of replacements.
    fn end_of(&self, name: &str) -> Option<&str> {
        let mut name = name;
        for _ in 0..MAX_CHAIN {
            match self.source.get(name).and_then(|source| source.replace_with.as_deref()) {
                Some(next) => name = next,
                None => break,
            }
        }
        let source = self.source.get(name).and_then(|source| source.registry.as_deref());
        source.or_else(|| self.registries.get(name)?.index.as_deref())
    }

    /// The addresses of all registries.
    fn addresses(&self) -> impl Iterator<Item = &str> {
        let sources = self.source.values().filter_map(|source| source.registry.as_deref());
        sources.chain(self.registries.values().filter_map(|registry| registry.index.as_deref()))
    }
}

/// Is `name` (`HOST-HASH`) the index of the registry at this address?
fn is_index_of(name: &OsStr, address: &str) -> bool {
    let address = address.split_once('+').map_or(address, |(_, url)| url);
    let Ok(url) = Url::parse(address) else { return false };
    let name = name.as_bytes();
    let host = name.get(..name.len().saturating_sub(17)).unwrap_or_default();
    url.host_str().is_some_and(|known| known.as_bytes() == host)
}
