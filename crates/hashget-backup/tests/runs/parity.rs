//! Runs whose archives have parity, and what is left beside archives that are not there.
//!
//! Invariant: an archive does not depend on its parity, and what proves the loss of an archive stays.

use std::sync::atomic::{AtomicBool, Ordering};

use hashget::monitor::{Event, Monitor, Silent};
use hashget_backup::inventory::inventory;
use hashget_backup::job::Job;
use hashget_backup::record::Packed;

use super::shelf::Fault;
use super::{Machine, archive, archives};

/// The names of nights with parity.
fn with_parity(days: impl IntoIterator<Item = u32>) -> Vec<String> {
    let beside = |[name, record]: [String; 2]| [format!("{name}.par2"), name, record];
    let mut names: Vec<String> = days.into_iter().flat_map(|day| beside(archive(day))).collect();
    names.sort();
    names
}

#[test]
fn parity_is_everywhere_beside_its_archive_and_goes_with_it() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    for night in 1..=4_u32 {
        assert_eq!(machine.night(&job).unwrap().state.exit, 0);
        let expected = with_parity(night.saturating_sub(1).max(1)..=night);
        assert_eq!((machine.names(), machine.shelf.names()), (expected.clone(), expected));
        assert_eq!(machine.spooled(), [""; 0]);
    }
    machine.expect_whole();
    assert_eq!(machine.monitor.recorded().problems, []);
}

#[test]
fn what_a_prune_that_broke_off_left_is_removed_and_a_loss_is_not() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    machine.night(&job).unwrap();
    let [old, old_record] = archive(1).map(|name| machine.path("backups").join(name));
    let left = fs_err::read(&old_record).unwrap();
    for _ in 2..=4 {
        machine.night(&job).unwrap();
    }
    // The run that removed it was killed before it had removed what lies beside it.
    fs_err::write(&old_record, left).unwrap();
    fs_err::write(old.with_extension("zst.par2"), "left").unwrap();
    // And this one was never to go.
    let [lost, lost_record] = archive(4);
    fs_err::remove_file(machine.path("backups").join(&lost)).unwrap();
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
    let mut expected = with_parity([3, 4, 5]);
    expected.retain(|name| *name != lost);
    assert_eq!(machine.names(), expected);
    assert!(expected.contains(&lost_record));
    let problems = machine.monitor.recorded().problems;
    let said = |day: u32, what: &str| {
        let [name, _] = archive(day);
        problems.iter().any(|(_, object, text)| object.starts_with(&name) && text.contains(what))
    };
    assert!(said(4, "the archive is lost") && said(1, "is removed"), "{problems:?}");
    // Once the rules do not keep it any more, its record goes, too.
    for _ in 6..=7 {
        machine.night(&job).unwrap();
    }
    assert_eq!(machine.names(), with_parity(6..=7));
}

#[test]
fn what_an_archive_is_repaired_from_stays() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    machine.night(&job).unwrap();
    // Where a file system has no further names, it has none for a moment.
    let [name, _] = archive(1).map(|name| machine.path("backups").join(name));
    fs_err::rename(&name, name.with_extension("zst.damaged")).unwrap();
    for _ in 2..=4 {
        machine.night(&job).unwrap();
    }
    assert!(name.with_extension("zst.par2").exists() && name.with_extension("zst.json").exists());
    fs_err::rename(name.with_extension("zst.damaged"), &name).unwrap();
    machine.night(&job).unwrap();
    assert_eq!(machine.names(), with_parity(4..=5));
}

