//! Fetching the packages and putting every given member in its place, several packages at once.
//!
//! Invariant: what a package gives is placed only if the package's own digest is right, or the
//! manifest has the digest of that one file and it is right.

use std::fs::File;
use std::io::{self, Read};

use super::place::{Content, PlaceError, Staged, Target};
use super::plan::{Destination, Origin, PackagePlan};
use super::{RestoreError, Run, ledger};
use crate::fetch::{FetchError, Wanted};
use crate::formats::{self, FormatError, Input, PATH_SEPARATOR, Visitor, VisitorError};
use crate::model::manifest::Package;
use crate::model::{Digest, Kind, Member, RelPath, escaped};
use crate::monitor::{Event, Interrupted, Monitor, ProblemKind, Step};

use ledger::Facts;

/// Restores what all packages give, `run.jobs` packages at once.
pub(super) fn restore_packages(run: &Run<'_>, packages: &[Package]) -> Result<(), RestoreError> {
    in_parallel(run.jobs, packages.len(), |index| {
        run.monitor.check_interrupted()?;
        Restoring::new(run, packages, index)?.restore()
    })
}

/// Does `work` for each number below `count`, on `jobs` threads. Stops early at the first error.
pub(super) fn in_parallel(
    jobs: usize,
    count: usize,
    work: impl Fn(usize) -> Result<(), RestoreError> + Sync,
) -> Result<(), RestoreError> {
    let (sender, receiver) = crossbeam_channel::bounded(count.max(1));
    for index in 0..count {
        sender.send(index).expect("the receiver is right here");
    }
    drop(sender);
    let (failed, failures) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                for index in &receiver {
                    if !failed.is_empty() {
                        break;
                    }
                    if let Err(error) = work(index) {
                        // Only the first one is told.
                        let _ = failed.try_send(error);
                    }
                }
            });
        }
    });
    failures.try_recv().map_or(Ok(()), Err)
}

/// Gets the bytes of a package; proven or not.
pub(super) enum Gotten {
    /// They are the right ones.
    Proven(File),
    /// They are other bytes than those that were packed; why.
    Other(File, String),
    /// There are none; why.
    Nothing(String),
}

/// Fetches `wanted`, and tells the monitor if that does not work.
pub(super) fn fetch(run: &Run<'_>, wanted: &Wanted) -> Result<Gotten, RestoreError> {
    let name = escaped(wanted.url.as_bytes());
    let error = match run.source.fetch(wanted, run.monitor) {
        Ok(fetched) => return Ok(Gotten::Proven(fetched.file)),
        Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
        Err(error) => error,
    };
    run.monitor.check_interrupted()?;
    let message = chain(&error);
    let (kind, gotten) = match other_bytes(error) {
        Some(Some(file)) => {
            (ProblemKind::Verification, Gotten::Other(file, format!("wrong bytes: {message}")))
        }
        Some(None) => (ProblemKind::Verification, Gotten::Nothing(message.clone())),
        None => (ProblemKind::Unreachable, Gotten::Nothing(message.clone())),
    };
    run.monitor.problem(kind, name, message);
    Ok(gotten)
}

