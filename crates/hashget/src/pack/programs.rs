//! Which archived files programs of packages make out of other files of the tree.
//!
//! Invariant: a file is left out only if the program was run here, on what a restore will have in its place, and made exactly the
//! bytes that the tree has.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use super::derive::{add_files, contents, is_wanted};
use super::known::{KnownPackage, Requirements};
use super::pieces::{add_package, sort_packages};
use super::plan::{ChosenPackage, Plan};
use super::program_memory::{ProgramMemory, Question, Remembered};
use super::program_packages::Program;
use super::verdict::{Verdict, Verdicts};
use super::{PackError, Packer};
use crate::model::manifest::{Derived, Package, Patch};
use crate::model::{Digest, Entry, Kind, RelPath, counted, total_bytes};
use crate::monitor::{Monitor, ProblemKind, Step, Total};
use crate::programs::{
    Call, MOST_PATCHED_BYTES, ProgramError, ProgramRun, ProgramScene, Programs, Workshop, between,
    program_recipe, program_runs,
};
use crate::tree::Scan;
use crate::wording::one_line;

/// How often a run is made again without what did not come out right.
const MOST_TRIES: usize = 4;
/// Runs for the files of one proposal.
const MOST_ROUNDS: usize = 4;

/// What came out right of a run.
struct Right {
    run: ProgramRun,
    made: Vec<Made>,
}

/// A file that a program makes: the index of its entry, and what has to be changed in it.
struct Made {
    entry: usize,
    patch: Option<String>,
}

/// Looks for programs, each once.
pub(super) struct Search<'s, 'a> {
    pub(super) packer: &'s Packer<'a>,
    pub(super) programs: &'s Programs,
    pub(super) requirements: &'s Requirements<'s>,
    /// The packages of the plan, by the names that their signatures have.
    pub(super) chosen: Vec<KnownPackage>,
    found: HashMap<Vec<String>, Option<Program>>,
    pub(super) memory: RefCell<ProgramMemory>,
    pub(super) monitor: &'s dyn Monitor,
}

