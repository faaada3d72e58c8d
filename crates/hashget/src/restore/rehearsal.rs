//! A restore without a disk: everything is decided, read and digested as in a real one, and nothing is written.
//!
//! Invariant: the tree digest is computed from bytes that were read in this run, and compared only if everything was looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::differences::Affected;
use super::extract::Extracted;
use super::imagined::ImaginedTarget;
use super::package::Restoring;
use super::run::{Run, RunsPrograms};
use super::target::Target as _;
use super::{Accepting, RestoreError, Restorer, Summary, archived, closing, count, pieces, v1};
use crate::archive::kept_contents::KeptContents;
use crate::archive::{
    ArchiveError, PackageState, Received, StoredContents, StoredThing, Verified, Verifier,
    VerifyError, VerifyOptions,
};
use crate::derived::Derive;
use crate::fetch::{FetchError, Fetched, Offline, Source, Wanted};
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, EntryTable, Manifest, ManifestV1};
use crate::model::{Metadata, RelPath, counted, path_of};
use crate::monitor::{Monitor, ProblemKind, Quiet, Total};
use crate::programs::Programs;

/// What came of rehearsing a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The packages, and where they are.
    pub verified: Verified,
    /// What a restore would bring. `proven` speaks of the tree digest alone, and is `None` unless `is_all` was looked at.
    pub summary: Summary,
    /// Was everything looked at: the archive, and all packages?
    pub is_all: bool,
}

/// What a rehearsal stands on.
pub struct Rehearser<'a> {
    /// Where packages come from.
    pub verifier: &'a Verifier<'a>,
    /// Which of them are downloaded.
    pub options: VerifyOptions,
    /// Limits on untrusted input.
    pub limits: &'a Limits,
    /// Where single files come from whose packages no place has.
    pub accepting: Option<Accepting<'a>>,
    /// Runs the programs of recipes, with [`Derive::All`].
    pub programs: Option<Programs>,
}

/// Where a package is found soonest.
struct Nearest<'v>(&'v Verifier<'v>);

impl Source for Nearest<'_> {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        match self.0.local.fetch(wanted, monitor) {
            Err(FetchError::Interrupted(interrupted)) => Err(interrupted.into()),
            Err(_) => self.0.network.fetch(wanted, monitor),
            fetched => fetched,
        }
    }
}

impl Rehearser<'_> {
    /// Downloads the packages of an archive and rehearses its restore: each entry's record is computed as a restore computes
    /// it, and the tree digest compared. `contents` is what the archive gave when it was read; without it, only what packages give
    /// is looked at.
    ///
    /// # Errors
    /// See [`VerifyError`]. What is wrong is reported to `monitor`, and what a restore would lack is in the summary.
    pub fn rehearse(
        &self,
        manifest: &AnyManifest,
        contents: Option<StoredContents>,
        name: &Path,
        monitor: &dyn Monitor,
    ) -> Result<Rehearsed, VerifyError> {
        let Self { verifier, limits, accepting, .. } = *self;
        let options = &VerifyOptions { deep: true, ..self.options };
        // Of the packages, programs alone are fetched again.
        let source = &Nearest(verifier);
        let (web, jobs) = (&Offline, verifier.jobs);
        let restorer = Restorer { source, web, limits, jobs, accepting };
        let has_contents = contents.is_some();
        let mut contents = contents.unwrap_or_default();
        let rests = &std::mem::take(&mut contents.rests);
        if options.derive != Derive::All {
            contents.kept = KeptContents::default();
        }
        let (target, extracted) = extracted(contents, manifest, name);
        let (restorer, target, derive) = (&restorer, &target, options.derive);
        let programs = self.programs.as_ref();
        let rehearsal =
            Rehearsal { restorer, target, has_contents, rests, derive, programs, monitor };
        match manifest {
            AnyManifest::V2(manifest_2) => {
                rehearsal.of_manifest(manifest_2, extracted, |received| {
                    verifier.verify_and_pass_on(manifest, options, Some(received), monitor)
                })
            }
            AnyManifest::V1(manifest_1) => rehearsal.of_v1(manifest_1, extracted, |received| {
                verifier.verify_and_pass_on(manifest, options, Some(received), monitor)
            }),
        }
    }
}

/// What both kinds of rehearsal share.
struct Rehearsal<'a> {
    restorer: &'a Restorer<'a>,
    target: &'a ImaginedTarget<'a>,
    /// Was the archive itself read?
    has_contents: bool,
    /// The rests that it gave.
    rests: &'a BTreeMap<u32, File>,
    derive: Derive,
    programs: Option<&'a Programs>,
    monitor: &'a dyn Monitor,
}

