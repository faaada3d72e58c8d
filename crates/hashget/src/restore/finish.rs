//! The end of restoring: further names, folders' metadata, the proof, and the manifest's removal.
//!
//! Invariant: the manifest goes only when everything is in its place and proven (or, of version 1,
//! nothing is missing); nothing but the top folder's time is changed after that.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::extract::Extracted;
use super::ledger::State;
use super::place::{DEVICE, PlaceError, Target};
use super::{RestoreError, RestoreOptions, Run, Summary, count, fatal};
use crate::archive::manifest_path;
use crate::model::manifest::{Manifest, Renamed};
use crate::model::{Metadata, RelPath};
use crate::monitor::{Event, Interrupted, Monitor, ProblemKind};
use crate::tree::{self, ScanOptions};
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
    let mut odd_folders = BTreeMap::new();
    if let Some(extracted) = extracted {
        odd_folders = name_strangers(&run, &mut state, &links, extracted);
    }
    for (path, metadata) in odd_folders.iter().rev() {
        finish_folder(&run, path, metadata)?;
    }
    // The removal of the manifest and the last renames change the times of these folders.
    let touched = touched_folders(&state, manifest);
    finish_other_folders(&run, &mut state, &touched)?;
    let target = run.target;
    let settled = target.settle_folders(|path| state.gives_folder(path));
    settled.map_err(|error| stop(target, error))?;

    let mut summary = state.summarise(&links, Some(manifest.tree.sha256))?;
    if target.leftovers() > 0 {
        let what = "a temporary file could not be removed: `hashget restore` does that";
        run.monitor.problem(ProblemKind::Incomplete, &run.name, what);
        summary.proven = None;
    }
    let done = summary.proven == Some(true) && !target.not_applied().contains_key(DEVICE);
    if done {
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
    }
    for (path, metadata) in touched.iter().rev() {
        if done {
            finish_last(target, path, metadata, run.monitor, &mut summary);
        } else if let Some(reason) = finish_folder(&run, path, metadata)? {
            summary.missing.push((path.clone(), reason));
            summary.proven = None;
        }
    }
    summary.not_applied = target.not_applied();
    report(&run, &summary);
    end(&run)?;
    Ok(summary)
}

/// Sets the metadata of all folders but those that are `touched` later.
fn finish_other_folders(
    run: &Run<'_>,
    state: &mut State<'_>,
    touched: &BTreeMap<RelPath, Metadata>,
) -> Result<(), RestoreError> {
    let mut failed = Vec::new();
    for (path, metadata) in state.folders().filter(|(path, _)| !touched.contains_key(path)) {
        if let Some(reason) = finish_folder(run, &run.stored(path), metadata)? {
            failed.push((path.clone(), reason));
        }
    }
    for (path, reason) in failed {
        state.add_missing(path, reason);
    }
    Ok(())
}

/// Has the tree a manifest of its own?
fn owns_the_name(manifest: &Manifest) -> bool {
    manifest.renamed.iter().any(|renamed| renamed.name == manifest_path())
}

fn end(run: &Run<'_>) -> Result<(), RestoreError> {
    let synced = run.target.sync();
    synced.map_err(|error| stop(run.target, error))
}

