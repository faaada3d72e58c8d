//! One package: every given member is put in its place while the package is read.
//!
//! Invariant: what a package gives is placed only if the package's own digest is right, or the
//! manifest has the digest of that one file and it is right.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use super::ledger;
use super::packages::{FetchOutcome, fetch};
use super::part::Links;
use super::place::PlaceError;
use super::{RestoreError, Run};
use crate::archive::PackageBytes;
use crate::archive::package_plan::{Destination, ManifestPart, PackagePlan};
use crate::archive::placed::Facts;
use crate::derived;
use crate::fetch::{Wanted, shown};
use crate::formats::{self, FormatError, Input, PATH_SEPARATOR, Visitor, VisitorError};
use crate::model::manifest::Package;
use crate::model::{Digest, Kind, Member, RelPath, escaped, own_name};
use crate::monitor::{Event, ProblemKind, Step, Total};
use crate::wording::one_line;

/// One package while it is restored.
pub(super) struct Restoring<'r, 'm> {
    pub(super) run: &'r Run<'m>,
    pub(super) package: &'m Package,
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) plan: PackagePlan<'m>,
    /// Is every byte of the package proven?
    pub(super) proven: bool,
}

impl<'r, 'm> Restoring<'r, 'm> {
    pub(super) fn new(
        run: &'r Run<'m>,
        packages: &'m [Package],
        index: usize,
    ) -> Result<Self, RestoreError> {
        let package = &packages[index];
        let plan = PackagePlan::new(package)?;
        let name = package.shown_name();
        Ok(Self { run, package, index, name, plan, proven: false })
    }

    /// Restores what the package gives. If it was not asked for, because its host was given up: the package, and the
    /// time until its host is asked again.
    pub(super) fn restore(mut self) -> Result<Option<(Self, Duration)>, RestoreError> {
        for destination in self.plan.without_contents() {
            self.place_node(&destination)?;
        }
        self.leave_derived_out()?;
        if self.is_here_already()? {
            return Ok(None);
        }
        self.fetch_and_place(false)
    }

    /// Restores a package that was not asked for before.
    pub(super) fn restore_at_last(self) -> Result<(), RestoreError> {
        self.fetch_and_place(true).map(drop)
    }

    fn fetch_and_place(mut self, last: bool) -> Result<Option<(Self, Duration)>, RestoreError> {
        let wanted = Wanted::from(self.package);
        if self.restore_by_ranges(&wanted)? {
            return Ok(None);
        }
        match fetch(self.run, &wanted, last)? {
            FetchOutcome::Later(again) => Ok(Some((self, again))),
            FetchOutcome::Now(bytes, failure) => {
                let (run, name) = (self.run, self.name.clone());
                let is_complete = self.place(bytes, false)?;
                if let Some(failure) = failure {
                    failure.report(run, &name, is_complete);
                }
                Ok(None)
            }
        }
    }

    /// Restores what the package gives from bytes that were fetched before, and reported if they are not right. Is all of it
    /// restored?
    pub(super) fn restore_from(mut self, bytes: PackageBytes) -> Result<bool, RestoreError> {
        for destination in self.plan.without_contents() {
            self.place_node(&destination)?;
        }
        self.leave_derived_out()?;
        self.place(bytes, true)
    }

    /// Puts what the package gives in its places. Is that all that it has to give?
    fn place(mut self, bytes: PackageBytes, is_reported: bool) -> Result<bool, RestoreError> {
        let other = matches!(bytes, PackageBytes::Other(..)) && !is_reported;
        let (file, mut problem) = match bytes {
            PackageBytes::Proven(file) => {
                self.proven = true;
                (Some(file), None)
            }
            PackageBytes::Other(file, why) => (Some(file), Some(why)),
            PackageBytes::Nothing(why) => (None, Some(why)),
        };
        if let Some(file) = file {
            self.run.ledger.package_used();
            let itself = self.plan.itself();
            if !itself.is_empty() {
                self.place_itself(&itself, &file)?;
            }
            self.find_links(&file)?;
            let read = self.read(&file)?;
            problem = problem.or(read);
        }
        let missing = self.plan.missing(problem.as_deref());
        let missing = self.accept(missing, problem.as_deref())?;
        if let (Some(why), true, false) = (&problem, other, missing.is_empty()) {
            self.run.monitor.problem(ProblemKind::Verification, &self.name, why);
        }
        let lacks = match &self.run.pieced {
            Some(pieced) => pieced.lacks(self.run, self.index)?,
            None => false,
        };
        let is_complete = missing.is_empty() && !lacks;
        for (path, reason) in missing {
            if problem.is_none() {
                self.run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
            }
            self.run.ledger.missing(path, reason);
        }
        Ok(is_complete)
    }

