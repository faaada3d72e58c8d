//! The end of restoring: further names, folders' metadata, the proof, and the manifest's removal.
//!
//! Invariant: the manifest goes only when everything is in its place and looked at there (or, of version 1,
//! nothing is missing); nothing but the times of the folders that this changes is changed after that.

use std::collections::BTreeMap;

use super::closing::Closed;
use super::differences::{Affected, Difference, Differences};
use super::extract::Extracted;
use super::inspection::{Findings, Inspection};
use super::ledger::State;
use super::place::{Look, PlaceError, TargetFolder};
use super::run::fatal;
use super::{RestoreError, RestoreOptions, Run, Summary, closing, pieces};
use crate::archive::manifest_path;
use crate::model::manifest::{Manifest, Renamed};
use crate::model::{Kind, Metadata, RelPath, counted};
use crate::monitor::{Monitor, ProblemKind};
use crate::wording::one_line;

/// Finishes a version 2 archive in `target`.
pub(super) fn finish(
    run: Run<'_>,
    target: &TargetFolder,
    manifest: &Manifest,
    extracted: Option<Extracted>,
    options: &RestoreOptions,
) -> Result<Summary, RestoreError> {
    run.monitor.check_interrupted()?;
    let mut state = closing::all_known(&run, manifest);
    separate(&run, target, &mut state)?;
    pieces::remove_needless_rests(&run, target, manifest, &state)?;
    let Closed { links, odd_folders } = closing::close(&run, &mut state, extracted)?;
    // Flags could forbid what the next run has to do, and that something gets another name once everything is proven.
    let is_complete = state.is_complete();
    let is_renamed = |path: &RelPath| manifest.renamed.iter().any(|name| name.stored == *path);
    let are_in_the_way = |path: &RelPath| !is_complete || is_renamed(path);
    target.set_flags(are_in_the_way).map_err(|error| stop(target, error))?;
    for (path, metadata) in odd_folders.iter().rev() {
        finish_folder(&run, target, path, metadata)?;
    }
    // The tree digest proves nothing of a part.
    let expected = run.part.is_none().then_some(manifest.tree.sha256);
    let mut summary = state.summarise(&links, expected)?;
    let is_right = state.is_complete() && summary.proven != Some(false);
    if options.delete && !is_right {
        let why = "nothing is removed, since not everything is restored";
        run.monitor.problem(ProblemKind::Note, &run.name, why);
    }
    let deletes = options.delete && is_right;
    // The removal of the manifest and the last renames change the times of these folders.
    let touched = touched_folders(&state, manifest);
    let are_changed = |path: &RelPath| touched.contains_key(path) || are_in_the_way(path);
    let how = (deletes, &are_changed as &dyn Fn(&RelPath) -> bool);
    let mut findings = finish_folders(&run, target, &state, &links, how, &mut summary)?;
    let settled = target.settle_folders(|path| state.folder(path).is_some());
    settled.map_err(|error| stop(target, error))?;
    if options.keep_manifest && owns_the_name(manifest) {
        findings.differences.add(Difference::OwnName, &manifest_path());
    }
    add_findings(&run, target.options(), &mut summary, findings);
    if target.leftovers() > 0 {
        let what = "a temporary file could not be removed: `hashget restore` does that";
        run.monitor.problem(ProblemKind::Incomplete, &run.name, what);
        summary.proven = None;
    }
    let is_done = match summary.proven {
        Some(is_right) => is_right,
        // What stays as it was is not to be restored by another run.
        None => {
            let is_whole = summary.missing.is_empty() && summary.not_applied.is_empty();
            is_right && is_whole && summary.left.entries > 0 && target.leftovers() == 0
        }
    };
    if is_done {
        // What stays as it was needs its rest no more.
        pieces::remove_rests(target, manifest)?;
        // Without the manifest nothing goes on from here: all that it says is durable before.
        target.sync().map_err(|error| stop(target, error))?;
        put_renamed(&run, target, &manifest.renamed, options)
            .and_then(|()| {
                if options.keep_manifest || owns_the_name(manifest) {
                    return Ok(());
                }
                target.remove(&manifest_path())
            })
            .map_err(|error| stop(target, error))?;
        for (path, metadata) in touched.iter().rev() {
            finish_last(target, path, metadata, run.monitor, &mut summary);
        }
    }
    end(target)?;
    Ok(summary)
}

/// Makes files of their own of those that were kept as names of one file and are not.
fn separate(
    run: &Run<'_>,
    target: &TargetFolder,
    state: &mut State<'_>,
) -> Result<(), RestoreError> {
    for (path, error) in target.separate_shared() {
        let reason = one_line(&run.unless_fatal(error)?);
        run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
        state.add_missing(path, reason);
    }
    Ok(())
}

