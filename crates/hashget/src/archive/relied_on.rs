//! What an archive relies on, in bytes of its tree: the packages, and how much each of them gives back.
//!
//! Invariant: the bytes of a package are counted by the plan of restoring; where nothing knows what is in it, they are estimated, and that is
//! said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::package_plan::{Destination, PackagePlan};
use super::{MembersError, PackageMembers, RequiredPackage, Requirements};
use crate::hashdb::complete_members;
use crate::model::manifest::{AnyManifest, Encoded, ManifestError, Package, Pieces};
use crate::model::{Digest, Kind, Member, RelPath, add_bytes};

/// A package that an archive relies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReliedOn {
    /// The package.
    #[serde(flatten)]
    pub package: RequiredPackage,
    /// The bytes of the files that it gives.
    pub bytes: u64,
    /// Of these, the bytes that come only with further packages: those of the programs that make them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Together>,
}

/// Bytes that several packages give together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// The packages besides.
    pub with: Vec<Digest>,
    /// The bytes.
    pub bytes: u64,
}

/// The packages that an archive relies on.
///
/// # Errors
/// The manifest contradicts itself, or the HashDB failed.
pub fn relied_on(
    manifest: &AnyManifest,
    members: &PackageMembers<'_>,
) -> Result<Vec<ReliedOn>, MembersError> {
    let requirements = Requirements::from_manifest(manifest)?;
    let mut bytes: Vec<Option<u64>> = vec![None; requirements.packages.len()];
    let mut together: Vec<Vec<Together>> = vec![Vec::new(); requirements.packages.len()];
    if let AnyManifest::V2(manifest) = manifest {
        let (packages, pieces) = (&manifest.packages, manifest.pieces());
        for (index, together) in together.iter_mut().enumerate() {
            *together = together_of(index, packages, pieces, &|path| manifest.size_of(path))?;
        }
        for (bytes, package) in bytes.iter_mut().zip(&manifest.packages) {
            *bytes = match package.placements.is_empty() {
                true => Some(bytes_of_files(package)?),
                false => complete_members(members.hashdb, &package.sha256)?
                    .map(|mut members| {
                        members.extend(package.derived_members()?);
                        given_bytes(package, &members)
                    })
                    .transpose()?,
            };
        }
        for (bytes, more) in bytes.iter_mut().zip(manifest.bytes_of_pieces()) {
            *bytes = bytes.map(|bytes| bytes.saturating_add(more));
        }
    }
    Ok(estimated(requirements, &bytes, together))
}

/// What programs make whose first package is the one with this index. `size_of` knows the size of each file that is made of pieces.
///
/// # Errors
/// The manifest contradicts the format.
pub(crate) fn together_of(
    index: usize,
    packages: &[Package],
    pieces: Option<&Pieces>,
    size_of: &dyn Fn(&RelPath) -> u64,
) -> Result<Vec<Together>, ManifestError> {
    let package = &packages[index];
    let mut together: BTreeMap<BTreeSet<Digest>, u64> = BTreeMap::new();
    let mut add = |mut with: BTreeSet<Digest>, bytes: u64| {
        with.remove(&package.sha256);
        add_bytes(together.entry(with).or_default(), bytes);
    };
    for (entry, derived) in package.derived_files()?.into_iter().filter(|(_, it)| it.is_run()) {
        add(derived.tool.iter().copied().collect(), entry.size());
    }
    let of_program = |one: &Encoded| one.tool.first() == Some(&package.sha256);
    if let Some(pieces) = pieces {
        for (file, encoded) in pieces.encoded_files().filter(|(_, one)| of_program(one)) {
            let of_runs = pieces.packages_of(&file).into_iter().map(|index| packages[index].sha256);
            let with = encoded.tool.iter().copied().chain(of_runs).collect();
            add(with, pieces.left_out_of(&file, size_of(&file.path)));
        }
    }
    let one = |(with, bytes): (BTreeSet<Digest>, u64)| Together {
        with: with.into_iter().collect(),
        bytes,
    };
    Ok(together.into_iter().map(one).collect())
}

/// Bytes of the files that a package without placements gives.
fn bytes_of_files(package: &Package) -> Result<u64, ManifestError> {
    let mut bytes = 0_u64;
    for item in package.files.entries() {
        let (entry, _) = item?;
        bytes = bytes.saturating_add(size_of(&entry.kind));
    }
    Ok(bytes)
}

/// Bytes of the files that a package with these members gives.
fn given_bytes(package: &Package, members: &[Member]) -> Result<u64, ManifestError> {
    let mut plan = PackagePlan::new(package)?;
    let mut given: Vec<Destination> = plan.itself();
    given.extend(members.iter().flat_map(|member| plan.next(member)));
    Ok(given.iter().fold(0, |sum, one| sum.saturating_add(size_of(&one.kind))))
}

fn size_of(kind: &Kind) -> u64 {
    if let Kind::File { size } = kind { *size } else { 0 }
}

/// Shares what is left among the packages of which nothing is known, by their sizes.
fn estimated(
    requirements: Requirements,
    known: &[Option<u64>],
    together: Vec<Vec<Together>>,
) -> Vec<ReliedOn> {
    let counted = known.iter().flatten().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    let left = requirements.left_out.bytes.saturating_sub(counted);
    let sizes = requirements.packages.iter().map(|package| package.size.unwrap_or(1).max(1));
    let unknown: u64 = known
        .iter()
        .zip(sizes)
        .filter(|(bytes, _)| bytes.is_none())
        .fold(0, |sum, (_, size)| sum.saturating_add(size));
    let packages = requirements.packages.into_iter().zip(known).zip(together);
    let relied = packages.map(|((package, bytes), together)| {
        let size = package.size.unwrap_or(1).max(1);
        let share = u128::from(left) * u128::from(size) / u128::from(unknown.max(1));
        let bytes = bytes.unwrap_or_else(|| u64::try_from(share).unwrap_or(u64::MAX));
        ReliedOn { package, bytes, together }
    });
    relied.collect()
}
