//! Merges what the detectors found in a tree.
//!
//! Invariant: each package is a candidate once, however many entries led to it. What a less trustworthy origin says adds nothing
//! to what a better one says, and hides nothing of it; and of two equally trustworthy ones that contradict each other, neither
//! hides the other. The errors of each file or folder are reported as one, however many
//! entries it affects.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::detectors::{Candidate, DetectError};
use crate::model::escaped;
use crate::monitor::{Monitor, ProblemKind};

/// The findings so far.
#[derive(Default)]
pub(super) struct CandidateSet {
    /// By URL; also by name, if several packages share the URL of a question, and by a digest, if another one was named
    /// before.
    candidates: BTreeMap<(String, Option<String>), Candidate>,
    /// In order of occurrence, each with the number of further errors at the same path.
    errors: Vec<(DetectError, usize)>,
    /// For each path its index in `errors`.
    error_of: BTreeMap<String, usize>,
}

impl CandidateSet {
    /// Adds `new`; `false` if its package is known already. `root` is that of the tree.
    pub(super) fn add(&mut self, root: &Path, new: Candidate) -> bool {
        // The page of a question covers many packages.
        let by_name = new.question.is_some();
        let name = new.signature.as_ref().filter(|_| by_name).map(ToString::to_string);
        let key = (new.url.clone(), name);
        match self.candidates.get(&key) {
            Some(known) if known.origin == new.origin && contradicts(known, &new) => {
                let error = contradiction(root, known, &new, "and both are tried");
                self.add_error(error);
                self.add_as((key.0, Some(digests(&new))), root, new)
            }
            _ => self.add_as(key, root, new),
        }
    }

    fn add_as(&mut self, key: (String, Option<String>), root: &Path, new: Candidate) -> bool {
        let known = match self.candidates.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                return true;
            }
            Entry::Occupied(known) => known.into_mut(),
        };
        let is_same_origin = known.origin == new.origin;
        let new = match known.origin < new.origin {
            true => std::mem::replace(known, new),
            false => new,
        };
        if contradicts(known, &new) {
            let error = contradiction(root, known, &new, "which is believed");
            self.add_error(error);
            return false;
        }
        if !is_same_origin {
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

    /// Adds an error of an entry.
    pub(super) fn add_error(&mut self, error: DetectError) {
        match self.error_of.entry(error.path.clone()) {
            Entry::Occupied(at) => self.errors[*at.get()].1 += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(self.errors.len());
                self.errors.push((error, 0));
            }
        }
    }

    /// All candidates by URL, and all errors, which are reported to the monitor as notes.
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

/// Do they name other bytes, by digests that can be compared?
fn contradicts(one: &Candidate, other: &Candidate) -> bool {
    let sha256 = one.sha256.zip(other.sha256).is_some_and(|(one, other)| one != other);
    let sums = one.checksum.as_ref().zip(other.checksum.as_ref());
    sha256 || sums.is_some_and(|(one, other)| one.algorithm() == other.algorithm() && one != other)
}

/// That `new` contradicts what is `known`, and what becomes of it.
fn contradiction(root: &Path, known: &Candidate, new: &Candidate, so: &str) -> DetectError {
    let (url, one, other) = (escaped(new.url.as_bytes()), digests(new), digests(known));
    DetectError {
        path: escaped(new.found_at.below(root).as_os_str().as_bytes()),
        problem: format!("it names {url} with {one}, but {} with {other}, {so}", known.found_at),
    }
}

/// The digests that it names.
fn digests(candidate: &Candidate) -> String {
    let sha256 = candidate.sha256.map(|digest| format!("sha256:{digest}"));
    let checksum = candidate.checksum.as_ref().map(ToString::to_string);
    sha256.into_iter().chain(checksum).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Origin};
    use crate::monitor::Silent;

    #[test]
    fn what_a_better_origin_says_is_neither_changed_nor_hidden() {
        let candidate = |origin, content: Option<&str>| Candidate {
            url: "https://packages.example/a".to_owned(),
            origin,
            sha256: content.map(|content| Digest::of(content.as_bytes())),
            size: content.map(|content| content.len() as u64),
            ..Candidate::default()
        };
        let forged = candidate(Origin::Tree, Some("forged"));
        for own in [candidate(Origin::Client, None), candidate(Origin::Client, Some("a"))] {
            for all in [[&forged, &own], [&own, &forged]] {
                let mut set = CandidateSet::default();
                let added = all.map(|one| set.add(Path::new("/"), one.clone()));
                assert_eq!(added, [true, false]);
                let (found, errors) = set.finish(&Silent);
                let [found] = &found[..] else { panic!("{found:?}") };
                assert_eq!(
                    (found.origin, found.sha256, found.size),
                    (own.origin, own.sha256, own.size)
                );
                assert_eq!(errors.len(), usize::from(own.sha256.is_some()), "{errors:?}");
            }
        }
        // Equals hide nothing of each other.
        let mut set = CandidateSet::default();
        for content in ["a", "b", "c", "b", "a"] {
            set.add(Path::new("/"), candidate(Origin::Client, Some(content)));
        }
        let (found, errors) = set.finish(&Silent);
        let mut found: Vec<_> = found.into_iter().filter_map(|one| one.sha256).collect();
        let mut expected = ["a", "b", "c"].map(|content| Digest::of(content.as_bytes()));
        found.sort();
        expected.sort();
        assert!(found == expected && !errors.is_empty(), "{found:?} {errors:?}");
        // They complete each other.
        let mut set = CandidateSet::default();
        set.add(Path::new("/"), candidate(Origin::Client, None));
        set.add(Path::new("/"), candidate(Origin::Client, Some("a")));
        assert_eq!(set.finish(&Silent).0[0].size, Some(1));
    }
}