/// Looks at all that is in each folder, and then sets the folder's metadata, which may keep us from looking. What is not of the
/// archive is removed, if that is wanted. Folders that are changed once more get no flags yet.
fn finish_folders(
    run: &Run<'_>,
    target: &TargetFolder,
    state: &State<'_>,
    links: &[(RelPath, RelPath)],
    (deletes, are_changed): (bool, &dyn Fn(&RelPath) -> bool),
    summary: &mut Summary,
) -> Result<Findings, RestoreError> {
    let mut failed = Vec::new();
    let mut inspection = Inspection::new(run, target, state, links);
    for (path, folder) in state.folders() {
        for stray in inspection.look_into(path)? {
            if !deletes || !run.may_remove(path, &stray) {
                inspection.add_stray(&stray);
                continue;
            }
            match target.remove_all(&stray) {
                Ok(()) => summary.removed.push(stray),
                Err(error) => {
                    let reason = format!("not removed: {}", one_line(&run.unless_fatal(error)?));
                    run.monitor.problem(ProblemKind::Incomplete, &stray, reason);
                    inspection.add_stray(&stray);
                }
            }
        }
        let metadata = match are_changed(path) {
            true => &folder.metadata.without_flags(),
            false => &folder.metadata,
        };
        if let Some(reason) = finish_folder(run, target, &run.stored(path), metadata)? {
            failed.push((path.clone(), reason));
        }
    }
    inspection.look_at_top()?;
    let findings = inspection.end()?;
    if !failed.is_empty() {
        summary.missing.extend(failed);
        summary.missing.sort_unstable();
        summary.proven = summary.proven.filter(|is_right| !is_right);
    }
    summary.removed.sort_unstable();
    Ok(findings)
}

/// Reports what was found on the disk, and what it means for the proof.
fn add_findings(
    run: &Run<'_>,
    options: &RestoreOptions,
    summary: &mut Summary,
    findings: Findings,
) {
    let Findings { differences, mut strays } = findings;
    if !summary.missing.is_empty() || run.part.is_some() {
        // What lies beside a part is nobody's business.
        // Something may be there from an earlier run, and could not be asked for in this one.
        strays = Affected::default();
    }
    if summary.left.entries > 0 {
        let entries = counted(summary.left.entries, "entry was", "entries were");
        let message = format!(
            "{entries} there before and not as packed, and stayed so: {}",
            summary.left.names()
        );
        run.monitor.problem(ProblemKind::Note, &run.name, message);
    }
    let (lost, not_asked_for) = differences.split(options);
    report(run, &lost, &not_asked_for);
    if strays.entries > 0 {
        let entries = match strays.entries {
            1 => "1 entry in it is".to_owned(),
            number => format!("{} in it are", counted(number, "entry", "entries")),
        };
        let message = format!("{entries} not part of the archive: {}", strays.names());
        run.monitor.problem(ProblemKind::Note, &run.name, message);
    }
    closing::report_proof(run, summary);
    if summary.proven == Some(true) && !lost.0.is_empty() {
        summary.proven = None;
    }
    summary.not_applied = lost.by_label();
    summary.not_asked_for = not_asked_for.by_label();
    summary.strays = strays;
    summary.manifest_version = 2;
}

/// Has the tree a manifest of its own?
pub(super) fn owns_the_name(manifest: &Manifest) -> bool {
    manifest.renamed.iter().any(|renamed| renamed.name == manifest_path())
}

fn end(target: &TargetFolder) -> Result<(), RestoreError> {
    target.sync().map_err(|error| stop(target, error))
}

/// An error after which it cannot be said that everything is well.
pub(super) fn stop(target: &TargetFolder, error: PlaceError) -> RestoreError {
    let path = target.path().to_path_buf();
    match fatal(&path, error) {
        Err(error) => error,
        Ok(PlaceError::Io(error) | PlaceError::Read(error)) => {
            RestoreError::Target { target: path, error }
        }
        Ok(PlaceError::Blocked(why)) => {
            RestoreError::Target { target: path, error: std::io::Error::other(why) }
        }
    }
}

/// Gives a folder its metadata; the reason if that failed.
fn finish_folder(
    run: &Run<'_>,
    target: &TargetFolder,
    path: &RelPath,
    metadata: &Metadata,
) -> Result<Option<String>, RestoreError> {
    match target.finish_folder(path, metadata) {
        Ok(()) => Ok(None),
        Err(error) => {
            let reason = one_line(&run.unless_fatal(error)?);
            run.monitor.problem(ProblemKind::Incomplete, path, &reason);
            Ok(Some(reason))
        }
    }
}

/// Gives a folder its metadata when the manifest is gone: a failure is reported, without advice to
/// continue, since nothing can continue from here.
pub(super) fn finish_last(
    target: &TargetFolder,
    path: &RelPath,
    metadata: &Metadata,
    monitor: &dyn Monitor,
    summary: &mut Summary,
) {
    let options = target.options();
    let looked = target.finish_folder(path, metadata).and_then(|()| {
        let look =
            |look: &Look<'_>| look.differences(&Kind::Directory, metadata, options.mode_mask);
        Ok(target.look_at(path, look)?.unwrap_or_else(|| vec![Difference::Absent]))
    });
    let found = looked.unwrap_or_else(|error| {
        monitor.problem(ProblemKind::Incomplete, path, one_line(&error));
        vec![Difference::Unseen]
    });
    for difference in found.into_iter().filter(|difference| difference.is_asked_for(options)) {
        let affected = summary.not_applied.entry(difference.label().to_owned()).or_default();
        affected.add(path);
        monitor.problem(ProblemKind::Incomplete, path, difference.message(affected));
        summary.proven = None;
    }
}

