//! What all steps of one restore share.
//!
//! Invariant: the steps decide the same whatever the target is; only what ends a restore knows of a real folder.

use std::path::Path;

use super::accepting::Accepting;
use super::differences::Affected;
use super::ledger::Ledger;
use super::part::Places;
use super::pieces::Pieced;
use super::place::PlaceError;
use super::programs::LeftForPrograms;
use super::target::Target;
use super::{RestoreError, Restorer};
use crate::archive::manifest_path;
use crate::derived::Derive;
use crate::fetch::{Source, Web};
use crate::limits::Limits;
use crate::model::manifest::{EntryTable, Package, Renamed};
use crate::model::{Entry, Metadata, RelPath, counted};
use crate::monitor::{Monitor, ProblemKind, Running, Step, Total};
use crate::programs::Programs;

/// What becomes of files that programs make, with [`Derive::All`].
#[derive(Clone, Copy)]
pub(super) enum RunsPrograms<'r> {
    /// They are named.
    Never,
    /// A restore will make them: so far they count as right.
    Later,
    /// They are made.
    Now(&'r Programs),
}

impl<'r> RunsPrograms<'r> {
    /// These programs are run, if there are any.
    pub(super) fn by(programs: Option<&'r Programs>) -> Self {
        programs.map_or(Self::Never, Self::Now)
    }
}

/// What all steps of one restore share.
pub(super) struct Run<'r> {
    pub(super) source: &'r dyn Source,
    pub(super) web: &'r dyn Web,
    pub(super) limits: &'r Limits,
    pub(super) jobs: usize,
    pub(super) accepting: Option<Accepting<'r>>,
    pub(super) target: &'r dyn Target,
    pub(super) monitor: &'r dyn Monitor,
    /// The target, for the monitor.
    pub(super) name: String,
    /// Files of the tree that are in their places.
    pub(super) progress: Running<'r>,
    pub(super) ledger: Ledger<'r>,
    /// What the archive holds.
    pub(super) table: &'r EntryTable,
    pub(super) renamed: &'r [Renamed],
    /// May a file that a package gives stay if it is right?
    pub(super) may_keep: bool,
    /// Which recipes are carried out.
    pub(super) derive: Derive,
    /// What becomes of files that programs make.
    pub(super) runs_programs: RunsPrograms<'r>,
    /// What is left for them.
    pub(super) left_for_programs: LeftForPrograms,
    /// The files that are made of pieces, while they are put together.
    pub(super) pieced: Option<Pieced<'r>>,
    /// Where entries go, if only a part of the tree is restored.
    pub(super) part: Option<&'r Places<'r>>,
}

impl<'r> Run<'r> {
    /// Nothing is done yet. `table` is what the archive holds, and `renamed` what it has under other paths than the tree.
    pub(super) fn new(
        restorer: &Restorer<'r>,
        target: &'r dyn Target,
        (table, renamed): (&'r EntryTable, &'r [Renamed]),
        total: Total,
        monitor: &'r dyn Monitor,
    ) -> Self {
        let name = target.path().display().to_string();
        Self {
            source: restorer.source,
            web: restorer.web,
            limits: restorer.limits,
            jobs: restorer.jobs.max(1),
            accepting: restorer.accepting,
            target,
            monitor,
            progress: monitor.begin(Step::Place, name.clone(), total),
            name,
            ledger: Ledger::new(table),
            table,
            renamed,
            may_keep: true,
            derive: Derive::default(),
            runs_programs: RunsPrograms::Never,
            left_for_programs: LeftForPrograms::default(),
            pieced: None,
            part: None,
        }
    }

    /// Does the archive hold this path, as something else than a folder?
    pub(super) fn is_archived(&self, path: &RelPath) -> bool {
        self.table.position(path).is_some()
    }

    /// An archived file is in its place, as the manifest says.
    pub(super) fn archived_as_stated(&self, entry: &Entry) {
        if let (Some(row), Some(sha256)) = (self.table.position(&entry.path), entry.sha256) {
            self.ledger.archived(row, Some(sha256));
        }
    }

    /// Where an archived entry lies until the end: under another path if the archive has it so.
    pub(super) fn stored(&self, path: &RelPath) -> RelPath {
        for Renamed { stored, name } in self.renamed {
            let Some(rest) = path.as_bytes().strip_prefix(name.as_bytes()) else { continue };
            let below = rest.is_empty() || rest.starts_with(b"/");
            if below && (self.target.holds(stored) || name == &manifest_path()) {
                let bytes = [stored.as_bytes(), rest].concat();
                return RelPath::new(bytes).expect("two valid paths, one after the other");
            }
        }
        path.clone()
    }

    /// May what is at `path`, in a folder of the tree, be removed because it is not of the tree? Beside a part only in folders
    /// that are restored whole, and not what was excluded.
    pub(super) fn may_remove(&self, folder: &RelPath, path: &RelPath) -> bool {
        self.part.is_none_or(|places| places.may_remove(folder, path))
    }

    /// All packages have passed: puts the files that are made of pieces in their places, and then what programs make.
    pub(super) fn finish_files(&mut self, packages: &'r [Package]) -> Result<(), RestoreError> {
        self.pieced.take().map_or(Ok(()), |pieced| pieced.finish(self))?;
        std::mem::take(&mut self.left_for_programs).make(self, packages)
    }

    /// A file of this size in bytes is in its place.
    pub(super) fn advance(&self, bytes: u64) {
        self.progress.advance(bytes, 1);
    }

    /// Reports entries that are missing for the same reason, in one line.
    pub(super) fn report_group(&self, reason: &str, missing: &Affected) {
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
    pub(super) fn unless_fatal(&self, error: PlaceError) -> Result<PlaceError, RestoreError> {
        fatal(self.target.path(), error)
    }
}

/// The error again, unless nothing can be written below `target` any more.
pub(super) fn fatal(target: &Path, error: PlaceError) -> Result<PlaceError, RestoreError> {
    match error {
        PlaceError::Io(error) if PlaceError::stops_everything(&error) => {
            Err(RestoreError::Disk { target: target.to_path_buf(), error })
        }
        error => Ok(error),
    }
}

/// Files of our own belong to us.
pub(super) fn own_metadata() -> Metadata {
    Metadata {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ..Metadata::default()
    }
}