impl<'s, 'a> Search<'s, 'a> {
    /// One for a plan with these packages; `None` if no programs may be run.
    pub(super) fn new(
        packer: &'s Packer<'a>,
        (scan, plan): (&Scan, &Plan),
        packages: &[ChosenPackage<'_>],
        requirements: &'s Requirements<'s>,
        monitor: &'s dyn Monitor,
    ) -> Option<Self> {
        let options = requirements.options();
        let programs = options.programs.as_ref()?;
        let chosen = plan.chosen.iter().map(|&index| &packages[index]);
        let chosen =
            chosen.map(|one| KnownPackage::new(one.id, one.record.clone(), Vec::new())).collect();
        let memory = ProgramMemory::load(options.scan_cache.as_deref(), scan.root.path());
        let (found, memory) = (HashMap::new(), RefCell::new(memory));
        Some(Self { packer, programs, requirements, chosen, found, memory, monitor })
    }

    /// Leaves out of a plan what programs make, out of its packages and of others in the HashDB.
    pub(super) fn run_programs(
        &mut self,
        scan: &Scan,
        packages: &mut Vec<ChosenPackage<'_>>,
        plan: &mut Plan,
    ) -> Result<(), PackError> {
        let runs = program_runs(&Tree::new(scan, &plan.verdicts));
        if runs.is_empty() {
            return Ok(());
        }
        let bytes = runs.iter().flat_map(|run| &run.outputs).map(|path| size_at(scan, path));
        let progress =
            self.monitor.begin(Step::Plan, "what programs make", Total::bytes(total_bytes(bytes)));
        let mut made: Vec<(Vec<String>, Right)> = Vec::new();
        let mut left_out: BTreeSet<RelPath> = BTreeSet::new();
        let mut runs: VecDeque<(ProgramRun, usize)> =
            runs.into_iter().map(|run| (run, 1)).collect();
        while let Some((run, round)) = runs.pop_front() {
            self.monitor.check_interrupted()?;
            let proposed = run.clone();
            let bytes = total_bytes(run.outputs.iter().map(|path| size_at(scan, path)));
            let (what, files) = (run.recipe, run.outputs.len() as u64);
            match self.carry_out(scan, run, &left_out) {
                Ok(Some((names, right))) => {
                    left_out.extend(right.run.outputs.iter().cloned());
                    let mut rest = proposed;
                    rest.outputs.retain(|path| !left_out.contains(path));
                    // What is made before the others is made otherwise: the rest may come out by itself. Not of a run that reads folders: it
                    // has read the rest, which must stay in the archive.
                    if round < MOST_ROUNDS && !rest.outputs.is_empty() && !reads_folders(&rest) {
                        runs.push_back((rest, round + 1));
                    }
                    made.push((names, right));
                }
                Ok(None) => {}
                Err(Failed::Pack(error)) => return Err(error),
                Err(Failed::Program(error)) => {
                    let files = counted(files, "file", "files");
                    let why = format!("{files} archived that it might make: {}", one_line(&error));
                    self.monitor.problem(ProblemKind::Note, format!("recipe {what}"), why);
                }
            }
            progress.advance(bytes, 0);
        }
        for (names, right) in made {
            if let Some(program) = self.known(&names) {
                add(scan, program, right, packages, plan);
            }
        }
        sort_packages(plan);
        Ok(())
    }

    /// Everything has been made.
    pub(super) fn finish(self) {
        // Without a memory, programs are run again.
        let _ = self.memory.into_inner().save();
    }
}

fn reads_folders(run: &ProgramRun) -> bool {
    let reads = program_recipe(run.recipe).map(|one| one.reads(&run.parameters, &run.outputs));
    reads.is_some_and(|reads| reads.is_ok_and(|reads| !reads.below.is_empty()))
}

/// Why a run is not used.
pub(super) enum Failed {
    /// Packing ends.
    Pack(PackError),
    /// Its files are archived.
    Program(ProgramError),
}

impl<E: Into<PackError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Pack(error.into())
    }
}

impl Search<'_, '_> {
    /// Makes what a run proposes, as far as that comes out right; with the names of its program's package.
    fn carry_out(
        &mut self,
        scan: &Scan,
        mut run: ProgramRun,
        left_out: &BTreeSet<RelPath>,
    ) -> Result<Option<(Vec<String>, Right)>, Failed> {
        let Some(recipe) = program_recipe(run.recipe) else { return Ok(None) };
        let names = recipe.packages(&run.parameters).map_err(Failed::Program)?;
        self.look_for(&names)?;
        let Some(program) = self.known(&names) else { return Ok(None) };
        for _ in 0..MOST_TRIES {
            let made = self.remembered_or_made(scan, &run, left_out, program)?;
            let bytes = total_bytes(made.iter().map(|one| scan.entries[one.entry].size()));
            if made.is_empty() || !self.is_worth(program, bytes) {
                return Ok(None);
            }
            // A restore makes all that the manifest says and nothing else, in one run: what else came out may have had a part in it.
            if made.len() == run.outputs.len() {
                return Ok(Some((names, Right { run, made })));
            }
            run.outputs = made.iter().map(|one| scan.entries[one.entry].path.clone()).collect();
        }
        Ok(None)
    }

    /// Looks for a program in a package of one of these names, if nobody has.
    pub(super) fn look_for(&mut self, names: &[String]) -> Result<(), Failed> {
        if !self.found.contains_key(names) {
            let program = self.program(names)?;
            self.found.insert(names.to_vec(), program);
        }
        Ok(())
    }

    /// The program that was found there.
    pub(super) fn known(&self, names: &[String]) -> Option<&Program> {
        self.found.get(names)?.as_ref()
    }

