//! Derived files that programs of packages make: when everything else is in its place.
//!
//! Invariant: a program reads only what is in its place, and proven; what it makes gets a name only with the digest that the manifest
//! has of it. Whatever goes wrong with a program costs what it should make, and nothing else.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Seek as _};
use std::sync::Mutex;

use super::destinations::Trouble;
use super::package::Restoring;
use super::run::RunsPrograms;
use super::unpacked_program::{Failed, LastProgram, disk, program};
use super::{RestoreError, Run};
use crate::archive::ArchiveError;
use crate::archive::package_plan::Destination;
use crate::model::manifest::{Derived, Package};
use crate::model::{Digest, Kind, RelPath, counted, escaped};
use crate::monitor::{ProblemKind, Step, Total};
use crate::programs::{
    MOST_PATCHED_BYTES, ProgramError, Programs, Reads, Workshop, applied, program_recipe,
};
use crate::wording::one_line;

/// A run, by the index of its package and its own in it.
type RunKey = (usize, usize);

/// What programs have to make: all that was left for them.
#[derive(Default)]
pub(super) struct LeftForPrograms(Mutex<BTreeMap<RunKey, Vec<Output>>>);

/// A file that a run makes.
struct Output {
    /// Where it was in the tree.
    made: RelPath,
    destination: Destination,
}

/// Contents, and their bytes.
type Contents = (Box<dyn Read>, u64);

impl LeftForPrograms {
    /// Leaves the file at `destination`, which was at `made` in the tree, for a run.
    pub(super) fn add(&self, run: RunKey, made: RelPath, destination: Destination) {
        let mut left = self.0.lock().expect("no holder of this lock panics");
        left.entry(run).or_default().push(Output { made, destination });
    }

    /// Makes everything that was left.
    pub(super) fn make<'r>(
        self,
        run: &Run<'r>,
        packages: &'r [Package],
    ) -> Result<(), RestoreError> {
        let left = self.0.into_inner().expect("no holder of this lock panics");
        let RunsPrograms::Now(programs) = run.runs_programs else { return Ok(()) };
        if left.is_empty() {
            return Ok(());
        }
        let progress = run.monitor.begin(Step::Place, "what programs make", Total::UNKNOWN);
        let (mut last, by_programs) = (LastProgram::None, made_by_programs(packages)?);
        let runs: Vec<BTreeMap<usize, Vec<RelPath>>> = packages
            .iter()
            .map(Package::runs)
            .collect::<Result<_, _>>()
            .map_err(ArchiveError::from)?;
        for ((package, number), outputs) in left {
            run.monitor.check_interrupted()?;
            let (made, outputs) = (&runs[package][&number][..], &outputs[..]);
            let by_programs = &by_programs;
            let making = Making { run, programs, packages, package, made, by_programs, outputs };
            let derived = &packages[package].derived[number];
            match making.carry_out(derived, &mut last) {
                Ok(()) => {}
                Err(Failed::Restore(error)) => return Err(error),
                Err(Failed::Program(error)) => making.report(derived, &one_line(&error)),
            }
            progress.advance(0, outputs.len() as u64);
        }
        Ok(())
    }
}

/// A run while it is carried out.
struct Making<'m, 'r> {
    run: &'m Run<'r>,
    programs: &'m Programs,
    packages: &'r [Package],
    /// The index of its package.
    package: usize,
    /// All that it makes, also what is in its place already: what is made before others may show in them.
    made: &'m [RelPath],
    /// What programs make anywhere in the tree: none of them reads that.
    by_programs: &'m HashSet<RelPath>,
    /// What is not in its place yet.
    outputs: &'m [Output],
}

