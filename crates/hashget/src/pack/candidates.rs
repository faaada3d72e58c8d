//! Candidates in a tree that is packed: which ones are worth indexing, and which detector found a package
//! that is relied on.
//!
//! Invariant: a candidate is skipped only if every file around it is known already or may not be left out, so that
//! skipping it costs nothing.

use std::collections::HashMap;
use std::time::Duration;

use super::contents::Contents;
use super::known::{self, KnownPackage, Requirements, known_packages};
use super::plan::PackageUse;
use super::{PackError, Packer, Summary};
use crate::detectors::Candidate;
use crate::fetch::{MirrorRule, public_url};
use crate::index::{self, Detected, Indexer};
use crate::model::{Amount, Digest, Entry, Kind, Origin, PackageRecord, RelPath};
use crate::monitor::Monitor;
use crate::parallel;
use crate::tree::Scan;

/// The contribution of a detector to an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetectorUse {
    /// Its name.
    pub name: String,
    /// Number of packages that it was the first to find.
    pub packages: usize,
    /// What those of them that are relied on give back.
    pub gives: Amount,
    /// Time it took, summed over all threads, without fetching and reading packages.
    pub time: Duration,
}

impl Packer<'_> {
    /// Runs the detectors and indexes the packages that they find and the HashDB does not know. Returns which detector
    /// found what, and which packages hold which contents.
    pub(super) fn index(
        &self,
        scan: &Scan,
        contents: &Contents<'_>,
        requirements: &Requirements<'_>,
        summary: &mut Summary,
        monitor: &dyn Monitor,
    ) -> Result<(Finders, Vec<KnownPackage>), PackError> {
        let options = requirements.options();
        let look_up = || known_packages(self.hashdb, contents);
        let paths = scan.entries.iter().map(|entry| &entry.path);
        // Entries that could not be parsed have been reported to the monitor.
        let (root, detectors, machine) = (scan.root.path(), &options.detectors, &options.machine);
        let detect = || index::detect(root, paths, detectors, machine, self.jobs, monitor);
        let (known, detected) = parallel::beside(look_up, detect);
        let (mut known, Detected { candidates, efforts, .. }) = (known?, detected);
        summary.detected = candidates.len();
        let of_effort = |effort: index::Effort| DetectorUse {
            name: effort.detector,
            packages: effort.packages,
            gives: Amount::default(),
            time: effort.time,
        };
        summary.detectors = efforts.into_iter().map(of_effort).collect();
        let finders = Finders::new(&candidates, self.mirrors);
        let unknown = known::unknown(&known, requirements, contents);
        let candidates = of_use(&unknown, candidates, &scan.entries);
        let indexer = Indexer {
            hashdb: self.hashdb,
            source: self.source,
            web: self.web,
            mirrors: self.mirrors,
            limits: self.limits,
            shared: self.shared,
            jobs: self.jobs,
            evidence: options.evidence,
        };
        let indexed = indexer.index_candidates(candidates, monitor)?;
        summary.newly_indexed = indexed.new;
        summary.taken_over = indexed.taken_over;
        summary.not_indexed = indexed.failed.len();
        summary.unreliable = indexed.unreliable;
        // A record may have learned that this tree names its URL, too.
        let names = |candidate: &Candidate| candidate.origin == Origin::Tree;
        if indexed.new + indexed.taken_over > 0 || indexed.candidates.iter().any(names) {
            known = look_up()?;
        }
        let asked = self.worth_asking(scan, contents, &known, requirements);
        let holders = indexer.take_over_holders(&asked, monitor)?;
        summary.taken_over += holders;
        if holders > 0 {
            known = look_up()?;
        }
        Ok((finders, known))
    }

    /// The contents that nothing known has and that publishers may be asked for by their digests.
    fn worth_asking(
        &self,
        scan: &Scan,
        contents: &Contents<'_>,
        known: &[KnownPackage],
        requirements: &Requirements<'_>,
    ) -> Vec<Digest> {
        let Some(shared) = self.shared else { return Vec::new() };
        let may_ask = |file: &usize| {
            let entry = &scan.entries[*file];
            let size = if let Kind::File { size } = entry.kind { size } else { 0 };
            shared.hashes().allow(&entry.path.below(scan.root.path()), size)
        };
        let unknown = known::unknown(known, requirements, contents);
        let asked = unknown.iter().filter(|file| may_ask(file));
        let mut asked: Vec<Digest> = asked.filter_map(|file| scan.entries[*file].sha256).collect();
        asked.sort_unstable();
        asked.dedup();
        asked
    }
}

/// The candidates that could be useful: those whose folders have a file that no package in the HashDB
/// has. (The tarball of a kernel tree that was already indexed from another address need not be downloaded
/// again.) `unknown` files are in ascending order, and therefore sorted by path.
fn of_use(unknown: &[usize], candidates: Vec<Candidate>, entries: &[Entry]) -> Vec<Candidate> {
    let path = |file: usize| entries[file].path.as_bytes();
    let holds_unknown = |folder: &RelPath| {
        let prefix = if folder.is_root() { Vec::new() } else { [folder.as_bytes(), b"/"].concat() };
        let first = unknown.partition_point(|&file| path(file) < &prefix[..]);
        unknown.get(first).is_some_and(|&file| path(file).starts_with(&prefix))
    };
    let of_use = |candidate: &Candidate| {
        let beside = candidate.found_at.parent().unwrap_or_default();
        holds_unknown(&beside) || candidate.covers.as_ref().is_some_and(holds_unknown)
    };
    candidates.into_iter().filter(of_use).collect()
}

/// Which detector found a package first, by each of the package's names: URL, digest, signature.
#[derive(Debug, Default)]
pub(super) struct Finders(HashMap<String, String>);

impl Finders {
    fn new(candidates: &[Candidate], mirrors: &[MirrorRule]) -> Self {
        let mut finders = HashMap::new();
        for candidate in candidates {
            // The URL of a question is that of a page about many packages.
            let url = candidate.question.is_none().then(|| public_url(mirrors, &candidate.url));
            let digest = candidate.sha256.map(|sha256| sha256.to_string());
            let signature = candidate.signature.as_ref().map(ToString::to_string);
            for name in [url, digest, signature].into_iter().flatten() {
                finders.entry(name).or_insert_with(|| candidate.found_by.clone());
            }
        }
        Self(finders)
    }

    /// Credits each detector with what the packages that it found give back.
    pub(super) fn credit<'a>(
        &self,
        detectors: &mut [DetectorUse],
        uses: impl Iterator<Item = (&'a PackageRecord, &'a PackageUse)>,
    ) {
        if self.0.is_empty() {
            return;
        }
        for (record, used) in uses {
            let signatures = record.signatures.iter().map(ToString::to_string);
            let names = signatures.chain([record.sha256.to_string(), record.url.clone()]);
            let finder = names.chain(record.also.clone()).find_map(|name| self.0.get(&name));
            if let Some(detector) = detectors.iter_mut().find(|one| Some(&one.name) == finder) {
                let given = Amount { files: used.files, bytes: used.bytes };
                detector.gives = [detector.gives, given].into_iter().sum();
            }
        }
    }
}
