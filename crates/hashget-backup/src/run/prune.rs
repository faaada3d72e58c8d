//! Archives that are not kept any more are removed.
//!
//! Invariant: nothing is removed that the decision does not name, and nothing at all if the destination could not be listed to
//! its end. What lies beside an archive goes after the archive, never before, and the record goes last.

use hashget::monitor::{Monitor, ProblemKind};

use crate::inventory::{Held, Inventory, inventory};
use crate::retention::{Candidate, Circumstances, Decision, Keep, decide};
use crate::series::{ArchiveName, Series};
use crate::store::{Store, StoreError};

/// What was decided about the archives of a series in a destination, and done.
#[derive(Debug)]
pub struct Pruned {
    /// The decision.
    pub decision: Decision,
    /// The archives that were removed; with a dry run, those that would be.
    pub removed: Vec<ArchiveName>,
}

/// Decides about the archives of a series in a destination.
///
/// # Errors
/// The destination cannot be listed to its end.
pub fn decision_for(
    store: &dyn Store,
    series: &Series,
    keep: &Keep,
    circumstances: &Circumstances,
    monitor: &dyn Monitor,
) -> Result<(Inventory, Decision), StoreError> {
    let inventory = inventory(store, &|found| found == series, monitor)?;
    let candidates: Vec<Candidate> = inventory.held.iter().map(Held::candidate).collect();
    let decision = decide(&candidates, keep, circumstances);
    Ok((inventory, decision))
}

/// Removes what is not kept, and what broken-off sends have left. An archive that cannot be removed is reported.
///
/// # Errors
/// The destination cannot be listed to its end, or the monitor asked to stop.
pub fn prune(
    store: &dyn Store,
    series: &Series,
    keep: &Keep,
    circumstances: &Circumstances,
    is_dry_run: bool,
    monitor: &dyn Monitor,
) -> Result<Pruned, StoreError> {
    let (inventory, decision) = decision_for(store, series, keep, circumstances, monitor)?;
    let doomed: Vec<ArchiveName> = decision.removed().into_iter().cloned().collect();
    if is_dry_run {
        return Ok(Pruned { decision, removed: doomed });
    }
    let mut removed = Vec::new();
    for name in doomed {
        let is_it = |held: &&Held| held.name == name;
        let has_parity = inventory.held.iter().find(is_it).is_some_and(|it| it.parity.is_some());
        let gone = store.remove(&name.to_string(), monitor);
        match gone.and_then(|()| remove_beside(store, &name, has_parity, monitor)) {
            Ok(()) => removed.push(name),
            Err(StoreError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => {
                let message = format!("{name} was not removed: {error}");
                monitor.problem(ProblemKind::Unreachable, store.shown(), message);
            }
        }
    }
    if decision.halt.is_none() {
        remove_remains(store, &inventory, keep, circumstances, monitor)?;
        remove_supplements(store, &inventory, &removed, monitor)?;
    }
    match store.clean(monitor) {
        Ok(_) | Err(StoreError::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(Pruned { decision, removed })
}

/// Removes what is left of archives that were removed before. What was lost is said, and its record stays.
fn remove_remains(
    store: &dyn Store,
    inventory: &Inventory,
    keep: &Keep,
    circumstances: &Circumstances,
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    for (remains, gone) in inventory.gone(keep, circumstances) {
        let object = format!("{} in {}", remains.name, store.shown());
        if let Some(problem) = remains.problem(gone) {
            monitor.problem(ProblemKind::Incomplete, object, problem);
            continue;
        }
        remove_beside(store, &remains.name, true, monitor)?;
        let message = "what was left of it is removed: the archive had been removed before";
        monitor.problem(ProblemKind::Note, object, message);
    }
    Ok(())
}

/// Removes the supplements that were made before the oldest archive that is left: those that they were made for are gone.
fn remove_supplements(
    store: &dyn Store,
    inventory: &Inventory,
    removed: &[ArchiveName],
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    let left = inventory.held.iter().map(|held| &held.name).filter(|name| !removed.contains(name));
    let Some(oldest) = left.map(ArchiveName::started).min() else { return Ok(()) };
    let old = inventory.supplements.iter().filter(|(made, _)| made.started() < oldest);
    for (_, name) in old {
        store.remove(name, monitor)?;
        let message = "this supplement is removed: the archives that it was made for are gone";
        monitor.problem(ProblemKind::Note, format!("{name} in {}", store.shown()), message);
    }
    Ok(())
}

/// Removes what lies beside an archive that has been removed. If that is broken off, the next run does it.
fn remove_beside(
    store: &dyn Store,
    name: &ArchiveName,
    has_parity: bool,
    monitor: &dyn Monitor,
) -> Result<(), StoreError> {
    if has_parity {
        store.remove(&name.parity(), monitor)?;
    }
    store.remove(&name.record(), monitor)
}
