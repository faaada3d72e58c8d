//! Which packages a tree is compared with: those that its systems and clients have installed, as far as their contents are known.
//!
//! Invariant: members of packages come from a HashDB that knows all of them, or from a package whose bytes are proven.

use std::collections::BTreeSet;
use std::path::Path;

use hashget::changed::PackageFiles;
use hashget::detectors::{InstalledSystem, SystemPackage};
use hashget::hashdb::{HashDb, HashDbError, Key, whole};
use hashget::index::detect;
use hashget::model::manifest::{AnyManifest, Manifest, Package, Prefix};
use hashget::model::{Evidence, Member, Signature};
use hashget::monitor::Monitor;

use super::installed;
use crate::archive::Knowledge;
use crate::environment::Environment;
use crate::looked_into::{self, LookedInto};
use crate::output::safe;

/// What a tree is compared with.
pub(super) struct Compared<'a> {
    pub(super) packages: Vec<PackageFiles<'a>>,
    /// Installed packages of which it is not known what is in them.
    pub(super) unknown: Vec<String>,
    /// How they become known.
    pub(super) hint: String,
}

/// For a folder: the packages of its systems, and those that the HashDB knows and that lie in it.
pub(super) fn of_folder<'a>(
    folder: &Path,
    looked: &'a LookedInto,
    excludes: Vec<String>,
    environment: &Environment<'_>,
) -> anyhow::Result<Compared<'a>> {
    let knowledge = Knowledge::new(environment, false)?;
    let hashdb = knowledge.hashdb();
    let hint =
        format!("`hashget index --tree {}` indexes them", safe(&folder.display().to_string()));
    let mut compared = Compared { packages: Vec::new(), unknown: Vec::new(), hint };
    let (systems, mut seen) = (&looked.systems, BTreeSet::new());
    for (system, package) in installed(systems) {
        seen.insert(package.signature.to_string());
        match by_signature(&*hashdb, &package.signature)? {
            Some(members) => compared.packages.push(of_system(system, package, members)),
            None => compared.unknown.push(package.signature.value.clone()),
        }
    }
    let AnyManifest::V2(manifest) = looked_into::draft(folder, excludes, false, environment)?
    else {
        return Ok(compared);
    };
    let named = named(folder, looked, environment)?;
    add_others(&mut compared, &manifest, (&seen, &named), &knowledge, environment)?;
    Ok(compared)
}

/// For an archive: the packages of the systems in it, and the others that it relies on.
pub(super) fn of_archive<'a>(
    manifest: &AnyManifest,
    looked: &'a LookedInto,
    knowledge: &Knowledge,
    environment: &Environment<'_>,
) -> anyhow::Result<Compared<'a>> {
    let hashdb = knowledge.hashdb();
    let hint = "compare with --fetch".to_owned();
    let mut compared = Compared { packages: Vec::new(), unknown: Vec::new(), hint };
    let AnyManifest::V2(manifest) = manifest else { return Ok(compared) };
    let mut seen = BTreeSet::new();
    for (system, package) in installed(&looked.systems) {
        let name = package.signature.to_string();
        let relied_on = manifest.packages.iter().find(|one| one.signatures.contains(&name));
        let of_manifest = match relied_on {
            Some(relied_on) => knowledge.members(environment).of(relied_on, environment.console)?,
            None => None,
        };
        let members = match of_manifest {
            Some(members) => Some(members),
            None => by_signature(&*hashdb, &package.signature)?,
        };
        seen.insert(name);
        match members {
            Some(members) => compared.packages.push(of_system(system, package, members)),
            None => compared.unknown.push(package.signature.value.clone()),
        }
    }
    add_others(&mut compared, manifest, (&seen, &BTreeSet::new()), knowledge, environment)?;
    Ok(compared)
}

fn of_system<'a>(
    system: &'a InstalledSystem,
    package: &'a SystemPackage,
    members: Vec<Member>,
) -> PackageFiles<'a> {
    let place = |(from, to): &(&str, String)| {
        (Prefix(from.as_bytes().into()), Prefix(to.as_bytes().into()))
    };
    PackageFiles {
        name: package.signature.value.clone(),
        signature: Some(package.signature.clone()),
        members,
        places: package.places.iter().map(place).collect(),
        of_system: Some((system, package)),
        is_named: true,
    }
}

/// The members of a package with this signature of which all are known.
fn by_signature(
    hashdb: &dyn HashDb,
    signature: &Signature,
) -> Result<Option<Vec<Member>>, HashDbError> {
    let found = hashdb.find_one(Key::Signature(signature))?;
    let records = hashdb.records(&found)?;
    let known = found.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?)));
    let best = known
        .filter(|(_, record)| record.evidence >= Evidence::Signed)
        .max_by_key(|(id, record)| (record.evidence, std::cmp::Reverse(*id)));
    match best {
        Some((id, _)) => Ok(whole(hashdb, id)?.map(|(_, members)| members)),
        None => Ok(None),
    }
}

/// What the detectors name in the folder: signatures and URLs.
fn named(
    folder: &Path,
    looked: &LookedInto,
    environment: &Environment<'_>,
) -> anyhow::Result<BTreeSet<String>> {
    let detectors = environment.detectors(&[], folder)?;
    let paths = looked.entries.iter().map(|entry| &entry.path);
    let (machine, jobs) = (environment.machine(), environment.jobs);
    let detected = detect(folder, paths, &detectors, &machine, jobs, environment.console);
    (environment.console as &dyn Monitor).check_interrupted()?;
    let names = detected.candidates.into_iter().flat_map(|candidate| {
        let signature = candidate.signature.map(|signature| signature.to_string());
        signature.into_iter().chain([candidate.url])
    });
    Ok(names.collect())
}

/// The packages of a manifest that are of no system.
fn add_others(
    compared: &mut Compared<'_>,
    manifest: &Manifest,
    (seen, named): (&BTreeSet<String>, &BTreeSet<String>),
    knowledge: &Knowledge,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let is_seen = |package: &&Package| package.signatures.iter().any(|name| seen.contains(name));
    let others = manifest.packages.iter().filter(|package| !is_seen(package));
    for package in others.filter(|package| !package.placements.is_empty()) {
        let members = knowledge.members(environment).of(package, environment.console)?;
        let Some(members) = members else {
            compared.unknown.push(package.shown_name());
            continue;
        };
        let mut names = package.signatures.iter().chain([&package.url]);
        let places = package.placements.iter();
        let places = places.map(|place| (place.from.clone(), place.to.clone()));
        compared.packages.push(PackageFiles {
            name: package.shown_name(),
            signature: package.signatures.first().and_then(|name| name.parse().ok()),
            members,
            places: places.collect(),
            of_system: None,
            is_named: names.any(|name| named.contains(name)),
        });
    }
    Ok(())
}
