//! The program of a recipe, out of the packages of a manifest.
//!
//! Invariant: its packages are of archives that this machine knows, as far as the manifest says where they are, and their bytes are those of
//! the manifest's digests.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use super::packages::{FetchOutcome, fetch};
use super::{RestoreError, Run};
use crate::archive::PackageBytes;
use crate::fetch::Wanted;
use crate::model::manifest::Package;
use crate::model::{Digest, escaped};
use crate::programs::{MOST_PACKAGES, ProgramError, Programs, Unpacked, is_of_archive, unpack};

/// The program that was unpacked last, with the digests of its packages.
pub(super) type LastProgram = Option<(Vec<Digest>, Unpacked)>;

/// Why a program makes nothing.
pub(super) enum Failed {
    Restore(RestoreError),
    Program(ProgramError),
}

impl<E: Into<RestoreError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Restore(error.into())
    }
}

pub(super) fn disk(error: io::Error) -> Failed {
    Failed::Program(ProgramError::Disk(error))
}

/// The program of these packages, the first of which has one of the names that are expected: the one that was unpacked last, or else they
/// are fetched and unpacked.
pub(super) fn program<'l>(
    last: &'l mut LastProgram,
    run: &Run<'_>,
    programs: &Programs,
    packages: &[Package],
    (expected, tool): (&[String], &[Digest]),
) -> Result<&'l Unpacked, Failed> {
    let (_, unpacked) = match last.take_if(|(unpacked, _)| unpacked == tool) {
        Some(same) => last.insert(same),
        None => {
            let unpacked = unpacked(run, programs, packages, (expected, tool))?;
            last.insert((tool.to_vec(), unpacked))
        }
    };
    Ok(unpacked)
}

fn unpacked(
    run: &Run<'_>,
    programs: &Programs,
    packages: &[Package],
    (expected, tool): (&[String], &[Digest]),
) -> Result<Unpacked, Failed> {
    let (count, each) = (tool.len(), tool.iter().collect::<HashSet<_>>());
    if each.len() < count || count > MOST_PACKAGES {
        return Err(Failed::Program(ProgramError::Packages(count, MOST_PACKAGES)));
    }
    let mut files: Vec<File> = Vec::with_capacity(count);
    for sha256 in tool {
        let lacking = || Failed::Program(ProgramError::Lacking(sha256.to_string()));
        let same = || packages.iter().filter(|one| one.sha256 == *sha256);
        let package = same().next().ok_or_else(lacking)?;
        // What another package of the manifest brings under the same digest is not the archive's.
        let is_foreign = |one: &&Package| !is_of_archive(&one.url, &programs.archives);
        if let Some(foreign) = same().find(is_foreign) {
            return Err(Failed::Program(ProgramError::Foreign(foreign.shown_name())));
        }
        // None of the other places that the manifest names.
        let wanted = Wanted { also: Vec::new(), ..Wanted::from(package) };
        match fetch(run, &wanted, true)? {
            FetchOutcome::Now(PackageBytes::Proven(file), _) => files.push(file),
            FetchOutcome::Now(..) | FetchOutcome::Later(_) => {
                let why = format!("{} cannot be had", package.shown_name());
                return Err(Failed::Program(ProgramError::Fetch(why)));
            }
        }
    }
    let (unpacked, described) = unpack(&files, run.limits).map_err(Failed::Program)?;
    match described.first().filter(|first| !expected.contains(&first.name)) {
        None => Ok(unpacked),
        Some(other) => {
            let (expected, found) = (expected.join(" or "), escaped(other.name.as_bytes()));
            Err(Failed::Program(ProgramError::OtherPackage { expected, found }))
        }
    }
}
