//! First step: which packages is this tree made of?
//!
//! Invariant: each package is a candidate once, whatever led to it, and each file's or folder's trouble is
//! told once, however many entries have it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{IndexError, walk};
use crate::detectors::{Candidate, DetectError, Detector, Machine};
use crate::model::{RelPath, escaped};
use crate::monitor::{Monitor, ProblemKind, Step, Total};

/// Asks `detectors` about the entries `paths` of the tree at `root`, which lies on `machine`. Gives the candidates by URL, each
/// once, and what could not be understood (told to the monitor as notes, too: nothing is lost by it).
/// Ends early, with what it has, once the monitor asks to stop.
pub fn detect<'p>(
    root: &Path,
    paths: impl IntoIterator<Item = &'p RelPath>,
    detectors: &[&dyn Detector],
    machine: &Machine,
    monitor: &dyn Monitor,
) -> (Vec<Candidate>, Vec<DetectError>) {
    let name = escaped(root.as_os_str().as_bytes());
    let progress = monitor.begin(Step::Detect, name, Total::UNKNOWN);
    let mut found = Found::default();
    'paths: for path in paths {
        let interested = detectors.iter().filter(|detector| detector.interested_in(path));
        for detector in interested {
            if monitor.interrupted() {
                break 'paths;
            }
            let noted = &mut |error| found.add_error(error);
            match detector.detect_noting(machine, root, path, noted) {
                Ok(candidates) => candidates.into_iter().for_each(|new| found.add(root, new)),
                Err(error) => found.add_error(error),
            }
        }
        progress.advance(0, 1);
    }
    drop(progress);
    found.finish(monitor)
}

/// As [`detect`], for every entry of the tree at `root`: for a caller that does not walk it anyway.
///
/// # Errors
/// When `root` is not a folder that can be read, or the monitor asked to stop.
pub fn detect_tree(
    root: &Path,
    detectors: &[&dyn Detector],
    machine: &Machine,
    monitor: &dyn Monitor,
) -> Result<(Vec<Candidate>, Vec<DetectError>), IndexError> {
    let paths = walk::interesting_paths(root, detectors, monitor)?;
    let found = detect(root, &paths, detectors, machine, monitor);
    monitor.check_interrupted()?;
    Ok(found)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// By URL, and by name where one URL asks for several packages.
    candidates: BTreeMap<(String, Option<String>), Candidate>,
    /// In the order they occurred; how many more there were of each.
    errors: Vec<(DetectError, usize)>,
    /// Where in `errors` each path is.
    error_of: BTreeMap<String, usize>,
}

impl Found {
    fn add(&mut self, root: &Path, new: Candidate) {
        // A question's page is about many packages.
        let by_name = new.deb.is_some() || new.question.is_some();
        let name = new.signature.as_ref().filter(|_| by_name).map(ToString::to_string);
        let known = match self.candidates.entry((new.url.clone(), name)) {
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                return;
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
            return;
        }
        known.sha256 = known.sha256.or(new.sha256);
        known.size = known.size.or(new.size);
        known.signature = known.signature.take().or(new.signature);
        known.project = known.project.take().or(new.project);
        known.checksum = known.checksum.take().or(new.checksum);
        known.local_file = known.local_file.take().or(new.local_file);
        known.question = known.question.take().or(new.question);
        known.lists.extend(new.lists);
    }

    fn add_error(&mut self, error: DetectError) {
        match self.error_of.entry(error.path.clone()) {
            Entry::Occupied(at) => self.errors[*at.get()].1 += 1,
            Entry::Vacant(vacant) => {
                vacant.insert(self.errors.len());
                self.errors.push((error, 0));
            }
        }
    }

    fn finish(self, monitor: &dyn Monitor) -> (Vec<Candidate>, Vec<DetectError>) {
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
