//! The steps in progress, and which of them have a line on the terminal.
//!
//! Invariant: pure. The number of lines is stable: a short step never gets one, and the line of a finished
//! step stays for a while, or until another step needs it.

use std::sync::Arc;
use std::time::Duration;

use hashget::monitor::Progress;

use super::pace::{Pace, Speed};

/// A step gets a line after this time.
const SHORT: Duration = Duration::from_millis(300);
/// How long the line of a finished step stays.
const STAY: Duration = Duration::from_secs(2);
/// No time is estimated from fewer items than this: packages differ in size.
const LEAST_THINGS: u64 = 5;

/// A step.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) progress: Arc<Progress>,
    pub(super) began: Duration,
    /// When it finished.
    pub(super) over: Option<Duration>,
    /// Was a record written for it?
    pub(super) recorded: bool,
    pace: Pace,
}

impl Row {
    /// Is its speed measured in bytes rather than in items?
    fn is_by_bytes(&self) -> bool {
        let total = self.progress.total;
        total.bytes.is_some() || total.things.is_none() && self.progress.bytes() > 0
    }

    /// How much is done, and the total, in the unit of its speed.
    fn done(&self) -> (u64, Option<u64>) {
        let Progress { total, .. } = *self.progress;
        match self.is_by_bytes() {
            true => (self.progress.bytes(), total.bytes),
            false => (self.progress.things(), total.things),
        }
    }

    fn speed(&self) -> Option<Speed> {
        self.pace.speed().filter(|_| self.over.is_none())
    }

    /// Bytes per second, if known and measured in bytes.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.speed().filter(|_| self.is_by_bytes()).map(Speed::per_second)
    }

    /// The time left, if there is an estimate.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let (done, total) = self.done();
        let speed =
            self.speed().filter(|speed| self.is_by_bytes() || speed.units() >= LEAST_THINGS);
        speed?.time_for(total?.saturating_sub(done))
    }

    /// Finished thousandths, if the total is known.
    pub(super) fn thousandths(&self) -> Option<u64> {
        let (done, total) = self.done();
        let total = u128::from(total?);
        let part = (u128::from(done) * 1000).checked_div(total).unwrap_or(1000);
        Some(u64::try_from(part.min(1000)).unwrap_or(1000))
    }
}

/// All steps in progress.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Steps that have just begun.
    young: Vec<Row>,
    /// Steps that have a line, from the top.
    shown: Vec<Row>,
}

impl Rows {
    /// Adds a step that begins.
    pub(super) fn start(&mut self, now: Duration, progress: Arc<Progress>) {
        let pace = Pace::default();
        self.young.push(Row { progress, began: now, over: None, recorded: false, pace });
    }

    /// Marks a step as finished. Returns whether a record was written for it.
    pub(super) fn finish(&mut self, now: Duration, progress: &Arc<Progress>) -> bool {
        let same = |row: &Row| Arc::ptr_eq(&row.progress, progress);
        if let Some(position) = self.young.iter().position(same) {
            return self.young.remove(position).recorded;
        }
        self.shown.iter_mut().find(|row| same(row)).is_some_and(|row| {
            row.over = Some(now);
            row.recorded
        })
    }

