//! Archives of the older Python tool: files are found by their digests, in any of the packages.
//!
//! Invariant: a file is placed only if its digest is the manifest's, so packages need not be proven.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use super::differences::Affected;
use super::packages::{Deferred, FetchOutcome, fetch};
use super::place::PlaceError;
use super::target::StagedFile;
use super::{RestoreError, Run};
use crate::archive::PackageBytes;
use crate::fetch::Wanted;
use crate::formats::{self, FormatError, Input, Visitor, VisitorError};
use crate::model::manifest::{FileV1, ManifestV1, PackageV1};
use crate::model::{Digest, Kind, Member, Metadata, RelPath, Timestamp};
use crate::monitor::{ProblemKind, Running, Step, Total};
use crate::parallel;
use crate::wording::one_line;

/// Files that are not in their places yet, by size and digest.
type BySize<'m> = HashMap<u64, HashMap<Digest, Vec<&'m FileV1>>>;

/// The same for all threads.
struct Waiting<'m>(Mutex<BySize<'m>>);

impl<'m> Waiting<'m> {
    fn files(&self) -> std::sync::MutexGuard<'_, BySize<'m>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Beside which path contents of this size may be staged, if some file has it.
    fn place_for(&self, size: u64) -> Option<RelPath> {
        let files = self.files();
        files.get(&size)?.values().next().map(|files| files[0].file.clone())
    }

    /// The files that wait for these contents; they wait no longer.
    fn take(&self, size: u64, sha256: Digest) -> Vec<&'m FileV1> {
        let mut files = self.files();
        let Some(of_size) = files.get_mut(&size) else { return Vec::new() };
        let taken = of_size.remove(&sha256).unwrap_or_default();
        if of_size.is_empty() {
            files.remove(&size);
        }
        taken
    }
}

/// Restores the files of a version 1 manifest.
pub(super) fn restore_files<'m>(
    run: &Run<'m>,
    manifest: &'m ManifestV1,
) -> Result<(), RestoreError> {
    let search = Search::new(run, manifest)?;
    search.accept()?;
    let packages = manifest.packages.len();
    let deferred = Deferred::default();
    parallel::for_each(run.jobs.min(packages), 0..packages, |index| {
        run.monitor.check_interrupted()?;
        if let Some(again) = search.fetch(&manifest.packages[index], false)? {
            deferred.add(index, index, again);
        }
        Ok::<(), RestoreError>(())
    })?;
    if !search.is_done() {
        deferred.ask_again(run, |index| search.fetch(&manifest.packages[index], true).map(drop))?;
    }
    search.end();
    Ok(())
}

/// The search for the files of a version 1 manifest, package by package.
pub(super) struct Search<'r, 'm> {
    run: &'r Run<'m>,
    waiting: Waiting<'m>,
    /// What was wrong with packages.
    problems: Mutex<Vec<String>>,
}

impl<'r, 'm> Search<'r, 'm> {
    /// Looks for nothing that is there already.
    pub(super) fn new(run: &'r Run<'m>, manifest: &'m ManifestV1) -> Result<Self, RestoreError> {
        let mut waiting = BySize::new();
        for file in &manifest.files {
            run.monitor.check_interrupted()?;
            if leave(run, file)? {
                continue;
            }
            if file.file.is_root() || !is_there(run, file)? {
                waiting.entry(file.size).or_default().entry(file.sha256).or_default().push(file);
            }
        }
        Ok(Self { run, waiting: Waiting(Mutex::new(waiting)), problems: Mutex::default() })
    }

    /// Is everything found?
    pub(super) fn is_done(&self) -> bool {
        self.waiting.files().is_empty()
    }

