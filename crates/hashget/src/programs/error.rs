//! Why a program made nothing.
//!
//! Invariant: whatever is wrong with a program costs the files that it should make, and nothing else.

use std::io;

use crate::monitor::Interrupted;

/// Why a tool made nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// There is no such recipe.
    #[error("this hashget does not know the recipe {0}: a newer one wrote the archive")]
    Unknown(String),
    /// A parameter is missing or makes no sense.
    #[error("the manifest's parameter {parameter} {problem}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The package with the program is another one.
    #[error("the recipe's program is in {expected}, and the package is {found}")]
    OtherPackage {
        /// The names that it may have.
        expected: String,
        /// Its own name.
        found: String,
    },
    /// It is not known where the package is published.
    #[error("{0} is in no archive of packages that this machine knows")]
    Foreign(String),
    /// A package is not in the manifest.
    #[error("the manifest does not have its package {0}")]
    Lacking(String),
    /// A package cannot be had.
    #[error("{0}")]
    Fetch(String),
    /// What should be a package of the tool is none.
    #[error("it is no package that programs are in")]
    NoPackage,
    /// A package cannot be read.
    #[error("its package cannot be read: {0}")]
    Package(String),
    /// The program is not in its package, or not for this machine.
    #[error("the packages have no {0} for this machine")]
    NoProgram(String),
    /// It ended as it should not.
    #[error("the tool ended with {how}{words}")]
    Ended {
        /// How.
        how: String,
        /// What it said last, after a colon.
        words: String,
    },
    /// What it should write is not there.
    #[error("the tool wrote nothing")]
    Nothing,
    /// It took too long.
    #[error("the tool was stopped after {0} seconds")]
    Slow(u64),
    /// It wrote too much.
    #[error("the tool was stopped: it wrote more than {0} bytes")]
    Large(u64),
    /// Its packages are too many, or one is named twice.
    #[error("its packages are {0}, expected at most {1}, each once")]
    Packages(usize, usize),
    /// Its packages are too large.
    #[error("its packages have more than {0} bytes in them")]
    UnpacksMuch(u64),
    /// What it reads is too much.
    #[error("what it reads has more than {0} bytes")]
    ReadsMuch(u64),
    /// The disk failed.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
