//! Recipes with a tool: files that a program out of packages makes out of files of the tree. One file and one line a recipe.
//!
//! Invariant: a program is run only confined, and only out of packages with the digests that were written down; what it makes counts only
//! with the digest that was. `docs/derived.md` defines the recipes, and says whom they trust.

mod certificate_bundle;
mod encoder;
mod error;
mod hardware_database;
mod journal_catalog;
mod locale_archive;
mod mime_database;
mod module_index;
mod patch;
mod program_package;
mod python_bytecode;
mod settings_schemas;
mod workshop;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use encoder::{Encoder, encoder, guesses};
pub use error::ProgramError;
pub(crate) use patch::{MOST_PATCHED_BYTES, applied, between};
pub(crate) use program_package::{
    MOST_PACKAGES, Unpacked, described, is_for_this_machine, is_of_archive, signature, unpack,
};
pub(crate) use workshop::{MOST_READ_BYTES, Workshop};

use crate::model::{Entry, RelPath};
use crate::monitor::Monitor;

/// All recipes with a tool, by name.
const RECIPES: &[&dyn ProgramRecipe] = &[
    &certificate_bundle::CertificateBundle,
    &hardware_database::HardwareDatabase,
    &journal_catalog::JournalCatalog,
    &locale_archive::LocaleArchive,
    &mime_database::MimeDatabase,
    &module_index::ModuleIndex,
    &python_bytecode::PythonBytecode,
    &settings_schemas::SettingsSchemas,
];

/// What it takes to carry out recipes with a tool.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Runs the programs.
    pub runner: Arc<dyn RunProgram>,
    /// Beginnings of URLs, each with a slash at its end, besides those of the table of archives that keep what they publish: programs
    /// of packages below them may be run.
    pub archives: Vec<String>,
}

impl PartialEq for Programs {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.runner, &other.runner) && self.archives == other.archives
    }
}

impl Eq for Programs {}

/// Runs foreign programs.
pub trait RunProgram: fmt::Debug + Send + Sync {
    /// Runs the program to its end. It can read its two folders and nothing else, write only in the second one, but not where that has the
    /// packages in it, reach no network and no other process, and has neither unlimited time nor memory. Nothing of it runs any more when
    /// this returns.
    ///
    /// # Errors
    /// It cannot be confined so, given its root, or begun; it fails, or does what it must not; or the monitor asks to stop.
    fn run(&self, program: &ProgramCall<'_>, monitor: &dyn Monitor) -> Result<(), ProgramError>;
}

/// A program, as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramCall<'c> {
    /// The folder with the unpacked packages.
    pub packages: PathBuf,
    /// The folder with what it reads, in which it runs, and where it leaves what it makes.
    pub work: PathBuf,
    /// Is `work` the root of what it sees? Then the packages lie in it, and all paths below are what it sees.
    pub own_root: bool,
    /// The file that is executed, in the first folder.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it reads from its standard input.
    pub input: ProgramInput<'c>,
    /// The file in the second folder, not there yet, into which its standard output goes.
    pub output: Option<PathBuf>,
    /// A variable of its environment, beside those that are the same for all.
    pub variable: Option<(&'static str, PathBuf)>,
}

/// What a program reads from its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramInput<'c> {
    /// These bytes.
    Bytes(&'c [u8]),
    /// A file in its folder.
    File(PathBuf),
}

/// The parameters of a run.
pub(crate) type Parameters = BTreeMap<String, String>;

/// A way to make files by a program.
pub(crate) trait ProgramRecipe: Sync {
    /// Its name in manifests.
    fn name(&self) -> &'static str;

    /// The names that the package with the program may have.
    ///
    /// # Errors
    /// A parameter is missing or makes no sense.
    fn packages(&self, parameters: &Parameters) -> Result<Vec<String>, ProgramError>;

    /// Which files of a tree it may make. What comes out is compared, so a proposal may be wrong.
    fn propose(&self, tree: &dyn ProgramScene) -> Vec<ProgramRun>;

    /// Which files of the tree it reads to make these.
    ///
    /// # Errors
    /// A parameter is missing or makes no sense.
    fn reads(&self, parameters: &Parameters, outputs: &[RelPath]) -> Result<Reads, ProgramError>;

    /// How the program is called. It runs in a folder with what it reads, laid out as in the tree, and leaves there what it makes.
    ///
    /// # Errors
    /// A parameter is missing or makes no sense.
    fn call(&self, parameters: &Parameters, outputs: &[RelPath]) -> Result<Call, ProgramError>;
}

/// A run that may make some files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramRun {
    pub(crate) recipe: &'static str,
    pub(crate) parameters: Parameters,
    /// What it may make, sorted.
    pub(crate) outputs: Vec<RelPath>,
}