#[test]
fn an_archive_does_not_depend_on_its_parity_which_comes_later() {
    for fault in [Fault::Unreachable, Fault::AnswerLost] {
        let machine = Machine::new();
        let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
        machine.shelf.fail(&[None, Some(fault)]);
        let report = machine.night(&job).unwrap();
        assert_eq!((report.state.exit, report.failure.is_none()), (5, true));
        assert_eq!(report.state.undelivered().count(), 0);
        let problem = report.state.destinations[1].parity_problem.as_deref();
        assert_eq!(problem, Some("shelf cannot be reached: no route"));
        let found = inventory(&machine.shelf, &|_| true, &Silent).unwrap().held;
        assert_eq!((found[0].candidate().good, found[0].difference()), (Some(true), None));
        let is_missing = found[0].parity_difference().is_some_and(|text| text.contains("missing"));
        assert_eq!(is_missing, fault == Fault::Unreachable);
        // It waits, and arrives the next night.
        assert!(!machine.spooled().is_empty());
        assert_eq!(machine.night(&job).unwrap().state.exit, 0);
        assert_eq!((machine.shelf.names(), machine.spooled()), (with_parity(1..=2), vec![]));
    }
}

#[test]
fn a_night_whose_parity_cannot_be_written_is_still_one_and_says_so() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    let report = machine.night_of(&job, &|to_pack| {
        // There is no parity for no bytes.
        fs_err::write(to_pack.archive, "")?;
        Ok(Packed::default())
    });
    let report = report.unwrap();
    assert_eq!((report.state.exit, report.failure.is_none()), (3, true));
    assert!(report.state.problems.iter().any(|problem| problem.contains("no parity")));
    assert_eq!((machine.names(), machine.shelf.names()), (archives(1..=1), archives(1..=1)));
}

#[test]
fn a_destination_that_takes_no_parity_gets_each_archive_once() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    machine.shelf.0.lock().unwrap().takes_no_parity = true;
    for _ in 1..=5 {
        assert_eq!(machine.night(&job).unwrap().state.exit, 5);
        let found = inventory(&machine.shelf, &|_| true, &Silent).unwrap().held;
        assert!(found.iter().all(|held| held.candidate().good == Some(true)), "{found:?}");
    }
    assert_eq!(machine.shelf.0.lock().unwrap().came, archives(1..=5));
    assert_eq!(machine.shelf.names(), archives(4..=5));
    // Now it does. What is not kept any more needs none.
    machine.shelf.0.lock().unwrap().takes_no_parity = false;
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
    assert_eq!((machine.shelf.names(), machine.spooled()), (with_parity(5..=6), vec![]));
    let came = machine.shelf.0.lock().unwrap().came.clone();
    let parities = came.iter().filter(|name| name.ends_with(".par2")).count();
    assert_eq!((came.len(), parities), (15, 3));
}

#[test]
fn an_archive_whose_parity_cannot_be_opened_is_sent_all_the_same() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    machine.shelf.fail(&[Some(Fault::Unreachable)]);
    machine.night(&job).unwrap();
    let [name, _] = archive(1);
    fs_err::remove_file(machine.path(&format!("backups/.hashget-spool/{name}.par2"))).unwrap();
    let report = machine.night(&job).unwrap();
    assert_eq!((report.state.exit, report.failure.is_none()), (5, true));
    let mut expected = [archives(1..=1), with_parity(2..=2)].concat();
    expected.sort();
    assert_eq!(machine.shelf.names(), expected);
    let problems = machine.monitor.recorded().problems;
    let is_said = problems.iter().any(|(_, object, text)| {
        *object == name && text.starts_with("it is there without its parity")
    });
    assert!(is_said, "{problems:?}");
}

/// Somebody stops the run when its parity is computed.
#[derive(Default)]
struct StopsAtParity(AtomicBool);

impl Monitor for StopsAtParity {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(progress) = event
            && progress.name.ends_with(".par2")
        {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn an_archive_whose_parity_was_being_computed_when_the_run_was_stopped_gets_it_from_the_next() {
    let machine = Machine::new();
    let job = Job { parity: hashget::parity::Share::new(10), ..machine.job() };
    let stopped = StopsAtParity::default();
    let report = machine.night_watched(&job, &stopped).unwrap();
    assert_eq!((report.state.exit, report.state.archive.is_some()), (130, true));
    assert_eq!((machine.names(), machine.spooled()), (vec![], archives(1..=1)));
    assert_eq!(machine.night(&job).unwrap().state.exit, 0);
    let expected = with_parity(1..=2);
    assert_eq!((machine.names(), machine.shelf.names()), (expected.clone(), expected));
    machine.expect_whole();
}
