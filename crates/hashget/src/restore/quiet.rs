//! A monitor for a step whose problems are none, or were reported before.
//!
//! Invariant: progress passes, and so does the wish to stop.

use crate::monitor::{Event, Monitor};

/// Passes on progress, not problems.
pub(super) struct Quiet<'m>(pub(super) &'m dyn Monitor);

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
