//! The supplements that a destination holds, read to their end.
//!
//! Invariant: damage is said only of what was read and is not whole; what could not be read is not known.

use hashget::classify::{class_of, is_of_a_disk};
use hashget::monitor::{Monitor, ProblemKind};
use hashget::supplement::SupplementError;
use hashget::wording::messages;
use hashget_backup::inventory::Inventory;
use hashget_backup::run::Destination;

use super::Checked;
use crate::archive::is_encrypted;
use crate::environment::Environment;
use crate::stores::classed;
use crate::supplements;

/// Reads the supplements.
///
/// # Errors
/// The user wants to stop.
pub(super) fn check(
    destination: &Destination,
    held: &Inventory,
    checked: &mut Checked,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let monitor: &dyn Monitor = environment.console;
    let sealed = |name: &str| is_encrypted(name.as_ref()) && !environment.has_identity();
    for (_, name) in &held.supplements {
        let object = format!("{name} in {}", destination.store.shown());
        if sealed(name) {
            let why =
                "nobody looked whether this supplement is whole: give an identity with --identity";
            monitor.problem(ProblemKind::Note, object, why);
            continue;
        }
        let Err(error) = read(destination, name, environment) else {
            checked.supplements += 1;
            continue;
        };
        monitor.check_interrupted()?;
        let why = messages(error.as_ref()).join(": ");
        if is_damage(&error, destination) {
            checked.wrong_supplements += 1;
            let message = format!(
                "{why}; remove it, and `hashget heal` makes another one, as far as what it has can still be had"
            );
            monitor.problem(ProblemKind::Verification, object, message);
        } else {
            checked.unread += 1;
            let message = format!(
                "{why}; this says nothing about the supplement: check again when it can be read"
            );
            monitor.problem(ProblemKind::Unreachable, object, message);
        }
    }
    Ok(())
}

/// Is it the supplement that is to blame, and not what kept us from reading it?
fn is_damage(error: &anyhow::Error, destination: &Destination) -> bool {
    let is_wrong = || {
        let class = class_of(error.as_ref());
        class.is_some_and(|class| class.problem_kind() == ProblemKind::Verification)
    };
    match error.downcast_ref::<SupplementError>() {
        Some(SupplementError::Bad { .. }) => true,
        Some(_) => is_wrong(),
        None => is_wrong() || destination.folder.is_some() && is_of_a_disk(error.as_ref()),
    }
}

fn read(
    destination: &Destination,
    name: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let source = destination.store.open(name, environment.console).map_err(classed)?;
    supplements::verify(environment.decrypted(source, name)?, name, environment)
}
