//! The blocks of packages: kept while these are read to be indexed, and added to those that were indexed before.
//!
//! Invariant: a package is indexed whether or not its blocks can be kept; adding them later changes nothing of who named it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fetch::Package;
use super::read::{self, Contents};
use super::{IndexError, Indexer, Request, known};
use crate::detectors::Candidate;
use crate::hashdb::{BlockWriter, HashDbError, PackageId};
use crate::model::{Evidence, PackageRecord, escaped};
use crate::monitor::{Monitor, ProblemKind, Step, Total};
use crate::parallel;
use crate::wording::one_line;

impl Indexer<'_> {
    /// Are blocks kept, and not those of this package?
    pub(super) fn lacks_blocks(&self, package: PackageId) -> Result<bool, HashDbError> {
        let Some(store) = self.hashdb.blocks() else { return Ok(false) };
        Ok(self.hashdb.record(package)?.is_some_and(|record| !store.has(&record.sha256)))
    }

    /// Reads a package; with its blocks, which are there once they are finished, if blocks are kept.
    pub(super) fn read_with_blocks(
        &self,
        package: &Package,
        request: &Request,
        monitor: &dyn Monitor,
    ) -> Result<(Contents, Option<BlockWriter>), IndexError> {
        let writer = self.hashdb.blocks().map(|store| store.writer(&package.sha256)).transpose();
        let mut blocks = writer.unwrap_or_else(|error| {
            not_kept(request, &error, monitor);
            None
        });
        let contents = read::read(&package.file, request, blocks.as_mut(), self.limits, monitor)?;
        Ok((contents, blocks))
    }

    /// Reads those packages again that `candidates` name, that the HashDB knows, and of which it has no blocks; none if it keeps no
    /// blocks. Returns how many have some now. One that cannot be read is reported.
    ///
    /// # Errors
    /// The HashDB failed, or the monitor asked to stop.
    pub fn add_blocks(
        &self,
        candidates: &[Candidate],
        monitor: &dyn Monitor,
    ) -> Result<usize, IndexError> {
        let Some(store) = self.hashdb.blocks() else { return Ok(0) };
        let known = known::known_candidates(self, candidates.iter(), monitor)?;
        let mut ids: Vec<PackageId> = known.into_iter().flatten().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut records: Vec<PackageRecord> =
            self.hashdb.records(&ids)?.into_iter().flatten().collect();
        // What is recorded on somebody's word was not read here, and may be large.
        records
            .retain(|record| record.evidence == Evidence::Downloaded && !store.has(&record.sha256));
        let things = u64::try_from(records.len()).ok();
        let progress = monitor.begin(Step::Index, "blocks", Total { bytes: None, things });
        let added = AtomicUsize::new(0);
        parallel::for_each(self.threads(records.len()), records.iter(), |record| {
            match self.read_again(record, &mut |_| true, monitor) {
                Ok(()) => _ = added.fetch_add(1, Ordering::Relaxed),
                Err(error @ (IndexError::HashDb(_) | IndexError::Interrupted(_))) => {
                    return Err(error);
                }
                Err(error) => {
                    let kind = error.class().problem_kind();
                    monitor.problem(kind, record.display_name(), one_line(&error));
                }
            }
            progress.advance(0, 1);
            Ok(())
        })?;
        Ok(added.into_inner())
    }
}

/// Everything is recorded: finishes the blocks, if there are any.
pub(super) fn finish(blocks: Option<BlockWriter>, request: &Request, monitor: &dyn Monitor) {
    if let Some(Err(error)) = blocks.map(BlockWriter::finish) {
        not_kept(request, &error, monitor);
    }
}

/// Without them, large files that are made of pieces of the package are archived.
fn not_kept(request: &Request, error: &io::Error, monitor: &dyn Monitor) {
    let problem = format!("its blocks cannot be kept: {error}");
    monitor.problem(ProblemKind::Note, escaped(request.url.as_bytes()), problem);
}
