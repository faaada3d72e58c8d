//! The entries that the archive holds: are they there, are they right, with the manifest's metadata.
//!
//! Invariant: contents are compared with the manifest by size and, where it has one, by digest; a
//! file that differs is named and left as it is.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;

use super::ledger::{ARCHIVED, Facts};
use super::packages::{chain, in_parallel};
use super::place::{PlaceError, Target};
use super::{RestoreError, Run};
use crate::model::manifest::EntryTable;
use crate::model::{Digest, Entry, Kind, RelPath};
use crate::monitor::ProblemKind;

/// Entries that are checked in one go by one thread.
const BATCH: usize = 256;

/// Checks all entries of the manifest's table. `extracted` has what was just unpacked, and the
/// digests of its files; `None` after a plain `tar xf`.
pub(super) fn check_archived(
    run: &Run<'_>,
    table: &EntryTable,
    extracted: Option<&HashMap<RelPath, Option<Digest>>>,
) -> Result<(), RestoreError> {
    let entries = table
        .entries()
        .map(|entry| entry.map(|(entry, _)| entry))
        .collect::<Result<Vec<_>, _>>()?;
    // Folders first and in order: what is in them may need them to be opened up.
    let (folders, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.kind == Kind::Directory);
    for folder in folders {
        run.monitor.check_interrupted()?;
        match run.target.make_folder(&run.stored(&folder.path)) {
            Ok(()) => run.ledger.folder(folder.path, ARCHIVED, folder.metadata),
            Err(error) => not_placed(run, &folder.path, error)?,
        }
    }
    let batches: Vec<&[Entry]> = others.chunks(BATCH).collect();
    in_parallel(run.jobs, batches.len(), |index| {
        for entry in batches[index] {
            run.monitor.check_interrupted()?;
            if let Err(error) = check(run, entry, extracted) {
                not_placed(run, &entry.path, error)?;
            }
        }
        Ok(())
    })
}

fn not_placed(run: &Run<'_>, path: &RelPath, error: PlaceError) -> Result<(), RestoreError> {
    let reason = chain(&run.unless_fatal(error)?);
    run.monitor.problem(ProblemKind::Incomplete, path, &reason);
    run.ledger.missing(path.clone(), reason);
    Ok(())
}

fn check(
    run: &Run<'_>,
    entry: &Entry,
    extracted: Option<&HashMap<RelPath, Option<Digest>>>,
) -> Result<(), PlaceError> {
    let stored = run.stored(&entry.path);
    let mut sha256 = None;
    match entry.kind {
        Kind::File { size } => match check_file(run, entry, &stored, size, extracted)? {
            Some(found) => sha256 = Some(found),
            None => return Ok(()),
        },
        // A device that needs root is counted; nothing more can be done about it.
        _ => {
            run.target.make_node(&stored, &entry.kind, &entry.metadata)?;
        }
    }
    let Entry { kind, metadata, extents, .. } = entry.clone();
    run.ledger.placed(entry.path.clone(), ARCHIVED, Facts { kind, metadata, sha256, extents });
    Ok(())
}

/// The digest of a file that is there, or `None` if it is not.
fn check_file(
    run: &Run<'_>,
    entry: &Entry,
    stored: &RelPath,
    size: u64,
    extracted: Option<&HashMap<RelPath, Option<Digest>>>,
) -> Result<Option<Digest>, PlaceError> {
    let file = match extracted {
        Some(extracted) if !extracted.contains_key(stored) => None,
        _ => run.target.open_file(stored)?,
    };
    let Some(file) = file else {
        let reason = match extracted {
            Some(_) => "the archive does not hold it, though its manifest says so",
            None => "it is not there: unpack the archive again",
        };
        run.monitor.problem(ProblemKind::Incomplete, &entry.path, reason);
        run.ledger.missing(entry.path.clone(), reason);
        return Ok(None);
    };
    let known = extracted.and_then(|extracted| *extracted.get(stored)?);
    let sha256 = match (known, &entry.extents) {
        (Some(sha256), None) => sha256,
        (_, extents) => Target::digest(&file, extents.as_deref())?,
    };
    let found = file.metadata()?.size();
    if found != size {
        let why = format!("it has {found} bytes, but {size} were packed");
        run.monitor.problem(ProblemKind::Verification, &entry.path, why);
        run.ledger.contradicted();
    } else if let Some(expected) = entry.sha256.filter(|expected| *expected != sha256) {
        let why = format!("it has sha256 {sha256}, but {expected} was packed");
        run.monitor.problem(ProblemKind::Verification, &entry.path, why);
        run.ledger.contradicted();
    } else if extracted.is_none() {
        run.ledger.kept();
    }
    run.target.adjust_file(stored, &file, &entry.metadata)?;
    Ok(Some(sha256))
}
