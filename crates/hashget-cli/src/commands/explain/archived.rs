//! `explain --archive`: where the entries of an existing archive come from.
//!
//! Invariant: paths are those of the packed tree; the disk is not accessed.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hashget::archive::{EntryOrigin, Requirements, entry_origins};
use hashget::hashdb::complete_members;
use hashget::model::manifest::{AnyManifest, ManifestError, Package, ProfileItem};
use hashget::model::{Digest, RelPath, display_name, escaped};
use hashget::tree::Globs;
use serde_json::json;

use crate::archive::{self, Knowledge};
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{safe, size};
use crate::selection::regenerable;

/// Number of packages that are named although it is not known whether they give a path.
const MOST_CANDIDATES: usize = 3;

/// Reports for each path where the archive gets it from.
pub(super) fn explain(
    archive: &Path,
    paths: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let manifest = archive::manifest(archive, environment)?;
    let requirements = Requirements::from_manifest(&manifest)?;
    let paths: Vec<RelPath> =
        paths.iter().map(|path| in_archive(path)).collect::<Result<_, _>>()?;
    let knowledge = Knowledge::new(environment, false)?;
    let members = knowledge.members(environment);
    let members_of = |sha256: &Digest, package: Option<&Package>| -> anyhow::Result<_> {
        match package {
            Some(package) => Ok(members.of(package, console)?),
            None => Ok(complete_members(members.hashdb, sha256)?),
        }
    };
    let found = entry_origins(&manifest, &paths, &members_of)?;
    let by_profile = regenerable::globs(manifest.regenerable());
    let mut missing = 0_u64;
    for (path, origin) in paths.iter().zip(found) {
        let (fate, why) = match &origin {
            EntryOrigin::Archived => ("archived", archived(&manifest, path)),
            EntryOrigin::Packages(_) => ("left_out", left_out(recipe_of(&manifest, path)?)),
            EntryOrigin::Link(to) => ("link", format!("a hard link to {to}")),
            EntryOrigin::Unknown(candidates) => ("unknown", may_give(candidates.len())),
            EntryOrigin::Nowhere => match item_of(&manifest, &by_profile, path) {
                Some(item) => ("excluded", format!("excluded: {}", regenerable::why(item))),
                None => {
                    missing += 1;
                    ("absent", "not in this archive".to_owned())
                }
            },
        };
        let (indices, shown) = match origin {
            EntryOrigin::Packages(indices) => (indices, usize::MAX),
            EntryOrigin::Unknown(indices) => (indices, MOST_CANDIDATES),
            EntryOrigin::Archived => (pieces_of(&manifest, path), usize::MAX),
            EntryOrigin::Link(_) | EntryOrigin::Nowhere => (Vec::new(), 0),
        };
        let packages = indices.iter().map(|&index| &requirements.packages[index]);
        let urls: Vec<&String> = packages.clone().map(|package| &package.url).collect();
        let recipe = recipe_of(&manifest, path)?;
        let record = json!({ "path": path, "fate": fate, "reason": why, "recipe": recipe, "packages": urls });
        console.data(|| format!("{path}: {why}"), "explained", || record)?;
        let more = urls.len().saturating_sub(shown);
        for package in packages.take(shown).filter(|_| !console.is_json()) {
            let bytes = package.size.map_or(String::new(), |bytes| format!(", {}", size(bytes)));
            let level = package.evidence.map_or(String::new(), |level| format!(", {level}"));
            let name = display_name(&package.signatures, &package.url);
            console.line(&format!("    {}{bytes}{level}", safe(name)))?;
            console.line(&format!("        {}", safe(&package.url)))?;
        }
        if more > 0 && !console.is_json() {
            console.line(&format!("    and {more} more"))?;
        }
    }
    console.summary("explain", json!({ "absent": missing }), &[])?;
    Ok(())
}

/// The item of a profile that excludes the path, or a folder that contains it.
fn item_of<'m>(
    manifest: &'m AnyManifest,
    globs: &Globs,
    path: &RelPath,
) -> Option<&'m ProfileItem> {
    let item = globs.first_match_within(Path::new("/"), path)?;
    manifest.regenerable().get(item).map(|regenerable| &regenerable.item)
}

/// The recipe that makes the file at `path`, if it is derived.
fn recipe_of<'m>(
    manifest: &'m AnyManifest,
    path: &RelPath,
) -> Result<Option<&'m str>, ManifestError> {
    let AnyManifest::V2(manifest) = manifest else { return Ok(None) };
    for package in &manifest.packages {
        let derived = package.derived_files()?;
        if let Some((_, derived)) = derived.into_iter().find(|(entry, _)| entry.path == *path) {
            return Ok(Some(&derived.recipe));
        }
    }
    Ok(None)
}

/// The packages of which the file at `path` is made, by their indices, if it is made of pieces.
fn pieces_of(manifest: &AnyManifest, path: &RelPath) -> Vec<usize> {
    let Some(pieces) = manifest.pieces() else { return Vec::new() };
    let file = pieces.position(path).and_then(|position| pieces.files().nth(position));
    file.map(|file| pieces.packages_of(&file)).unwrap_or_default()
}

/// How the archive has what it holds at `path`.
fn archived(manifest: &AnyManifest, path: &RelPath) -> String {
    if pieces_of(manifest, path).is_empty() {
        return "the archive holds it".to_owned();
    }
    let encoder = encoder_of(manifest, path).map(|name| format!("; {name} compresses it"));
    let encoder = encoder.unwrap_or_default();
    format!("the archive holds its rest; its pieces come from packages{encoder}")
}

/// The program that compresses the file at `path`, if one does.
fn encoder_of(manifest: &AnyManifest, path: &RelPath) -> Option<String> {
    let pieces = manifest.pieces()?;
    let encoded = pieces.encoding(pieces.position(path)?)?;
    Some(safe(&encoded.recipe))
}

fn left_out(recipe: Option<&str>) -> String {
    match recipe {
        Some(recipe) => format!("left out: the recipe {} makes it out of a package", safe(recipe)),
        None => "left out: a package gives it back".to_owned(),
    }
}

/// A path of the user as one of the packed tree.
fn in_archive(path: &Path) -> Result<RelPath, UsageError> {
    let bytes = path.as_os_str().as_bytes();
    let below = bytes.iter().position(|&byte| byte != b'/').map_or(&b""[..], |at| &bytes[at..]);
    RelPath::normalise(below).map_err(|error| UsageError(format!("{}: {error}", escaped(bytes))))
}

/// What is said of a path that one of so many packages may give.
fn may_give(packages: usize) -> String {
    let which = match packages {
        1 => "this package may give it back, whose files are".to_owned(),
        count => format!("one of {count} packages may give it back, whose files are"),
    };
    format!(
        "not in the archive itself; {which} not known to the HashDB, the cache or a pool \
         (`hashget list --fetch` finds out)"
    )
}
