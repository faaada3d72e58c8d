//! The steps that are under way, and which of them have a line on the screen.
//!
//! Invariant: pure. The number of lines holds still: a step that is over soon never gets one, and the line of
//! one that is over stays for a while, or until another takes its place.

use std::sync::Arc;
use std::time::Duration;

use hashget::monitor::Progress;

use super::pace::{Pace, Speed};

/// A step that takes no longer has no line.
const SHORT: Duration = Duration::from_millis(300);
/// How long the line of a step that is over stays.
const STAY: Duration = Duration::from_secs(2);
/// From fewer things nothing is concluded: one package is not as large as the next.
const LEAST_THINGS: u64 = 5;

/// A step.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) progress: Arc<Progress>,
    pub(super) began: Duration,
    /// When it was over.
    pub(super) over: Option<Duration>,
    /// Was a program told of it?
    pub(super) told: bool,
    pace: Pace,
}

impl Row {
    /// Are bytes what its pace is counted in, rather than things?
    fn is_by_bytes(&self) -> bool {
        let total = self.progress.total;
        total.bytes.is_some() || total.things.is_none() && self.progress.bytes() > 0
    }

    /// What was done, of how much, in the unit of its pace.
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

    /// Bytes for each second, if that is known and it goes by bytes.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.speed().filter(|_| self.is_by_bytes()).map(Speed::per_second)
    }

    /// The time that is left, if that can be told.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let (done, total) = self.done();
        let speed =
            self.speed().filter(|speed| self.is_by_bytes() || speed.units() >= LEAST_THINGS);
        speed?.time_for(total?.saturating_sub(done))
    }

    /// Thousandths of it that are done, if its end is known.
    pub(super) fn thousandths(&self) -> Option<u64> {
        let (done, total) = self.done();
        let total = u128::from(total?);
        let part = (u128::from(done) * 1000).checked_div(total).unwrap_or(1000);
        Some(u64::try_from(part.min(1000)).unwrap_or(1000))
    }
}

/// All steps that are under way.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Those that have not taken long yet.
    young: Vec<Row>,
    /// Those that have a line, from above.
    shown: Vec<Row>,
}

impl Rows {
    /// A step begins.
    pub(super) fn start(&mut self, now: Duration, progress: Arc<Progress>) {
        let pace = Pace::default();
        self.young.push(Row { progress, began: now, over: None, told: false, pace });
    }

    /// A step is over. Says whether a program was told of it.
    pub(super) fn finish(&mut self, now: Duration, progress: &Arc<Progress>) -> bool {
        let same = |row: &Row| Arc::ptr_eq(&row.progress, progress);
        if let Some(position) = self.young.iter().position(same) {
            return self.young.remove(position).told;
        }
        self.shown.iter_mut().find(|row| same(row)).is_some_and(|row| {
            row.over = Some(now);
            row.told
        })
    }

    /// Is there nothing to look after?
    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.shown.is_empty()
    }

    /// Looks how far everything is by now.
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

    /// Those that have a line, from above.
    pub(super) fn shown(&self) -> &[Row] {
        &self.shown
    }

    /// Those that are not over.
    pub(super) fn under_way(&mut self) -> impl Iterator<Item = &mut Row> {
        self.shown.iter_mut().chain(&mut self.young).filter(|row| row.over.is_none())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use hashget::monitor::{Event, Monitor, Running, Step, Total};

    use super::*;

    /// Gives away what begins.
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

    /// A step of which so many bytes and things were done in two seconds.
    pub(in super::super) fn row_after_two_seconds(
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
        rows.tick(at(2000));
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
    fn what_is_over_soon_never_has_a_line() {
        let (begun, mut rows) = (Begun::default(), Rows::default());
        let (_running, one) = begun.begin(Step::Download, "a", Total::UNKNOWN);
        rows.start(at(0), Arc::clone(&one));
        rows.finish(at(299), &one);
        rows.tick(at(1000));
        assert!(rows.is_empty());
    }

    #[test]
    fn the_time_that_is_left_follows_from_bytes_or_else_from_things() {
        let by_things = |things| Total { bytes: None, things: Some(things) };
        let table = [
            (Total::bytes(10_000), (2000, 1), Some(8), Some(200), Some(1000)),
            (by_things(40), (2000, 5), Some(14), Some(125), None),
            (by_things(40), (2000, 4), None, Some(100), None),
            (Total::UNKNOWN, (2000, 5), None, None, Some(1000)),
        ];
        for (total, done, left, thousandths, rate) in table {
            let row = row_after_two_seconds(Step::Download, "a", total, done);
            let seconds = row.time_left().map(|left| left.as_secs());
            let found = (seconds, row.thousandths(), row.bytes_per_second());
            assert_eq!(found, (left, thousandths, rate), "{total:?}");
        }
    }
}
