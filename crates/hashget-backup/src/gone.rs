//! Archives that a destination does not have any more: removed by the rules of their job, or lost? A pure decision.
//!
//! Invariant: what the rules keep is never taken for removed. A prune that broke off has left the record of what it removed, and
//! so has a loss: the rules tell one from the other.

use crate::inventory::{Held, Inventory, Remains};
use crate::record::Record;
use crate::retention::{Candidate, Circumstances, Keep, decide};

/// What has become of an archive that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The rules of its job do not keep it: removing it was broken off before all of it was gone.
    Removed,
    /// The rules keep it, and nobody was to remove it.
    Lost,
    /// It lies under the name that repairing gives to a damaged archive: that is at work, or was broken off.
    InRepair,
}

impl Remains {
    /// What is said of it if it was not removed; `None` if it was.
    pub fn problem(&self, gone: Gone) -> Option<String> {
        match gone {
            Gone::Removed => None,
            Gone::Lost => Some(format!(
                "the archive is lost: its record is there, and it was not to be removed; copy it from another destination, or \
                 remove {} if it was removed by hand",
                self.name.record()
            )),
            Gone::InRepair => Some(
                "the archive is lost unless it is being repaired: it is there with the ending .damaged; if no repair is at work, \
                 give it its name back, and repair it again"
                    .to_owned(),
            ),
        }
    }
}

impl Inventory {
    /// What has become of each archive of which only something beside it is left. Parity without a record speaks for nothing.
    pub fn gone(&self, keep: &Keep, circumstances: &Circumstances) -> Vec<(&Remains, Gone)> {
        let there = self.held.iter().map(Held::candidate);
        // As if all were there; what becomes of those that are is decided without the others.
        let all: Vec<Candidate> = there.chain(self.remains.iter().filter_map(candidate)).collect();
        let decision = decide(&all, keep, circumstances);
        let is_kept = |remains: &Remains| {
            decision.fates.iter().any(|fate| fate.name == remains.name && !fate.why.is_empty())
        };
        let gone = |remains: &Remains| match remains.is_in_repair {
            true => Gone::InRepair,
            false if is_kept(remains) => Gone::Lost,
            false => Gone::Removed,
        };
        self.remains.iter().map(|remains| (remains, gone(remains))).collect()
    }
}

/// What retention needs to know of an archive that has a record.
fn candidate(remains: &Remains) -> Option<Candidate> {
    let record = remains.record.as_ref()?.as_ref();
    Some(Candidate {
        name: remains.name.clone(),
        good: record.ok().map(Record::is_good),
        base: record.ok().and_then(|record| record.base.clone()),
        locked_until: None,
    })
}
