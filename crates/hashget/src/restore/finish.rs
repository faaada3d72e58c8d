//! The end of restoring: further names, folders' metadata, the proof, and the manifest's removal.
//!
//! Invariant: the manifest goes only when everything is in its place and looked at there (or, of version 1,
//! nothing is missing); nothing but the times of the folders that this changes is changed after that.

use std::collections::{BTreeMap, HashSet};

use super::differences::{Affected, Difference, Differences};
use super::extract::Extracted;
use super::inspection::{Findings, Inspection};
use super::ledger::State;
use super::place::{Look, PlaceError, Target};
use super::{RestoreError, RestoreOptions, Run, Summary, fatal};
use crate::archive::manifest_path;
use crate::model::manifest::{Manifest, Renamed};
use crate::model::{Kind, Metadata, RelPath, counted};
use crate::monitor::{Monitor, ProblemKind};
use crate::wording::one_line;

/// Finishes a version 2 archive.
pub(super) fn finish(
    run: Run<'_>,
    manifest: &Manifest,
    extracted: Option<Extracted>,
    options: &RestoreOptions,
) -> Result<Summary, RestoreError> {
    run.monitor.check_interrupted()?;
    for link in &manifest.links {
        run.ledger.link(link.path.clone(), link.to.clone());
    }
    let mut state = run.ledger.take();
    for (path, error) in run.target.separate_shared() {
        let reason = one_line(&run.unless_fatal(error)?);
        run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
        state.add_missing(path, reason);
    }
    let links = make_links(&run, &mut state)?;
    if let Some(places) = run.part {
        state.add_parents(places.take_parents(), &links);
    }
    let mut odd_folders = BTreeMap::new();
    if let Some(extracted) = extracted {
        odd_folders = name_strangers(&run, &mut state, &links, extracted);
    }
    for (path, metadata) in odd_folders.iter().rev() {
        finish_folder(&run, path, metadata)?;
    }
    let mut findings = finish_folders(&run, &mut state, &links)?;
    let target = run.target;
    let settled = target.settle_folders(|path| state.folder(path).is_some());
    settled.map_err(|error| stop(target, error))?;

    // The removal of the manifest and the last renames change the times of these folders.
    let touched = touched_folders(&state, manifest);
    // The tree digest proves nothing of a part.
    let expected = run.part.is_none().then_some(manifest.tree.sha256);
    let mut summary = state.summarise(&links, expected)?;
    if options.keep_manifest && owns_the_name(manifest) {
        findings.differences.add(Difference::OwnName, &manifest_path());
    }
    add_findings(&run, &mut summary, findings);
    if target.leftovers() > 0 {
        let what = "a temporary file could not be removed: `hashget restore` does that";
        run.monitor.problem(ProblemKind::Incomplete, &run.name, what);
        summary.proven = None;
    }
    if summary.proven == Some(true) {
        // Without the manifest nothing goes on from here: all that it says is durable before.
        target.sync().map_err(|error| stop(target, error))?;
        put_renamed(&run, &manifest.renamed, options)
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
    end(&run)?;
    Ok(summary)
}

/// Looks at all that is in each folder, and then sets the folder's metadata, which may keep us from looking.
fn finish_folders(
    run: &Run<'_>,
    state: &mut State<'_>,
    links: &[(RelPath, RelPath)],
) -> Result<Findings, RestoreError> {
    let mut failed = Vec::new();
    let mut inspection = Inspection::new(run, &*state, links);
    for (path, folder) in state.folders() {
        inspection.look_into(path)?;
        if let Some(reason) = finish_folder(run, &run.stored(path), &folder.metadata)? {
            failed.push((path.clone(), reason));
        }
    }
    inspection.look_at_top()?;
    let findings = inspection.end()?;
    for (path, reason) in failed {
        state.add_missing(path, reason);
    }
    Ok(findings)
}

/// Reports what was found on the disk, and what it means for the proof.
fn add_findings(run: &Run<'_>, summary: &mut Summary, findings: Findings) {
    let Findings { differences, mut strays } = findings;
    if !summary.missing.is_empty() || run.part.is_some() {
        // What lies beside a part is nobody's business.
        // Something may be there from an earlier run, and could not be asked for in this one.
        strays = Affected::default();
    }
    let (lost, not_asked_for) = differences.split(run.target.options());
    report(run, &lost, &not_asked_for);
    if strays.entries > 0 {
        let entries = match strays.entries {
            1 => "1 entry in it is".to_owned(),
            number => format!("{} in it are", counted(number, "entry", "entries")),
        };
        let message = format!("{entries} not part of the archive: {}", strays.names());
        run.monitor.problem(ProblemKind::Note, &run.name, message);
    }
    match summary.proven {
        Some(false) => {
            let why = "the tree that was restored is not the one that was packed: its tree digest differs";
            run.monitor.problem(ProblemKind::Verification, &run.name, why);
        }
        Some(true) if !lost.0.is_empty() => summary.proven = None,
        Some(true) | None => {}
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

fn end(run: &Run<'_>) -> Result<(), RestoreError> {
    let synced = run.target.sync();
    synced.map_err(|error| stop(run.target, error))
}

/// An error after which it cannot be said that everything is well.
pub(super) fn stop(target: &Target, error: PlaceError) -> RestoreError {
    let path = target.path().to_path_buf();
    match fatal(target, error) {
        Err(error) => error,
        Ok(PlaceError::Io(error) | PlaceError::Read(error)) => {
            RestoreError::Target { target: path, error }
        }
        Ok(PlaceError::Blocked(why)) => {
            RestoreError::Target { target: path, error: std::io::Error::other(why) }
        }
    }
}

/// Why a further name is missing.
const WITHOUT_FILE: &str = "what it is another name of is not restored";

fn make_links(run: &Run<'_>, state: &mut State) -> Result<Vec<(RelPath, RelPath)>, RestoreError> {
    let mut made = Vec::new();
    let mut without_file = Affected::default();
    // Otherwise what is missing was reported, and these links with it.
    let nothing_reported = state.is_complete();
    for (path, to) in state.take_links() {
        run.monitor.check_interrupted()?;
        if state.knows(&path) {
            let why = "it is given by itself and as a further name of another entry";
            run.monitor.problem(ProblemKind::Verification, &path, why);
            state.contradict();
            continue;
        }
        let reason = match &to {
            None => {
                without_file.add(&path);
                WITHOUT_FILE.to_owned()
            }
            // A device that only root may make: it is reported when the folders are looked at.
            Some(to)
                if state.is_device(to)
                    && run.target.find(&run.stored(to)).is_ok_and(|found| found.is_none()) =>
            {
                made.push((path, to.clone()));
                continue;
            }
            Some(to) => match run.target.link(&run.stored(&path), &run.stored(to)) {
                Ok(()) => {
                    made.push((path, to.clone()));
                    continue;
                }
                Err(error) => {
                    let reason = one_line(&run.unless_fatal(error)?);
                    run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
                    reason
                }
            },
        };
        state.add_missing(path, reason);
    }
    if nothing_reported {
        run.report_group(WITHOUT_FILE, &without_file);
    }
    Ok(made)
}

/// Names what the archive holds but its manifest does not; gives the folders among it.
fn name_strangers(
    run: &Run<'_>,
    state: &mut State<'_>,
    links: &[(RelPath, RelPath)],
    extracted: Extracted,
) -> BTreeMap<RelPath, Metadata> {
    for (path, reason) in extracted.missing {
        state.add_missing(path, reason);
    }
    if let Some(damage) = extracted.damage
        && state.is_complete()
    {
        state.add_missing(RelPath::root(), damage);
    }
    // Where the tar has entries under other paths than the tree.
    let stored: HashSet<RelPath> = run
        .archived()
        .iter()
        .chain(links.iter().map(|(link, _)| link))
        .map(|path| run.stored(path))
        .filter(|path| !state.knows(path))
        .collect();
    let expected = |path: &RelPath| state.knows(path) || stored.contains(path);
    let odd_files: Vec<_> = extracted.entries.paths().filter(|path| !expected(path)).collect();
    let mut odd_folders = extracted.folders;
    odd_folders.retain(|path, _| !expected(path));
    let why = "the archive holds it, but its manifest does not say so";
    for path in odd_files.iter().chain(odd_folders.keys()) {
        run.monitor.problem(ProblemKind::Verification, path, why);
        state.contradict();
    }
    odd_folders
}

/// Gives a folder its metadata; the reason if that failed.
fn finish_folder(
    run: &Run<'_>,
    path: &RelPath,
    metadata: &Metadata,
) -> Result<Option<String>, RestoreError> {
    match run.target.finish_folder(path, metadata) {
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
    target: &Target,
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
    renamed: &[Renamed],
    options: &RestoreOptions,
) -> Result<(), PlaceError> {
    for Renamed { stored, name } in renamed {
        let manifest = *name == manifest_path();
        if manifest && options.keep_manifest {
            let why = format!("the manifest has this name: the tree's own is at {stored}");
            run.monitor.problem(ProblemKind::Note, name, why);
        } else if let Some(found) = run.target.find(stored)? {
            if manifest && found.file_type().is_dir() {
                run.target.remove(name)?;
            }
            run.target.rename(stored, name)?;
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
    for (path, reason) in settle(run.target, &extracted.folders)? {
        run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
        state.add_missing(path, reason);
    }
    let (lost, not_asked_for) = run.target.not_applied().split(options);
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
        run.target.sync().map_err(|error| stop(run.target, error))?;
        run.target.remove(&manifest_path()).map_err(|error| stop(run.target, error))?;
        if let Some(top) = extracted.folders.get(&RelPath::root()) {
            finish_last(run.target, &RelPath::root(), top, run.monitor, &mut summary);
        }
    }
    end(&run)?;
    Ok(summary)
}

/// Gives the folders of a tar archive the metadata that it has of them; those for which that failed.
pub(super) fn settle(
    target: &Target,
    folders: &BTreeMap<RelPath, Metadata>,
) -> Result<Vec<(RelPath, String)>, RestoreError> {
    let mut failed = Vec::new();
    for (path, metadata) in folders.iter().rev() {
        if let Err(error) = target.finish_folder(path, metadata) {
            failed.push((path.clone(), one_line(&fatal(target, error)?)));
        }
    }
    let settled = target.settle_folders(|path| folders.contains_key(path));
    settled.map_err(|error| stop(target, error))?;
    Ok(failed)
}
