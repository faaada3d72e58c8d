//! What a restore would do to a folder, found out without doing it.
//!
//! Invariant: nothing is changed. What the tree will be is known from a rehearsal; it is compared with what is there, by the rules
//! that a restore follows.

mod comparison;

use std::io;
use std::path::Path;

use super::derived::report_not_made;
use super::extract::{self, Extracted};
use super::imagined::ImaginedTarget;
use super::part::{Part, Places};
use super::place::TargetFolder;
use super::run::RunsPrograms;
use super::{RestoreError, RestoreOptions, Restorer, Run, Summary};
use super::{archived, closing, packages, pieces, read_manifest, rehearsal};
use crate::archive::ArchiveError;
use crate::model::RelPath;
use crate::model::manifest::{AnyManifest, Manifest};
use crate::monitor::{Monitor, Total};
use crate::storage::ArchiveSource;
use comparison::Planning;

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What the folder would be then. `proven` speaks of the tree digest alone.
    pub summary: Summary,
    /// What would be done, sorted by path; the removal of what is in the way comes before what takes its place.
    pub steps: Vec<PlannedStep>,
    /// Entries that are there and right.
    pub unchanged: u64,
}

/// One thing that a restore would do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlannedStep {
    /// Where.
    pub path: RelPath,
    /// What.
    pub action: Action,
}

/// What a restore does at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// What is there goes, with everything in it.
    Remove,
    /// There is nothing yet.
    Make,
    /// Something else takes the place of what is there.
    Replace,
    /// It gets other metadata.
    Metadata,
    /// It is something else than what the archive has, and stays.
    Leave,
    /// It cannot be put there.
    Block,
}

impl Action {
    /// The word for it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Make => "make",
            Self::Replace => "replace",
            Self::Metadata => "metadata",
            Self::Leave => "leave",
            Self::Block => "blocked",
        }
    }
}

impl Restorer<'_> {
    /// What [`Restorer::unpack`], or of a part [`Restorer::unpack_part`], would do. The packages are fetched, and nothing is written but
    /// what the source keeps of them.
    ///
    /// # Errors
    /// As those; and [`RestoreError::NoPlan`].
    pub fn plan_unpack(
        &self,
        archive: &mut dyn ArchiveSource,
        target: &Path,
        part: Option<&Part<'_>>,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Planned, RestoreError> {
        let folder = existing(target, options)?;
        let imagined = ImaginedTarget::empty(target.to_path_buf());
        let places = part.map(Places::new);
        let mut extracted = extract::extract(
            archive,
            &imagined,
            None,
            places.as_ref(),
            false,
            self.limits,
            monitor,
        )?;
        imagined.forget();
        let manifest = match extracted.in_memory.take() {
            None => return Err(ArchiveError::NoManifestInArchive.into()),
            Some(AnyManifest::V1(_)) => return Err(RestoreError::NoPlan),
            Some(AnyManifest::V2(manifest)) => manifest,
        };
        let archived = (&manifest.archived, &manifest.renamed[..]);
        let run = Run::new(self, &imagined, archived, Total::UNKNOWN, monitor);
        let (part, derive) = (places.as_ref(), options.derive);
        let run = Run { part, derive, runs_programs: RunsPrograms::Later, ..run };
        let unpacked = archived::Unpacked {
            digest: &|path| extracted.entries.get(path).copied(),
            refused: extracted.refused(),
        };
        let rest = |number| pieces::kept_rest(extracted.rests.get(&number));
        let pieced = pieces::begin(&run, &manifest, &rest)?;
        let mut run = Run { pieced, ..run };
        archived::check_archived(&run, Some(&unpacked))?;
        extracted.keep_strangers(run.table);
        packages::restore_packages(&run, &manifest.packages)?;
        run.finish_files(&manifest.packages)?;
        report_not_made(&run);
        plan(&run, folder.as_ref(), &manifest, Some(extracted), options)
    }

    /// What [`Restorer::restore`] would do; as [`Restorer::plan_unpack`].
    ///
    /// # Errors
    /// As [`Restorer::restore`]; and [`RestoreError::NoPlan`].
    pub fn plan_restore(
        &self,
        target: &Path,
        options: &RestoreOptions,
        monitor: &dyn Monitor,
    ) -> Result<Planned, RestoreError> {
        let folder = TargetFolder::open(target, false, options)?;
        let AnyManifest::V2(manifest) = read_manifest(&folder, None, self.limits)? else {
            return Err(RestoreError::NoPlan);
        };
        let imagined = ImaginedTarget::over(&folder);
        let archived = (&manifest.archived, &manifest.renamed[..]);
        let run = Run::new(self, &imagined, archived, Total::UNKNOWN, monitor);
        let run = Run { derive: options.derive, runs_programs: RunsPrograms::Later, ..run };
        let pieced = pieces::begin(&run, &manifest, &|number| pieces::rest_in(&folder, number))?;
        let mut run = Run { pieced, ..run };
        archived::check_archived(&run, None)?;
        packages::restore_packages(&run, &manifest.packages)?;
        run.finish_files(&manifest.packages)?;
        report_not_made(&run);
        plan(&run, Some(&folder), &manifest, None, options)
    }
}

/// The folder that would be restored into, if it is there; otherwise what it would lie in must be.
fn existing(target: &Path, options: &RestoreOptions) -> Result<Option<TargetFolder>, RestoreError> {
    let fail = |error| RestoreError::Target { target: target.to_path_buf(), error };
    match fs_err::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = target.parent().filter(|above| !above.as_os_str().is_empty());
            fs_err::metadata(above.unwrap_or(Path::new("."))).map_err(fail)?;
            Ok(None)
        }
        _ => TargetFolder::open(target, false, options).map(Some),
    }
}

/// Compares what was rehearsed with what is in the folder, if there is one.
fn plan(
    run: &Run<'_>,
    folder: Option<&TargetFolder>,
    manifest: &Manifest,
    extracted: Option<Extracted>,
    options: &RestoreOptions,
) -> Result<Planned, RestoreError> {
    let is_restore = extracted.is_none();
    let mut state = closing::all_known(run, manifest);
    let links = closing::close(run, &mut state, extracted)?.links;
    let expected = run.part.is_none().then_some(manifest.tree.sha256);
    let summary = state.summarise(&links, expected)?;
    closing::report_proof(run, &summary);
    rehearsal::report_missing(&summary, run.target.path(), run.monitor);
    let mut planning = Planning::new(run, folder, options, is_restore);
    for entry in state.entries() {
        planning.look(&entry?)?;
    }
    for (path, to) in &links {
        planning.look_at_link(path, to)?;
    }
    if options.delete && state.is_complete() && summary.proven != Some(false) {
        planning.find_strays(&state, &links)?;
    }
    let (steps, unchanged) = planning.end();
    Ok(Planned { summary, steps, unchanged })
}
