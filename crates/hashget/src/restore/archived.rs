//! The entries that the archive holds: are they there, are they right, with the manifest's metadata.
//!
//! Invariant: contents are compared with the manifest by size and, where it has one, by digest; a
//! file that differs is named and left as it is.

use std::collections::HashSet;

use super::ledger::ARCHIVED;
use super::place::PlaceError;
use super::{RestoreError, Run};
use crate::model::manifest::ManifestError;
use crate::model::{Digest, Entry, Kind, RelPath};
use crate::monitor::ProblemKind;
use crate::parallel;
use crate::wording::one_line;

/// Entries that are checked in one go by one thread.
const BATCH: usize = 256;

/// What was just unpacked.
pub(super) struct Unpacked<'e> {
    /// Of an entry that was unpacked and is no folder: the digest, if it is a file without holes.
    pub(super) digest: &'e (dyn Fn(&RelPath) -> Option<Option<Digest>> + Sync),
    /// What the archive holds but was not unpacked.
    pub(super) refused: HashSet<&'e RelPath>,
}

/// Checks all entries of the archive's table. `extracted` has what was just unpacked, and the
/// digests of its files; `None` after a plain `tar xf`.
pub(super) fn check_archived(
    run: &Run<'_>,
    extracted: Option<&Unpacked<'_>>,
) -> Result<(), RestoreError> {
    let table = run.table;
    // Folders first and in order: what is in them may need them to be opened up.
    for entry in table.entries() {
        let (entry, _) = entry?;
        if entry.kind != Kind::Directory {
            continue;
        }
        run.monitor.check_interrupted()?;
        match run.target.make_folder(&run.stored(&entry.path)) {
            Ok(()) => run.ledger.folder(entry.path, ARCHIVED, entry.metadata),
            // It was reported, with the reason, when it was not unpacked.
            Err(_)
                if extracted.is_some_and(|one| one.refused.contains(&run.stored(&entry.path))) => {}
            Err(error) => not_placed(run, &entry.path, error)?,
        }
    }
    let rows = table.entries().enumerate().map(|(row, entry)| entry.map(|(entry, _)| (row, entry)));
    let others = rows.filter(|row| !matches!(row, Ok((_, Entry { kind: Kind::Directory, .. }))));
    let checked = in_batches(run.jobs, others, |row, entry| {
        run.monitor.check_interrupted()?;
        if let Kind::File { size } = entry.kind {
            run.advance(size);
        }
        check(run, row, entry, extracted).or_else(|error| not_placed(run, &entry.path, error))
    });
    for (reason, missing) in run.ledger.all_not_there() {
        run.report_group(reason, &missing);
    }
    checked
}

/// Does `work` for each of `rows`, entries with their numbers in the table, on `jobs` threads, with few of them in
/// memory at a time. Stops early at the first error.
fn in_batches(
    jobs: usize,
    mut rows: impl Iterator<Item = Result<(usize, Entry), ManifestError>> + Send,
    work: impl Fn(usize, &Entry) -> Result<(), RestoreError> + Sync,
) -> Result<(), RestoreError> {
    let batches = std::iter::from_fn(|| {
        let batch: Vec<_> = rows.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    });
    parallel::for_each(jobs, batches, |batch| {
        for row in batch {
            let (row, entry) = row?;
            work(row, &entry)?;
        }
        Ok(())
    })
}

fn not_placed(run: &Run<'_>, path: &RelPath, error: PlaceError) -> Result<(), RestoreError> {
    let reason = one_line(&run.unless_fatal(error)?);
    run.monitor.problem(ProblemKind::Incomplete, path, &reason);
    run.ledger.missing(path.clone(), reason);
    Ok(())
}

fn check(
    run: &Run<'_>,
    row: usize,
    entry: &Entry,
    extracted: Option<&Unpacked<'_>>,
) -> Result<(), PlaceError> {
    let stored = run.stored(&entry.path);
    if run.pieced.as_ref().is_some_and(|pieced| pieced.has(&entry.path)) {
        // It comes to its place when it is put together.
        return Ok(());
    }
    if extracted.is_some_and(|extracted| extracted.refused.contains(&stored)) {
        // It was reported, with the reason, when it was not unpacked.
        return Ok(());
    }
    if let Some(unpacked) = extracted
        && run.target.stays(&stored, &entry.metadata)?
    {
        return leave(run, row, entry, &stored, unpacked);
    }
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
    run.ledger.archived(row, sha256);
    Ok(())
}

/// What was there before the archive was unpacked stays; it may be right.
fn leave(
    run: &Run<'_>,
    row: usize,
    entry: &Entry,
    stored: &RelPath,
    unpacked: &Unpacked<'_>,
) -> Result<(), PlaceError> {
    let unpacked = (unpacked.digest)(stored).flatten();
    let sha256 = unpacked.filter(|_| entry.extents.is_none()).or(entry.sha256);
    let contents = sha256.map(|sha256| (sha256, entry.extents.as_deref()));
    if run.target.is_right(stored, (&entry.kind, &entry.metadata), contents)? {
        run.ledger.archived(row, sha256.filter(|_| matches!(entry.kind, Kind::File { .. })));
        run.ledger.kept();
    } else {
        run.ledger.left(entry.path.clone());
    }
    Ok(())
}

/// The digest of a file that is there, or `None` if it is not.
fn check_file(
    run: &Run<'_>,
    entry: &Entry,
    stored: &RelPath,
    size: u64,
    extracted: Option<&Unpacked<'_>>,
) -> Result<Option<Digest>, PlaceError> {
    let unpacked = extracted.map(|extracted| (extracted.digest)(stored));
    let file = match unpacked {
        Some(None) => None,
        _ => run.target.file(stored)?,
    };
    let Some(file) = file else {
        let reason = match extracted {
            Some(_) => "the archive does not hold it, though its manifest says so",
            None => "it is not there: unpack the archive again",
        };
        run.ledger.not_there(&entry.path, reason);
        return Ok(None);
    };
    let sha256 = match (unpacked.flatten().flatten(), &entry.extents) {
        (Some(sha256), None) => sha256,
        (_, extents) => file.digest(extents.as_deref())?,
    };
    if entry.sha256.is_none() {
        run.ledger.without_digest();
    }
    let found = file.size()?;
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
    let contents = (sha256, entry.extents.as_deref());
    file.adjust(stored, &entry.metadata, contents)?;
    Ok(Some(sha256))
}