/// An error after which it cannot be said that everything is well.
fn stop(target: &Target, error: PlaceError) -> RestoreError {
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

fn make_links(run: &Run<'_>, state: &mut State) -> Result<Vec<(RelPath, RelPath)>, RestoreError> {
    let mut made = Vec::new();
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
                let reason = "what it is another name of is not restored";
                if nothing_reported {
                    run.monitor.problem(ProblemKind::Incomplete, &path, reason);
                }
                reason.to_owned()
            }
            // A device that only root may make: it was counted.
            Some(to)
                if state.is_device(to)
                    && run.target.find(&run.stored(to)).is_ok_and(|found| found.is_none()) =>
            {
                run.target.count_not_applied(DEVICE);
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
fn finish_last(
    target: &Target,
    path: &RelPath,
    metadata: &Metadata,
    monitor: &dyn Monitor,
    summary: &mut Summary,
) {
    if let Err(error) = target.finish_folder(path, metadata) {
        monitor.problem(ProblemKind::Incomplete, path, one_line(&error));
        target.count_not_applied("metadata");
        summary.proven = None;
    }
}

fn touched_folders(state: &State<'_>, manifest: &Manifest) -> BTreeMap<RelPath, Metadata> {
    let ends = manifest.renamed.iter().flat_map(|renamed| [&renamed.stored, &renamed.name]);
    let parents: Vec<_> = ends.filter_map(RelPath::parent).chain([RelPath::root()]).collect();
    state
        .folders()
        .filter(|(path, _)| parents.contains(path))
        .map(|(path, metadata)| (path.clone(), metadata.clone()))
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

/// Says what could not be applied to how many entries.
pub(super) fn not_applied(what: &str, number: u64) -> String {
    match (what, number) {
        (DEVICE, 1) => "1 device node was not created (needs root)".to_owned(),
        (DEVICE, _) => format!("{number} device nodes were not created (needs root)"),
        (_, 1) => format!("{what} not restored for 1 entry"),
        (_, _) => format!("{what} not restored for {number} entries"),
    }
}

fn report(run: &Run<'_>, summary: &Summary) {
    for (what, number) in &summary.not_applied {
        let kind = if what == DEVICE { ProblemKind::Incomplete } else { ProblemKind::Note };
        run.monitor.problem(kind, &run.name, not_applied(what, *number));
    }
    if summary.proven == Some(false) {
        let why =
            "the tree that was restored is not the one that was packed: its tree digest differs";
        run.monitor.problem(ProblemKind::Verification, &run.name, why);
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
    let complete = state.is_complete();
    let mut summary = state.summarise(&[], None)?;
    summary.files = summary.files_from_packages + extracted.files;
    summary.entries = summary.files;
    summary.bytes = summary.bytes_from_packages + extracted.bytes;
    if complete && !options.keep_manifest {
        run.target.remove(&manifest_path()).map_err(|error| stop(run.target, error))?;
    }
    for (path, reason) in settle(run.target, &extracted.folders)? {
        run.monitor.problem(ProblemKind::Incomplete, &path, &reason);
        summary.missing.push((path, reason));
    }
    summary.not_applied = run.target.not_applied();
    report(&run, &summary);
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

/// Is the whole tree there already, and right? Then nothing needs to be fetched.
pub(super) fn all_done(
    target: &Target,
    manifest: &Manifest,
    options: &RestoreOptions,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Option<Summary>, RestoreError> {
    let expected = manifest.tree.entries;
    if owns_the_name(manifest) || !has_entries(target.path(), expected.saturating_add(1)) {
        return Ok(None);
    }
    let quiet = Quiet(monitor);
    let scanning = ScanOptions { jobs, ..ScanOptions::default() };
    let scan = match tree::scan(target.path(), &scanning, &quiet) {
        Ok(scan) => scan,
        Err(tree::ScanError::Interrupted(Interrupted)) => return Err(Interrupted.into()),
        Err(_) => return Ok(None),
    };
    let mut entries = scan.entries;
    let own = entries.position(&manifest_path());
    entries.retain(|index| Some(index) != own);
    if entries.tree_digest() != manifest.tree.sha256 {
        return Ok(None);
    }
    let mut summary = Summary {
        entries: expected,
        files: manifest.tree.files,
        bytes: manifest.tree.bytes,
        kept_files: manifest.tree.files,
        packages: count(manifest.packages.len()),
        proven: Some(true),
        ..Summary::default()
    };
    if !options.keep_manifest {
        target.remove(&manifest_path()).map_err(|error| stop(target, error))?;
        if let Some(top) = entries.first().filter(|top| top.path.is_root()) {
            finish_last(target, &top.path, &top.metadata, monitor, &mut summary);
        }
        target.sync().map_err(|error| stop(target, error))?;
        summary.not_applied = target.not_applied();
    }
    Ok(Some(summary))
}

/// Are there exactly `expected` entries at and below `folder`?
fn has_entries(folder: &Path, expected: u64) -> bool {
    let mut found = 1_u64;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { return false };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            found += 1;
            if found > expected {
                return false;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found == expected
}

/// Passes on progress, not problems: what a look at an unfinished tree finds is no problem yet.
struct Quiet<'m>(&'m dyn Monitor);

impl Monitor for Quiet<'_> {
    fn event(&self, event: Event<'_>) {
        if !matches!(event, Event::Problem { .. } | Event::Skipped { .. }) {
            self.0.event(event);
        }
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