fn touched_folders(state: &State<'_>, manifest: &Manifest) -> BTreeMap<RelPath, Metadata> {
    let ends = manifest.renamed.iter().flat_map(|renamed| [&renamed.stored, &renamed.name]);
    let parents: Vec<_> = ends.filter_map(RelPath::parent).chain([RelPath::root()]).collect();
    state
        .folders()
        .filter(|(path, _)| parents.contains(path))
        .map(|(path, folder)| (path.clone(), folder.metadata.clone()))
        .collect()
}

/// Gives entries that the tar held under other paths their own.
fn put_renamed(
    run: &Run<'_>,
    target: &TargetFolder,
    renamed: &[Renamed],
    options: &RestoreOptions,
) -> Result<(), PlaceError> {
    for Renamed { stored, name } in renamed {
        let manifest = *name == manifest_path();
        if manifest && options.keep_manifest {
            let why = format!("the manifest has this name: the tree's own is at {stored}");
            run.monitor.problem(ProblemKind::Note, name, why);
        } else if let Some(found) = target.find(stored)? {
            // The manifest itself has this name till then, and so may have what was there before.
            let is_in_the_way = target.find(name)?.is_some_and(|there| !there.file_type().is_dir());
            if is_in_the_way && found.file_type().is_dir() {
                target.remove(name)?;
            }
            target.rename(stored, name)?;
        }
    }
    Ok(())
}

/// Reports what is not as it was packed, and what was not asked for.
fn report(run: &Run<'_>, lost: &Differences, not_asked_for: &Differences) {
    for (difference, affected) in &lost.0 {
        run.monitor.problem(ProblemKind::Incomplete, &run.name, difference.message(affected));
    }
    for (difference, affected) in &not_asked_for.0 {
        // Its place is reported when it stays there.
        if *difference != Difference::OwnName {
            let message = format!("not asked for: {}", difference.message(affected));
            run.monitor.problem(ProblemKind::Note, &run.name, message);
        }
    }
}

/// Finishes a version 1 archive.
pub(super) fn finish_v1(
    run: Run<'_>,
    target: &TargetFolder,
    extracted: Option<Extracted>,
    options: &RestoreOptions,
) -> Result<Summary, RestoreError> {
    let mut state = run.ledger.take();
    let extracted = extracted.unwrap_or_default();
    for (path, reason) in extracted.missing {
        state.add_missing(path, reason);
    }
    if let Some(damage) = extracted.damage {
        state.add_missing(RelPath::root(), damage);
    }
    // Whether they are right, this archive does not say.
    for path in extracted.left {
        state.leave(path);
    }
    if options.delete {
        let why =
            "nothing is removed: an archive of version 1 does not say what belongs to the folder";
        run.monitor.problem(ProblemKind::Incomplete, &run.name, why);
    }
    // Flags could forbid what the next run has to do.
    let is_complete = state.is_complete();
    target.set_flags(|_| !is_complete).map_err(|error| stop(target, error))?;
    for (path, reason) in settle(target, &extracted.folders, is_complete)? {
        run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
        state.add_missing(path, reason);
    }
    let (lost, not_asked_for) = target.not_applied().split(options);
    let complete = state.is_complete() && lost.0.is_empty();
    let mut summary = state.summarise(&[], None)?;
    summary.files = summary.files_from_packages + extracted.files;
    summary.entries = summary.files;
    summary.bytes = summary.bytes_from_packages + extracted.bytes;
    summary.files_without_digest = extracted.files;
    summary.manifest_version = 1;
    summary.not_applied = lost.by_label();
    summary.not_asked_for = not_asked_for.by_label();
    report(&run, &lost, &not_asked_for);
    if complete && !options.keep_manifest {
        target.sync().map_err(|error| stop(target, error))?;
        target.remove(&manifest_path()).map_err(|error| stop(target, error))?;
        if let Some(top) = extracted.folders.get(&RelPath::root()) {
            finish_last(target, &RelPath::root(), top, run.monitor, &mut summary);
        }
    }
    end(target)?;
    Ok(summary)
}

/// Gives the folders of a tar archive the metadata that it has of them; those for which that failed.
pub(super) fn settle(
    target: &TargetFolder,
    folders: &BTreeMap<RelPath, Metadata>,
    with_flags: bool,
) -> Result<Vec<(RelPath, String)>, RestoreError> {
    let mut failed = Vec::new();
    for (path, metadata) in folders.iter().rev() {
        // The top folder is changed once more.
        let is_flagged = with_flags && !path.is_root();
        let metadata = if is_flagged { metadata } else { &metadata.without_flags() };
        if let Err(error) = target.finish_folder(path, metadata) {
            failed.push((path.clone(), one_line(&fatal(target.path(), error)?)));
        }
    }
    let settled = target.settle_folders(|path| folders.contains_key(path));
    settled.map_err(|error| stop(target, error))?;
    Ok(failed)
}
