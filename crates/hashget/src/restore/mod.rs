//! STAGE 3: bring it back. Read the manifest, fetch the packages, place every file, prove it.
//!
//! Invariant: nothing outside the target is changed, no name points to bytes that are not proven, and
//! whatever cannot be restored is named while everything else is restored.

mod already;
mod archived;
mod destinations;
mod differences;
mod error;
mod extract;
mod finish;
mod inspection;
mod ledger;
mod package;
mod packages;
mod part;
mod place;
mod ranges;
mod v1;

use std::collections::BTreeMap;
use std::path::Path;

pub use differences::Affected;
pub use error::RestoreError;
pub use part::Part;

use crate::archive::{self, ArchiveError, manifest_path};
use crate::fetch::{Source, Web};
use crate::limits::Limits;
use crate::model::manifest::{
    AnyManifest, EntryTable, Manifest, ManifestHeader, ManifestV1, Renamed,
};
use crate::model::{Metadata, RelPath, counted, total_bytes};
use crate::monitor::{Monitor, ProblemKind, Running, Step, Total};
use crate::storage::ArchiveSource;
use extract::Extracted;
use ledger::Ledger;
use part::Places;
use place::{PlaceError, Target};

/// What restoring stands on.
pub struct Restorer<'a> {
    /// Where packages come from.
    pub source: &'a dyn Source,
    /// Where single members of a package are read, when that is enough.
    pub web: &'a dyn Web,
    /// Bounds on foreign input.
    pub limits: &'a Limits,
    /// Packages that are worked on at once; at least 1.
    pub jobs: usize,
}

/// How to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Give entries their owners and groups. By default only if we are root.
    pub same_owner: bool,
    /// The permission bits that entries may have: by default all (0o7777).
    pub mode_mask: u32,
    /// Give entries their access control lists.
    pub acls: bool,
    /// Give entries their other extended attributes and capabilities.
    pub attributes: bool,
    /// Leave the manifest in the tree when everything is done.
    pub keep_manifest: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            same_owner: rustix::process::geteuid().is_root(),
            mode_mask: 0o7777,
            acls: true,
            attributes: true,
            keep_manifest: false,
        }
    }
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Paths of the tree, the top folder included. Of a version 1 archive: files alone.
    pub entries: u64,
    /// Paths of regular files.
    pub files: u64,
    /// Of those, files that packages gave.
    pub files_from_packages: u64,
    /// Bytes of the regular files, each hard-link group once.
    pub bytes: u64,
    /// Of those, bytes that packages gave.
    pub bytes_from_packages: u64,
    /// Files that were already correct.
    pub kept_files: u64,
    /// Files of the archive that no digest proves by themselves.
    pub files_without_digest: u64,
    /// Packages in the manifest.
    pub packages: u64,
    /// Packages that were fetched and read.
    pub packages_used: u64,
    /// Version of the manifest.
    pub manifest_version: u32,
    /// What was not restored, and why; sorted. A folder stands for what a package gives below it.
    pub missing: Vec<(RelPath, String)>,
    /// Of `missing`: what only the archive has, so that no package can bring it.
    pub missing_from_archive: u64,
    /// What is not on the disk as it was packed, by what it is.
    pub not_applied: BTreeMap<String, Affected>,
    /// What is not as it was packed because the options say so, by what it is.
    pub not_asked_for: BTreeMap<String, Affected>,
    /// What lies in the folder and is not part of the archive. A folder stands for all below it.
    pub strays: Affected,
    /// Is the tree digest right, and everything on the disk as it was packed, except `not_asked_for` and `strays`? `None`
    /// for version 1, and if something is missing or not as it was packed.
    pub proven: Option<bool>,
}

/// What all steps of one restoring share.
struct Run<'r> {
    source: &'r dyn Source,
    web: &'r dyn Web,
    limits: &'r Limits,
    jobs: usize,
    target: &'r Target,
    monitor: &'r dyn Monitor,
    /// The target, for the monitor.
    name: String,
    /// Files of the tree that are in their places.
    progress: Running<'r>,
    ledger: Ledger<'r>,
    /// What the archive holds.
    table: &'r EntryTable,
    renamed: &'r [Renamed],
    /// Where entries go, if only a part of the tree is restored.
    part: Option<&'r Places<'r>>,
}

