//! The result of packing, in numbers.
//!
//! Invariant: every number is counted from the verdicts, so that the summary and the archive cannot disagree.

use std::collections::{BTreeMap, HashMap};

use super::Planned;
use super::candidates::DetectorUse;
use super::heaviest::{Heavy, heaviest};
use super::plan::{PackageUse, Plan};
use super::verdict::{Reason, Verdict};
use crate::archive::{ReliedOn, RequiredPackage, Together, together_of};
use crate::model::manifest::{ManifestError, Regenerable};
use crate::model::{Amount, Entry, Kind, RelPath, add_bytes};
use crate::monitor::{Event, Monitor};
use crate::places::Place;
use crate::tree::Entries;

/// The result of packing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries of the tree.
    pub entries: u64,
    /// Regular files among them, each name counted.
    pub files: u64,
    /// Their size in bytes, each hard-link group once.
    pub bytes: u64,
    /// Files that packages give back, each name counted.
    pub left_out_files: u64,
    /// Their size in bytes.
    pub left_out_bytes: u64,
    /// What of these recipes make, by their names; each file once.
    pub derived: BTreeMap<String, Amount>,
    /// Archived files that are made of pieces, and the bytes of these, which are left out, too.
    pub pieces: Amount,
    /// Those of them that programs compress, by the names of the encoders.
    pub encoded: BTreeMap<String, Amount>,
    /// Files in the archive, each name counted.
    pub archived_files: u64,
    /// Their size in bytes.
    pub archived_bytes: u64,
    /// The archived files by the reason why they are archived.
    pub reasons: BTreeMap<Reason, Amount>,
    /// The paths that make up most of the archived bytes, largest first.
    pub heaviest: Vec<Heavy>,
    /// The packages that are relied on, by URL.
    pub packages: Vec<PackageUse>,
    /// The same with what restoring needs to know of them.
    pub relied_on: Vec<ReliedOn>,
    /// Packages that were not used because downloading them would cost more than they save.
    pub not_worth: Vec<PackageUse>,
    /// What profiles excluded, since programs make it again; it is in none of the other numbers.
    pub regenerable: Vec<Regenerable>,
    /// Size of the archive in bytes; 0 for a dry run.
    pub archive_bytes: u64,
    /// Bytes of it that were copied from an earlier archive.
    pub reused_bytes: u64,
    /// Size of its parity in bytes; `None` if there is none.
    pub parity_bytes: Option<u64>,
    /// Files that changed while they were read.
    pub changed_files: u64,
    /// What each detector did, in the order of detection; empty if nothing was indexed.
    pub detectors: Vec<DetectorUse>,
    /// Number of packages that the detectors found.
    pub detected: usize,
    /// Number of those that were indexed now.
    pub newly_indexed: usize,
    /// Number of packages that publishers knew.
    pub taken_over: usize,
    /// Number of those that were not indexed: their files may be archived.
    pub not_indexed: usize,
    /// Names of those without a permanent URL: their files are archived.
    pub unreliable: Vec<String>,
}

impl Summary {
    /// Archived files that no package in the HashDB has.
    pub fn unknown(&self) -> Amount {
        self.reasons.get(&Reason::Unknown).copied().unwrap_or_default()
    }

    /// Archived files that a package in the HashDB has, but none that is relied on.
    pub fn not_relied(&self) -> Amount {
        let known = self.reasons.iter().filter(|(reason, _)| reason.is_known());
        known.map(|(_, amount)| *amount).sum()
    }

    /// Number of packages that are relied on although nobody asked their URLs.
    pub fn unasked(&self) -> usize {
        self.packages.iter().filter(|package| package.place == Place::Supposed).count()
    }

    /// Reports the packages that are not worth their download.
    pub(super) fn report_not_worth(&self, monitor: &dyn Monitor) {
        let reason = "downloading it would cost more than it saves";
        for package in &self.not_worth {
            monitor.event(Event::Skipped { object: &package.name, reason });
        }
    }

    /// Counts the entries of a plan.
    pub(super) fn count(&mut self, entries: &Entries, plan: &Plan) {
        self.entries = entries.len() as u64;
        for index in 0..entries.len() {
            let first = entries.first_name(index);
            let Kind::File { size } = entries[first].kind else { continue };
            let bytes = if first == index { size } else { 0 };
            self.files += 1;
            add_bytes(&mut self.bytes, bytes);
            match plan.verdicts.get(first) {
                Verdict::Archived(reason) => {
                    self.archived_files += 1;
                    add_bytes(&mut self.archived_bytes, bytes);
                    self.reasons.entry(reason).or_default().add(1, bytes);
                }
                Verdict::Given { .. } | Verdict::Link { .. } => {
                    self.left_out_files += 1;
                    add_bytes(&mut self.left_out_bytes, bytes);
                }
            }
        }
        let in_pieces = self.count_pieces(entries, plan);
        self.heaviest = heaviest(entries, &plan.verdicts, &in_pieces);
        self.packages.clone_from(&plan.uses);
    }

    /// What packages give as pieces is not archived. Returns the bytes by the indices of the entries.
    fn count_pieces(&mut self, entries: &Entries, plan: &Plan) -> HashMap<usize, u64> {
        let mut in_pieces = HashMap::new();
        let Some(pieces) = &plan.pieces else { return in_pieces };
        self.encoded = pieces.encoded_amounts(&|path| entries.at(path).map_or(0, Entry::size));
        for file in pieces.files() {
            let Some(index) = entries.position(&file.path) else { continue };
            let bytes = pieces.left_out_of(&file, entries[index].size());
            in_pieces.insert(index, bytes);
            self.pieces.add(1, bytes);
            self.archived_bytes = self.archived_bytes.saturating_sub(bytes);
            add_bytes(&mut self.left_out_bytes, bytes);
            if let Verdict::Archived(reason) = plan.verdicts.get(index)
                && let Some(amount) = self.reasons.get_mut(&reason)
            {
                amount.bytes = amount.bytes.saturating_sub(bytes);
            }
        }
        in_pieces
    }
}

/// What restoring needs to know of the packages that a plan relies on, and how much each gives.
///
/// # Errors
/// The manifest contradicts the format.
pub(super) fn relied_on(
    planned: &Planned,
    entries: &Entries,
) -> Result<Vec<ReliedOn>, ManifestError> {
    let required: Vec<(RequiredPackage, Vec<Together>)> = match &planned.version_one {
        Some(manifest) => manifest.packages.iter().map(|one| (one.into(), Vec::new())).collect(),
        None => {
            let (packages, pieces) = (&planned.plan.packages[..], planned.plan.pieces.as_ref());
            let size_of = |path: &RelPath| entries.at(path).map_or(0, Entry::size);
            let required = packages.iter().enumerate().map(|(index, one)| {
                Ok((one.into(), together_of(index, packages, pieces, &size_of)?))
            });
            required.collect::<Result<_, ManifestError>>()?
        }
    };
    let of_each = required.into_iter().zip(&planned.plan.uses);
    let relied = of_each.map(|((package, together), used)| {
        let bytes = used.bytes.saturating_add(used.bytes_of_pieces);
        ReliedOn { package, bytes, together }
    });
    Ok(relied.collect())
}
