//! One run of a job, from the lock to the state that is written.
//!
//! Invariant: an archive is made into the spool and stays there until every destination has it. Whatever goes wrong, what is
//! under a final name in a destination is whole, and no older archive is lost.

mod base;
mod deliver;
mod error;
mod hooks;
mod lock;
mod made;
mod prune;
mod snapshot;
mod spool;
mod state;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hashget::error::ErrorClass;
use hashget::monitor::{Interrupted, Monitor, ProblemKind};
use hashget::parity::{report_without_parity, write_parity};
use hashget::wording;
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use base::{ToHangOn, needed_by_waiting};
pub use deliver::{Delivery, Terms, deliver};
pub use error::RunError;
pub use hooks::{HookError, Role, Told, run_hook, run_stream};
pub use lock::Lock;
pub use prune::{Pruned, decision_for, prune};
pub use snapshot::SnapshotError;
pub use spool::{FOLDER_IN_DESTINATION, Spool, Spooled};
pub use state::{Delivered, RunState, State};

use self::made::Made;
use crate::chain::Base;
use crate::job::Job;
use crate::record::Packed;
use crate::retention::Circumstances;
use crate::series::{ArchiveName, Series};
use crate::store::{Store, StoreError};

/// Where a run is made.
pub struct Setting<'a> {
    /// The folder of states, locks and of the spool if no destination is a folder.
    pub state: &'a Path,
    /// The zone whose days count.
    pub zone: TimeZone,
    /// The number of threads that compute; at least 1.
    pub threads: usize,
    /// The version of hashget.
    pub version: &'a str,
    /// What time it is.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Receives what happens.
    pub monitor: &'a dyn Monitor,
}

/// A destination of a job.
pub struct Destination {
    /// What is sent there.
    pub store: Box<dyn Store>,
    /// Its folder, if it is one of this machine.
    pub folder: Option<PathBuf>,
}

/// What is to be packed, and where.
pub struct ToPack<'a> {
    /// The file that the archive is written to, as a whole.
    pub archive: &'a Path,
    /// Patterns of what is the backup's own: it is in no archive.
    pub own: Vec<String>,
    /// The folder that is read in the place of the folder that is packed.
    pub snapshot: Option<PathBuf>,
    /// An earlier archive to copy from.
    pub reuse: Option<PathBuf>,
    /// The archive that this one may hang on.
    pub base: Option<ToHangOn>,
}

/// Packs what a job says. The program passes it, since it knows the options of packing.
///
/// # Errors
/// [`RunError::Pack`]: there is no archive then.
pub type Pack<'a> = dyn Fn(&ToPack<'_>) -> Result<Packed, RunError> + 'a;

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// What is remembered of it.
    pub state: RunState,
    /// The archive that it made.
    pub archive: Option<ArchiveName>,
    /// Why it failed.
    pub failure: Option<RunError>,
    /// Archives that were removed, each with its destination.
    pub removed: Vec<(String, ArchiveName)>,
}

/// Runs a job. `began` is called once the lock is held.
///
/// # Errors
/// The job is being run, its name is none, or there can be no lock in the folder of states. Everything else is in the report.
pub fn run(
    job: &Job,
    destinations: &[Destination],
    setting: &Setting<'_>,
    pack: &Pack<'_>,
    began: &dyn Fn(),
) -> Result<Report, RunError> {
    fs_err::create_dir_all(setting.state)?;
    let mut lock = Lock::take(setting.state, &job.name)?;
    let mut state = State::read(setting.state, &job.name);
    let series = Series::new(&job.host, &job.name)?;
    let started = time_of_its_own(&state, lock.last, setting)?;
    lock.begins(started.as_second())?;
    began();
    let run = Run { job, destinations, setting, series, started };
    let mut made = Made::default();
    let failure = run.make(&mut made, pack).err();
    let exit = made.exit(failure.as_ref());
    let mut removed = Vec::new();
    if failure.is_none() && job.prune && !job.keep.is_everything() {
        removed = run.prune(&made.deliveries);
    }
    if let Some(error) = &failure {
        run.failed(error);
    }
    let mut state_of_run = made.state(started, (setting.now)(), exit, failure.as_ref());
    if let Err(error) = state.add(state_of_run.clone(), setting.state, &job.name) {
        // What was made is there, and whoever is to be told of the run is told.
        let message =
            format!("the run is not remembered, and `backup status` does not know of it: {error}");
        setting.monitor.problem(ProblemKind::Incomplete, &job.name, message);
        state_of_run.exit = if exit == 0 { 3 } else { exit };
    }
    Ok(Report { state: state_of_run, archive: made.name.take(), failure, removed })
}

