//! npm, pnpm and yarn: packages in lock files that are installed beside them.
//!
//! Invariant: a package is a candidate only if its folder exists and it comes from a registry; its URL is in
//! the lock file, or follows from the registry for which this machine's clients are configured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::json::without_mark;
use super::{
    Candidate, DetectError, Detector, Machine, PackageUrl, below, described_url, of_kind,
    small_files,
};
use crate::model::{Algorithm, Checksum, Keeping, Origin, RelPath, Signature};

mod installed;
mod lock;
mod package_lock;
mod registry;

use installed::Installed;
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
        let Some(installed) = Installed::beside(&file) else { return Ok(Vec::new()) };
        let wrong = |problem: String| DetectError::new(&file, problem);
        let locked = match path.file_name() {
            b"yarn.lock" => in_yaml(lock::yarn, &bytes, &mut |problem| note(wrong(problem))),
            b"pnpm-lock.yaml" | b"lock.yaml" => {
                in_yaml(lock::pnpm, &bytes, &mut |problem| note(wrong(problem)))
            }
            _ => package_lock::read(&bytes).map_err(wrong)?,
        };
        let caches = caches(machine, &file);
        let mut registries: Option<Registries> = None;
        let mut candidates = BTreeMap::new();
        for locked in locked {
            let Some(folder) = installed.place_of(&locked) else { continue };
            let registries =
                registries.get_or_insert_with(|| Registries::configured(machine, &file, note));
            let url = match &locked.resolved {
                Some(url) => described_url(url)
                    .map(|(url, fragment)| (url, fragment.and_then(sha1)))
                    .map_err(|error| error.to_string()),
                None => registries.url(&locked.name, &locked.version).map(|url| (url, None)),
            };
            match url {
                Ok((url, sha1)) => {
                    let mut candidate = candidate(&locked, sha1, &caches, path);
                    if registries.has(&url) {
                        candidate.origin = Origin::Client;
                        candidate.keeping = Keeping::Withdrawable;
                    }
                    let covers = below(&root, &folder);
                    candidates.insert(url.clone(), Candidate { url, covers, ..candidate });
                }
                Err(problem) => note(wrong(format!("{}: {problem}", locked.name))),
            }
        }
        Ok(candidates.into_values().collect())
    }

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let (name, version) = of_kind(signature, "npm")?.rsplit_once('@')?;
        let name = name.to_lowercase();
        let (scope, name) = name.rsplit_once('/').unwrap_or(("", &name));
        Some(PackageUrl::new("npm", name).within([scope]).at(version))
    }
}

/// The package, with the digest in the lock file: older files of yarn have it only behind the URL.
fn candidate(
    locked: &Locked,
    sha1: Option<Checksum>,
    caches: &[PathBuf],
    found_at: &RelPath,
) -> Candidate {
    let checksum = locked.integrity.as_deref().and_then(Checksum::of_integrity).or(sha1);
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

/// The fragment of a URL as a SHA-1.
fn sha1(fragment: &str) -> Option<Checksum> {
    format!("sha1:{}", fragment.to_ascii_lowercase()).parse().ok()
}

/// The packages in a lock file, up to the point where it is damaged.
fn in_yaml(
    read: fn(&str, &mut Vec<Locked>) -> Result<(), String>,
    bytes: &[u8],
    note: &mut dyn FnMut(String),
) -> Vec<Locked> {
    let mut found = Vec::new();
    read(&String::from_utf8_lossy(without_mark(bytes)), &mut found).unwrap_or_else(note);
    found
}

/// npm's caches, which store tarballs by their SHA-512.
fn caches(machine: &Machine, file: &Path) -> Vec<PathBuf> {
    let named = machine.variable("npm_config_cache").map(PathBuf::from);
    let homes = machine.homes_for(file).into_iter().map(|home| home.join(".npm"));
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
