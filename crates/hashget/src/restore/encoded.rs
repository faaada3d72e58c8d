//! Files that a program compresses, when what they are made of has been put together.
//!
//! Invariant: the program gets nothing but a decoded form with the digest that the manifest has of it, and what it makes gets a name only
//! with the digest of the file.

use std::fs::File;

use super::place::PlaceError;
use super::run::RunsPrograms;
use super::unpacked_program::{Failed, LastProgram, unpacked_program};
use super::{RestoreError, Run};
use crate::derived::Derive;
use crate::model::manifest::{Encoded, Package};
use crate::model::{Entry, Kind, escaped};
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

/// Compresses the decoded form of a file, and puts the file in its place.
pub(super) fn put_encoded(
    run: &Run<'_>,
    packages: &[Package],
    (entry, encoded): (&Entry, &Encoded),
    decoded: &File,
    last: &mut LastProgram,
) -> Result<Result<(), NotEncoded>, RestoreError> {
    let Kind::File { size } = entry.kind else { return Ok(Ok(())) };
    let (Some(row), Some(sha256)) = (run.table.position(&entry.path), entry.sha256) else {
        return Ok(Ok(()));
    };
    if let RunsPrograms::Now(programs) = run.runs_programs {
        let mut made = match make(run, programs, packages, encoded, decoded, last) {
            Ok(made) => made,
            Err(Failed::Restore(error)) => return Err(error),
            Err(Failed::Program(error)) => {
                let recipe = escaped(encoded.recipe.as_bytes());
                let why = format!("not made by {recipe}: {}", one_line(&error));
                return Ok(Err(NotEncoded { kind: ProblemKind::Incomplete, why }));
            }
        };
        let stored = run.stored(&entry.path);
        let put = run.target.stage(&stored, size, &mut made).and_then(|staged| {
            let is_right = staged.sha256() == sha256 && staged.size() == size;
            if is_right {
                staged.put(&stored, &entry.metadata)?;
            }
            Ok::<_, PlaceError>(is_right)
        });
        match put {
            Ok(true) => {}
            Ok(false) => {
                let why = "its program makes something else".to_owned();
                return Ok(Err(NotEncoded { kind: ProblemKind::Verification, why }));
            }
            Err(error) => {
                let why = one_line(&run.unless_fatal(error)?);
                return Ok(Err(NotEncoded { kind: ProblemKind::Incomplete, why }));
            }
        }
    }
    run.ledger.archived(row, Some(sha256));
    Ok(Ok(()))
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
    let unpacked = match last.take_if(|(tool, _)| *tool == encoded.tool) {
        Some(same) => last.insert(same),
        None => {
            let names = [encoder.package.to_owned()];
            let program = unpacked_program(run, programs, packages, (&names, &encoded.tool))?;
            last.insert((encoded.tool.clone(), program))
        }
    };
    let mut decoded = ReadFrom { file: decoded, offset: 0 };
    let (how, program) = ((&encoded.parameters, encoded.plain), (&unpacked.1, &*programs.runner));
    match encoder.encode(how, &mut decoded, program, run.monitor) {
        Ok(made) => Ok(made),
        Err(ProgramError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(error) => Err(Failed::Program(error)),
    }
}