impl Restorer<'_> {
    /// Unpacks an archive: the tree that was packed is at `target` again. `target` is made if it is not
    /// there, but its parent must be. Files that are in the way are replaced.
    ///
    /// # Errors
    /// See [`RestoreError`]. Trouble with single entries and packages is in the summary and has been
    /// reported to `monitor`; the manifest then stays in `target`, for [`Restorer::restore`].
    pub fn unpack(
        &self,
        archive: &mut dyn ArchiveSource,
        target: &Path,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let target = Target::open(target, true, options)?;
        let extracted = extract::extract(archive, &target, None, self.limits, monitor)
            .inspect_err(|error| {
                if matches!(error, RestoreError::Archive(_)) {
                    target.remove_if_made();
                }
            })?;
        if !extracted.manifest {
            for (path, reason) in finish::settle(&target, &extracted.folders)? {
                monitor.problem(ProblemKind::Incomplete, path, reason);
            }
            return Err(ArchiveError::NoManifestInArchive.into());
        }
        match read_manifest(&target, extracted.header.as_ref(), self.limits)? {
            AnyManifest::V1(manifest) => {
                self.fill_v1(&target, &manifest, Some(extracted), options, monitor)
            }
            AnyManifest::V2(manifest) => {
                self.fill(&target, None, &manifest, Some(extracted), options, monitor)
            }
        }
    }

    /// Unpacks a part of an archive. Only the packages that it may need are fetched. Each file is proven, by its digest in
    /// the manifest or by its package; the tree digest proves nothing of a part, so that the summary's `proven` is `None`.
    /// What lies in `target` besides it is nobody's business.
    ///
    /// # Errors
    /// As [`Restorer::unpack`]; but the manifest is not put into `target`: the same call continues.
    pub fn unpack_part(
        &self,
        archive: &mut dyn ArchiveSource,
        target: &Path,
        part: &Part<'_>,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        // A manifest that lies in the target is not this archive's.
        let options = &RestoreOptions { keep_manifest: true, ..options.clone() };
        let target = Target::open(target, true, options)?;
        let places = Places::new(part);
        let extracted = extract::extract(archive, &target, Some(&places), self.limits, monitor);
        let mut extracted = extracted.inspect_err(|error| {
            if matches!(error, RestoreError::Archive(_)) {
                target.remove_if_made();
            }
        })?;
        match extracted.of_part.take() {
            None => Err(ArchiveError::NoManifestInArchive.into()),
            Some(AnyManifest::V1(manifest)) => {
                self.fill_v1(&target, &manifest, Some(extracted), options, monitor)
            }
            Some(AnyManifest::V2(manifest)) => {
                self.fill(&target, Some(&places), &manifest, Some(extracted), options, monitor)
            }
        }
    }

    /// Fills in a folder into which an archive was unpacked by any tar program, or in which restoring
    /// was interrupted. What is right already is kept.
    ///
    /// # Errors
    /// As [`Restorer::unpack`].
    pub fn restore(
        &self,
        target: &Path,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let mut target = Target::open(target, false, options)?;
        match read_manifest(&target, None, self.limits)? {
            AnyManifest::V1(manifest) => self.fill_v1(&target, &manifest, None, options, monitor),
            AnyManifest::V2(manifest) => {
                target.protect(manifest.archived.paths().iter());
                if let Some(summary) =
                    already::all_done(&target, &manifest, options, self.jobs, monitor)?
                {
                    return Ok(summary);
                }
                self.fill(&target, None, &manifest, None, options, monitor)
            }
        }
    }

    /// The manifest is known: everything else.
    fn fill(
        &self,
        target: &Target,
        part: Option<&Places<'_>>,
        manifest: &Manifest,
        mut extracted: Option<Extracted>,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let total = match part {
            Some(_) => Total::UNKNOWN,
            None => Total::bytes(manifest.tree.bytes),
        };
        let run = self.run(target, &manifest.archived, &manifest.renamed, total, monitor);
        let run = Run { part, ..run };
        let unpacked = extracted.as_ref().map(|extracted| archived::Unpacked {
            entries: &extracted.entries,
            refused: extracted.missing.iter().map(|(path, _)| path).collect(),
        });
        archived::check_archived(&run, unpacked.as_ref())?;
        if let Some(extracted) = &mut extracted {
            extracted.keep_strangers(run.archived());
        }
        packages::restore_packages(&run, &manifest.packages)?;
        let summary = finish::finish(run, manifest, extracted, options)?;
        Ok(Summary { packages: count(manifest.packages.len()), ..summary })
    }

    /// As [`Restorer::fill`], for the Python tool's manifest.
    fn fill_v1(
        &self,
        target: &Target,
        manifest: &ManifestV1,
        extracted: Option<Extracted>,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let nothing = EntryTable::default();
        let bytes = total_bytes(manifest.files.iter().map(|file| file.size));
        let run = self.run(target, &nothing, &[], Total::bytes(bytes), monitor);
        v1::restore_files(&run, manifest)?;
        let summary = finish::finish_v1(run, extracted, options)?;
        Ok(Summary { packages: count(manifest.packages.len()), ..summary })
    }

    fn run<'r>(
        &'r self,
        target: &'r Target,
        table: &'r EntryTable,
        renamed: &'r [Renamed],
        total: Total,
        monitor: &'r dyn Monitor,
    ) -> Run<'r> {
        let name = target.path().display().to_string();
        Run {
            source: self.source,
            web: self.web,
            limits: self.limits,
            jobs: self.jobs.max(1),
            target,
            monitor,
            progress: monitor.begin(Step::Place, name.clone(), total),
            name,
            ledger: Ledger::new(table),
            table,
            renamed,
            part: None,
        }
    }
}