/// What a run reads of the tree: regular files alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reads {
    /// These files.
    pub(crate) files: BTreeSet<RelPath>,
    /// All files below these folders.
    pub(crate) below: Vec<RelPath>,
}

impl Reads {
    /// Is the file at `path` among them?
    pub(crate) fn has(&self, path: &RelPath) -> bool {
        let is_below_one = || self.below.iter().any(|folder| is_below(path, folder.as_bytes()));
        self.files.contains(path) || is_below_one()
    }
}

/// How a program is called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Call {
    /// Its path in the packages, with or without `usr/` before it.
    pub(crate) program: String,
    /// The name by which it is called, if that decides what it does.
    pub(crate) called: Option<&'static str>,
    pub(crate) arguments: Vec<String>,
    /// The arguments of further calls, one after the other: each finds what those before it have made.
    pub(crate) further: Vec<Vec<String>>,
    /// What it reads from its standard input, unless that is a file.
    pub(crate) input: Vec<u8>,
    /// The file in its folder that it reads from its standard input.
    pub(crate) input_file: Option<&'static str>,
    /// The file in its folder into which its standard output goes.
    pub(crate) output_file: Option<&'static str>,
    /// A variable of its environment that is a folder below that of the tool: its name, and the folder.
    pub(crate) home: Option<(&'static str, &'static str)>,
    /// Is the folder in which it runs the root of what it sees? For programs that write paths into what they make.
    pub(crate) own_root: bool,
    /// Files of gzip that it reads, and would start another program for: their contents lie beside them, without the end `.gz`.
    pub(crate) unpack: Vec<String>,
    /// Links in the folder in which it runs: where, and to what.
    pub(crate) links: &'static [(&'static str, &'static str)],
}

/// The links of a system that has everything in `usr`.
const MERGED: &[(&str, &str)] = &[("lib", "usr/lib")];

/// The tree that is packed.
pub(crate) trait ProgramScene {
    /// The regular files that nothing gives so far and that may be left out, sorted.
    fn wanted(&self) -> &[&Entry];

    /// Is there a regular file at `path`?
    fn is_file(&self, path: &RelPath) -> bool;

    /// The contents of the regular file at `path`; `None` if it is large, or cannot be read.
    fn contents(&self, path: &RelPath) -> Option<Vec<u8>>;
}

/// The recipe of this name, if there is one.
pub(crate) fn program_recipe(name: &str) -> Option<&'static dyn ProgramRecipe> {
    RECIPES.iter().copied().find(|recipe| recipe.name() == name)
}

/// What all recipes may make in a tree.
pub(crate) fn program_runs(tree: &dyn ProgramScene) -> Vec<ProgramRun> {
    RECIPES.iter().flat_map(|recipe| recipe.propose(tree)).collect()
}

/// The run that makes the file at `path`, if it is wanted.
fn run_for(
    recipe: &'static str,
    path: &'static str,
    tree: &dyn ProgramScene,
    parameters: Parameters,
) -> Vec<ProgramRun> {
    let path = plain(path);
    let is_wanted = tree.wanted().binary_search_by(|entry| entry.path.cmp(&path)).is_ok();
    let run = || ProgramRun { recipe, parameters, outputs: vec![path] };
    is_wanted.then(run).into_iter().collect()
}

/// Is `path` that of something in this folder, or further below?
fn is_below(path: &RelPath, folder: &[u8]) -> bool {
    let rest = path.as_bytes().strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

/// A path of the recipes' own.
fn plain(path: &'static str) -> RelPath {
    RelPath::new(path).expect("a plain path")
}

/// A parameter of a run.
///
/// # Errors
/// It is missing.
fn parameter<'p>(parameters: &'p Parameters, name: &'static str) -> Result<&'p str, ProgramError> {
    let found = parameters.get(name).map(String::as_str);
    found.ok_or(ProgramError::Parameter { parameter: name, problem: "is missing" })
}

/// A parameter that is the path of a folder of the tree.
///
/// # Errors
/// It is missing, or is none.
fn folder(parameters: &Parameters) -> Result<RelPath, ProgramError> {
    let path = RelPath::new(parameter(parameters, "folder")?);
    path.map_err(|_| ProgramError::Parameter {
        parameter: "folder",
        problem: "is no path of the tree",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_are_sorted_by_plain_names() {
        let names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name()).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for name in names {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(name.bytes().all(is_plain), "{name}");
            assert_eq!(program_recipe(name).map(ProgramRecipe::name), Some(name));
        }
        assert!(program_recipe("tea").is_none());
    }

    #[test]
    fn a_run_reads_files_and_what_is_below_folders() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let reads = Reads { files: BTreeSet::from([path("a")]), below: vec![path("b/c")] };
        for (text, expected) in
            [("a", true), ("a/x", false), ("b/c", false), ("b/c/d", true), ("b/cd", false)]
        {
            assert_eq!(reads.has(&path(text)), expected, "{text}");
        }
    }
}
