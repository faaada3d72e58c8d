//! A package that no source has: its files, one by one, from wherever they can be had.
//!
//! Invariant: a file is taken only for a path of which the manifest or the members of the package say the digest, and only with that
//! digest; what nothing says is named as missing.

use std::io::{self, Read};

use super::destinations::Trouble;
use super::package::Restoring;
use super::part::Links;
use super::{RestoreError, Run};
use crate::archive::package_plan::{Destination, PackagePlan};
use crate::archive::{MembersError, PackageMembers};
use crate::fetch::{FileSource, WantedFile};
use crate::model::manifest::Package;
use crate::model::{Digest, Kind, Member, RelPath};
use crate::monitor::{Monitor, ProblemKind};
use crate::wording::one_line;

/// Where files of packages come from that no source has, and what says where they belong.
#[derive(Clone, Copy)]
pub struct Accepting<'a> {
    /// The files.
    pub files: &'a dyn FileSource,
    /// What may know which files, with which digests, are in a package.
    pub members: PackageMembers<'a>,
    /// Did a person offer files? Then it is said of each that is missing still that it was not among them.
    pub is_offered: bool,
}

/// Why a file is missing that the package would give.
const NOT_FOUND: &str = "its package cannot be had, and nothing that was offered is this file";

/// All members of the package, if they are known. A HashDB that fails is reported: it is only knowledge.
pub(super) fn known_members(
    members: &PackageMembers<'_>,
    package: &Package,
    monitor: &dyn Monitor,
) -> Result<Option<Vec<Member>>, RestoreError> {
    match members.of(package, monitor) {
        Ok(members) => Ok(members),
        Err(MembersError::Manifest(error)) => Err(error.into()),
        Err(MembersError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(MembersError::HashDb(error)) => {
            monitor.problem(ProblemKind::Note, "HashDB", one_line(&error));
            Ok(None)
        }
    }
}

/// Says of which packages no single file could be taken, since nothing knows where it would belong.
pub(super) fn report_nameless(run: &Run<'_>) {
    let why = "nothing here knows which files are in";
    match run.ledger.all_nameless() {
        (0, _) => {}
        (1, name) => {
            let why = format!("{why} it: only the package itself can be taken");
            run.monitor.problem(ProblemKind::Note, name, why);
        }
        (count, name) => {
            let why = format!("{why} them: only the packages themselves can be taken");
            let packages = format!("{count} packages, one of them {name}");
            run.monitor.problem(ProblemKind::Note, packages, why);
        }
    }
}

impl Restoring<'_, '_> {
    /// Takes what can be taken of all that is `missing` of the package because of a `problem` with it, and gives what is missing still.
    pub(super) fn accept(
        &mut self,
        missing: Vec<(RelPath, String)>,
        problem: Option<&str>,
    ) -> Result<Vec<(RelPath, String)>, RestoreError> {
        let Some(accepting) = self.run.accepting.filter(|_| !missing.is_empty()) else {
            return Ok(missing);
        };
        let members = known_members(&accepting.members, self.package, self.run.monitor)?;
        let wanted = self.wanted(members.as_deref())?;
        accepting.files.gather(self.package.sha256, &wanted, self.run.monitor)?;
        if !accepting.is_offered && !self.has_any(&accepting, &wanted)? {
            return Ok(missing);
        }
        match members {
            Some(members) => self.accept_members(&accepting, &members, problem),
            None => self.accept_files(&accepting, missing),
        }
    }

    /// Is any of these files to be had?
    fn has_any(
        &self,
        accepting: &Accepting<'_>,
        wanted: &[WantedFile],
    ) -> Result<bool, RestoreError> {
        for (sha256, size) in wanted {
            if accepting.files.file(*sha256, *size, self.run.monitor)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The files that are wanted of the package, as far as it is known what they are.
    fn wanted(&self, members: Option<&[Member]>) -> Result<Vec<WantedFile>, RestoreError> {
        let Some(members) = members else {
            let waiting = self.plan.waiting_files();
            return Ok(waiting.iter().filter_map(|one| self.not_there(one, one.sha256)).collect());
        };
        let mut plan = PackagePlan::new(self.package)?;
        let mut wanted: Vec<WantedFile> = Vec::new();
        for destination in plan.itself() {
            wanted.extend(self.not_there(&destination, Some(self.package.sha256)));
        }
        for member in members {
            for destination in plan.next(member) {
                let sha256 = destination.sha256.or(member.sha256);
                wanted.extend(self.not_there(&destination, sha256));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// The file that belongs there, unless one of its size is there: that is looked at when its turn comes.
    fn not_there(&self, destination: &Destination, sha256: Option<Digest>) -> Option<WantedFile> {
        let Kind::File { size } = destination.kind else { return None };
        if size == 0 || self.run.ledger.has(&destination.path) {
            return None;
        }
        let file = self.run.target.file(&destination.path).ok().flatten();
        let is_there = file.is_some_and(|file| file.size().is_ok_and(|found| found == size));
        sha256.filter(|_| !is_there).map(|sha256| (sha256, size))
    }

    /// The members are known: each goes where it would have gone. `problem` is why the package cannot be had.
    fn accept_members(
        &mut self,
        accepting: &Accepting<'_>,
        members: &[Member],
        problem: Option<&str>,
    ) -> Result<Vec<(RelPath, String)>, RestoreError> {
        let why = match problem.filter(|_| !accepting.is_offered) {
            Some(problem) => format!("{}: {problem}", self.name),
            None => NOT_FOUND.to_owned(),
        };
        let why = &*why;
        let mut missing = Vec::new();
        if let Some(places) = self.run.part {
            let mut links = Links { plan: PackagePlan::new(self.package)?, places };
            members.iter().for_each(|member| links.follow(member));
        }
        self.plan.rewind();
        let (itself, whole) = (self.plan.itself(), Some(self.package.sha256));
        for destination in itself {
            self.accept_or_miss(accepting, destination, (whole, why), &mut missing)?;
        }
        for member in members {
            self.run.monitor.check_interrupted()?;
            for destination in self.next(member) {
                match destination.kind {
                    Kind::File { .. } => {
                        let known = (member.sha256, why);
                        self.accept_or_miss(accepting, destination, known, &mut missing)?;
                    }
                    _ => self.place_node(&destination)?,
                }
            }
        }
        missing.extend(self.plan.missing(None));
        Ok(missing)
    }

    fn accept_or_miss(
        &mut self,
        accepting: &Accepting<'_>,
        destination: Destination,
        (sha256, why): (Option<Digest>, &str),
        missing: &mut Vec<(RelPath, String)>,
    ) -> Result<(), RestoreError> {
        let sha256 = destination.sha256.or(sha256);
        if !self.accept_file(accepting, &destination, sha256)?
            && !self.plan.failed(destination.part, why)
        {
            missing.push((destination.path, why.to_owned()));
        }
        Ok(())
    }

    /// Nothing is known of the package but what the manifest says of single files.
    fn accept_files(
        &mut self,
        accepting: &Accepting<'_>,
        mut missing: Vec<(RelPath, String)>,
    ) -> Result<Vec<(RelPath, String)>, RestoreError> {
        for destination in self.plan.waiting_files() {
            let sha256 = destination.sha256;
            if self.accept_file(accepting, &destination, sha256)? {
                missing.retain(|(path, _)| *path != destination.path);
            }
        }
        if accepting.is_offered && !self.package.placements.is_empty() {
            self.run.ledger.nameless(&self.name);
        }
        Ok(missing)
    }

    /// Is the file in its place, or was what became of it said? Takes it from what was offered, if it is there.
    pub(super) fn accept_file(
        &mut self,
        accepting: &Accepting<'_>,
        destination: &Destination,
        sha256: Option<Digest>,
    ) -> Result<bool, RestoreError> {
        let Kind::File { size } = &destination.kind else { return Ok(false) };
        // What is empty needs to be found nowhere.
        let nothing = (*size == 0).then(|| Digest::of(b""));
        let Some(sha256) = sha256.or(nothing) else { return Ok(false) };
        if self.is_archived(destination) || self.run.ledger.has(&destination.path) {
            return Ok(true);
        }
        if self.stays(destination)? {
            self.leave(destination, Some(sha256))?;
            return Ok(true);
        }
        if self.run.may_keep && self.keeps(destination, *size, sha256)? {
            return Ok(true);
        }
        let mut content: Box<dyn Read> = match nothing {
            Some(_) => Box::new(io::empty()),
            None => match accepting.files.file(sha256, *size, self.run.monitor)? {
                Some(file) => Box::new(file),
                None => return Ok(false),
            },
        };
        let wanted = Destination { sha256: Some(sha256), ..destination.clone() };
        // It is proven by its own digest, whatever is known of the package.
        match self.place_contents(vec![wanted], *size, &mut content) {
            Ok(()) => {
                self.run.ledger.found(&destination.path);
                Ok(true)
            }
            Err(Trouble::Restore(error)) => Err(error),
            Err(Trouble::Package(error)) => {
                let why = format!("what was offered cannot be read ({error})");
                self.run.monitor.problem(ProblemKind::Note, &destination.path, why);
                Ok(false)
            }
        }
    }
}
