//! npm, pnpm and yarn: packages in lock files that are installed beside them.
//!
//! Invariant: a package is a candidate only if its folder exists and it comes from a registry; its URL is in
//! the lock file, or follows from the registry for which this machine's clients are configured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Candidate, DetectError, Detector, Machine, public_url, small_files};
use crate::model::{Algorithm, Checksum, Keeping, Origin, RelPath, Signature};

mod lock;
mod registry;
mod yaml;

use lock::Locked;
use registry::Registries;

/// Recognises the lock files.
pub(super) struct Npm;

/// Size limit of a lock file; a larger file is an error.
const MAX_BYTES: u64 = 128 << 20;

impl Detector for Npm {
    fn name(&self) -> &str {
        "npm"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let within = |folder: &[u8]| {
            path.parent().is_some_and(|parent| parent.is_root() || parent.file_name() == folder)
        };
        match path.file_name() {
            b"package-lock.json" | b"npm-shrinkwrap.json" | b"yarn.lock" | b"pnpm-lock.yaml" => {
                true
            }
            b".package-lock.json" => within(b"node_modules"),
            b"lock.yaml" => within(b".pnpm"),
            _ => false,
        }
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = machine.real_path(root)?;
        let file = path.below(&root);
        let Some(bytes) = small_files::read_whole(&file, MAX_BYTES)? else { return Ok(Vec::new()) };
        let Some(modules) = modules_of(&file) else { return Ok(Vec::new()) };
        let wrong = |problem: String| DetectError::new(&file, problem);
        let locked = match path.file_name() {
            b"yarn.lock" => in_yaml(lock::yarn, &bytes, &mut |problem| note(wrong(problem))),
            b"pnpm-lock.yaml" | b"lock.yaml" => {
                in_yaml(lock::pnpm, &bytes, &mut |problem| note(wrong(problem)))
            }
            _ => lock::npm(&bytes).map_err(wrong)?,
        };
        let installed = locked.into_iter().filter(|locked| is_installed(&modules, locked));
        let caches = caches(machine);
        let mut registries: Option<Registries> = None;
        let mut candidates = BTreeMap::new();
        for locked in installed {
            let registries = registries.get_or_insert_with(|| Registries::of(machine, &file, note));
            let url = match &locked.resolved {
                Some(url) => public_url(url.split('#').next().unwrap_or(url))
                    .map_err(|error| error.to_string()),
                None => registries.url(&locked.name, &locked.version),
            };
            match url {
                Ok(url) => {
                    let mut candidate = candidate(&locked, &caches, path);
                    if registries.has(&url) {
                        candidate.origin = Origin::Client;
                        candidate.keeping = Keeping::Withdrawable;
                    }
                    candidates.insert(url.clone(), Candidate { url, ..candidate });
                }
                Err(problem) => note(wrong(format!("{}: {problem}", locked.name))),
            }
        }
        Ok(candidates.into_values().collect())
    }
}

fn candidate(locked: &Locked, caches: &[PathBuf], found_at: &RelPath) -> Candidate {
    let checksum = locked.integrity.as_deref().and_then(Checksum::of_integrity);
    let local_file = checksum.as_ref().and_then(|checksum| cached(caches, checksum));
    let value = format!("{}@{}", locked.name, locked.version);
    Candidate {
        local_file,
        checksum,
        signature: Some(Signature { kind: "npm".to_owned(), value }),
        found_at: found_at.clone(),
        ..Candidate::default()
    }
}

/// The packages in a lock file, up to the point where it is damaged.
fn in_yaml(
    read: fn(&str, &mut Vec<Locked>) -> Result<(), String>,
    bytes: &[u8],
    note: &mut dyn FnMut(String),
) -> Vec<Locked> {
    let mut found = Vec::new();
    read(&String::from_utf8_lossy(bytes), &mut found).unwrap_or_else(note);
    found
}

/// The folder `node_modules` to which a lock file applies.
fn modules_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    let is = |folder: &Path, name: &str| folder.file_name().is_some_and(|found| found == name);
    if is(folder, "node_modules") {
        return Some(folder.to_owned());
    }
    if is(folder, ".pnpm") {
        return folder.parent().map(Path::to_owned);
    }
    Some(folder.join("node_modules"))
}

/// Does its folder exist, with a package in it?
fn is_installed(modules: &Path, locked: &Locked) -> bool {
    let has_package = |folder: PathBuf| small_files::is_file(&folder.join("package.json"));
    let place = match &locked.place {
        Some(place) => RelPath::new(place.as_bytes()),
        None => RelPath::new(locked.name.as_bytes()),
    };
    let Ok(place) = place else { return false };
    // pnpm has a separate folder for each version.
    let folder = format!("{}@{}", locked.name.replace('/', "+"), locked.version);
    let pnpm = modules.join(".pnpm").join(folder).join("node_modules").join(&locked.name);
    has_package(place.below(modules)) || has_package(pnpm)
}

/// npm's caches, which store tarballs by their SHA-512.
fn caches(machine: &Machine) -> Vec<PathBuf> {
    let named = machine.variable("npm_config_cache").map(PathBuf::from);
    let homes = machine.homes.iter().map(|home| home.join(".npm"));
    named.into_iter().chain(homes).collect()
}

fn cached(caches: &[PathBuf], checksum: &Checksum) -> Option<PathBuf> {
    let (name, hex) = (checksum.algorithm().name(), hex::encode(checksum.as_bytes()));
    if checksum.algorithm() == Algorithm::Md5 {
        return None;
    }
    let below = format!("_cacache/content-v2/{name}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..]);
    caches.iter().map(|cache| cache.join(&below)).find(|file| small_files::is_file(file))
}