    /// Is nothing in progress, and no line left?
    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.shown.is_empty()
    }

    /// Updates the speeds and the lines.
    pub(super) fn tick(&mut self, now: Duration) {
        let age = |row: &Row| now.saturating_sub(row.began);
        let (old, young) = self.young.drain(..).partition(|row| age(row) >= SHORT);
        self.young = young;
        let old: Vec<Row> = old;
        for row in old {
            match self.shown.iter_mut().find(|shown| shown.over.is_some()) {
                Some(free) => *free = row,
                None => self.shown.push(row),
            }
        }
        let stays = |row: &Row| row.over.is_none_or(|over| now.saturating_sub(over) < STAY);
        self.shown.retain(stays);
        for row in self.young.iter_mut().chain(&mut self.shown) {
            let (done, _) = row.done();
            row.pace.note(now, done);
        }
    }

    /// Steps that have a line, from the top.
    pub(super) fn shown(&self) -> &[Row] {
        &self.shown
    }

    /// Steps that have not finished.
    pub(super) fn under_way(&mut self) -> impl Iterator<Item = &mut Row> {
        self.shown.iter_mut().chain(&mut self.young).filter(|row| row.over.is_none())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use hashget::monitor::{Event, Monitor, Running, Step, Total};

    use super::*;

    /// Collects the steps that begin.
    #[derive(Default)]
    struct Begun(Mutex<Vec<Arc<Progress>>>);

    impl Monitor for Begun {
        fn event(&self, event: Event<'_>) {
            if let Event::Started(progress) = event {
                self.0.lock().unwrap().push(Arc::clone(progress));
            }
        }
    }

    impl Begun {
        fn begin(&self, step: Step, name: &str, total: Total) -> (Running<'_>, Arc<Progress>) {
            let running = (self as &dyn Monitor).begin(step, name, total);
            let progress = self.0.lock().unwrap().pop().unwrap();
            (running, progress)
        }
    }

    /// A step that has processed this many bytes and items in ten seconds.
    pub(in super::super) fn row_after_ten_seconds(
        step: Step,
        name: &str,
        total: Total,
        (bytes, things): (u64, u64),
    ) -> Row {
        let (begun, mut rows) = (Begun::default(), Rows::default());
        let (running, progress) = begun.begin(step, name, total);
        rows.start(at(0), progress);
        rows.tick(at(0));
        running.advance(bytes, things);
        rows.tick(at(10_000));
        rows.shown.remove(0)
    }

    fn names(rows: &Rows) -> Vec<&str> {
        rows.shown().iter().map(|row| row.progress.name.as_str()).collect()
    }

    const fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_line_comes_late_stays_a_while_and_is_taken_over() {
        let (begun, mut rows) = (Begun::default(), Rows::default());
        let [(_a, a), (_b, b), (_c, c)] =
            ["a", "b", "c"].map(|name| begun.begin(Step::Download, name, Total::UNKNOWN));
        rows.start(at(0), Arc::clone(&a));
        rows.start(at(100), Arc::clone(&b));
        rows.tick(at(200));
        assert_eq!(names(&rows), [""; 0]);
        rows.tick(at(300));
        assert_eq!(names(&rows), ["a"]);
        rows.tick(at(400));
        assert_eq!(names(&rows), ["a", "b"]);
        rows.finish(at(500), &a);
        rows.start(at(500), Arc::clone(&c));
        rows.tick(at(700));
        assert_eq!(names(&rows), ["a", "b"]);
        rows.tick(at(900));
        assert_eq!(names(&rows), ["c", "b"]);
        rows.finish(at(1000), &c);
        rows.tick(at(2900));
        assert_eq!(names(&rows), ["c", "b"]);
        rows.tick(at(3000));
        assert_eq!(names(&rows), ["b"]);
        rows.finish(at(3000), &b);
        rows.tick(at(5000));
        assert!(rows.is_empty());
    }

    #[test]
    fn a_short_step_never_has_a_line() {
        let (begun, mut rows) = (Begun::default(), Rows::default());
        let (_running, one) = begun.begin(Step::Download, "a", Total::UNKNOWN);
        rows.start(at(0), Arc::clone(&one));
        rows.finish(at(299), &one);
        rows.tick(at(1000));
        assert!(rows.is_empty());
    }

    #[test]
    fn the_time_left_follows_from_bytes_or_else_from_things() {
        let by_things = |things| Total { bytes: None, things: Some(things) };
        let table = [
            (Total::bytes(10_000), (2000, 1), Some(40), Some(200), Some(200)),
            (by_things(40), (2000, 5), Some(70), Some(125), None),
            (by_things(40), (2000, 4), None, Some(100), None),
            (Total::UNKNOWN, (2000, 5), None, None, Some(200)),
        ];
        for (total, done, left, thousandths, rate) in table {
            let row = row_after_ten_seconds(Step::Download, "a", total, done);
            let seconds = row.time_left().map(|left| left.as_secs());
            let found = (seconds, row.thousandths(), row.bytes_per_second());
            assert_eq!(found, (left, thousandths, rate), "{total:?}");
        }
    }
}
