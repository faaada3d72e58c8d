//! What lies in the folders `node_modules` of a project.
//!
//! Invariant: a package is installed where its folder has a `package.json`; symbolic links are not followed, so that each
//! package is found once.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::lock::{InstalledAt, Locked};
use crate::detectors::json::Scalar;
use crate::detectors::small_files;
use crate::model::RelPath;

/// Limit on the folders that are listed for one lock file.
const MOST_FOLDERS: usize = 100_000;

/// Size limit of a `package.json`; the version in a larger one is not read.
const MAX_BYTES: u64 = 1 << 20;

/// The installed packages of a project.
pub(super) struct Installed {
    /// The folder that contains `node_modules`.
    project: PathBuf,
    /// Folders of packages, by their names below any `node_modules`.
    by_name: OnceCell<BTreeMap<String, Vec<PathBuf>>>,
    /// The names of the folders in `node_modules/.pnpm`.
    of_pnpm: OnceCell<BTreeSet<String>>,
}

impl Installed {
    /// For the lock file at `file`: beside `node_modules`, in it, or in pnpm's folder in it.
    pub(super) fn beside(file: &Path) -> Option<Self> {
        let folder = file.parent()?;
        let modules = if folder.ends_with(".pnpm") { folder.parent()? } else { folder };
        let project = if modules.ends_with("node_modules") { modules.parent()? } else { folder };
        let (by_name, of_pnpm) = (OnceCell::new(), OnceCell::new());
        Some(Self { project: project.to_owned(), by_name, of_pnpm })
    }

    /// The folder in which the package lies, if it is installed.
    pub(super) fn place_of(&self, locked: &Locked) -> Option<PathBuf> {
        let modules = self.project.join("node_modules");
        let name = match &locked.place {
            InstalledAt::At(place) => {
                let place = RelPath::new(place.as_bytes()).ok()?.below(&self.project);
                return has_package(&place).then_some(place);
            }
            InstalledAt::Named(name) => name,
            InstalledAt::OwnName => &locked.name,
        };
        RelPath::new(name.as_bytes()).ok()?;
        self.in_pnpm(&modules, locked).or_else(|| {
            let places = self.by_name.get_or_init(|| listed(&modules)).get(name)?;
            let fits = |place: &&PathBuf| {
                version_in(place).is_some_and(|version| version == locked.version)
            };
            let unknown = |place: &&PathBuf| version_in(place).is_none();
            places.iter().find(fits).or_else(|| places.iter().find(unknown)).cloned()
        })
    }

    /// pnpm has a folder for each version, whose name continues if the package has peers.
    fn in_pnpm(&self, modules: &Path, locked: &Locked) -> Option<PathBuf> {
        let top = modules.join(".pnpm");
        let folders = self.of_pnpm.get_or_init(|| names_in(&top).into_iter().collect());
        let start = format!("{}@{}", locked.name.replace('/', "+"), locked.version);
        let of_version = folders.range(start.clone()..).take_while(|name| name.starts_with(&start));
        let is_it =
            |name: &&String| matches!(name.as_bytes().get(start.len()), None | Some(b'_' | b'('));
        let places = of_version
            .filter(is_it)
            .map(|name| top.join(name).join("node_modules").join(&locked.name));
        places.into_iter().find(|place| has_package(place))
    }
}

fn has_package(folder: &Path) -> bool {
    small_files::is_file(&folder.join("package.json"))
}

/// The packages below `modules`, and below those of the packages in it.
fn listed(modules: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = std::collections::VecDeque::from([modules.to_owned()]);
    for _ in 0..MOST_FOLDERS {
        let Some(modules) = folders.pop_front() else { break };
        for name in names_in(&modules) {
            let scoped = match name.starts_with('@') {
                true => names_in(&modules.join(&name))
                    .iter()
                    .map(|sub| format!("{name}/{sub}"))
                    .collect(),
                false => vec![name],
            };
            for name in scoped {
                let folder = modules.join(&name);
                let within = folder.join("node_modules");
                if small_files::is_folder(&within) {
                    folders.push_back(within);
                }
                if has_package(&folder) {
                    found.entry(name).or_default().push(folder);
                }
            }
        }
    }
    found
}

/// The names of the folders in `folder`, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let folders =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// The version in the `package.json` of a folder.
fn version_in(folder: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Package {
        #[serde(default)]
        version: Scalar,
    }
    let bytes = small_files::read_whole(&folder.join("package.json"), MAX_BYTES).ok()??;
    let package: Package = serde_json::from_slice(&bytes).ok()?;
    package.version.text().map(str::to_owned)
}
