//! Derived files that are not to be made.
//!
//! Invariant: one that is there already and right stays and counts; every other one is named as missing, so that the next restore
//! makes it.

use super::package::Restoring;
use super::run::RunsPrograms;
use super::{RestoreError, Run};
use crate::derived::Derive;
use crate::model::Kind;

/// Why one is missing that hashget, or else a program, would make; of a part of an archive, which cannot be completed, apart.
fn not_made(run: &Run<'_>, by_program: bool) -> &'static str {
    match (run.part, by_program) {
        (None, false) => "derived, not made: `hashget restore --derive pure DIR` makes it",
        (Some(_), false) => "derived, not made: unpack it with `--derive pure`",
        (None, true) => {
            "derived by a program, not made: `hashget restore --derive all DIR` makes it"
        }
        // It reads files where they were in the tree.
        (Some(places), true) if places.strips() => {
            "derived by a program, not made: unpack it without `--strip-components`"
        }
        (Some(_), true) => {
            "derived by a program, not made: unpack it with `--derive all`, and with it what it is made from"
        }
    }
}

impl Restoring<'_, '_> {
    /// Takes the derived files out of what is to be restored whose recipes are not carried out; what programs make is left for them.
    pub(super) fn leave_derived_out(&mut self) -> Result<(), RestoreError> {
        for destination in self.plan.derived() {
            let of_run = self.plan.run_of(destination.part);
            if of_run.is_none() && self.run.derive != Derive::None {
                continue;
            }
            if let (Kind::File { size }, Some(sha256)) = (&destination.kind, destination.sha256)
                && self.run.may_keep
                && self.keeps(&destination, *size, sha256)?
            {
                continue;
            }
            // What was found and offered needs no program.
            if of_run.is_some()
                && let Some(accepting) = self.run.accepting.filter(|one| one.is_offered)
                && self.accept_file(&accepting, &destination, destination.sha256)?
            {
                continue;
            }
            self.plan.leave_out(destination.part);
            let is_all = self.run.derive == Derive::All
                && self.run.part.is_none_or(|places| !places.strips());
            match (of_run, self.run.runs_programs) {
                (Some((number, made)), RunsPrograms::Now(_)) if is_all => {
                    let key = (self.index, number);
                    self.run.left_for_programs.add(key, made, destination);
                }
                (Some(_), RunsPrograms::Later) if is_all => {
                    if let Some(sha256) = destination.sha256 {
                        self.placed_file(&destination, sha256, false);
                    }
                }
                (of_run, _) => {
                    let why = not_made(self.run, of_run.is_some());
                    self.run.ledger.not_made(&destination.path, why);
                }
            }
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