    /// Does it save enough for what has to be downloaded besides?
    pub(super) fn is_worth(&self, program: &Program, bytes: u64) -> bool {
        let besides = program.packages.iter().filter(|part| !part.is_chosen);
        let download = total_bytes(besides.map(|part| part.known.record.size));
        self.requirements.is_worth(download, bytes)
    }

    /// What comes out of a run as it is in the tree; what came out of it before, if nothing has changed since.
    fn remembered_or_made(
        &self,
        scan: &Scan,
        run: &ProgramRun,
        left_out: &BTreeSet<RelPath>,
        program: &Program,
    ) -> Result<Vec<Made>, Failed> {
        let Some(recipe) = program_recipe(run.recipe) else { return Ok(Vec::new()) };
        let reads = recipe.reads(&run.parameters, &run.outputs).map_err(Failed::Program)?;
        let is_read = |entry: &&Entry| {
            matches!(entry.kind, Kind::File { .. })
                && reads.has(&entry.path)
                && !left_out.contains(&entry.path)
                && run.outputs.binary_search(&entry.path).is_err()
        };
        let call = recipe.call(&run.parameters, &run.outputs).map_err(Failed::Program)?;
        let question = Question {
            run,
            call: &call,
            tool: program.digests(),
            outputs: run.outputs.iter().filter_map(|path| scan.entries.at(path)).collect(),
            inputs: scan.entries.iter().filter(is_read).collect(),
        };
        let key = question.key();
        if let Some(answer) = self.memory.borrow_mut().answer(key.as_deref()) {
            let made = |one: Remembered| {
                Some(Made { entry: scan.entries.position(&one.path)?, patch: one.patch })
            };
            return Ok(answer.into_iter().filter_map(made).collect());
        }
        let made = self.made_right(scan, (run, &call), &question.inputs, program)?;
        let remembered = |one: &Made| Remembered {
            path: scan.entries[one.entry].path.clone(),
            patch: one.patch.clone(),
        };
        self.memory.borrow_mut().add(key, made.iter().map(remembered).collect());
        Ok(made)
    }

