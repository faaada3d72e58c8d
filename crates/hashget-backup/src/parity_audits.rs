//! Which parity of a job's archives was looked at, when, and what was found; and which is to be looked at next.
//!
//! Invariant: what was looked at, or tried in vain, longest ago comes first, so that runs with a limit reach everything. The file can be
//! deleted at any time: everything is due then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hashget::archive::within;
use hashget::pending_file::PendingFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::record::seconds;

/// The version of the file's form.
const VERSION: u32 = 1;

/// Who may read it: what a machine has is nobody else's business.
const MODE: u32 = 0o600;

/// What was found of an archive in a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityLook {
    /// When its parity was looked at.
    #[serde(with = "seconds")]
    pub looked: Timestamp,
    /// When every byte of the archive was read, too, in seconds since 1970.
    pub read: Option<i64>,
    /// What is wrong, and why it was not healed.
    pub problem: Option<String>,
}

/// How much is looked at, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookDepth {
    /// The parity: is it there, with the digest of its record?
    Parity,
    /// Every byte of the archive, too.
    Archive,
}

/// What there is to look at: an archive in a destination, and the bytes that a look takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToLook<'d> {
    /// The destination, as it is called in messages.
    pub destination: &'d str,
    /// The archive.
    pub archive: String,
    /// Bytes to read for its parity.
    pub parity_bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
}

/// What is to be looked at in this order, how deep; and what is left for the next run.
pub type DueLooks<'t, 'd> = (Vec<(LookDepth, &'t ToLook<'d>)>, Vec<&'t ToLook<'d>>);

/// A look that is due.
struct DueLook<'t, 'd> {
    depth: LookDepth,
    /// When there was such a look last, or one was tried, in seconds since 1970.
    last: i64,
    of: &'t ToLook<'d>,
}

impl DueLook<'_, '_> {
    /// Bytes to read.
    fn cost(&self) -> u64 {
        match self.depth {
            LookDepth::Parity => self.of.parity_bytes,
            LookDepth::Archive => self.of.parity_bytes.saturating_add(self.of.archive_bytes),
        }
    }
}

/// How often, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct LookCadence {
    /// Parity alone.
    pub every: i64,
    /// Archives, too; never if absent.
    pub deep_every: Option<i64>,
}

/// What is remembered of the parity of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityAudits {
    parity_audits: u32,
    /// By destination and archive.
    looks: BTreeMap<String, BTreeMap<String, ParityLook>>,
    /// Likewise: when a look failed, in seconds since 1970, if none has succeeded since.
    #[serde(default)]
    tried: BTreeMap<String, BTreeMap<String, i64>>,
}

impl ParityAudits {
    fn path(state: &Path, job: &str) -> PathBuf {
        state.join(format!("{job}.parity.json"))
    }

    /// Reads what is remembered of a job, as far as it has parity and these destinations today. What cannot be read, or has another version,
    /// is as if nothing had been looked at.
    pub fn read(state: &Path, job: &Job) -> Self {
        let mut read = Self::stored(state, &job.name);
        let is_configured = |destination: &String| {
            job.parity.is_some() && job.to.iter().any(|to| to.shown() == *destination)
        };
        read.looks.retain(|destination, _| is_configured(destination));
        read.tried.retain(|destination, _| is_configured(destination));
        read
    }

    fn stored(state: &Path, job: &str) -> Self {
        let bytes = fs_err::read(Self::path(state, job)).unwrap_or_default();
        let read: Option<Self> = serde_json::from_slice(&bytes).ok();
        read.filter(|read| read.parity_audits == VERSION).unwrap_or_default()
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, state: &Path, job: &str) -> io::Result<()> {
        self.parity_audits = VERSION;
        fs_err::create_dir_all(state)?;
        let path = Self::path(state, job);
        let mut pending = PendingFile::create(&path, MODE)?;
        serde_json::to_writer(&mut pending, self)?;
        pending.commit(&path)
    }

    /// Notes what was found.
    pub fn note(&mut self, destination: &str, archive: &str, look: ParityLook) {
        let of_destination = self.looks.entry(destination.to_owned()).or_default();
        of_destination.insert(archive.to_owned(), look);
        if let Some(tried) = self.tried.get_mut(destination) {
            tried.remove(archive);
        }
    }

    /// Notes that a look failed, in seconds since 1970: others come first the next time.
    pub fn note_tried(&mut self, destination: &str, archive: &str, at: i64) {
        let of_destination = self.tried.entry(destination.to_owned()).or_default();
        of_destination.insert(archive.to_owned(), at);
    }