    /// Is everything that the package gives in its place, as far as the manifest alone says?
    fn is_here_already(&mut self) -> Result<bool, RestoreError> {
        let Some(destinations) = self.plan.only_these().filter(|_| self.run.may_keep) else {
            return Ok(false);
        };
        if self.is_in_pieces() {
            return Ok(false);
        }
        if self.run.target.was_empty() && !destinations.is_empty() {
            return Ok(false);
        }
        for destination in destinations {
            let (Some(expected), Kind::File { size }) = (destination.sha256, &destination.kind)
            else {
                return Ok(false);
            };
            if self.stays(&destination)? {
                self.leave(&destination, Some(expected))?;
                continue;
            }
            let kept = self.keeps(&destination, *size, expected)?;
            if !kept {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps the file that is in its place, if its contents are right. False if they are not.
    pub(super) fn keeps(
        &mut self,
        destination: &Destination,
        size: u64,
        sha256: Digest,
    ) -> Result<bool, RestoreError> {
        match self.run.target.file(&destination.path) {
            Ok(Some(file))
                if file.size().is_ok_and(|found| found == size)
                    && file.digest(None).is_ok_and(|found| found == sha256) =>
            {
                self.adjust(destination, &*file, sha256)
            }
            _ => Ok(false),
        }
    }

    /// Reads the package's members; what was wrong with it, if anything.
    fn read(&mut self, file: &File) -> Result<Option<String>, RestoreError> {
        if !self.plan.needs_members() && !self.is_in_pieces() {
            return Ok(None);
        }
        let run = self.run;
        let name = self.name.clone();
        let progress = run.monitor.begin(Step::Read, name.clone(), Total::bytes(self.package.size));
        let inner = self.plan.inner_packages().clone();
        let recurse = |path: &RelPath| {
            let inside = [path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat();
            inner.contains(&inside)
        };
        let input = Input::Watched(file, progress.position());
        let outcome = derived::read_package(self.package, input, &recurse, run.limits, self);
        drop(progress);
        let problem = match outcome {
            Ok(found) if found == formats::FILE => "it is no package that can be read".to_owned(),
            Ok(_) => return Ok(None),
            Err(FormatError::Visitor(error)) => match error.downcast::<RestoreError>() {
                Ok(error) => return Err(*error),
                Err(error) => one_line(&*error),
            },
            Err(error) => one_line(&error),
        };
        let kind = if self.proven { ProblemKind::Incomplete } else { ProblemKind::Note };
        let mut message = format!("cannot be read to its end: {problem}");
        if own_name(&self.package.signatures).is_some() {
            message.push_str(&format!(" (from {})", shown(&self.package.url)));
        }
        run.monitor.problem(kind, &name, message);
        Ok(Some(problem))
    }

    /// Do files that are put together need something of the package?
    pub(super) fn is_in_pieces(&self) -> bool {
        self.run.pieced.as_ref().is_some_and(|pieced| pieced.needs(self.index))
    }

    /// The next member: where it goes, if it is restored.
    pub(super) fn next(&mut self, member: &Member) -> Vec<Destination> {
        let destinations = self.plan.next(member);
        match self.run.part {
            Some(places) => places.chosen(destinations, |part| self.rank(part)),
            None => destinations,
        }
    }

    /// Of a part: finds the hard links in the package whose files are not restored under their own names.
    fn find_links(&self, file: &File) -> Result<(), RestoreError> {
        let Some(places) = self.run.part.filter(|_| !self.package.placements.is_empty()) else {
            return Ok(());
        };
        let mut links = Links { plan: PackagePlan::new(self.package)?, places };
        let inner = self.plan.inner_packages();
        let recurse =
            |path: &RelPath| inner.contains(&[path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat());
        // What is wrong with the package is found when it is read to place its files.
        let _ = formats::read_package_as(
            &self.package.format,
            Input::File(file),
            &recurse,
            self.run.limits,
            &mut links,
        );
        Ok(())
    }

    fn rank(&self, part: ManifestPart) -> ledger::Rank {
        ledger::rank(
            self.index,
            if let ManifestPart::Placement(index) = part { index } else { usize::MAX },
        )
    }

    fn placed(&mut self, destination: &Destination, sha256: Option<Digest>) {
        let Destination { kind, metadata, .. } = destination.clone();
        self.plan.done(destination.part);
        let facts = Facts { kind, metadata, sha256 };
        let by = self.rank(destination.part);
        if !self.run.ledger.placed(&destination.path, by, facts) {
            let why = format!("two packages give it, one of them {}", self.name);
            self.run.monitor.problem(ProblemKind::Verification, &destination.path, why);
        }
    }

    pub(super) fn placed_file(&mut self, destination: &Destination, sha256: Digest, kept: bool) {
        let Kind::File { size } = destination.kind else { return };
        self.placed(destination, Some(sha256));
        self.run.ledger.file_from_package(size, kept);
        self.run.advance(size);
    }

    pub(super) fn failed(&mut self, destination: &Destination, kind: ProblemKind, reason: &str) {
        if !self.plan.failed(destination.part, reason) {
            self.run.monitor.problem(kind, &destination.path, reason);
            self.run.ledger.missing(destination.path.clone(), reason);
        } else if kind == ProblemKind::Verification {
            self.run.monitor.problem(kind, &destination.path, reason);
        }
    }

    /// An entry could not be placed: goes on, unless nothing can be written any more.
    pub(super) fn not_placed(
        &mut self,
        destination: &Destination,
        error: PlaceError,
    ) -> Result<(), RestoreError> {
        let error = self.run.unless_fatal(error)?;
        self.failed(destination, ProblemKind::Incomplete, &one_line(&error));
        Ok(())
    }

    /// Does what is there before stay as it is?
    pub(super) fn stays(&self, destination: &Destination) -> Result<bool, RestoreError> {
        let Destination { path, metadata, .. } = destination;
        // What cannot be looked at is named when something is put there.
        let stays = self.run.target.stays(path, metadata);
        stays.or_else(|error| self.run.unless_fatal(error).map(|_| false))
    }

    /// Leaves what is there as it is; it may be right. A regular file is to have contents of this digest.
    pub(super) fn leave(
        &mut self,
        destination: &Destination,
        sha256: Option<Digest>,
    ) -> Result<(), RestoreError> {
        let Destination { path, kind, metadata, .. } = destination;
        let contents = sha256.map(|sha256| (sha256, None));
        match (self.run.target.is_right(path, (kind, metadata), contents), sha256) {
            (Ok(true), Some(sha256)) => self.placed_file(destination, sha256, true),
            (Ok(true), None) => self.placed(destination, None),
            (Ok(false), _) => {
                self.plan.done(destination.part);
                self.run.ledger.left(path.clone());
            }
            (Err(error), _) => self.not_placed(destination, error)?,
        }
        Ok(())
    }

    /// Is this place the archive's own? Then the package may not have it.
    pub(super) fn is_archived(&mut self, destination: &Destination) -> bool {
        if !self.run.is_archived(&destination.path) {
            return false;
        }
        let why = format!("{} gives it, but the archive holds it", self.name);
        self.run.ledger.contradicted();
        self.failed(destination, ProblemKind::Verification, &why);
        true
    }

    pub(super) fn place_node(&mut self, destination: &Destination) -> Result<(), RestoreError> {
        let run = self.run;
        let Destination { path, kind, metadata, .. } = destination;
        if matches!(kind, Kind::Directory) {
            return match run.target.make_folder(path) {
                Ok(()) => {
                    let by = self.rank(destination.part);
                    run.ledger.folder(path.clone(), by, metadata.clone());
                    self.plan.done(destination.part);
                    Ok(())
                }
                Err(error) => self.not_placed(destination, error),
            };
        }
        if self.is_archived(destination) {
            return Ok(());
        }
        if let Kind::HardLink { target } = kind {
            run.ledger.link(path.clone(), target.clone());
            return Ok(());
        }
        if self.stays(destination)? {
            return self.leave(destination, None);
        }
        match run.target.make_node(path, kind, metadata) {
            Ok(_) => self.placed(destination, None),
            Err(error) => self.not_placed(destination, error)?,
        }
        Ok(())
    }
}

impl Visitor for Restoring<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.run.monitor.check_interrupted().map_err(RestoreError::from)?;
        let destinations = self.next(&member);
        let run = self.run;
        if let (Kind::File { size }, Some(pieced)) = (&member.kind, &run.pieced)
            && let Some(mut watch) = pieced.watch(self.index, &member.path, content)
        {
            let size = *size;
            self.place_member(destinations, size, &mut watch)?;
            return pieced.end_watch(run, watch);
        }
        if let Kind::File { size } = member.kind {
            return self.place_member(destinations, size, content);
        }
        if self.proven {
            for destination in destinations {
                self.place_node(&destination)?;
            }
        }
        Ok(())
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        if self.plan.cannot_be_made(raw, reason) {
            return;
        }
        let object = format!("{} in {}", escaped(raw), self.name);
        self.run.monitor.event(Event::Skipped { object: &object, reason });
    }

    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        let object = format!("{path} in {}", self.name);
        self.run.monitor.problem(ProblemKind::Incomplete, object, one_line(error));
    }
}