impl Making<'_, '_> {
    fn carry_out(&self, derived: &Derived, last: &mut LastProgram) -> Result<(), Failed> {
        let unknown = || ProgramError::Unknown(escaped(derived.recipe.as_bytes()));
        let recipe =
            program_recipe(&derived.recipe).ok_or_else(unknown).map_err(Failed::Program)?;
        let (parameters, made) = (&derived.parameters, self.made);
        let reads = recipe.reads(parameters, made).map_err(Failed::Program)?;
        let call = recipe.call(parameters, made).map_err(Failed::Program)?;
        let names = recipe.packages(parameters).map_err(Failed::Program)?;
        let tool = (&names[..], &derived.tool[..]);
        let unpacked = program(last, self.run, self.programs, self.packages, tool)?;
        let workshop = Workshop::new(unpacked).map_err(disk)?;
        self.fill(&workshop, &reads)?;
        for path in made {
            workshop.make_folders(path).map_err(disk)?;
        }
        match workshop.run(&call, &*self.programs.runner, self.run.monitor) {
            Ok(()) => {}
            Err(ProgramError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => return Err(Failed::Program(error)),
        }
        self.place(&workshop, derived)
    }

    /// Puts what a program reads into its workshop.
    fn fill(&self, workshop: &Workshop<'_>, reads: &Reads) -> Result<(), Failed> {
        let run = self.run;
        let is_read = |path: &RelPath| reads.has(path) && !self.by_programs.contains(path);
        for (path, mtime) in run.ledger.files_in_place(&is_read) {
            run.monitor.check_interrupted()?;
            // Without it, nothing right comes out.
            let Some(mut content) = run.target.contents(&run.stored(&path)).map_err(read)? else {
                continue;
            };
            workshop.add(&path, mtime, &mut content).map_err(Failed::Program)?;
        }
        Ok(())
    }

    /// Puts what came out right in its places, and names the rest.
    fn place(&self, workshop: &Workshop<'_>, derived: &Derived) -> Result<(), Failed> {
        let mut wrong = Vec::new();
        let mut restoring = Restoring::new(self.run, self.packages, self.package)?;
        for Output { made, destination } in self.outputs {
            self.run.monitor.check_interrupted()?;
            let Some((mut content, size)) = self.made(workshop, derived, made, destination)? else {
                wrong.push(destination);
                continue;
            };
            match restoring.place_contents(vec![destination.clone()], size, &mut content) {
                Ok(()) => {}
                Err(Trouble::Restore(error)) => return Err(error.into()),
                Err(Trouble::Package(error)) => return Err(disk(error)),
            }
            let ledger = &self.run.ledger;
            if !ledger.has(&destination.path) && !ledger.is_left(&destination.path) {
                ledger.missing(destination.path.clone(), "it could not be put in its place");
            }
        }
        let why = "its program makes something else";
        self.name(&wrong, derived, ProblemKind::Verification, why);
        Ok(())
    }

    /// What the program made for a destination, patched if it has a patch, and its size; `None` if it is not right.
    fn made(
        &self,
        workshop: &Workshop<'_>,
        derived: &Derived,
        made: &RelPath,
        destination: &Destination,
    ) -> Result<Option<Contents>, Failed> {
        let Kind::File { size: expected } = destination.kind else { return Ok(None) };
        let Some((mut file, size)) = workshop.made(made).map_err(disk)? else { return Ok(None) };
        if let Some(patch) = derived.patch(made) {
            let mut from = Vec::new();
            file.take(MOST_PATCHED_BYTES).read_to_end(&mut from).map_err(disk)?;
            // What is no patch of these bytes gives none that are right.
            let wanted = applied(&from, &patch.zstd, expected).unwrap_or_default();
            let is_right = destination.sha256 == Some(Digest::of(&wanted));
            let content = Box::new(io::Cursor::new(wanted)) as Box<dyn Read>;
            return Ok(is_right.then_some((content, expected)));
        }
        let is_right =
            size == expected && destination.sha256 == Some(Digest::of_reader(&file).map_err(disk)?);
        file.rewind().map_err(disk)?;
        Ok(is_right.then(|| (Box::new(file) as Box<dyn Read>, size)))
    }

    /// Nothing came of the run.
    fn report(&self, derived: &Derived, why: &str) {
        let all = self.outputs.iter().map(|output| &output.destination);
        // Some may be in their places before something goes wrong.
        let open: Vec<&Destination> = all.filter(|one| !self.run.ledger.has(&one.path)).collect();
        self.name(&open, derived, ProblemKind::Incomplete, why);
    }

    /// Names in one line what is not made.
    fn name(&self, missing: &[&Destination], derived: &Derived, kind: ProblemKind, why: &str) {
        let Some(first) = missing.first() else { return };
        for destination in missing {
            self.run.ledger.missing(destination.path.clone(), why);
        }
        let files = counted(missing.len() as u64, "file", "files");
        let recipe = escaped(derived.recipe.as_bytes());
        let message = format!("{files} not made by {recipe}: {why} ({})", first.path);
        self.run.monitor.problem(kind, self.packages[self.package].shown_name(), message);
    }
}

/// The paths of all entries that programs make.
fn made_by_programs(packages: &[Package]) -> Result<HashSet<RelPath>, RestoreError> {
    let mut made = HashSet::new();
    for package in packages {
        let files = package.derived_files().map_err(ArchiveError::from)?;
        let of_runs = files.into_iter().filter(|(_, derived)| derived.is_run());
        made.extend(of_runs.map(|(entry, _)| entry.path));
    }
    Ok(made)
}

fn read(error: super::place::PlaceError) -> Failed {
    disk(io::Error::other(one_line(&error)))
}
