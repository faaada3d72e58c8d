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
/// The same, of a part of an archive, which cannot be completed.
const NOT_MADE_OF_PART: &str = "derived, not made: unpack it with `--derive pure`";

fn not_made(run: &Run<'_>) -> &'static str {
    match run.part {
        Some(_) => NOT_MADE_OF_PART,
        None => NOT_MADE,
    }
}

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
            self.run.ledger.not_made(&destination.path, not_made(self.run));
        }
        Ok(())
    }
}

/// Names all that was not made, in one line.
pub(super) fn report_not_made(run: &Run<'_>) {
    for (why, missing) in run.ledger.all_not_made() {
        run.report_group(why, &missing);
    }
}
