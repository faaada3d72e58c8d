//! First step: find the packages of a tree. Each thread takes runs of the tree's paths, and asks each
//! detector about the names that interest it.
//!
//! Invariant: the result is the same with one thread and with many.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::IndexError;
use super::belief::Belief;
use super::candidate_set::CandidateSet;
use super::walk::{self, SearchOptions};
use crate::detectors::{Candidate, DetectError, Detector, Machine, is_on_disk, refused};
use crate::model::{RelPath, escaped};
use crate::monitor::{Monitor, Step, Total};
use crate::parallel::{self, OnPanic};

/// Number of paths that a thread takes at once.
const STRETCH: usize = 512;

/// The findings of the detectors in a tree.
#[derive(Debug, Default)]
pub struct Detected {
    /// By URL, each once.
    pub candidates: Vec<Candidate>,
    /// Entries that could not be parsed. They are reported to the monitor as notes: nothing is lost because
    /// of them.
    pub errors: Vec<DetectError>,
    /// The effort of each detector, in the given order.
    pub efforts: Vec<Effort>,
}

/// What one detector found, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effort {
    /// Its name.
    pub detector: String,
    /// Number of packages that it was the first to find.
    pub packages: usize,
    /// Time it took, summed over all threads.
    pub time: Duration,
}

/// Asks `detectors` about the entries `paths` of the tree at `root`, which lies on `machine`, with `jobs`
/// threads. If the monitor asks to stop, returns what was found so far.
pub fn detect<'p>(
    root: &Path,
    paths: impl IntoIterator<Item = &'p RelPath, IntoIter: Send>,
    detectors: &[&dyn Detector],
    machine: &Machine,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Detected {
    let name = escaped(root.as_os_str().as_bytes());
    let progress = monitor.begin(Step::Detect, name, Total::UNKNOWN);
    let paths = Mutex::new((0, paths.into_iter()));
    let next = || {
        let (number, paths) = &mut *paths.lock().expect("a tree's paths do not panic");
        let stretch: Vec<&RelPath> = paths.take(STRETCH).collect();
        *number += 1;
        (!stretch.is_empty()).then_some((*number, stretch))
    };
    let panicked = AtomicBool::new(false);
    let stopped = || panicked.load(Ordering::Relaxed) || monitor.interrupted();
    let work = |_| {
        let _stop = OnPanic(|| panicked.store(true, Ordering::Relaxed));
        let mut asked = Asked::new(root, detectors, machine, monitor);
        while let Some((number, stretch)) = next().filter(|_| !stopped()) {
            asked.about(number, &stretch);
            progress.advance(0, u64::try_from(stretch.len()).unwrap_or(u64::MAX));
        }
        asked
    };
    let all: Vec<Asked<'_>> = parallel::on_threads(jobs, work);
    drop(progress);
    put_together(root, detectors, all, monitor)
}

/// Merges the findings of the threads, in the order of the paths and of the detectors.
fn put_together(
    root: &Path,
    detectors: &[&dyn Detector],
    all: Vec<Asked<'_>>,
    monitor: &dyn Monitor,
) -> Detected {
    let mut efforts: Vec<Effort> = detectors
        .iter()
        .map(|detector| Effort {
            detector: detector.name().to_owned(),
            packages: 0,
            time: Duration::ZERO,
        })
        .collect();
    let mut findings = Vec::new();
    for asked in all {
        for (effort, time) in efforts.iter_mut().zip(asked.times) {
            effort.time += time;
        }
        findings.extend(asked.findings);
    }
    // A stable sort: the findings of one detector at one path keep their order.
    findings.sort_by_key(|(order, _)| *order);
    let mut found = CandidateSet::default();
    let (tree, mut belief) = (tree_name(root), Belief::of_tree(root));
    for ((_, _, detector), finding) in findings {
        match finding {
            Finding::Candidate(candidate) => {
                let effort = &mut efforts[detector];
                let (found_by, tree) = (effort.detector.clone(), tree.clone());
                let candidate = belief.judged(Candidate { found_by, tree, ..*candidate });
                effort.packages += usize::from(found.add(root, candidate));
            }
            Finding::Error(error) => found.add_error(error),
        }
    }
    let (candidates, errors) = found.finish(monitor);
    Detected { candidates, errors, efforts }
}

/// What a tree is called in records: its absolute path.
pub fn tree_name(root: &Path) -> String {
    let path = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    escaped(path.as_os_str().as_bytes())
}

/// Like [`detect`], for every entry of the tree at `root`: for callers that do not walk it themselves.
///
/// # Errors
/// `root` is not a readable folder, or the monitor asked to stop.
pub fn detect_tree(
    root: &Path,
    detectors: &[&dyn Detector],
    machine: &Machine,
    monitor: &dyn Monitor,
) -> Result<(Vec<Candidate>, Vec<DetectError>), IndexError> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let paths = walk::interesting_paths(root, &SearchOptions::default(), detectors, monitor)?;
    let Detected { candidates, errors, .. } =
        detect(root, &paths, detectors, machine, jobs, monitor);
    monitor.check_interrupted()?;
    Ok((candidates, errors))
}

/// The number of a run, of a path in it, and of a detector.
type Order = (usize, usize, usize);

enum Finding {
    Candidate(Box<Candidate>),
    Error(DetectError),
}

/// One thread's questions and findings.
struct Asked<'a> {
    root: &'a Path,
    detectors: &'a [&'a dyn Detector],
    machine: &'a Machine,
    monitor: &'a dyn Monitor,
    /// Time each detector took.
    times: Vec<Duration>,
    findings: Vec<(Order, Finding)>,
}

impl<'a> Asked<'a> {
    fn new(
        root: &'a Path,
        detectors: &'a [&'a dyn Detector],
        machine: &'a Machine,
        monitor: &'a dyn Monitor,
    ) -> Self {
        let times = vec![Duration::ZERO; detectors.len()];
        Self { root, detectors, machine, monitor, times, findings: Vec::new() }
    }

    /// Asks all detectors in turn about a run of paths.
    fn about(&mut self, stretch: usize, paths: &[&RelPath]) {
        let mut before = Instant::now();
        for (number, detector) in self.detectors.iter().enumerate() {
            for (at, path) in paths.iter().enumerate() {
                if detector.interested_in(path) && !self.monitor.interrupted() {
                    self.ask((stretch, at, number), *detector, path);
                }
            }
            let now = Instant::now();
            self.times[number] += now - before;
            before = now;
        }
    }

    fn ask(&mut self, order: Order, detector: &dyn Detector, path: &RelPath) {
        let findings = &mut self.findings;
        let note = &mut |error| findings.push((order, Finding::Error(error)));
        match detector.detect(self.machine, self.root, path, note) {
            Ok(candidates) => {
                let found = candidates.into_iter().map(|candidate| {
                    match refused(self.machine, self.root, &candidate) {
                        None => Finding::Candidate(Box::new(on_disk_only(candidate))),
                        Some(error) => Finding::Error(error),
                    }
                });
                findings.extend(found.map(|finding| (order, finding)));
            }
            Err(error) => findings.push((order, Finding::Error(error))),
        }
    }
}

/// The candidate, without a local file that is none: opening it could wait for ever.
fn on_disk_only(candidate: Candidate) -> Candidate {
    Candidate { local_file: candidate.local_file.filter(|file| is_on_disk(file)), ..candidate }
}
