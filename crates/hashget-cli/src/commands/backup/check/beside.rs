//! What lies beside archives: the copies of their manifests, and what is left of archives that are gone.
//!
//! Invariant: a copy is called damaged only if it was read; what could not be read is not known.

use hashget::classify::is_of_a_disk;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::wording::one_line;
use hashget_backup::gone::Gone;
use hashget_backup::inventory::{Held, Remains};
use hashget_backup::run::Destination;
use serde_json::json;

use super::Checked;
use crate::environment::Environment;
use crate::manifest_copy::in_store;

/// Says so if the copy of an archive's manifest is not there although its record says that it has one, or could not be read.
pub(super) fn check_copy(destination: &Destination, held: &Held, environment: &Environment<'_>) {
    let monitor: &dyn Monitor = environment.console;
    if held.record.as_ref().is_ok_and(|record| record.manifest.is_none()) {
        return;
    }
    let object = || format!("{} in {}", held.name, destination.store.shown());
    match in_store(&*destination.store, &held.name, monitor) {
        Ok(Some(_)) => {}
        Err(error) if !(destination.folder.is_some() && is_of_a_disk(&error)) => {
            let message = format!(
                "the copy of its manifest, behind its record, could not be read, which says nothing about it: {}; check again when the destination answers",
                one_line(&error)
            );
            monitor.problem(ProblemKind::Unreachable, object(), message);
        }
        Ok(None) | Err(_) => {
            let message = "the copy of its manifest, behind its record, is damaged: copy its record from another destination";
            monitor.problem(ProblemKind::Incomplete, object(), message);
        }
    }
}

/// Says what has become of an archive of which only something beside it is left.
pub(super) fn check_remains(
    destination: &Destination,
    remains: &Remains,
    gone: Gone,
    checked: &mut Checked,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let (console, shown) = (environment.console, destination.store.shown());
    let (monitor, object): (&dyn Monitor, _) = (console, format!("{} in {shown}", remains.name));
    let Some(difference) = remains.problem(gone) else {
        let message =
            "the archive was removed, and what lies beside it was not: the next prune does that";
        monitor.problem(ProblemKind::Note, object, message);
        return Ok(());
    };
    checked.archives += 1;
    checked.wrong += 1;
    monitor.problem(ProblemKind::Verification, object, &difference);
    let record = json!({
        "name": remains.name.to_string(),
        "destination": shown,
        "compared": "nothing",
        "difference": difference,
        "parity_difference": null,
        "unread": null,
    });
    Ok(console.record("archive", record)?)
}
