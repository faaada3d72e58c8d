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
use super::place::{PlaceError, Staged, Target};
use super::{RestoreError, Run};
use crate::fetch::{Reach, Wanted};
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
    let mut waiting = BySize::new();
    for file in &manifest.files {
        run.monitor.check_interrupted()?;
        if file.file.is_root() || !is_there(run, file)? {
            waiting.entry(file.size).or_default().entry(file.sha256).or_default().push(file);
        }
    }
    let waiting = Waiting(Mutex::new(waiting));
    let problems = Mutex::new(Vec::new());
    let packages = manifest.packages.len();
    let deferred = Deferred::default();
    let search = |index: usize, last: bool| -> Result<(), RestoreError> {
        if waiting.files().is_empty() {
            return Ok(());
        }
        match search(run, &waiting, &manifest.packages[index], last)? {
            Searched::Whole => {}
            Searched::Not(problem) => {
                problems.lock().expect("no holder of this lock panics").push(problem);
            }
            Searched::Later(again) => deferred.add(index, index, again),
        }
        Ok(())
    };
    parallel::for_each(run.jobs.min(packages), 0..packages, |index| {
        run.monitor.check_interrupted()?;
        search(index, false)
    })?;
    if !waiting.files().is_empty() {
        deferred.ask_again(run, |index| search(index, true))?;
    }
    let problems = problems.into_inner().expect("no holder of this lock panics");
    let why = match problems.first() {
        Some(problem) => problem.clone(),
        None => "no package of the manifest has a file of its digest".to_owned(),
    };
    let mut missing = Affected::default();
    let files = waiting.files();
    let mut files: Vec<_> = files.values().flat_map(HashMap::values).flatten().collect();
    files.sort_by_key(|file| &file.file);
    for file in files {
        missing.add(&file.file);
        run.ledger.missing(file.file.clone(), why.clone());
    }
    if problems.is_empty() {
        run.report_group(&why, &missing);
    }
    Ok(())
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

/// Is a file in its place already? Its metadata is made right then.
fn is_there(run: &Run<'_>, file: &FileV1) -> Result<bool, RestoreError> {
    if run.target.was_empty() {
        return Ok(false);
    }
    let Ok(Some(existing)) = run.target.open_file(&file.file) else { return Ok(false) };
    let right = existing.metadata().is_ok_and(|found| found.len() == file.size)
        && Target::digest(&existing, None).is_ok_and(|found| found == file.sha256);
    if !right {
        return Ok(false);
    }
    let contents = (file.sha256, None);
    match run.target.adjust_file(&file.file, &existing, &metadata(file), contents) {
        Ok(()) => {
            run.ledger.file_from_package(file.size, true);
            run.advance(file.size);
            Ok(true)
        }
        Err(error) => run.unless_fatal(error).map(|_| false),
    }
}

/// What came of looking for files in a package.
enum Searched {
    /// It was read to its end, or as far as needed.
    Whole,
    /// What was wrong with it.
    Not(String),
    /// Its host was given up, and is asked again after this time.
    Later(Duration),
}

/// Looks for waiting files in one package.
fn search<'m>(
    run: &Run<'m>,
    waiting: &Waiting<'m>,
    package: &PackageV1,
    last: bool,
) -> Result<Searched, RestoreError> {
    let name = crate::fetch::shown(&package.url);
    let wanted = Wanted {
        name: None,
        url: package.url.clone(),
        also: Vec::new(),
        sha256: Some(package.hash),
        size: None,
        reach: Reach::Anywhere,
    };
    let (file, problem) = match fetch(run, &wanted, &name, last)? {
        FetchOutcome::Proven(file) => (file, None),
        FetchOutcome::Other(file, why) => (file, Some(format!("{name}: {why}"))),
        FetchOutcome::Nothing(why) => return Ok(Searched::Not(format!("{name}: {why}"))),
        FetchOutcome::Later(again) => return Ok(Searched::Later(again)),
    };
    run.ledger.package_used();
    let progress = run.monitor.begin(Step::Read, name.clone(), Total::UNKNOWN);
    let read = read(run, waiting, &file, &progress);
    drop(progress);
    if let Some(why) = read? {
        run.monitor.problem(ProblemKind::Incomplete, &name, format!("cannot be read: {why}"));
        return Ok(Searched::Not(format!("{name}: {why}")));
    }
    Ok(problem.map_or(Searched::Whole, Searched::Not))
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
        for file in self.waiting.take(staged.size, staged.sha256) {
            if let Err(error) = self.place(file, &staged) {
                let reason = one_line(&self.run.unless_fatal(error)?);
                self.run.monitor.problem(ProblemKind::Incomplete, &file.file, &reason);
                self.run.ledger.missing(file.file.clone(), reason);
            }
        }
        Ok(())
    }

    fn place(&self, file: &FileV1, staged: &Staged<'_>) -> Result<(), PlaceError> {
        self.run.target.stage_copy(&file.file, staged)?.put(&file.file, &metadata(file))?;
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