impl Rehearsal<'_> {
    fn of_manifest(
        &self,
        manifest: &Manifest,
        extracted: Extracted,
        verify: impl FnOnce(&Received<'_>) -> Result<Verified, VerifyError>,
    ) -> Result<Rehearsed, VerifyError> {
        let archived = (&manifest.archived, &manifest.renamed[..]);
        // What is wrong with the archive was reported when it was read.
        let quiet = Quiet(self.monitor);
        let run = Run::new(self.restorer, self.target, archived, Total::UNKNOWN, &quiet);
        let runs_programs = RunsPrograms::by(self.programs);
        let run = Run { derive: self.derive, runs_programs, ..run };
        let pieced = match self.has_contents {
            true => {
                let rest = |number| pieces::kept_rest(self.rests.get(&number));
                pieces::begin(&run, manifest, &rest).map_err(failure)?
            }
            false => None,
        };
        let run = Run { pieced, ..run };
        if self.has_contents {
            let refused = extracted.refused();
            let digest = |path: &RelPath| self.target.digest(path);
            let unpacked = archived::Unpacked { digest: &digest, refused };
            archived::check_archived(&run, Some(&unpacked)).map_err(failure)?;
        }
        let mut run = Run { monitor: self.monitor, ..run };
        let verified = verify(&|index, bytes| {
            let restoring = Restoring::new(&run, &manifest.packages, index).map_err(failure)?;
            restoring.restore_from(bytes).map_err(failure)
        })?;
        let is_all = self.has_contents && looked_at(&verified) == count(manifest.packages.len());
        match is_all {
            true => run.finish_files(&manifest.packages).map_err(failure)?,
            false => run.pieced = None,
        }
        let run = Run { monitor: &quiet, ..run };
        let mut state = closing::all_known(&run, manifest);
        let mut links = Vec::new();
        if is_all {
            links = closing::close(&run, &mut state, Some(extracted)).map_err(failure)?.links;
            state.refuse_what_lies_in_files();
        }
        // The tree digest takes as much memory as the contents do.
        self.target.forget_contents();
        let expected = is_all.then_some(manifest.tree.sha256);
        let summary = state.summarise(&links, expected)?;
        if summary.proven == Some(false) {
            let why = "a restore would give another tree than was packed: its tree digest differs";
            self.monitor.problem(ProblemKind::Verification, &run.name, why);
        }
        report_missing(&summary, self.target.path(), self.monitor);
        let packages = count(manifest.packages.len());
        let summary = Summary { packages, manifest_version: 2, ..summary };
        Ok(Rehearsed { verified, summary, is_all })
    }

    fn of_v1(
        &self,
        manifest: &ManifestV1,
        extracted: Extracted,
        verify: impl FnOnce(&Received<'_>) -> Result<Verified, VerifyError>,
    ) -> Result<Rehearsed, VerifyError> {
        let nothing = EntryTable::default();
        let run =
            Run::new(self.restorer, self.target, (&nothing, &[]), Total::UNKNOWN, self.monitor);
        let search = v1::Search::new(&run, manifest).map_err(failure)?;
        let verified = verify(&|index, bytes| {
            search.look_into(&manifest.packages[index], bytes).map_err(failure)?;
            Ok(search.is_done())
        })?;
        let is_all = self.has_contents && looked_at(&verified) == count(manifest.packages.len());
        if is_all {
            search.end();
        }
        let mut state = run.ledger.take();
        for (path, reason) in extracted.missing {
            state.add_missing(path, reason);
        }
        let summary = state.summarise(&[], None)?;
        report_missing(&summary, self.target.path(), self.monitor);
        let summary = Summary {
            files: summary.files_from_packages + extracted.files,
            bytes: summary.bytes_from_packages + extracted.bytes,
            files_without_digest: extracted.files,
            packages: count(manifest.packages.len()),
            manifest_version: 1,
            ..summary
        };
        Ok(Rehearsed { verified, summary, is_all })
    }
}

/// Reports what a restore would lack, if anything.
pub(super) fn report_missing(summary: &Summary, name: &Path, monitor: &dyn Monitor) {
    let mut missing = Affected::default();
    for (path, _) in &summary.missing {
        missing.add(path);
    }
    if missing.entries > 0 {
        let entries = counted(missing.entries, "entry", "entries");
        let message = format!("a restore would lack {entries}: {}", missing.names());
        monitor.problem(ProblemKind::Incomplete, name.display().to_string(), message);
    }
}

/// Number of packages that somebody was asked for.
fn looked_at(verified: &Verified) -> u64 {
    let asked = verified.packages.iter().filter(|one| one.state() != PackageState::NotAsked);
    count(asked.count())
}

/// A target that has what the archive gave; and what else the steps of a restore must know of it: of its entries, those that
/// the manifest does not have.
fn extracted(
    contents: StoredContents,
    manifest: &AnyManifest,
    name: &Path,
) -> (ImaginedTarget<'static>, Extracted) {
    let is_stranger = |path: &[u8]| match manifest {
        AnyManifest::V2(manifest) => manifest.archived.position_of(path).is_none(),
        AnyManifest::V1(_) => false,
    };
    let mut extracted = Extracted {
        missing: contents.refused.clone(),
        damage: contents.damage.clone(),
        ..Extracted::default()
    };
    for (path, thing) in contents.entries.iter() {
        if let StoredThing::File { size, .. } = thing {
            extracted.files += 1;
            extracted.bytes = extracted.bytes.saturating_add(*size);
        }
        if is_stranger(path) {
            extracted.entries.insert(&path_of(path), thing.digest_without_holes());
        }
    }
    let folders = contents.folders.iter().map(|path| (path.clone(), Metadata::default()));
    extracted.folders = BTreeMap::from_iter(folders);
    (ImaginedTarget::new(name.to_path_buf(), contents), extracted)
}

/// Without a disk, there are only these.
fn failure(error: RestoreError) -> VerifyError {
    match error {
        RestoreError::Interrupted(interrupted) => interrupted.into(),
        RestoreError::Archive(ArchiveError::Manifest(error)) => error.into(),
        RestoreError::Archive(error) => error.into(),
        RestoreError::Target { error, .. } | RestoreError::Disk { error, .. } => {
            ArchiveError::Read { error }.into()
        }
        RestoreError::Busy { .. } | RestoreError::NoPlan => {
            let error = io::Error::other("a rehearsal uses no folder");
            ArchiveError::Read { error }.into()
        }
    }
}