    /// Runs a program; the entries of what came out as it is in the tree.
    fn made_right(
        &self,
        scan: &Scan,
        (run, call): (&ProgramRun, &Call),
        inputs: &[&Entry],
        program: &Program,
    ) -> Result<Vec<Made>, Failed> {
        let unpacked = program.unpacked(self.packer.limits).map_err(Failed::Program)?;
        let workshop = Workshop::new(unpacked).map_err(disk)?;
        self.fill(&workshop, scan, inputs)?;
        for path in &run.outputs {
            workshop.make_folders(path).map_err(disk)?;
        }
        match workshop.run(call, &*self.programs.runner, self.monitor) {
            Ok(()) => {}
            Err(ProgramError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => return Err(Failed::Program(error)),
        }
        let mut right = Vec::new();
        for path in &run.outputs {
            self.monitor.check_interrupted()?;
            let Some(index) = scan.entries.position(path) else { continue };
            let entry = &scan.entries[index];
            let Some((mut made, size)) = workshop.made(path).map_err(disk)? else { continue };
            let is_right = entry.kind == (Kind::File { size })
                && entry.sha256 == Some(Digest::of_reader(&made).map_err(disk)?);
            if is_right {
                right.push(Made { entry: index, patch: None });
                continue;
            }
            made.rewind().map_err(disk)?;
            if let Some(patch) = patch_of(scan, entry, made, size).map_err(disk)? {
                right.push(Made { entry: index, patch: Some(patch) });
            }
        }
        Ok(right)
    }

    /// Puts what a program reads into its workshop.
    fn fill(&self, workshop: &Workshop<'_>, scan: &Scan, inputs: &[&Entry]) -> Result<(), Failed> {
        for entry in inputs {
            self.monitor.check_interrupted()?;
            // What cannot be read is named when it is archived; without it, nothing right comes out.
            let Ok(mut file) = scan.root.open_file(&entry.path) else { continue };
            let mtime = entry.metadata.mtime;
            workshop.add(&entry.path, mtime, &mut file).map_err(Failed::Program)?;
        }
        Ok(())
    }
}

/// What turns the `size` bytes that were made into what the tree has; `None` if that is most of it, or the tree has changed.
fn patch_of(scan: &Scan, entry: &Entry, made: File, size: u64) -> io::Result<Option<String>> {
    if size.max(entry.size()) > MOST_PATCHED_BYTES {
        return Ok(None);
    }
    let (mut from, mut wanted) = (Vec::new(), Vec::new());
    made.take(MOST_PATCHED_BYTES).read_to_end(&mut from)?;
    // What cannot be read is named when it is archived.
    let Ok(file) = scan.root.open_file(&entry.path) else { return Ok(None) };
    file.take(MOST_PATCHED_BYTES + 1).read_to_end(&mut wanted)?;
    match entry.sha256 == Some(Digest::of(&wanted)) {
        true => between(&from, &wanted),
        false => Ok(None),
    }
}

pub(super) fn disk(error: io::Error) -> Failed {
    Failed::Program(ProgramError::Disk(error))
}

/// Adds what came out right to what the program's package gives, and the packages that only this takes.
fn add(
    scan: &Scan,
    program: &Program,
    right: Right,
    packages: &mut Vec<ChosenPackage<'_>>,
    plan: &mut Plan,
) {
    let number = add_program(program, packages, plan);
    let package = &mut plan.packages[number];
    let run = package.derived.len();
    let mut rows = Vec::new();
    let mut patches = Vec::new();
    for Made { entry, patch } in right.made {
        plan.verdicts.set(entry, Verdict::Given { package: number });
        let entry = scan.entries[entry].clone();
        patches.extend(patch.map(|zstd| Patch { path: entry.path.clone(), zstd }));
        let from = Derived::path_of_run(run, &entry.path);
        rows.push((entry, from));
    }
    add_files(package, rows);
    let tool = program.digests();
    let ProgramRun { recipe, parameters, .. } = right.run;
    let recipe = recipe.to_owned();
    package.derived.push(Derived { recipe, from: None, tool, patches, parameters });
}

/// Adds the packages of a program that a plan does not have; the number of the one with the program.
pub(super) fn add_program(
    program: &Program,
    packages: &mut Vec<ChosenPackage<'_>>,
    plan: &mut Plan,
) -> usize {
    let mut number = |known: &KnownPackage| {
        // Under whatever URL the plan has it.
        let is_same = |package: &Package| package.sha256 == known.record.sha256;
        let chosen = plan.packages.iter().position(is_same);
        chosen.unwrap_or_else(|| add_package(known, packages, plan))
    };
    let numbers: Vec<usize> = program.packages.iter().map(|part| number(&part.known)).collect();
    numbers[0]
}

fn size_at(scan: &Scan, path: &RelPath) -> u64 {
    scan.entries.at(path).map_or(0, Entry::size)
}

/// The tree that is packed.
struct Tree<'t> {
    scan: &'t Scan,
    wanted: Vec<&'t Entry>,
}

impl<'t> Tree<'t> {
    fn new(scan: &'t Scan, verdicts: &Verdicts) -> Self {
        let entries = scan.entries.iter().zip(verdicts.iter());
        let wanted =
            entries.filter(|(entry, verdict)| entry.sha256.is_some() && is_wanted(entry, *verdict));
        Self { scan, wanted: wanted.map(|(entry, _)| entry).collect() }
    }
}

impl ProgramScene for Tree<'_> {
    fn wanted(&self) -> &[&Entry] {
        &self.wanted
    }

    fn is_file(&self, path: &RelPath) -> bool {
        let entry = self.scan.entries.at(path);
        entry.is_some_and(|entry| matches!(entry.kind, Kind::File { .. }))
    }

    fn contents(&self, path: &RelPath) -> Option<Vec<u8>> {
        contents(self.scan, path)
    }
}
