//! Files that a program compresses, when what they are made of has been put together.
//!
//! Invariant: the program gets nothing but a decoded form with the digest that the manifest has of it, and what it makes gets a name only
//! with the digest of the file.

use std::fs::File;

use super::pieces::put_whole;
use super::run::RunsPrograms;
use super::unpacked_program::{Failed, LastProgram, program};
use super::{RestoreError, Run};
use crate::derived::Derive;
use crate::model::manifest::{Encoded, Package};
use crate::model::{Entry, escaped};
use crate::monitor::ProblemKind;
use crate::programs::{ProgramError, Programs, encoder};
use crate::tree::ReadFrom;
use crate::wording::one_line;

/// Why a compressed file is not in its place.
pub(super) struct NotEncoded {
    pub(super) kind: ProblemKind,
    pub(super) why: String,
}

/// Why files are not compressed; `None` if they are to be.
pub(super) fn not_compressed(run: &Run<'_>) -> Option<&'static str> {
    let never = matches!(run.runs_programs, RunsPrograms::Never) || run.derive != Derive::All;
    never.then_some(match run.part {
        None => "compressed by a program, not made: `hashget restore --derive all DIR` makes it",
        Some(_) => "compressed by a program, not made: unpack it with `--derive all`",
    })
}

/// Compresses the decoded form of a file, and puts the file in its place; `None` if it is there.
pub(super) fn put_encoded(
    run: &Run<'_>,
    packages: &[Package],
    (entry, encoded): (&Entry, &Encoded),
    decoded: &File,
    last: &mut LastProgram,
) -> Result<Option<NotEncoded>, RestoreError> {
    let RunsPrograms::Now(programs) = run.runs_programs else {
        run.archived_as_stated(entry);
        return Ok(None);
    };
    let mut made = match make(run, programs, packages, encoded, decoded, last) {
        Ok(made) => made,
        Err(Failed::Restore(error)) => return Err(error),
        Err(Failed::Program(error)) => {
            let recipe = escaped(encoded.recipe.as_bytes());
            let why = format!("not made by {recipe}: {}", one_line(&error));
            return Ok(Some(NotEncoded { kind: ProblemKind::Incomplete, why }));
        }
    };
    Ok(match put_whole(run, entry, &mut made) {
        Ok(true) => None,
        Ok(false) => {
            let why = "its program makes something else".to_owned();
            Some(NotEncoded { kind: ProblemKind::Verification, why })
        }
        Err(error) => {
            let why = one_line(&run.unless_fatal(error)?);
            Some(NotEncoded { kind: ProblemKind::Incomplete, why })
        }
    })
}

fn make(
    run: &Run<'_>,
    programs: &Programs,
    packages: &[Package],
    encoded: &Encoded,
    decoded: &File,
    last: &mut LastProgram,
) -> Result<File, Failed> {
    let unknown = || ProgramError::Unknown(escaped(encoded.recipe.as_bytes()));
    let encoder = encoder(&encoded.recipe).ok_or_else(unknown).map_err(Failed::Program)?;
    let names = [encoder.package.to_owned()];
    let unpacked = program(last, run, programs, packages, (&names, &encoded.tool))?;
    let mut decoded = ReadFrom { file: decoded, offset: 0 };
    let (how, program) = ((&encoded.parameters, encoded.plain), (unpacked, &*programs.runner));
    match encoder.encode(how, &mut decoded, program, run.monitor) {
        Ok(made) => Ok(made),
        Err(ProgramError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(error) => Err(Failed::Program(error)),
    }
}