    /// Takes what a person found. Which package would give it, the manifest does not say.
    fn accept(&self) -> Result<(), RestoreError> {
        let Some(accepting) = &self.run.accepting else { return Ok(()) };
        let waiting: Vec<(u64, Digest)> = {
            let files = self.waiting.files();
            let all =
                files.iter().flat_map(|(size, all)| all.keys().map(|sha256| (*size, *sha256)));
            all.collect()
        };
        for (size, sha256) in waiting {
            let found = accepting.files.file(sha256, size, self.run.monitor)?;
            let Some(mut file) = found else { continue };
            let mut searching = Searching { run: self.run, waiting: &self.waiting };
            if let Err(error) = searching.look_at(size, &mut file)
                && let Some(why) = problem(error)?
            {
                let name = sha256.to_string();
                self.run.monitor.problem(ProblemKind::Note, name, format!("not accepted: {why}"));
            }
        }
        Ok(())
    }

    /// Fetches a package, if anything is still looked for, and looks into it. If its host was given up: the time after which it
    /// is asked again.
    fn fetch(&self, package: &PackageV1, last: bool) -> Result<Option<Duration>, RestoreError> {
        if self.is_done() {
            return Ok(None);
        }
        let name = crate::fetch::shown(&package.url);
        match fetch(self.run, &Wanted::from(package), last)? {
            FetchOutcome::Later(again) => Ok(Some(again)),
            FetchOutcome::Now(bytes, failure) => {
                if let Some(failure) = failure {
                    failure.report(self.run, &name, false);
                }
                self.look_into(package, bytes).map(|()| None)
            }
        }
    }

    /// Looks into a package that was fetched.
    pub(super) fn look_into(
        &self,
        package: &PackageV1,
        bytes: PackageBytes,
    ) -> Result<(), RestoreError> {
        let name = crate::fetch::shown(&package.url);
        let (file, problem) = match bytes {
            PackageBytes::Proven(file) => (Some(file), None),
            PackageBytes::Other(file, why) => (Some(file), Some(why)),
            PackageBytes::Nothing(why) => (None, Some(why)),
        };
        let mut read_problem = None;
        if let Some(file) = file {
            self.run.ledger.package_used();
            let progress = self.run.monitor.begin(Step::Read, name.clone(), Total::UNKNOWN);
            read_problem = read(self.run, &self.waiting, &file, &progress)?;
        }
        if let Some(why) = &read_problem {
            let message = format!("cannot be read: {why}");
            self.run.monitor.problem(ProblemKind::Incomplete, &name, message);
        }
        if let Some(why) = read_problem.or(problem) {
            let mut problems = self.problems.lock().expect("no holder of this lock panics");
            problems.push(format!("{name}: {why}"));
        }
        Ok(())
    }

    /// Whatever was not found is missing.
    pub(super) fn end(self) {
        let problems = self.problems.into_inner().expect("no holder of this lock panics");
        let why = match problems.first() {
            Some(problem) => problem.clone(),
            None => "no package of the manifest has a file of its digest".to_owned(),
        };
        let mut missing = Affected::default();
        let files = self.waiting.files();
        let mut files: Vec<_> = files.values().flat_map(HashMap::values).flatten().collect();
        files.sort_by_key(|file| &file.file);
        for file in files {
            missing.add(&file.file);
            self.run.ledger.missing(file.file.clone(), why.clone());
        }
        if problems.is_empty() {
            self.run.report_group(&why, &missing);
        }
    }
}

fn metadata(file: &FileV1) -> Metadata {
    Metadata {
        mode: file.mode & 0o7777,
        uid: file.uid,
        gid: file.gid,
        mtime: Timestamp::from_seconds(file.mtime),
        ..Metadata::default()
    }
}

/// Does what is there stay? It may be right.
fn leave(run: &Run<'_>, file: &FileV1) -> Result<bool, RestoreError> {
    let metadata = metadata(file);
    let stays = run.target.stays(&file.file, &metadata).and_then(|stays| {
        if !stays {
            return Ok(false);
        }
        let kind = Kind::File { size: file.size };
        let is_right =
            run.target.is_right(&file.file, (&kind, &metadata), Some((file.sha256, None)))?;
        match is_right {
            true => run.ledger.file_from_package(file.size, true),
            false => run.ledger.left(file.file.clone()),
        }
        Ok(true)
    });
    stays.or_else(|error| run.unless_fatal(error).map(|_| false))
}

