//! STAGE 3: bring it back. Read the manifest, fetch the packages, place every file, prove it.
//!
//! Invariant: nothing outside the target is changed, no name points to bytes that are not proven, and
//! whatever cannot be restored is named while everything else is restored.

mod accepting;
mod already;
mod archived;
mod closing;
mod derived;
mod destinations;
mod differences;
mod encoded;
mod error;
mod extract;
mod finish;
mod imagined;
mod inspection;
mod ledger;
mod overwrite;
mod own_program;
mod package;
mod packages;
mod part;
mod pieces;
mod place;
mod planned;
mod programs;
mod proof;
mod ranges;
mod rehearsal;
mod run;
mod target;
mod unpacked_program;
mod v1;

use std::collections::BTreeMap;
use std::path::Path;

pub use accepting::Accepting;
pub use differences::Affected;
pub use error::RestoreError;
pub use overwrite::Overwrite;
pub use part::Part;
pub use planned::{Action, Planned, PlannedStep};
pub use rehearsal::{Rehearsed, Rehearser};

use self::derived::report_not_made;
use crate::archive::{self, ArchiveError, manifest_path};
use crate::derived::Derive;
use crate::fetch::{Source, Web};
use crate::limits::Limits;
use crate::model::manifest::{
    AnyManifest, EntryTable, Manifest, ManifestHeader, ManifestV1, Regenerable,
};
use crate::model::{RelPath, total_bytes};
use crate::monitor::{Monitor, ProblemKind, Total};
use crate::programs::Programs;
use crate::storage::ArchiveSource;
use extract::Extracted;
use part::Places;
use place::{PlaceError, TargetFolder};
use run::{Run, RunsPrograms};

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
    /// Where single files come from whose packages no source has.
    pub accepting: Option<Accepting<'a>>,
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
    /// Which recipes are carried out. Files that others would make are missing then, and [`Restorer::restore`] completes them.
    pub derive: Derive,
    /// Runs the programs of recipes, with [`Derive::All`].
    pub programs: Option<Programs>,
    /// Leave the manifest in the tree when everything is done.
    pub keep_manifest: bool,
    /// Which files and other entries that are there and no folders are replaced. `None`: those that differ; and whatever is in the
    /// place of a folder goes, and so does an empty folder in the place of something else. With a rule, only `delete` removes these.
    pub overwrite: Option<Overwrite>,
    /// Remove what is in the folders of the tree and not of the archive, once everything is restored.
    pub delete: bool,
}

impl RestoreOptions {
    /// The rule by which things that are there are replaced, if there is one.
    fn rule(&self) -> Option<Overwrite> {
        self.overwrite.or(self.delete.then_some(Overwrite::Changed))
    }
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            same_owner: rustix::process::geteuid().is_root(),
            mode_mask: 0o7777,
            acls: true,
            attributes: true,
            derive: Derive::default(),
            programs: None,
            keep_manifest: false,
            overwrite: None,
            delete: false,
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
    /// What was removed, since it is not part of the archive. A folder stands for all below it.
    pub removed: Vec<RelPath>,
    /// What was there, is not as it was packed, and stays so by [`RestoreOptions::overwrite`].
    pub left: Affected,
    /// Is the tree digest right, and everything on the disk as it was packed, except `not_asked_for` and `strays`? `None`
    /// for version 1, and if something is missing, left as it was, or not as it was packed.
    pub proven: Option<bool>,
    /// What the backup never had, by profiles, since programs make it again.
    pub regenerable: Vec<Regenerable>,
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
        let target = TargetFolder::open(target, true, options)?;
        let extracted = extract::extract(
            archive,
            &target,
            Some(&target),
            None,
            keeps(options),
            self.limits,
            monitor,
        )
        .inspect_err(|error| {
            if matches!(error, RestoreError::Archive(_)) {
                target.remove_if_made();
            }
        })?;
        if !extracted.manifest {
            for (path, reason) in finish::settle(&target, &extracted.folders, false)? {
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
        let target = TargetFolder::open(target, true, options)?;
        let places = Places::new(part);
        let extracted = extract::extract(
            archive,
            &target,
            None,
            Some(&places),
            keeps(options),
            self.limits,
            monitor,
        );
        let mut extracted = extracted.inspect_err(|error| {
            if matches!(error, RestoreError::Archive(_)) {
                target.remove_if_made();
            }
        })?;
        match extracted.in_memory.take() {
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
        let mut target = TargetFolder::open(target, false, options)?;
        match read_manifest(&target, None, self.limits)? {
            AnyManifest::V1(manifest) => self.fill_v1(&target, &manifest, None, options, monitor),
            AnyManifest::V2(manifest) => {
                own_program::remove(&target, &manifest)?;
                target.protect(manifest.archived.paths());
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
        target: &TargetFolder,
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
        let archived = (&manifest.archived, &manifest.renamed[..]);
        let may_keep = options.rule() != Some(Overwrite::Always);
        let (derive, programs) = (options.derive, options.programs.as_ref());
        let runs_programs = RunsPrograms::by(programs);
        let run = Run::new(self, target, archived, total, monitor);
        let run = Run { part, may_keep, derive, runs_programs, ..run };
        let digest = |path: &RelPath| extracted.as_ref()?.entries.get(path).copied();
        let unpacked = extracted
            .as_ref()
            .map(|extracted| archived::Unpacked { digest: &digest, refused: extracted.refused() });
        let rest = |number| match &extracted {
            Some(extracted) if part.is_some() => pieces::kept_rest(extracted.rests.get(&number)),
            _ => pieces::rest_in(target, number),
        };
        let pieced = pieces::begin(&run, manifest, &rest)?;
        let mut run = Run { pieced, ..run };
        archived::check_archived(&run, unpacked.as_ref())?;
        if let Some(extracted) = &mut extracted {
            extracted.keep_strangers(run.table);
        }
        packages::restore_packages(&run, &manifest.packages)?;
        run.finish_files(&manifest.packages)?;
        report_not_made(&run);
        let summary = finish::finish(run, target, manifest, extracted, options)?;
        let regenerable = manifest.regenerable.clone();
        Ok(Summary { packages: count(manifest.packages.len()), regenerable, ..summary })
    }

    /// As [`Restorer::fill`], for the Python tool's manifest.
    fn fill_v1(
        &self,
        target: &TargetFolder,
        manifest: &ManifestV1,
        extracted: Option<Extracted>,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Summary, RestoreError> {
        let nothing = EntryTable::default();
        let bytes = total_bytes(manifest.files.iter().map(|file| file.size));
        let may_keep = options.rule() != Some(Overwrite::Always);
        let run = Run::new(self, target, (&nothing, &[]), Total::bytes(bytes), monitor);
        let run = Run { may_keep, ..run };
        v1::restore_files(&run, manifest)?;
        let summary = finish::finish_v1(run, target, extracted, options)?;
        Ok(Summary { packages: count(manifest.packages.len()), ..summary })
    }
}

/// May a file of the archive stay that holds the same already? Without a rule, all are written anew.
fn keeps(options: &RestoreOptions) -> bool {
    options.rule().is_some_and(|rule| rule != Overwrite::Always)
}

/// The manifest that is in the target. It is parsed while it is read: a large one is never in memory twice.
fn read_manifest(
    target: &TargetFolder,
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
