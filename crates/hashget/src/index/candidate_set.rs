//! What detectors found in a tree, put together.
//!
//! Invariant: each package is a candidate once, whatever led to it, and the trouble with each file or folder is
//! reported once, however many entries have it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::detectors::{Candidate, DetectError};
use crate::model::escaped;
use crate::monitor::{Monitor, ProblemKind};

/// What was found so far.
#[derive(Default)]
pub(super) struct CandidateSet {
    /// By URL, and by name where one URL asks for several packages.
    candidates: BTreeMap<(String, Option<String>), Candidate>,
    /// In the order they occurred; how many more there were of each.
    errors: Vec<(DetectError, usize)>,
    /// Where in `errors` each path is.
    error_of: BTreeMap<String, usize>,
}

impl CandidateSet {
    /// Adds what `new` says; `false` if its package is known already. `root` is the tree's.
    pub(super) fn add(&mut self, root: &Path, new: Candidate) -> bool {
        // A question's page is about many packages.
        let by_name = new.question.is_some();
        let name = new.signature.as_ref().filter(|_| by_name).map(ToString::to_string);
        let known = match self.candidates.entry((new.url.clone(), name)) {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                return true;
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        if let (Some(one), Some(other)) = (known.sha256, new.sha256)
            && one != other
        {
            let error = DetectError {
                path: escaped(new.found_at.below(root).as_os_str().as_bytes()),
                problem: format!(
                    "it names {} with sha256:{other}, but {} with sha256:{one}, which is believed",
                    escaped(new.url.as_bytes()),
                    known.found_at
                ),
            };
            self.add_error(error);
            return false;
        }
        known.sha256 = known.sha256.or(new.sha256);
        known.size = known.size.or(new.size);
        known.signature = known.signature.take().or(new.signature);
        known.project = known.project.take().or(new.project);
        known.checksum = known.checksum.take().or(new.checksum);
        known.local_file = known.local_file.take().or(new.local_file);
        known.question = known.question.take().or(new.question);
        known.otherwise = known.otherwise.take().or(new.otherwise);
        known.lists.extend(new.lists);
        false
    }

    /// Adds trouble with an entry.
    pub(super) fn add_error(&mut self, error: DetectError) {
        match self.error_of.entry(error.path.clone()) {
            Entry::Occupied(at) => self.errors[*at.get()].1 += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(self.errors.len());
                self.errors.push((error, 0));
            }
        }
    }

    /// All candidates by URL, and all trouble, which the monitor gets as notes.
    pub(super) fn finish(self, monitor: &dyn Monitor) -> (Vec<Candidate>, Vec<DetectError>) {
        let errors = self.errors.into_iter().map(|(error, more)| match more {
            0 => error,
            _ => DetectError {
                problem: format!("{}; and {more} more like it", error.problem),
                ..error
            },
        });
        let errors: Vec<DetectError> = errors.collect();
        for error in &errors {
            monitor.problem(ProblemKind::Note, &error.path, &error.problem);
        }
        (self.candidates.into_values().collect(), errors)
    }
}