    /// Forgets what a destination does not hold any more.
    pub fn keep_only(&mut self, destination: &str, is_held: impl Fn(&str) -> bool) {
        if let Some(looks) = self.looks.get_mut(destination) {
            looks.retain(|archive, _| is_held(archive));
        }
        if let Some(tried) = self.tried.get_mut(destination) {
            tried.retain(|archive, _| is_held(archive));
        }
    }

    /// What is remembered of an archive in a destination.
    pub fn look(&self, destination: &str, archive: &str) -> Option<&ParityLook> {
        self.looks.get(destination)?.get(archive)
    }

    /// Everything that is remembered: destination, archive, and what was found.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &ParityLook)> {
        self.looks.iter().flat_map(|(destination, looks)| {
            looks.iter().map(move |(archive, look)| (&**destination, &**archive, look))
        })
    }

    /// The archives in destinations of which something is wrong.
    pub fn wrong(&self) -> usize {
        self.all().filter(|(.., look)| look.problem.is_some()).count()
    }

    /// The archives in destinations of which nothing is wrong, and every byte was read once.
    pub fn read_whole(&self) -> usize {
        self.all().filter(|(.., look)| look.problem.is_none() && look.read.is_some()).count()
    }

    /// When that was looked at which was looked at longest ago.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.all().map(|(.., look)| look.looked).min()
    }

    /// What is due at `now`, in seconds since 1970, that was looked at longest ago first; looks at parity alone before all others, so that
    /// an archive may be there twice. What does not fit into `at_most` bytes is left for the next run, unless nothing fits.
    pub fn due<'t, 'd>(
        &self,
        all: &'t [ToLook<'d>],
        cadence: LookCadence,
        at_most: Option<u64>,
        now: i64,
    ) -> DueLooks<'t, 'd> {
        let mut due: Vec<DueLook<'t, 'd>> =
            all.iter().flat_map(|one| self.due_of(one, cadence, now)).collect();
        due.sort_by(|one, other| {
            let key = |due: &DueLook<'t, 'd>| (due.depth, due.last, due.of.destination);
            key(one).cmp(&key(other)).then_with(|| one.of.archive.cmp(&other.of.archive))
        });
        let (chosen, left) = within(&due, DueLook::cost, at_most);
        let chosen = chosen.into_iter().map(|due| (due.depth, due.of)).collect();
        (chosen, left.into_iter().map(|due| due.of).collect())
    }

    /// The looks at something that are due.
    fn due_of<'t, 'd>(
        &self,
        of: &'t ToLook<'d>,
        cadence: LookCadence,
        now: i64,
    ) -> Vec<DueLook<'t, 'd>> {
        let look = self.look(of.destination, &of.archive);
        let read = look.and_then(|look| look.read);
        let looked = look.map(|look| look.looked.as_second());
        let tried = self.tried.get(of.destination).and_then(|tried| tried.get(&of.archive));
        // A time that is still to come is none: a clock was wrong.
        let past = |at: Option<i64>| at.filter(|at| *at <= now);
        let tried = past(tried.copied()).unwrap_or(i64::MIN);
        let due = |depth, at: Option<i64>, every: i64| {
            let is_due = past(at).is_none_or(|at| now.saturating_sub(at) >= every);
            let last = past(at).unwrap_or(i64::MIN).max(tried);
            is_due.then_some(DueLook { depth, last, of })
        };
        let deep = cadence.deep_every.and_then(|every| due(LookDepth::Archive, read, every));
        due(LookDepth::Parity, looked, cadence.every).into_iter().chain(deep).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;
    const NOW: i64 = 1_800_000_000;

    fn look(days_ago: i64, read_days_ago: Option<i64>) -> ParityLook {
        let looked = Timestamp::from_second(NOW - days_ago * DAY).unwrap();
        ParityLook { looked, read: read_days_ago.map(|days| NOW - days * DAY), problem: None }
    }

    fn all() -> Vec<ToLook<'static>> {
        let one = |archive: &str| ToLook {
            destination: "/d",
            archive: archive.to_owned(),
            parity_bytes: 5,
            archive_bytes: 100,
        };
        ["a", "b", "c"].map(one).to_vec()
    }

    #[test]
    fn what_was_looked_at_longest_ago_comes_first_and_a_limit_reaches_everything() {
        let mut audits = ParityAudits::default();
        let cadence = LookCadence { every: 30 * DAY, deep_every: None };
        let names = |audits: &ParityAudits, cadence, at_most, now| {
            let all = all();
            let (due, left) = audits.due(&all, cadence, at_most, now);
            let due = due.iter().map(|(depth, one)| (*depth, one.archive.clone()));
            (due.collect::<Vec<_>>(), left.len())
        };
        let parity = |name: &str| (LookDepth::Parity, name.to_owned());
        let archive = |name: &str| (LookDepth::Archive, name.to_owned());
        audits.note("/d", "a", look(40, None));
        audits.note("/d", "b", look(50, None));
        let found = names(&audits, cadence, None, NOW);
        assert_eq!(found, (vec![parity("c"), parity("b"), parity("a")], 0));
        assert_eq!(names(&audits, cadence, Some(10), NOW), (vec![parity("c"), parity("b")], 1));
        // The first one is never left.
        assert_eq!(names(&audits, cadence, Some(1), NOW), (vec![parity("c")], 2));
        audits.note("/d", "c", look(0, None));
        audits.note("/d", "b", look(0, None));
        assert_eq!(names(&audits, cadence, Some(1), NOW), (vec![parity("a")], 0));
        // Deep looks come after those at parity alone.
        let deep = LookCadence { deep_every: Some(100 * DAY), ..cadence };
        audits.note("/d", "b", look(0, Some(99)));
        audits.note("/d", "a", look(40, Some(40)));
        let found = names(&audits, deep, None, NOW);
        assert_eq!(found, (vec![parity("a"), archive("c")], 0));
        // A clock that was wrong.
        audits.note("/d", "c", look(-5, Some(-5)));
        let found = names(&audits, deep, None, NOW);
        assert_eq!(found, (vec![parity("c"), parity("a"), archive("c")], 0));
    }

    /// What is looked at in four nights with this limit, while `a` never answers.
    fn nights(mut audits: ParityAudits, at_most: u64) -> Vec<Vec<(LookDepth, String)>> {
        let cadence = LookCadence { every: 30 * DAY, deep_every: Some(100 * DAY) };
        let all = all();
        let nights = (0..4).map(|night| {
            let now = NOW + night * DAY;
            let (due, _) = audits.due(&all, cadence, Some(at_most), now);
            for (depth, one) in &due {
                let looked = Timestamp::from_second(now).unwrap();
                let read = (*depth == LookDepth::Archive).then_some(now);
                match &*one.archive {
                    "a" => audits.note_tried("/d", "a", now),
                    other => audits.note("/d", other, ParityLook { looked, read, problem: None }),
                }
            }
            due.into_iter().map(|(depth, one)| (depth, one.archive.clone())).collect()
        });
        nights.collect()
    }

    #[test]
    fn what_cannot_be_read_keeps_nothing_else_from_being_looked_at() {
        let parity = |name: &str| (LookDepth::Parity, name.to_owned());
        let archive = |name: &str| (LookDepth::Archive, name.to_owned());
        let first = vec![parity("a"), parity("b"), parity("c")];
        let later = |name| vec![parity("a"), archive(name)];
        assert_eq!(
            nights(ParityAudits::default(), 110),
            [first, later("b"), later("c"), later("a")]
        );
        // Its parity is there, and itself it is not.
        let mut audits = ParityAudits::default();
        for archive in ["a", "b", "c"] {
            audits.note("/d", archive, look(1, None));
        }
        let one = |name| vec![archive(name)];
        assert_eq!(nights(audits, 105), [one("a"), one("b"), one("c"), one("a")]);
    }

    #[test]
    fn what_does_not_fit_is_left_and_what_comes_after_it_is_not() {
        let mut all = all();
        all[0].archive_bytes = 1000;
        let cadence = LookCadence { every: 30 * DAY, deep_every: Some(100 * DAY) };
        let mut audits = ParityAudits::default();
        for archive in ["a", "b", "c"] {
            audits.note("/d", archive, look(1, None));
        }
        let names = |audits: &ParityAudits| {
            let (due, left) = audits.due(&all, cadence, Some(150), NOW);
            let due: Vec<_> = due.into_iter().map(|(_, one)| one.archive.clone()).collect();
            (due, left.len())
        };
        assert_eq!(names(&audits), (vec!["b".to_owned()], 2));
        audits.note("/d", "b", look(0, Some(0)));
        audits.note("/d", "c", look(0, Some(0)));
        // Nothing else is to be done.
        assert_eq!(names(&audits), (vec!["a".to_owned()], 0));
    }

    #[test]
    fn what_was_found_is_remembered_until_the_archive_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let mut audits = ParityAudits::stored(state.path(), "web");
        audits.note("/d", "a", look(1, Some(2)));
        audits.note("/d", "b", ParityLook { problem: Some("gone".to_owned()), ..look(1, None) });
        audits.write(state.path(), "web").unwrap();
        let mut read = ParityAudits::stored(state.path(), "web");
        assert_eq!(read, audits);
        read.keep_only("/d", |archive| archive == "b");
        let left: Vec<_> = read.all().map(|(_, archive, look)| (archive, &look.problem)).collect();
        assert_eq!(left, [("b", &Some("gone".to_owned()))]);
        fs_err::write(state.path().join("web.parity.json"), "[").unwrap();
        assert_eq!(ParityAudits::stored(state.path(), "web").all().count(), 0);
    }
}
