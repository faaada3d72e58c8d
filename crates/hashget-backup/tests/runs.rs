//! Runs of a job through the public interface, with destinations that fail as a test wants.
//!
//! Invariant: whatever fails, what has the name of an archive is whole, no older archive is lost, and the next run leaves no litter.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "runs/parity.rs"]
mod parity;
#[path = "support/shelf.rs"]
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hashget::monitor::{Monitor, Recorder, Silent};
use hashget_backup::inventory::inventory;
use hashget_backup::job::{Hooks, Job, Notices, Share};
use hashget_backup::record::Packed;
use hashget_backup::retention::Keep;
use hashget_backup::run::{Destination, Lock, Pack, Report, RunError, Setting, State, run};
use hashget_backup::store::FolderStore;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use shelf::{Fault, Shelf};

/// A machine with a job, whose clock says what the test wants.
struct Machine {
    folder: tempfile::TempDir,
    now: Mutex<Timestamp>,
    shelf: Shelf,
    monitor: Recorder,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("backups")).unwrap();
        let now = Mutex::new("2026-11-01T02:30:00Z".parse().unwrap());
        Self { folder, now, shelf: Shelf::default(), monitor: Recorder::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self) -> Job {
        Job {
            name: "system".into(),
            host: "web1".into(),
            sources: vec![self.path("tree")],
            options: Vec::new(),
            encrypt: Vec::new(),
            to: Vec::new(),
            keep: Keep { last: 2, ..Keep::default() },
            prune: true,
            schedule: None,
            hooks: Hooks::default(),
            notices: Notices::default(),
            snapshot: None,
            parity: None,
            share: Share::default(),
            full_every: hashget_backup::chain::FULL_EVERY,
            upload: None,
            lock: None,
            cpu: None,
        }
    }

    fn destinations(&self) -> Vec<Destination> {
        let folder = self.path("backups");
        let local =
            Destination { store: Box::new(FolderStore::new(&folder)), folder: Some(folder) };
        vec![local, Destination { store: Box::new(self.shelf.clone()), folder: None }]
    }

    /// Runs the job a day later than the last time.
    fn night(&self, job: &Job) -> Result<Report, RunError> {
        self.night_watched(job, &self.monitor)
    }

    fn night_watched(&self, job: &Job, monitor: &dyn Monitor) -> Result<Report, RunError> {
        self.night_with(job, monitor, &|to_pack| {
            fs_err::write(to_pack.archive, format!("archive {}", to_pack.archive.display()))?;
            Ok(Packed { files: 7, tree_bytes: 100, ..Packed::default() })
        })
    }

    fn night_of(&self, job: &Job, pack: &Pack<'_>) -> Result<Report, RunError> {
        self.night_with(job, &self.monitor, pack)
    }

    fn night_with(
        &self,
        job: &Job,
        monitor: &dyn Monitor,
        pack: &Pack<'_>,
    ) -> Result<Report, RunError> {
        let state = self.path("state");
        let setting = Setting {
            state: &state,
            zone: TimeZone::UTC,
            threads: 1,
            version: "1",
            now: &|| *self.now.lock().unwrap(),
            monitor,
        };
        let report = run(job, &self.destinations(), &setting, pack, &|| {});
        self.pass(24);
        report
    }

    fn pass(&self, hours: i64) {
        let mut now = self.now.lock().unwrap();
        *now += jiff::SignedDuration::from_hours(hours);
    }

    /// The names in the folder, without hidden ones.
    fn names(&self) -> Vec<String> {
        names(&self.path("backups"))
    }

    fn spooled(&self) -> Vec<String> {
        names(&self.path("backups/.hashget-spool"))
    }

    /// Each archive of both destinations has a record that fits it.
    #[track_caller]
    fn expect_whole(&self) {
        for destination in self.destinations() {
            let found = inventory(&*destination.store, &|_| true, &Silent).unwrap();
            for held in found.held {
                assert_eq!(held.difference(), None, "{}", held.name);
            }
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

fn archive(day: u32) -> [String; 2] {
    let name = format!("web1_system_2026-11-{day:02}T023000Z.tar.zst");
    let record = format!("{name}.json");
    [name, record]
}

fn archives(days: impl IntoIterator<Item = u32>) -> Vec<String> {
    days.into_iter().flat_map(archive).collect()
}

#[test]
fn nights_are_everywhere_with_their_records_and_old_ones_go() {
    let machine = Machine::new();
    let job = machine.job();
    for night in 1..=4_u32 {
        let report = machine.night(&job).unwrap();
        assert_eq!((report.state.exit, report.failure.is_none()), (0, true));
        let expected = archives(night.saturating_sub(1).max(1)..=night);
        assert_eq!((machine.names(), machine.shelf.names()), (expected.clone(), expected));
        assert_eq!(machine.spooled(), [""; 0]);
    }
    machine.expect_whole();
    let state = State::read(&machine.path("state"), "system");
    assert_eq!((state.runs.len(), state.last_run_failed()), (4, false));
    assert_eq!(machine.monitor.recorded().problems, []);
}

#[test]
fn what_a_destination_did_not_get_it_gets_the_next_night() {
    for faults in [
        // The archive does not arrive.
        &[Some(Fault::Unreachable)][..],
        // The archive arrives, its record does not.
        &[None, Some(Fault::Unreachable)],
        // It arrives, and nobody learns of it.
        &[Some(Fault::AnswerLost)],
        &[None, Some(Fault::AnswerLost)],
    ] {
        let machine = Machine::new();
        let job = machine.job();
        machine.shelf.fail(faults);
        let report = machine.night(&job).unwrap();
        assert_eq!((report.state.exit, report.state.undelivered().count()), (5, 1), "{faults:?}");
        assert_eq!(machine.names(), archives(1..=1));
        assert!(!machine.spooled().is_empty());
        let report = machine.night(&job).unwrap();
        assert_eq!(report.state.exit, 0);
        assert_eq!(machine.shelf.names(), archives(1..=2), "{faults:?}");
        assert_eq!(machine.spooled(), [""; 0]);
        machine.expect_whole();
    }
}

#[test]
fn a_destination_that_stays_away_gets_the_last_ones_and_loses_the_others() {
    let machine = Machine::new();
    let job = machine.job();
    for _ in 0..7 {
        machine.shelf.fail(&[Some(Fault::Unreachable); 100]);
        assert_eq!(machine.night(&job).unwrap().state.exit, 5);
    }
    let waiting = machine.spooled().iter().filter(|name| name.ends_with(".tar.zst")).count();
    assert_eq!(waiting, 4);
    let problems = machine.monitor.recorded().problems;
    assert!(problems.iter().any(|(_, _, message)| message.starts_with("given up")));
    machine.shelf.fail(&[]);
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
    assert_eq!(machine.spooled(), [""; 0]);
    // All came, and retention left two.
    assert_eq!(machine.shelf.names(), archives(7..=8));
    machine.expect_whole();
}

#[test]
fn nowhere_is_a_failure_and_removes_nothing() {
    let machine = Machine::new();
    let job = machine.job();
    for _ in 0..2 {
        machine.night(&job).unwrap();
    }
    fs_err::rename(machine.path("backups"), machine.path("gone")).unwrap();
    machine.shelf.fail(&[Some(Fault::Unreachable)]);
    let report = machine.night(&job).unwrap();
    let failure = report.failure.unwrap();
    assert!(matches!(failure, RunError::NotSent { .. }), "{failure}");
    assert_eq!(report.state.exit, 1);
    assert_eq!(machine.shelf.names(), archives(1..=2));
    // It was made beside the state, and is sent from there once the disk is back.
    assert_eq!(names(&machine.path("state/spool")), archives(3..=3));
}

#[test]
fn a_run_that_packs_nothing_leaves_all_as_it_was() {
    let machine = Machine::new();
    let mut job = machine.job();
    machine.night(&job).unwrap();
    let report = machine
        .night_of(&job, &|_| Err(RunError::Local(std::io::ErrorKind::StorageFull.into())))
        .unwrap();
    assert_eq!(report.state.exit, 1);
    assert!(report.state.failure.unwrap().contains("space"));
    job.hooks.before = vec!["true".into(), "exit 7".into()];
    let seen = machine.path("seen");
    job.hooks.after = vec![format!("echo after >> {}", seen.display())];
    job.hooks.on_failure =
        vec![format!("echo \"$HASHGET_JOB: $HASHGET_ERROR\" >> {}", seen.display())];
    let report = machine.night_of(&job, &|_| panic!("it must not be packed")).unwrap();
    assert!(matches!(report.failure, Some(RunError::Hook(_))));
    let seen = fs_err::read_to_string(seen).unwrap();
    assert!(seen.starts_with("after\nsystem: the hook \"exit 7\" failed"), "{seen}");
    assert_eq!((machine.names(), machine.shelf.names()), (archives(1..=1), archives(1..=1)));
    assert_eq!(machine.spooled(), [""; 0]);
}

#[test]
fn a_hook_after_packing_that_fails_is_a_problem_of_a_whole_archive() {
    let machine = Machine::new();
    let mut job = machine.job();
    job.hooks.after = vec!["exit 7".into()];
    let report = machine.night(&job).unwrap();
    assert_eq!((report.state.exit, report.failure.is_none()), (3, true));
    assert_eq!(machine.names(), archives(1..=1));
}

#[test]
fn only_one_runs_at_a_time() {
    let machine = Machine::new();
    let job = machine.job();
    fs_err::create_dir(machine.path("state")).unwrap();
    let lock = Lock::take(&machine.path("state"), "system").unwrap();
    let error = machine.night(&job).unwrap_err();
    let own = std::process::id().to_string();
    assert!(error.to_string().contains(&own) && error.exit() == 1, "{error}");
    drop(lock);
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
}

#[test]
fn whoever_takes_the_lock_keeps_when_the_last_run_began() {
    let machine = Machine::new();
    fs_err::create_dir(machine.path("state")).unwrap();
    let take = || Lock::take(&machine.path("state"), "system").unwrap();
    let last = || {
        let lock = take();
        lock.last
    };
    assert_eq!(last(), None);
    for at in [1_800_000_000, 7] {
        take().begins(at).unwrap();
        assert_eq!([last(), last()], [Some(at); 2]);
    }
}

#[test]
fn what_a_killed_run_left_is_sent_or_removed() {
    let machine = Machine::new();
    let job = machine.job();
    let spool = machine.path("backups/.hashget-spool");
    fs_err::create_dir(&spool).unwrap();
    // It was killed before it had written the record.
    fs_err::write(spool.join(&archive(1)[0]), "half of the work").unwrap();
    fs_err::write(spool.join(format!(".{}.77.x.part", archive(1)[0])), "half").unwrap();
    machine.pass(24);
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
    assert_eq!((machine.names(), machine.spooled()), (archives(2..=2), vec![]));
    assert_eq!(fs_err::read_dir(spool).unwrap().count(), 0);
}

#[test]
fn a_clock_that_jumped_back_removes_nothing_and_replaces_nothing() {
    let machine = Machine::new();
    let job = machine.job();
    for _ in 0..3 {
        machine.night(&job).unwrap();
    }
    machine.pass(-24 * 10);
    let report = machine.night(&job).unwrap();
    assert_eq!(report.state.exit, 0);
    let mut expected = archives(2..=3);
    expected.insert(0, "web1_system_2026-10-25T023000Z.tar.zst".into());
    expected.insert(1, "web1_system_2026-10-25T023000Z.tar.zst.json".into());
    assert_eq!(machine.names(), expected);
    let problems = machine.monitor.recorded().problems;
    assert!(
        problems.iter().any(|(_, _, message)| message.contains("of the future")),
        "{problems:?}"
    );
}

#[test]
fn files_of_others_stay() {
    let machine = Machine::new();
    let job = machine.job();
    let others = [
        "notes.txt",
        "web1_other_2020-01-01T000000Z.tar.zst",
        "web1_other_2020-01-01T000000Z.tar.zst.json",
        "web2_system_2020-01-01T000000Z.tar.zst",
        // No record speaks for it.
        "web1_system_2020-01-01T000000Z.tar.zst",
    ];
    for other in others {
        fs_err::write(machine.path("backups").join(other), "mine").unwrap();
    }
    for _ in 0..4 {
        machine.night(&job).unwrap();
    }
    let mut expected = archives(3..=4);
    expected.extend(others.map(str::to_owned));
    expected.sort();
    assert_eq!(machine.names(), expected);
}

#[test]
fn a_destination_that_cannot_be_listed_is_not_pruned() {
    let machine = Machine::new();
    let job = machine.job();
    for night in 0..4 {
        machine.shelf.0.lock().unwrap().cannot_list = night == 3;
        machine.night(&job).unwrap();
    }
    machine.shelf.0.lock().unwrap().cannot_list = false;
    assert_eq!((machine.names(), machine.shelf.names()), (archives(3..=4), archives(2..=4)));
}

#[test]
fn it_packs_against_its_own_newest_archive_and_keeps_its_own_out() {
    let machine = Machine::new();
    let mut job = machine.job();
    machine.night(&job).unwrap();
    let seen = |job: &Job| {
        let found = Mutex::new(None);
        machine
            .night_of(job, &|to_pack| {
                *found.lock().unwrap() = Some((to_pack.reuse.clone(), to_pack.own.clone()));
                fs_err::write(to_pack.archive, "x")?;
                Ok(Packed::default())
            })
            .unwrap();
        found.into_inner().unwrap().unwrap()
    };
    let (reuse, own) = seen(&job);
    assert_eq!(reuse, Some(machine.path("backups").join(&archive(1)[0])));
    let inside = format!("{}/*", machine.path("backups").display());
    assert!(
        own.contains(&inside) && own.iter().any(|glob| glob.starts_with("web1_system_[0-9]")),
        "{own:?}"
    );
    job.share = Share::Full;
    assert_eq!(seen(&job).0, None);
}

#[test]
fn an_archive_and_its_record_are_locked_from_the_start_on() {
    let machine = Machine::new();
    let job = Job { lock: Some(std::time::Duration::from_secs(3600)), ..machine.job() };
    let started = *machine.now.lock().unwrap();
    machine.night(&job).unwrap();
    let locks = machine.shelf.0.lock().unwrap().locks.clone();
    assert_eq!(locks, [Some(started.as_second() + 3600); 2]);
    // One that others may hang on is needed for as long as these are locked.
    let started = machine.now.lock().unwrap().as_second();
    let week = 7 * 24 * 3600;
    machine.night(&Job { share: Share::Chain, ..job }).unwrap();
    let locks = machine.shelf.0.lock().unwrap().locks.clone();
    assert_eq!(locks[2..], [Some(started + 3600 + week); 2]);
}

#[test]
fn a_night_without_a_spool_is_a_failure_that_is_told_and_remembered() {
    let machine = Machine::new();
    fs_err::write(machine.path("backups/.hashget-spool"), "in the way").unwrap();
    let told = machine.path("told");
    let mut job = machine.job();
    job.hooks.on_failure = vec![format!("echo \"$HASHGET_ERROR\" > {}", told.display())];
    let report = machine.night(&job).unwrap();
    assert_eq!((report.state.exit, report.failure.is_some(), report.archive), (1, true, None));
    assert!(fs_err::read_to_string(told).unwrap().contains(".hashget-spool"));
    assert!(State::read(&machine.path("state"), "system").last_run_failed());
}

#[test]
fn a_night_that_cannot_be_remembered_is_still_one() {
    let machine = Machine::new();
    // What is there instead of the file cannot be replaced by it.
    fs_err::create_dir_all(machine.path("state/system.json/x")).unwrap();
    let report = machine.night(&machine.job()).unwrap();
    assert_eq!((report.state.exit, report.failure.is_none()), (3, true));
    assert_eq!((machine.names(), machine.shelf.names()), (archives(1..=1), archives(1..=1)));
    let problems = machine.monitor.recorded().problems;
    assert!(problems.iter().any(|(_, _, message)| message.contains("not remembered")));
}
