//! Healing: what archives need of packages that are lost or endangered is taken from wherever it still is.
//!
//! Invariant: a file of the tree is taken only with the digest that the members of its package, or the manifest, say. What could not be found is
//! in the result; nothing is called healed that is not here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;

use super::{ArchiveOf, Contents, Has, PackageOf, SupplementError, SupplementWriter};
use crate::archive::{
    MembersError, PackageMembers, RequiredPackage, Requirements, StoredEntries, missing_files,
};
use crate::fetch::{FetchError, KeptFiles, Source};
use crate::hashdb::{HashDbError, complete_packages_by, export};
use crate::model::manifest::AnyManifest;
use crate::model::{Digest, RelPath};
use crate::monitor::{Monitor, Step, Total};
use crate::tree::TreeRoot;

/// An archive that is to be healed.
pub struct ToHeal {
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub manifest: AnyManifest,
    /// What it says of the names of what packages give.
    pub stored: StoredEntries,
}

impl ToHeal {
    fn archive(&self) -> ArchiveOf {
        ArchiveOf::new(self.name.clone(), &self.manifest)
    }
}

/// What healing stands on.
pub struct Healer<'a> {
    /// Where whole packages may still be: pools, the cache, the network.
    pub source: &'a dyn Source,
    /// What knows the files of packages.
    pub members: PackageMembers<'a>,
    /// The living tree.
    pub tree: &'a TreeRoot,
}

/// What was found.
pub struct Found {
    /// The archives.
    archives: Vec<ArchiveOf>,
    kept: KeptFiles,
    /// Whole packages.
    whole: Vec<(RequiredPackage, File)>,
    /// Files of other packages by their digests.
    files: BTreeMap<Digest, FoundFile>,
    /// Packages of which files were looked for, and what there is of them.
    parts: Vec<(RequiredPackage, Has)>,
    /// What came of it.
    pub healed: Healed,
}

/// What is known after some archives.
#[derive(Default)]
struct Looked {
    /// What there is of each package.
    has: BTreeMap<Digest, Has>,
    /// The files that were found nowhere.
    missing: BTreeSet<Digest>,
}

struct FoundFile {
    path: RelPath,
    size: u64,
    mode: u32,
    mtime: u64,
}

/// What came of healing, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healed {
    /// Number of packages that were found whole.
    pub packages: u64,
    /// Their bytes.
    pub package_bytes: u64,
    /// Number of files, each content once, that were found in the tree.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// The files that were found nowhere, by their paths; of each, the package that gave it.
    pub not_found: Vec<(RelPath, String)>,
    /// The packages of which nothing says which files they give.
    pub unknown: Vec<String>,
}

impl Found {
    /// Is there nothing to write?
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.files.is_empty()
    }

    /// The whole packages, each open at its start.
    pub fn packages(&self) -> impl Iterator<Item = (&RequiredPackage, &File)> {
        self.whole.iter().map(|(package, file)| (package, file))
    }

    /// Writes what was found as a supplement. With `members`, as they are known.
    ///
    /// # Errors
    /// See [`SupplementError`].
    pub fn write(
        &self,
        output: impl Write,
        name: &str,
        members: &PackageMembers<'_>,
        monitor: &dyn Monitor,
    ) -> Result<(), SupplementError> {
        let io = |error: io::Error| SupplementError::Io { name: name.to_owned(), error };
        let lists = self.lists(members).map_err(|error| io(io::Error::other(error)))?;
        let whole = self.whole.iter().map(|(package, _)| (package, Has::Whole));
        let parts = self.parts.iter().map(|(package, has)| (package, *has));
        let of = |(package, has): (&RequiredPackage, Has)| PackageOf {
            sha256: package.sha256,
            url: package.url.clone(),
            has,
        };
        let contents = Contents::new(self.archives.clone(), whole.chain(parts).map(of).collect());
        let mut writer = SupplementWriter::new(output, &contents, &lists).map_err(io)?;
        for (package, file) in &self.whole {
            monitor.check_interrupted()?;
            writer.package(&package.sha256, file).map_err(io)?;
        }
        for (sha256, found) in &self.files {
            monitor.check_interrupted()?;
            let file = self.kept.open(sha256).map_err(io)?;
            let mut file = file.ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
            let how = (found.mode, found.mtime);
            writer.file(&found.path, (*sha256, found.size), how, &mut file).map_err(io)?;
        }
        writer.finish().map_err(io)?.flush().map_err(io)
    }

    /// The members of the packages of which files are here, as an export.
    fn lists(&self, members: &PackageMembers<'_>) -> Result<Vec<u8>, HashDbError> {
        let digests: Vec<Digest> = self.parts.iter().map(|(package, _)| package.sha256).collect();
        let ids =
            complete_packages_by(members.hashdb, &digests, members.least)?.into_iter().flatten();
        let ids: Vec<_> = ids.collect();
        let records = members.hashdb.records(&ids)?;
        let packages: Vec<_> =
            ids.into_iter().zip(records).filter_map(|(id, record)| Some((id, record?))).collect();
        let mut lists = Vec::new();
        export(members.hashdb, &packages, &mut lists).map_err(|error| HashDbError::Failed {
            location: "the HashDB".to_owned(),
            problem: error.to_string(),
        })?;
        Ok(lists)
    }
}

/// Why healing stopped.
#[derive(Debug, thiserror::Error)]
pub enum HealError {
    /// What is in packages cannot be found out.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// A folder for temporary files cannot be used.
    #[error("cannot keep what was found in a temporary folder")]
    Temporary(#[source] io::Error),
}

impl HealError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> crate::error::ErrorClass {
        match self {
            Self::Members(error) => error.class(),
            Self::Temporary(error) => crate::error::ErrorClass::of_io(error),
        }
    }
}