/// Is a file in its place already? Its metadata is made right then.
fn is_there(run: &Run<'_>, file: &FileV1) -> Result<bool, RestoreError> {
    if run.target.was_empty() || !run.may_keep {
        return Ok(false);
    }
    let Ok(Some(existing)) = run.target.file(&file.file) else { return Ok(false) };
    let right = existing.size().is_ok_and(|found| found == file.size)
        && existing.digest(None).is_ok_and(|found| found == file.sha256);
    if !right {
        return Ok(false);
    }
    let contents = (file.sha256, None);
    match existing.adjust(&file.file, &metadata(file), contents) {
        Ok(()) => {
            run.ledger.file_from_package(file.size, true);
            run.advance(file.size);
            Ok(true)
        }
        Err(error) => run.unless_fatal(error).map(|_| false),
    }
}

fn read<'m>(
    run: &Run<'m>,
    waiting: &Waiting<'m>,
    file: &File,
    progress: &Running<'_>,
) -> Result<Option<String>, RestoreError> {
    use std::io::Seek as _;
    let mut searching = Searching { run, waiting };
    // The package itself may be one of the files.
    let mut whole = file;
    let size = file.metadata().map_or(0, |found| found.len());
    if let Err(error) = whole.rewind() {
        return Ok(Some(error.to_string()));
    }
    if let Err(error) = searching.look_at(size, &mut whole) {
        return problem(error);
    }
    match formats::read_package(
        Input::Watched(file, progress.position()),
        &|_| true,
        run.limits,
        &mut searching,
    ) {
        Ok(_) => Ok(None),
        Err(FormatError::Visitor(error)) if error.is::<AllFound>() => Ok(None),
        Err(FormatError::Visitor(error)) => problem(error),
        Err(error) => Ok(Some(one_line(&error))),
    }
}

fn problem(error: VisitorError) -> Result<Option<String>, RestoreError> {
    match error.downcast::<RestoreError>() {
        Ok(error) => Err(*error),
        Err(error) => Ok(Some(one_line(&*error))),
    }
}

/// Nothing is waiting any more.
#[derive(Debug, thiserror::Error)]
#[error("everything is found")]
struct AllFound;

struct Searching<'r, 'm> {
    run: &'r Run<'m>,
    waiting: &'r Waiting<'m>,
}

impl Searching<'_, '_> {
    /// Places contents of `size` bytes wherever they are waited for.
    fn look_at(&mut self, size: u64, content: &mut dyn Read) -> Result<(), VisitorError> {
        let Some(beside) = self.waiting.place_for(size) else { return Ok(()) };
        let staged = match self.run.target.stage(&beside, size, content) {
            Ok(staged) => staged,
            Err(PlaceError::Read(error)) => return Err(error.into()),
            Err(error) => {
                let error = self.run.unless_fatal(error)?;
                self.run.monitor.problem(ProblemKind::Incomplete, beside, one_line(&error));
                return Ok(());
            }
        };
        for file in self.waiting.take(staged.size(), staged.sha256()) {
            if let Err(error) = self.place(file, &*staged) {
                let reason = one_line(&self.run.unless_fatal(error)?);
                self.run.monitor.problem(ProblemKind::Incomplete, &file.file, &reason);
                self.run.ledger.missing(file.file.clone(), reason);
            }
        }
        Ok(())
    }

    fn place(&self, file: &FileV1, staged: &dyn StagedFile) -> Result<(), PlaceError> {
        staged.copy(&file.file)?.put(&file.file, &metadata(file))?;
        self.run.ledger.file_from_package(file.size, false);
        self.run.advance(file.size);
        Ok(())
    }
}

impl Visitor for Searching<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.run.monitor.check_interrupted().map_err(RestoreError::from)?;
        if self.waiting.files().is_empty() {
            return Err(AllFound.into());
        }
        match member.kind {
            Kind::File { size } => self.look_at(size, content),
            _ => Ok(()),
        }
    }
}
