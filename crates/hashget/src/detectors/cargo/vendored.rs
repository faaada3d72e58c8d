//! Crates placed by `cargo vendor`: `NAME/.cargo-checksum.json` has the digest of the crate and of each file.
//!
//! Invariant: a crate's URL comes from a registry on this machine whose index has it with the same digest, or
//! from the only registry on this machine; its name and version come from the `Cargo.toml` that the registry
//! made.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Index, Package, Registry};
use crate::detectors::{Candidate, DetectError, Machine, small_files};
use crate::model::{Digest, Origin, RelPath, Signature};

/// The file that `cargo vendor` writes.
pub(super) const CHECKSUMS: &[u8] = b".cargo-checksum.json";

/// Size limit of the checksums; a larger file is an error.
const MAX_BYTES: u64 = 16 << 20;

/// Size limit of Cargo.toml; a larger file is an error.
const MAX_MANIFEST: u64 = 1 << 20;

/// Only the digest of the crate. Those of its files prove nothing: whoever patches a vendored crate brings them up to date.
#[derive(serde::Deserialize)]
struct Checksums {
    /// Absent if the crate comes from a repository.
    package: Option<Digest>,
}

/// The crate whose checksums are in `file`.
///
/// # Errors
/// The checksums cannot be parsed, or no registry on this machine is known to have the crate.
pub(super) fn detect(
    machine: &Machine,
    file: &Path,
    found_at: &RelPath,
    note: &mut dyn FnMut(DetectError),
) -> Result<Vec<Candidate>, DetectError> {
    let Some(bytes) = small_files::read_whole(file, MAX_BYTES)? else { return Ok(Vec::new()) };
    let checksums: Checksums = serde_json::from_slice(&bytes)
        .map_err(|error| DetectError::new(file, format!("it is not understood: {error}")))?;
    let (Some(sha256), Some(folder)) = (checksums.package, file.parent()) else {
        return Ok(Vec::new());
    };
    let package = package_in(folder)?;
    let vendor = folder.parent().unwrap_or(folder);
    let registries = machine.once(vendor, || registries(machine, folder));
    let holds = |place: &&RegistryFolders| {
        place.registry.as_ref().is_some_and(|registry| {
            registry.checksum(&package).is_ok_and(|checksum| checksum == sha256)
        })
    };
    let usable = || registries.iter().filter(|place| place.registry.is_some());
    let place = match (registries.iter().find(holds), usable().count()) {
        (Some(place), _) => place,
        (None, 1) => usable().next().unwrap_or(&registries[0]),
        _ => {
            return Err(DetectError::new(
                vendor,
                "no registry on this machine is known to have its crates: \"cargo fetch\" gets one",
            ));
        }
    };
    let Some(registry) = &place.registry else { return Ok(Vec::new()) };
    let folder_of_registry = place.index.ancestors().nth(2).unwrap_or(&place.index);
    let host = Path::new(place.index.file_name().unwrap_or_default());
    let index = Index { registry, folder: folder_of_registry, host };
    let (url, keeping) = index.url(machine, (&package, &sha256), note)?;
    let packed = place.cache.join(package.file_name());
    let size = fs_err::symlink_metadata(&packed).ok().filter(std::fs::Metadata::is_file);
    let size = size.map(|metadata| metadata.len());
    Ok(vec![Candidate {
        url,
        origin: Origin::Client,
        keeping,
        sha256: Some(sha256),
        size,
        signature: Some(Signature { kind: "crate".to_owned(), value: package.to_string() }),
        local_file: size.map(|_| packed),
        found_at: found_at.clone(),
        ..Candidate::default()
    }])
}

/// Name and version in the crate's own manifest.
fn package_in(folder: &Path) -> Result<Package, DetectError> {
    let file = folder.join("Cargo.toml");
    let wrong = |problem: &str| DetectError::new(&file, problem);
    let bytes =
        small_files::read_whole(&file, MAX_MANIFEST)?.ok_or_else(|| wrong("it is not there"))?;
    let text = String::from_utf8_lossy(&bytes);
    let (name, version) = match first_table(&text).and_then(|table| name_and_version(table).ok()) {
        Some(Some(found)) => found,
        _ => name_and_version(&text)
            .map_err(|_| wrong("it is not TOML"))?
            .ok_or_else(|| wrong("it has no name and version"))?,
    };
    // Parsed from the combined form, to check that both are valid.
    Package::parse(format!("{name}-{version}").as_bytes())
        .filter(|package| package.name == name && package.version == version)
        .ok_or_else(|| wrong("its name and version are not those of a crate"))
}

/// Everything up to the second table: in a manifest made by a registry, `[package]` is the first one, and the
/// others can be a hundred times as long. If the cut is inside a value, the part before it is not valid TOML.
fn first_table(text: &str) -> Option<&str> {
    let first = text.find("\n[package]\n")? + 1;
    let length = text[first..].find("\n[")?;
    Some(&text[..=first + length])
}

fn name_and_version(text: &str) -> Result<Option<(String, String)>, toml::de::Error> {
    let manifest: toml::Table = text.parse()?;
    let field = |name: &str| Some(manifest.get("package")?.get(name)?.as_str()?.to_owned());
    Ok(field("name").zip(field("version")))
}

/// A registry's folders on this machine.
struct RegistryFolders {
    /// `None` if the registry cannot be used: it is private, or a Git repository.
    registry: Option<Registry>,
    /// The folder of its index.
    index: PathBuf,
    /// The folder of its packed crates.
    cache: PathBuf,
}

/// The registries of this machine's Cargo, and of Cargo folders above the vendored crates.
fn registries(machine: &Machine, folder: &Path) -> Vec<RegistryFolders> {
    let variable = machine.variable("CARGO_HOME").map(PathBuf::from);
    let homes = folder.ancestors().skip(1).map(Path::to_path_buf).chain(machine.homes.clone());
    let mut found: Vec<RegistryFolders> = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for home in variable.into_iter().chain(homes.map(|home| home.join(".cargo"))) {
        let registry = home.join("registry");
        let Ok(indexes) = fs_err::read_dir(registry.join("index")) else { continue };
        let mut names: Vec<_> = indexes.flatten().map(|entry| entry.file_name()).collect();
        names.retain(|name| super::is_registry_name(name.as_bytes()));
        names.sort();
        for name in names {
            let index = registry.join("index").join(&name);
            if !seen.contains(&index) {
                let cache = registry.join("cache").join(&name);
                let opened = Registry::open(machine, &index).ok();
                found.push(RegistryFolders { registry: opened, index: index.clone(), cache });
                seen.push(index);
            }
        }
    }
    found
}