impl Healer<'_> {
    /// Looks for what archives need of the `endangered` packages: first for whole ones, then, in the `archives`, which are opened one after the
    /// other only if that is needed, the newest first, for the files of the others. `names` are the names of all archives.
    ///
    /// # Errors
    /// See [`HealError`]; an archive could not be opened. What cannot be found is in the result.
    pub fn find<E: From<HealError>>(
        &self,
        endangered: &[RequiredPackage],
        names: &[String],
        archives: impl Iterator<Item = Result<ToHeal, E>>,
        monitor: &dyn Monitor,
    ) -> Result<Found, E> {
        let mut found = Found {
            archives: Vec::new(),
            kept: KeptFiles::default(),
            whole: Vec::new(),
            files: BTreeMap::new(),
            parts: Vec::new(),
            healed: Healed::default(),
        };
        let lost = self.whole_packages(endangered, &mut found, monitor)?;
        if lost.is_empty() {
            let archive = |name: &String| ArchiveOf { name: name.clone(), tree: None };
            found.archives = names.iter().map(archive).collect();
            return Ok(found);
        }
        let mut looked = Looked::default();
        for archive in archives {
            self.files(&archive?, &lost, &mut looked, &mut found, monitor)?;
        }
        found.healed.unknown.sort();
        found.healed.unknown.dedup();
        let part =
            |package: &RequiredPackage| Some((package.clone(), *looked.has.get(&package.sha256)?));
        found.parts = lost.values().filter_map(part).collect();
        Ok(found)
    }

    /// Takes whole packages from where they still are; gives back those that are nowhere.
    fn whole_packages(
        &self,
        wanted: &[RequiredPackage],
        found: &mut Found,
        monitor: &dyn Monitor,
    ) -> Result<BTreeMap<Digest, RequiredPackage>, HealError> {
        let total = Total { bytes: None, things: u64::try_from(wanted.len()).ok() };
        let progress = monitor.begin(Step::Gather, "packages", total);
        let mut left = BTreeMap::new();
        for package in wanted {
            match self.source.fetch(&package.wanted(), monitor) {
                Ok(fetched) => {
                    found.healed.packages += 1;
                    found.healed.package_bytes += fetched.size;
                    found.whole.push((package.clone(), fetched.file));
                }
                Err(FetchError::Interrupted(interrupted)) => {
                    return Err(MembersError::from(interrupted).into());
                }
                Err(_) => {
                    left.insert(package.sha256, package.clone());
                }
            }
            progress.advance(0, 1);
        }
        Ok(left)
    }

    /// Takes the files of the `lost` packages that an archive needs out of the tree.
    fn files(
        &self,
        archive: &ToHeal,
        lost: &BTreeMap<Digest, RequiredPackage>,
        looked: &mut Looked,
        found: &mut Found,
        monitor: &dyn Monitor,
    ) -> Result<(), HealError> {
        found.archives.push(archive.archive());
        let packages =
            Requirements::from_manifest(&archive.manifest).map_err(MembersError::from)?.packages;
        let indices: Vec<usize> =
            (0..packages.len()).filter(|&at| lost.contains_key(&packages[at].sha256)).collect();
        let (manifest, stored) = (&archive.manifest, &archive.stored);
        let files = missing_files(manifest, stored, &indices, &self.members, monitor)?;
        for &index in &indices {
            looked.has.entry(packages[index].sha256).or_insert(Has::All);
        }
        for unnamed in &files.unnamed {
            let package = &packages[unnamed.package];
            found.healed.unknown.push(package.shown_name());
            looked.has.insert(package.sha256, Has::Some);
        }
        for file in &files.files {
            let is_here = match file.sha256 {
                Some(sha256) => self.take(&file.path, (sha256, file.size), found, monitor)?,
                None => false,
            };
            if is_here {
                continue;
            }
            let package = file.package.map(|index| &packages[index]);
            looked.has.extend(package.map(|package| (package.sha256, Has::Some)));
            if file.sha256.is_none_or(|sha256| looked.missing.insert(sha256)) {
                let name = package.map(RequiredPackage::shown_name).unwrap_or_default();
                found.healed.not_found.push((file.path.clone(), name));
            }
        }
        Ok(())
    }

    /// Takes the file at a path of the tree, if it is the one that is wanted. Is it here now?
    fn take(
        &self,
        path: &RelPath,
        (sha256, size): (Digest, u64),
        found: &mut Found,
        monitor: &dyn Monitor,
    ) -> Result<bool, HealError> {
        monitor.check_interrupted().map_err(MembersError::from)?;
        if size == 0 || found.files.contains_key(&sha256) {
            return Ok(true);
        }
        let Ok(mut file) = self.tree.open_file(path) else { return Ok(false) };
        let Ok(metadata) = file.metadata() else { return Ok(false) };
        if !metadata.is_file() || metadata.len() != size {
            return Ok(false);
        }
        let kept = found.kept.keep(&mut file, &|found| found == (sha256, size));
        match kept {
            Ok(None) => return Ok(false),
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Err(HealError::Temporary(error));
            }
            // A file of the living tree that cannot be read is one that is not there.
            Err(_) => return Ok(false),
        }
        let mtime = u64::try_from(metadata.mtime()).unwrap_or(0);
        let mode = metadata.mode() & 0o7777;
        found.files.insert(sha256, FoundFile { path: path.clone(), size, mode, mtime });
        found.healed.files += 1;
        found.healed.file_bytes += size;
        Ok(true)
    }
}
