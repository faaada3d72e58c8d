//! Derived files that are not to be made.
//!
//! Invariant: one that is there already and right stays and counts; every other one is named as missing, so that the next restore
//! makes it.

use super::package::Restoring;
use super::{RestoreError, Run};
use crate::derived::Derive;
use crate::model::Kind;

/// Why they are missing.
const NOT_MADE: &str = "derived, not made: `hashget restore --derive pure DIR` makes it";

impl Restoring<'_, '_> {
    /// Takes the derived files out of what is to be restored, if no recipe is carried out.
    pub(super) fn leave_derived_out(&mut self) -> Result<(), RestoreError> {
        if self.run.derive == Derive::Pure {
            return Ok(());
        }
        for destination in self.plan.derived() {
            if let (Kind::File { size }, Some(sha256)) = (&destination.kind, destination.sha256)
                && self.run.may_keep
                && self.keeps(&destination, *size, sha256)?
            {
                continue;
            }
            self.plan.leave_out(destination.part);
            self.run.ledger.not_there(&destination.path, NOT_MADE);
        }
        Ok(())
    }
}

/// Names all that was not made, in one line.
pub(super) fn report_not_made(run: &Run<'_>) {
    if let Some(missing) = run.ledger.all_not_there().get(NOT_MADE) {
        run.report_group(NOT_MADE, missing);
    }
}
