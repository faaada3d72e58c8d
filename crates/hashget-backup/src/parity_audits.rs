//! Which parity of a job's archives was looked at, when, and what was found; and which is to be looked at next.
//!
//! Invariant: what was looked at longest ago comes first, so that runs with a limit reach everything. The file can be deleted at any time:
//! everything is due then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use hashget::pending_file::PendingFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// What is wrong and could not be healed.
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
}

impl ParityAudits {
    fn path(state: &Path, job: &str) -> PathBuf {
        state.join(format!("{job}.parity.json"))
    }

    /// Reads what is remembered of a job. What cannot be read, or has another version, is as if nothing had been looked at.
    pub fn read(state: &Path, job: &str) -> Self {
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
    }

    /// Forgets what a destination does not hold any more.
    pub fn keep_only(&mut self, destination: &str, is_held: impl Fn(&str) -> bool) {
        if let Some(looks) = self.looks.get_mut(destination) {
            looks.retain(|archive, _| is_held(archive));
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

    /// When that was looked at which was looked at longest ago.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.all().map(|(.., look)| look.looked).min()
    }

    /// What is due at `now`, in seconds since 1970, that was looked at longest ago first; looks at parity alone before all others. What
    /// does not fit into `at_most` bytes is left for the next run, but the first one never is; how much that is.
    pub fn due<'t, 'd>(
        &self,
        all: &'t [ToLook<'d>],
        cadence: LookCadence,
        at_most: Option<u64>,
        now: i64,
    ) -> (Vec<(LookDepth, &'t ToLook<'d>)>, usize) {
        let mut due: Vec<(LookDepth, i64, &ToLook<'d>)> = all
            .iter()
            .filter_map(|one| self.due_of(one, cadence, now).map(|(depth, at)| (depth, at, one)))
            .collect();
        due.sort_by_key(|(depth, at, one)| (*depth, *at, one.destination, one.archive.clone()));
        let (mut taken, mut spent) = (Vec::new(), 0_u64);
        for (depth, _, one) in &due {
            let of_archive = if *depth == LookDepth::Archive { one.archive_bytes } else { 0 };
            spent = spent.saturating_add(one.parity_bytes.saturating_add(of_archive));
            if at_most.is_some_and(|most| spent > most) && !taken.is_empty() {
                break;
            }
            taken.push((*depth, *one));
        }
        let left = due.len() - taken.len();
        (taken, left)
    }

    /// How deep something is due, and when it was looked at so last.
    fn due_of(&self, one: &ToLook<'_>, cadence: LookCadence, now: i64) -> Option<(LookDepth, i64)> {
        let look = self.look(one.destination, &one.archive);
        let read = look.and_then(|look| look.read).unwrap_or(i64::MIN);
        let looked = look.map_or(i64::MIN, |look| look.looked.as_second());
        // A look of the future, by a clock that was wrong, is none.
        let is_due = |at: i64, every: i64| at > now || now.saturating_sub(at) >= every;
        if cadence.deep_every.is_some_and(|every| is_due(read, every)) {
            return Some((LookDepth::Archive, read));
        }
        is_due(looked, cadence.every).then_some((LookDepth::Parity, looked))
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
            (due.collect::<Vec<_>>(), left)
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
        assert_eq!(names(&audits, deep, None, NOW), (vec![parity("a"), archive("c")], 0));
    }

    #[test]
    fn what_was_found_is_remembered_until_the_archive_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let mut audits = ParityAudits::read(state.path(), "web");
        audits.note("/d", "a", look(1, Some(2)));
        audits.note("/d", "b", ParityLook { problem: Some("gone".to_owned()), ..look(1, None) });
        audits.write(state.path(), "web").unwrap();
        let mut read = ParityAudits::read(state.path(), "web");
        assert_eq!(read, audits);
        read.keep_only("/d", |archive| archive == "b");
        let left: Vec<_> = read.all().map(|(_, archive, look)| (archive, &look.problem)).collect();
        assert_eq!(left, [("b", &Some("gone".to_owned()))]);
        fs_err::write(state.path().join("web.parity.json"), "[").unwrap();
        assert_eq!(ParityAudits::read(state.path(), "web").all().count(), 0);
    }
}