/// Did some source answer with other bytes, and are they of use?
fn other_bytes(error: FetchError) -> Option<Option<File>> {
    match error {
        FetchError::Mismatch { file, .. } => Some(file),
        FetchError::All { errors } => {
            errors.into_iter().filter_map(other_bytes).max_by_key(Option::is_some)
        }
        _ => None,
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// One package while it is restored.
struct Restoring<'r, 'm> {
    run: &'r Run<'r>,
    package: &'m Package,
    index: usize,
    name: String,
    plan: PackagePlan<'m>,
    /// Is every byte of the package proven?
    proven: bool,
}

impl<'r, 'm> Restoring<'r, 'm> {
    fn new(run: &'r Run<'r>, packages: &'m [Package], index: usize) -> Result<Self, RestoreError> {
        let package = &packages[index];
        let plan = PackagePlan::new(package)?;
        let name = escaped(package.url.as_bytes());
        Ok(Self { run, package, index, name, plan, proven: false })
    }

    fn restore(mut self) -> Result<(), RestoreError> {
        for destination in self.plan.without_contents() {
            self.place_node(&destination)?;
        }
        if self.is_here_already()? {
            return Ok(());
        }
        let wanted = Wanted {
            url: self.package.url.clone(),
            also: self.package.also.clone(),
            sha256: Some(self.package.sha256),
            size: Some(self.package.size),
        };
        let (file, mut problem) = match fetch(self.run, &wanted)? {
            Gotten::Proven(file) => {
                self.proven = true;
                (Some(file), None)
            }
            Gotten::Other(file, why) => (Some(file), Some(why)),
            Gotten::Nothing(why) => (None, Some(why)),
        };
        if let Some(file) = file {
            self.run.ledger.package_used();
            let itself = self.plan.itself();
            if !itself.is_empty() {
                self.place_itself(&itself, &file)?;
            }
            let read = self.read(&file)?;
            problem = problem.or(read);
        }
        for (path, reason) in self.plan.missing(problem.as_deref()) {
            if problem.is_none() {
                self.run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
            }
            self.run.ledger.missing(path, reason);
        }
        Ok(())
    }

    /// Is everything that the package gives in its place, as far as the manifest alone can tell?
    fn is_here_already(&mut self) -> Result<bool, RestoreError> {
        let Some(destinations) = self.plan.only_these() else { return Ok(false) };
        if self.run.target.was_empty() && !destinations.is_empty() {
            return Ok(false);
        }
        for destination in destinations {
            let (Some(expected), Kind::File { size }) = (destination.sha256, &destination.kind)
            else {
                return Ok(false);
            };
            let kept = match self.run.target.open_file(&destination.path) {
                Ok(Some(file))
                    if file.metadata().is_ok_and(|found| found.len() == *size)
                        && Target::digest(&file, None).is_ok_and(|found| found == expected) =>
                {
                    self.adjust(&destination, &file, expected)?
                }
                _ => false,
            };
            if !kept {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the package's members; what was wrong with it, if anything.
    fn read(&mut self, file: &File) -> Result<Option<String>, RestoreError> {
        if !self.plan.needs_members() {
            return Ok(None);
        }
        let run = self.run;
        let name = self.name.clone();
        run.monitor.event(Event::Started {
            step: Step::Read,
            name: &name,
            bytes: Some(self.package.size),
        });
        let inner = self.plan.inner_packages().clone();
        let recurse = |path: &RelPath| {
            let inside = [path.as_bytes(), PATH_SEPARATOR.as_bytes()].concat();
            inner.contains(&inside)
        };
        let outcome = formats::read_package(Input::File(file), &recurse, run.limits, self);
        run.monitor.event(Event::Finished { step: Step::Read, name: &name });
        let problem = match outcome {
            Ok(found) if found == formats::FILE => "it is no package that can be read".to_owned(),
            Ok(_) => return Ok(None),
            Err(FormatError::Visitor(error)) => match error.downcast::<RestoreError>() {
                Ok(error) => return Err(*error),
                Err(error) => chain(&*error),
            },
            Err(error) => chain(&error),
        };
        let kind = if self.proven { ProblemKind::Incomplete } else { ProblemKind::Verification };
        run.monitor.problem(kind, &name, format!("cannot be read to its end: {problem}"));
        Ok(Some(problem))
    }

    fn rank(&self, origin: Origin) -> ledger::Rank {
        ledger::rank(self.index, if let Origin::Tree(tree) = origin { tree } else { usize::MAX })
    }

    fn placed(&mut self, destination: &Destination, sha256: Option<Digest>) {
        let Destination { path, kind, metadata, .. } = destination.clone();
        self.plan.done(destination.origin);
        let facts = Facts { kind, metadata, sha256, extents: None };
        let by = self.rank(destination.origin);
        if !self.run.ledger.placed(path, by, facts) {
            let why = format!("two packages give it, one of them {}", self.name);
            self.run.monitor.problem(ProblemKind::Verification, &destination.path, why);
        }
    }

    fn placed_file(&mut self, destination: &Destination, sha256: Digest, kept: bool) {
        let Kind::File { size } = destination.kind else { return };
        self.placed(destination, Some(sha256));
        self.run.ledger.file_from_package(size, kept);
        self.run.advance(size);
    }

    fn failed(&mut self, destination: &Destination, kind: ProblemKind, reason: &str) {
        if !self.plan.failed(destination.origin, reason) {
            self.run.monitor.problem(kind, &destination.path, reason);
            self.run.ledger.missing(destination.path.clone(), reason);
        } else if kind == ProblemKind::Verification {
            self.run.monitor.problem(kind, &destination.path, reason);
        }
    }

    /// An entry could not be placed: goes on, unless nothing can be written any more.
    fn not_placed(
        &mut self,
        destination: &Destination,
        error: PlaceError,
    ) -> Result<(), RestoreError> {
        let error = self.run.unless_fatal(error)?;
        self.failed(destination, ProblemKind::Incomplete, &chain(&error));
        Ok(())
    }

    /// Is this place the archive's own? Then the package may not have it.
    fn is_archived(&mut self, destination: &Destination) -> bool {
        if !self.run.is_archived(&destination.path) {
            return false;
        }
        let why = format!("{} gives it, but the archive holds it", self.name);
        self.run.ledger.contradicted();
        self.failed(destination, ProblemKind::Verification, &why);
        true
    }

    fn place_node(&mut self, destination: &Destination) -> Result<(), RestoreError> {
        let run = self.run;
        let Destination { path, kind, metadata, .. } = destination;
        if matches!(kind, Kind::Directory) {
            return match run.target.make_folder(path) {
                Ok(()) => {
                    let by = self.rank(destination.origin);
                    run.ledger.folder(path.clone(), by, metadata.clone());
                    self.plan.done(destination.origin);
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
        match run.target.make_node(path, kind, metadata) {
            Ok(_) => self.placed(destination, None),
            Err(error) => self.not_placed(destination, error)?,
        }
        Ok(())
    }

    fn place_itself(
        &mut self,
        destinations: &[Destination],
        file: &File,
    ) -> Result<(), RestoreError> {
        use std::io::Seek as _;
        let mut content = file;
        if let Err(error) = content.rewind() {
            let why = format!("cannot read the package: {error}");
            for destination in destinations {
                self.failed(destination, ProblemKind::Incomplete, &why);
            }
            return Ok(());
        }
        let size = file.metadata().map_or(self.package.size, |found| found.len());
        let (fitting, other): (Vec<_>, Vec<_>) =
            destinations.iter().cloned().partition(|one| one.kind == Kind::File { size });
        for destination in other {
            self.failed(&destination, ProblemKind::Verification, "the package has another size");
        }
        match self.place_contents(fitting, size, &mut content) {
            Ok(()) => Ok(()),
            Err(Trouble::Restore(error)) => Err(error),
            Err(Trouble::Package(error)) => {
                for destination in destinations {
                    self.failed(destination, ProblemKind::Incomplete, &error.to_string());
                }
                Ok(())
            }
        }
    }

    /// Puts contents that can be read once in all the places that want them.
    fn place_contents(
        &mut self,
        destinations: Vec<Destination>,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Trouble> {
        let run = self.run;
        let mut wanted = Vec::with_capacity(destinations.len());
        for destination in destinations {
            let usable = self.proven || destination.sha256.is_some();
            if usable && !self.is_archived(&destination) {
                wanted.push(destination);
            }
        }
        let mut content = Watched { content, monitor: run.monitor };
        let alone = wanted.len() == 1 && !run.target.was_empty();
        let mut first = None;
        while first.is_none() && !wanted.is_empty() {
            let path = &wanted[0].path;
            let staged = if alone {
                run.target.keep_or_stage(path, size, &mut content)
            } else {
                run.target.stage(path, size, &mut content).map(Content::Staged)
            };
            match staged {
                Ok(staged) => first = Some(staged),
                Err(PlaceError::Read(error)) => {
                    run.monitor.check_interrupted().map_err(RestoreError::from)?;
                    return Err(Trouble::Package(error));
                }
                Err(error) => {
                    // Nothing was read yet: the next place may be better.
                    let destination = wanted.remove(0);
                    self.not_placed(&destination, error)?;
                }
            }
        }
        let Some(first) = first else { return Ok(()) };
        self.place_staged(&wanted, size, first)
    }

    fn place_staged(
        &mut self,
        wanted: &[Destination],
        size: u64,
        content: Content<'_>,
    ) -> Result<(), Trouble> {
        let sha256 = match &content {
            Content::Staged(staged) if staged.size != size => {
                let problem = format!("{} of {size} bytes came out of it", staged.size);
                return Err(Trouble::Package(io::Error::new(io::ErrorKind::InvalidData, problem)));
            }
            Content::Staged(staged) => staged.sha256,
            Content::Kept(_, sha256) => *sha256,
        };
        let right: Vec<bool> = wanted.iter().map(|one| self.digest_is_right(one, sha256)).collect();
        match content {
            Content::Kept(file, _) => {
                if right[0] {
                    self.adjust(&wanted[0], &file, sha256)?;
                }
            }
            Content::Staged(staged) => {
                for (destination, _) in
                    wanted.iter().zip(&right).skip(1).filter(|(_, right)| **right)
                {
                    self.place_copy(destination, &staged)?;
                }
                if right[0] {
                    match staged.put(&wanted[0].path, &wanted[0].metadata) {
                        Ok(()) => self.placed_file(&wanted[0], sha256, false),
                        Err(error) => self.not_placed(&wanted[0], error)?,
                    }
                }
            }
        }
        Ok(())
    }

    fn digest_is_right(&mut self, destination: &Destination, found: Digest) -> bool {
        match destination.sha256 {
            Some(expected) if expected != found => {
                let why = format!("{} gives sha256 {found}, expected {expected}", self.name);
                self.failed(destination, ProblemKind::Verification, &why);
                false
            }
            _ => true,
        }
    }

    /// Metadata of a file that holds the right contents already. False if that failed.
    fn adjust(
        &mut self,
        destination: &Destination,
        file: &File,
        sha256: Digest,
    ) -> Result<bool, RestoreError> {
        match self.run.target.adjust_file(&destination.path, file, &destination.metadata) {
            Ok(()) => {
                self.placed_file(destination, sha256, true);
                Ok(true)
            }
            Err(error) => {
                self.not_placed(destination, error)?;
                Ok(false)
            }
        }
    }

    /// The same contents once more, for another place.
    fn place_copy(
        &mut self,
        destination: &Destination,
        staged: &Staged<'_>,
    ) -> Result<(), RestoreError> {
        let target = self.run.target;
        if let Ok(Some(existing)) = target.open_file(&destination.path)
            && existing.metadata().is_ok_and(|found| found.len() == staged.size)
            && Target::digest(&existing, None).is_ok_and(|found| found == staged.sha256)
        {
            self.adjust(destination, &existing, staged.sha256)?;
            return Ok(());
        }
        let copied = target.stage_copy(&destination.path, staged.file()).and_then(|copy| {
            if copy.sha256 != staged.sha256 {
                return Err(PlaceError::Blocked("another program changes it meanwhile".into()));
            }
            copy.put(&destination.path, &destination.metadata)
        });
        match copied {
            Ok(()) => self.placed_file(destination, staged.sha256, false),
            Err(error) => self.not_placed(destination, error)?,
        }
        Ok(())
    }
}

/// Why contents could not be placed anywhere.
enum Trouble {
    /// Restoring ends.
    Restore(RestoreError),
    /// The package is damaged.
    Package(io::Error),
}

impl From<RestoreError> for Trouble {
    fn from(error: RestoreError) -> Self {
        Self::Restore(error)
    }
}

/// Contents that end with an error once the monitor asks to stop.
struct Watched<'c> {
    content: &'c mut dyn Read,
    monitor: &'c dyn Monitor,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.monitor.interrupted() {
            return Err(io::Error::other(Interrupted));
        }
        self.content.read(buffer)
    }
}

impl Visitor for Restoring<'_, '_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        self.run.monitor.check_interrupted().map_err(RestoreError::from)?;
        let destinations = self.plan.next(&member);
        if let Kind::File { size } = member.kind {
            let (files, other): (Vec<_>, Vec<_>) =
                destinations.into_iter().partition(|one| matches!(one.kind, Kind::File { .. }));
            debug_assert!(other.is_empty(), "a file is given as a file");
            if files.is_empty() {
                return Ok(());
            }
            return self.place_contents(files, size, content).map_err(|trouble| match trouble {
                Trouble::Restore(error) => error.into(),
                Trouble::Package(error) => VisitorError::from(error),
            });
        }
        if self.proven {
            for destination in destinations {
                self.place_node(&destination)?;
            }
        }
        Ok(())
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        let object = format!("{} in {}", escaped(raw), self.name);
        self.run.monitor.event(Event::Skipped { object: &object, reason });
    }

    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        let object = format!("{path} in {}", self.name);
        self.run.monitor.problem(ProblemKind::Incomplete, object, chain(error));
    }
}
