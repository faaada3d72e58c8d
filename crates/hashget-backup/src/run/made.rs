//! What a run has made, and how it ended.
//!
//! Invariant: a run has failed if no destination has its archive; whatever else is missing, there is a backup.

use hashget::monitor::Interrupted;
use hashget::wording;
use jiff::Timestamp;

use super::state::{Delivered, MOST_PROBLEMS, RunState};
use super::{Delivery, RunError, Spool};
use crate::record::Packed;
use crate::series::ArchiveName;
use crate::store::{Compared, StoreError};

/// What a run has made so far.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) name: Option<ArchiveName>,
    pub(super) bytes: Option<u64>,
    pub(super) packed: Packed,
    pub(super) deliveries: Vec<Delivery>,
    /// Is an archive of an earlier run still not everywhere?
    pub(super) is_behind: bool,
}

impl Made {
    /// The error of an archive that no destination has.
    pub(super) fn not_sent(&self, spool: &Spool) -> Option<RunError> {
        let has_some = self.deliveries.iter().any(|delivery| delivery.result.is_ok());
        let name = self.name.clone().filter(|_| !has_some)?;
        let is_stop =
            |delivery: &Delivery| matches!(delivery.result, Err(StoreError::Interrupted(_)));
        Some(match self.deliveries.iter().any(is_stop) {
            true => Interrupted.into(),
            false => RunError::NotSent { name, spool: spool.folder().to_owned() },
        })
    }

    /// The exit code of the run.
    pub(super) fn exit(&self, failure: Option<&RunError>) -> u8 {
        match failure {
            Some(error) => error.exit(),
            None if !self.deliveries.iter().all(Delivery::is_complete) => 5,
            None if self.is_behind && self.packed.exit == 0 => 5,
            None => self.packed.exit,
        }
    }

    /// What is remembered of the run.
    pub(super) fn state(
        &self,
        started: Timestamp,
        ended: Timestamp,
        exit: u8,
        failure: Option<&RunError>,
    ) -> RunState {
        let destinations = self.deliveries.iter().map(|delivery| Delivered {
            destination: delivery.destination.clone(),
            problem: delivery.result.as_ref().err().map(ToString::to_string),
            parity_problem: delivery.no_parity.as_ref().map(ToString::to_string),
            compared: delivery.result.as_ref().ok().copied().flatten().map(|compared| {
                let word = match compared {
                    Compared::Checksum => "checksum",
                    Compared::Size => "size",
                    Compared::Nothing => "nothing",
                };
                word.to_owned()
            }),
        });
        let made = self.name.is_some();
        RunState {
            started,
            ended,
            exit,
            archive: self.name.as_ref().map(ToString::to_string),
            bytes: self.bytes,
            base: self.packed.base.clone(),
            tree_bytes: made.then_some(self.packed.tree_bytes),
            destinations: destinations.collect(),
            problems: self.packed.problems.iter().take(MOST_PROBLEMS).cloned().collect(),
            failure: failure.map(|error| wording::messages(error).join(": ")),
        }
    }
}
