//! Where the entries of an archive's tree come from, according to the manifest and the members of its packages. Pure.
//!
//! Invariant: the same plan is followed as when restoring.

use super::package_plan::PackagePlan;
use crate::model::manifest::{AnyManifest, Manifest, ManifestError, ManifestV1, Package};
use crate::model::{Digest, Kind, Member, RelPath, path_of};

/// The entries that `package` gives, sorted; folders, too, if they are asked for. Without its `members` (all of them,
/// in the package's own order) only single files are known.
///
/// # Errors
/// The manifest contradicts itself, or does not fit the members.
pub fn given_entries(
    package: &Package,
    members: Option<&[Member]>,
    with_folders: bool,
) -> Result<Vec<RelPath>, ManifestError> {
    if members.is_none() {
        return Ok(package.files.paths().map(path_of).collect());
    }
    let mut plan = PackagePlan::new(package)?;
    let mut given: Vec<RelPath> = package.files.paths().map(path_of).collect();
    for member in members.into_iter().flatten() {
        let destinations = plan.next(member).into_iter();
        let asked =
            destinations.filter(|destination| with_folders || destination.kind != Kind::Directory);
        given.extend(asked.map(|destination| destination.path));
    }
    given.sort_unstable();
    given.dedup();
    Ok(given)
}

/// Where an entry of an archive's tree comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryOrigin {
    /// The archive holds it.
    Archived,
    /// These packages, by their indices in the manifest; a file has one, folders may have several.
    Packages(Vec<usize>),
    /// It is a further name of this entry.
    Link(RelPath),
    /// One of these packages, whose members are not known, may give it: a placement of each begins there.
    Unknown(Vec<usize>),
    /// It is not in the tree.
    Nowhere,
}

/// Gives all members of the package with this digest, where they are known. A manifest of version 1 says nothing more of it.
pub type MembersOf<'a, E> = &'a dyn Fn(&Digest, Option<&Package>) -> Result<Option<Vec<Member>>, E>;

/// Where each of `paths` comes from. `members` is asked of packages that may have one of them.
///
/// # Errors
/// See [`given_entries`], and what `members` fails with.
pub fn entry_origins<E: From<ManifestError>>(
    manifest: &AnyManifest,
    paths: &[RelPath],
    members: MembersOf<'_, E>,
) -> Result<Vec<EntryOrigin>, E> {
    match manifest {
        AnyManifest::V1(manifest) => origins_v1(manifest, paths, members),
        AnyManifest::V2(manifest) => origins_v2(manifest, paths, members),
    }
}

fn origins_v2<E: From<ManifestError>>(
    manifest: &Manifest,
    paths: &[RelPath],
    members: MembersOf<'_, E>,
) -> Result<Vec<EntryOrigin>, E> {
    // Packages that give a path, and those that may.
    let mut found: Vec<(Vec<usize>, Vec<usize>)> = vec![Default::default(); paths.len()];
    for (index, package) in manifest.packages.iter().enumerate() {
        let may_give =
            |path: &RelPath| package.placements.iter().any(|placement| placement.may_give(path));
        let known = match paths.iter().any(may_give) {
            true => members(&package.sha256, Some(package))?,
            false => None,
        };
        let given = given_entries(package, known.as_deref(), true)?;
        for ((packages, candidates), path) in found.iter_mut().zip(paths) {
            if given.binary_search(path).is_ok() {
                packages.push(index);
            } else if known.is_none() && may_give(path) {
                candidates.push(index);
            }
        }
    }
    let origin = |((packages, candidates), path): ((Vec<usize>, Vec<usize>), &RelPath)| {
        let link = manifest.links.iter().find(|link| link.path == *path);
        match link {
            _ if manifest.archived.position(path).is_some() => EntryOrigin::Archived,
            Some(link) => EntryOrigin::Link(link.to.clone()),
            None if !packages.is_empty() => EntryOrigin::Packages(packages),
            None if !candidates.is_empty() => EntryOrigin::Unknown(candidates),
            None => EntryOrigin::Nowhere,
        }
    };
    Ok(found.into_iter().zip(paths).map(origin).collect())
}

/// Version 1 finds files by their digest, and says nothing of what the archive holds.
fn origins_v1<E>(
    manifest: &ManifestV1,
    paths: &[RelPath],
    members: MembersOf<'_, E>,
) -> Result<Vec<EntryOrigin>, E> {
    let mut wanted = paths.iter().map(|path| manifest.files.iter().find(|one| one.file == *path));
    let wanted: Vec<Option<Digest>> =
        wanted.by_ref().map(|file| file.map(|file| file.sha256)).collect();
    let mut packages: Vec<Vec<usize>> = vec![Vec::new(); paths.len()];
    let mut candidates = Vec::new();
    for (index, package) in manifest.packages.iter().enumerate() {
        let members = members(&package.hash, None)?;
        candidates.extend(members.is_none().then_some(index));
        let members = members.unwrap_or_default();
        let has = |digest| members.iter().any(|member| member.sha256 == digest);
        for (packages, digest) in packages.iter_mut().zip(&wanted) {
            if digest.is_some() && (*digest == Some(package.hash) || has(*digest)) {
                packages.push(index);
            }
        }
    }
    let origin = |(packages, digest): (Vec<usize>, &Option<Digest>)| match digest {
        None => EntryOrigin::Nowhere,
        Some(_) if packages.is_empty() => EntryOrigin::Unknown(candidates.clone()),
        Some(_) => EntryOrigin::Packages(packages),
    };
    Ok(packages.into_iter().zip(&wanted).map(origin).collect())
}