impl<'r> Run<'r> {
    /// The paths that the archive holds, sorted.
    fn archived(&self) -> &'r [RelPath] {
        self.table.paths()
    }

    /// Does the archive hold this path, as something else than a folder?
    fn is_archived(&self, path: &RelPath) -> bool {
        self.archived().binary_search(path).is_ok()
    }

    /// Where an archived entry lies until the end: under another path if the archive has it so.
    fn stored(&self, path: &RelPath) -> RelPath {
        for Renamed { stored, name } in self.renamed {
            let Some(rest) = path.as_bytes().strip_prefix(name.as_bytes()) else { continue };
            let below = rest.is_empty() || rest.starts_with(b"/");
            let there = self.target.find(stored).is_ok_and(|found| found.is_some());
            if below && (there || name == &manifest_path()) {
                let bytes = [stored.as_bytes(), rest].concat();
                return RelPath::new(bytes).expect("two valid paths, one after the other");
            }
        }
        path.clone()
    }

    /// A file of this size in bytes is in its place.
    fn advance(&self, bytes: u64) {
        self.progress.advance(bytes, 1);
    }

    /// Reports entries that are missing for the same reason, in one line.
    fn report_group(&self, reason: &str, missing: &Affected) {
        match (missing.entries, &missing.first[..]) {
            (0, _) => {}
            (1, [path]) => self.monitor.problem(ProblemKind::Incomplete, path, reason),
            (entries, _) => {
                let entries = counted(entries, "entry", "entries");
                let message = format!("{entries} missing ({reason}): {}", missing.names());
                self.monitor.problem(ProblemKind::Incomplete, &self.name, message);
            }
        }
    }

    /// The error again, unless nothing can be written any more.
    fn unless_fatal(&self, error: PlaceError) -> Result<PlaceError, RestoreError> {
        fatal(self.target, error)
    }
}

/// The error again, unless nothing can be written any more.
fn fatal(target: &Target, error: PlaceError) -> Result<PlaceError, RestoreError> {
    match error {
        PlaceError::Io(error) if PlaceError::stops_everything(&error) => {
            Err(RestoreError::Disk { target: target.path().to_path_buf(), error })
        }
        error => Ok(error),
    }
}

/// Files of our own belong to us.
fn own_metadata() -> Metadata {
    Metadata {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ..Metadata::default()
    }
}

/// The manifest that is in the target. It is parsed while it is read: a large one is never in memory twice.
fn read_manifest(
    target: &Target,
    header: Option<&ManifestHeader>,
    limits: &Limits,
) -> Result<AnyManifest, RestoreError> {
    let path = target.path().to_path_buf();
    let file = match target.open_file(&manifest_path()) {
        Ok(Some(file)) => file,
        Ok(None) | Err(PlaceError::Blocked(_)) => {
            return Err(ArchiveError::NoManifest { folder: path }.into());
        }
        Err(PlaceError::Io(error) | PlaceError::Read(error)) => {
            return Err(RestoreError::Target { target: path, error });
        }
    };
    let failed = |error| ArchiveError::Folder { folder: path, error };
    Ok(archive::parse_manifest(&file, header, limits, failed)?)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
