//! Archives that a destination does not have any more: removed by the rules of their job, or lost? A pure decision.
//!
//! Invariant: what the rules keep is never taken for removed. A prune that broke off has left the record of what it removed, and
//! so has a loss: the rules tell one from the other.

use crate::inventory::{Held, Inventory, Looked, Remains};
use crate::job::Job;
use crate::record::Record;
use crate::retention::{Candidate, Circumstances, Keep, decide};
use crate::run::State;
use crate::series::{ArchiveName, Series};

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

/// The archives that destinations have lost: by the records that are left there, and by what this machine has sent last.
pub(crate) fn lost(
    job: &Job,
    state: &State,
    looked: &[Looked<'_>],
    circumstances: &Circumstances,
) -> Vec<(ArchiveName, String)> {
    let series = Series::new(&job.host, &job.name).ok();
    let mut lost = Vec::new();
    for (destination, found) in looked {
        let Ok(inventory) = found else { continue };
        for (remains, gone) in inventory.gone(&job.keep, circumstances) {
            let said = remains.problem(gone).map(|problem| {
                (remains.name.clone(), format!("{destination}, {}: {problem}", remains.name))
            });
            lost.extend(said);
        }
        // The newest archive is never removed.
        let is_there = |name: &ArchiveName| {
            inventory.held.iter().any(|held| held.name.started() >= name.started())
                || inventory.remains.iter().any(|remains| remains.name == *name)
        };
        let sent =
            state.last_sent_to(destination).filter(|name| Some(name.series()) == series.as_ref());
        lost.extend(sent.filter(|name| !is_there(name)).map(|name| {
            let text = format!("{destination} has lost {name}, which was sent there: copy it from another destination");
            (name, text)
        }));
    }
    lost
}