/// The folder of the spool: in the first destination that is a folder and there, so that file systems can share blocks.
fn spool_folder(destinations: &[Destination], state: &Path) -> PathBuf {
    let folders = destinations.iter().filter_map(|destination| destination.folder.as_ref());
    let mut there = folders.filter(|folder| folder.is_dir());
    match there.next() {
        Some(folder) => folder.join(FOLDER_IN_DESTINATION),
        None => state.join("spool"),
    }
}

/// The time of a run, at which no other run of the job began: two archives never have one name.
fn time_of_its_own(
    state: &State,
    last: Option<i64>,
    setting: &Setting<'_>,
) -> Result<Timestamp, Interrupted> {
    loop {
        let now = (setting.now)();
        let mut runs = state.runs.iter().map(|run| run.started.as_second()).chain(last);
        if !runs.any(|second| second == now.as_second()) {
            return Ok(now);
        }
        setting.monitor.check_interrupted()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A run that has its lock.
struct Run<'a> {
    job: &'a Job,
    destinations: &'a [Destination],
    setting: &'a Setting<'a>,
    series: Series,
    started: Timestamp,
}

impl Run<'_> {
    /// Makes an archive and sends it; before that, what earlier runs could not send.
    fn make(&self, made: &mut Made, pack: &Pack<'_>) -> Result<(), RunError> {
        let spool = spool_folder(self.destinations, self.setting.state);
        let spool = Spool::open(&spool, &self.series)?;
        made.is_behind = self.send_left_over(&spool)?;
        let (base, problem) = self.base(&spool)?;
        let spooled = self.packed(&spool, pack, base, problem, made)?;
        self.remember(&spooled, &spool)?;
        made.deliveries = self.deliver(&spooled)?;
        made.not_sent(&spool).map_or(Ok(()), Err)
    }

    fn stores(&self) -> Vec<&dyn Store> {
        self.destinations.iter().map(|destination| &*destination.store).collect()
    }

    /// Sends what waits in the spool, and gives up what has been overtaken. Does a destination still lack something?
    fn send_left_over(&self, spool: &Spool) -> Result<bool, RunError> {
        let mut waiting = spool.waiting()?;
        let mut is_behind = false;
        // Tonight's archive will be one more.
        let given_up = Spool::overtaken(waiting.len());
        for (position, spooled) in waiting.iter_mut().enumerate() {
            // Its run may have ended between the archive and its parity.
            if self.stores().iter().all(|store| !spooled.is_sent(store.shown())) {
                self.add_parity(spooled)?;
            }
            let deliveries = self.deliver(spooled)?;
            let is_everywhere = deliveries.iter().all(Delivery::is_complete);
            is_behind |= !is_everywhere;
            if !is_everywhere && position < given_up {
                let message = match deliveries.iter().all(|delivery| delivery.result.is_ok()) {
                    true => {
                        "its parity is given up: not all destinations have it, and later archives were made"
                    }
                    false => "given up: not all destinations have it, and later archives were made",
                };
                self.setting.monitor.problem(ProblemKind::Unreachable, &spooled.name, message);
                spooled.remove()?;
            }
        }
        Ok(is_behind)
    }

    /// Sends an archive everywhere, and removes it from the spool then.
    fn deliver(&self, spooled: &Spooled) -> Result<Vec<Delivery>, RunError> {
        let lock = self.lock(&spooled.record);
        let terms = Terms { bytes_per_second: self.job.upload, lock };
        let deliveries = deliver(spooled, &self.stores(), terms, self.setting.monitor);
        if deliveries.iter().all(Delivery::is_complete) {
            spooled.remove()?;
        }
        self.setting.monitor.check_interrupted()?;
        Ok(deliveries)
    }

    /// Runs the hooks, and packs between them.
    fn packed(
        &self,
        spool: &Spool,
        pack: &Pack<'_>,
        base: Option<Base>,
        problem: Option<String>,
        made: &mut Made,
    ) -> Result<Spooled, RunError> {
        let (hooks, monitor) = (&self.job.hooks, self.setting.monitor);
        let told = self.told(None);
        let mut ran = Ok(());
        for command in &hooks.before {
            ran = run_hook(command, &told, hooks.time, Some(monitor)).map_err(RunError::from);
            if ran.is_err() {
                break;
            }
        }
        let name = self.series.at(self.started, self.job.encryption());
        let path = spool.path(&name);
        let packed = ran.and_then(|()| {
            let (own, reuse) = (self.own_patterns(spool), self.reuse(spool, base.as_ref()));
            let base = base.map(|base| self.to_hang_on(base));
            snapshot::with(self.job, self.setting.state, monitor, |snapshot| {
                pack(&ToPack { archive: &path, own, snapshot, reuse, base })
            })
        });
        // They undo what those before have done: they run in any case, and nothing interrupts them.
        let told = self.told(packed.as_ref().err());
        let mut after = Ok(());
        for command in &hooks.after {
            let ended = run_hook(command, &told, hooks.time, None);
            if let Err(error) = &ended {
                monitor.problem(ProblemKind::Incomplete, &self.job.name, error);
            }
            after = after.and(ended);
        }
        let mut packed = packed?;
        let after = after.err().map(|error| error.to_string());
        problem.into_iter().chain(after).for_each(|problem| packed.add_problem(problem));
        let ended = (self.setting.now)();
        let mut spooled = spool.add(&name, &packed, ended, self.setting.version)?;
        made.bytes = Some(spooled.record.bytes);
        (made.name, made.packed) = (Some(name), packed);
        if !self.add_parity(&mut spooled)? {
            made.packed.add_problem("the archive has no parity: writing it failed".to_owned());
            if let Err(error) = spooled.add_problems(&made.packed) {
                let (monitor, message) = (self.setting.monitor, wording::one_line(&error));
                monitor.problem(ProblemKind::Incomplete, &spooled.name, message);
            }
        }
        Ok(spooled)
    }

    /// Writes the parity of an archive that is in the spool, if the job has some and the archive has none; `false` if that cannot be done.
    fn add_parity(&self, spooled: &mut Spooled) -> Result<bool, Interrupted> {
        let Some(share) = self.job.parity.filter(|_| spooled.record.parity.is_none()) else {
            return Ok(true);
        };
        let monitor = self.setting.monitor;
        let path = spooled.path();
        match write_parity(&path, share, None, self.setting.threads, monitor)? {
            Err(why) => report_without_parity(&path, why, monitor),
            Ok(_) => match spooled.add_parity() {
                Ok(()) => return Ok(true),
                Err(error) => {
                    let message = format!("its parity is not sent: {error}");
                    monitor.problem(ProblemKind::Incomplete, &spooled.name, message);
                }
            },
        }
        Ok(false)
    }

    /// What hooks are told in their environment.
    fn told(&self, error: Option<&RunError>) -> Vec<(&'static str, String)> {
        let mut told = vec![
            ("HASHGET_JOB", self.job.name.clone()),
            ("HASHGET_HOST", self.series.host().to_owned()),
        ];
        told.extend(error.map(|error| ("HASHGET_ERROR", wording::messages(error).join(": "))));
        told
    }

    /// Runs the hooks for failures. An interruption is none.
    fn failed(&self, error: &RunError) {
        if error.class() == ErrorClass::Interrupted {
            return;
        }
        let told = self.told(Some(error));
        for command in &self.job.hooks.on_failure {
            let ended = run_hook(command, &told, self.job.hooks.time, None);
            if let Err(error) = ended {
                self.setting.monitor.problem(ProblemKind::Incomplete, &self.job.name, error);
            }
        }
    }

    /// What lies in destinations and spools, and what is called like its archives elsewhere: where destinations were before.
    fn own_patterns(&self, spool: &Spool) -> Vec<String> {
        let folders =
            self.destinations.iter().filter_map(|destination| destination.folder.as_deref());
        let folders = folders.chain([spool.folder()]);
        let inside = folders.filter_map(|folder| {
            Some(format!("{}/*", hashget::tree::literally(folder.to_str()?).trim_end_matches('/')))
        });
        inside.chain([self.series.glob()]).collect()
    }

    /// Removes what is not kept from the destinations that have tonight's archive.
    fn prune(&self, deliveries: &[Delivery]) -> Vec<(String, ArchiveName)> {
        let (job, monitor) = (self.job, self.setting.monitor);
        let (now, zone) = ((self.setting.now)(), self.setting.zone.clone());
        let needed = needed_by_waiting(self.destinations, self.setting.state, &self.series);
        let circumstances = Circumstances { now, zone, last_run_failed: false, needed };
        let mut removed = Vec::new();
        for (store, delivery) in self.stores().into_iter().zip(deliveries) {
            if delivery.result.is_err() {
                continue;
            }
            match prune(store, &self.series, &job.keep, &circumstances, false, monitor) {
                Ok(pruned) => {
                    if let Some(halt) = pruned.decision.halt {
                        let message = format!("nothing was removed: {halt}");
                        monitor.problem(ProblemKind::Note, store.shown(), message);
                    }
                    let shown = store.shown();
                    removed.extend(pruned.removed.into_iter().map(|name| (shown.to_owned(), name)));
                }
                Err(StoreError::Unsupported { .. }) => {}
                Err(error) => {
                    let message = format!("not everything was removed that is not kept: {error}");
                    monitor.problem(ProblemKind::Note, store.shown(), message);
                }
            }
        }
        removed
    }
}
