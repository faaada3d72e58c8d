//! The end of every restore, of a real one and of one that is only rehearsed: further names, and what the manifest does not say.
//!
//! Invariant: nothing is in the tree digest that is not in its place, and what contradicts the manifest keeps it from being right.

use std::collections::{BTreeMap, HashSet};

use super::differences::Affected;
use super::extract::Extracted;
use super::ledger::State;
use super::{RestoreError, Run, Summary};
use crate::model::manifest::Manifest;
use crate::model::{Metadata, RelPath, path_of};
use crate::monitor::ProblemKind;
use crate::wording::one_line;

/// What is known when all packages are done, with the further names of the manifest.
pub(super) fn all_known<'m>(run: &Run<'m>, manifest: &Manifest) -> State<'m> {
    for link in &manifest.links {
        run.ledger.link(link.path.clone(), link.to.clone());
    }
    run.ledger.take()
}

/// What came of closing a restore.
#[derive(Default)]
pub(super) struct Closed {
    /// The further names that were made, sorted, each with what it names.
    pub(super) links: Vec<(RelPath, RelPath)>,
    /// Folders that the archive holds and its manifest does not have.
    pub(super) odd_folders: BTreeMap<RelPath, Metadata>,
}

/// Makes the further names, and looks for what the archive holds without its manifest saying so.
pub(super) fn close(
    run: &Run<'_>,
    state: &mut State<'_>,
    extracted: Option<Extracted>,
) -> Result<Closed, RestoreError> {
    let refused = extracted.as_ref().map(Extracted::refused).unwrap_or_default();
    let links = make_links(run, state, &refused)?;
    if let Some(places) = run.part {
        state.add_parents(places.take_parents(), &links);
    }
    let strangers = extracted.map(|extracted| name_strangers(run, state, &links, extracted));
    Ok(Closed { links, odd_folders: strangers.unwrap_or_default() })
}

/// Reports that the tree digest is wrong, if it is.
pub(super) fn report_proof(run: &Run<'_>, summary: &Summary) {
    if summary.proven == Some(false) {
        let why =
            "the tree that was restored is not the one that was packed: its tree digest differs";
        run.monitor.problem(ProblemKind::Verification, &run.name, why);
    }
}

/// Why a further name is missing.
pub(super) const WITHOUT_FILE: &str = "what it is another name of is not restored";

/// Makes them, but for those that were `refused` when the archive was unpacked: these were reported then.
fn make_links(
    run: &Run<'_>,
    state: &mut State<'_>,
    refused: &HashSet<&RelPath>,
) -> Result<Vec<(RelPath, RelPath)>, RestoreError> {
    let mut made = Vec::new();
    let mut without_file = Affected::default();
    // Otherwise what is missing was reported, and these links with it.
    let nothing_reported = state.is_complete();
    for (path, to) in state.take_links() {
        run.monitor.check_interrupted()?;
        if refused.contains(&run.stored(&path)) {
            continue;
        }
        if state.knows(&path) {
            let why = "it is given by itself and as a further name of another entry";
            run.monitor.problem(ProblemKind::Verification, &path, why);
            state.contradict();
            continue;
        }
        // Of what is not restored, nothing is known but that it is not restored.
        let stays = match &to {
            Some(to) => run.target.link_stays(&run.stored(&path), &run.stored(to)),
            None => run.target.stays(&path, &Metadata::default()),
        };
        match stays {
            Ok(true) => {
                state.leave(path);
                continue;
            }
            Ok(false) => {}
            Err(error) => drop(run.unless_fatal(error)?),
        }
        let reason = match &to {
            None => {
                without_file.add(&path);
                WITHOUT_FILE.to_owned()
            }
            // A device that only root may make: it is reported when the folders are looked at.
            Some(to) if state.is_device(to) && !run.target.holds(&run.stored(to)) => {
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
        .table
        .paths()
        .map(path_of)
        .chain(links.iter().map(|(link, _)| link.clone()))
        .map(|path| run.stored(&path))
        .filter(|path| !state.knows(path))
        .collect();
    // What stayed as it was, and names of it, are in no place and yet no strangers.
    let accounted = state.accounted_for();
    let expected =
        |path: &RelPath| state.knows(path) || stored.contains(path) || accounted.contains(path);
    let odd_files: Vec<_> = extracted.entries.paths().filter(|path| !expected(path)).collect();
    let mut odd_folders = extracted.folders;
    odd_folders.retain(|path, _| !expected(path));
    let why = "the archive holds it, but its manifest does not say so";
    // A folder may be one of a package that could not be had: nobody knows what that has in it.
    let missing = state.missing_paths();
    let up = |path: &RelPath| std::iter::successors(Some(path.clone()), RelPath::parent);
    let is_known = |path: &&RelPath| !up(path).any(|one| missing.contains(&one));
    for path in odd_files.iter().chain(odd_folders.keys().filter(is_known)) {
        run.monitor.problem(ProblemKind::Verification, path, why);
        state.contradict();
    }
    odd_folders
}
