//! Nights that share: may tonight's archive be packed against the last full one, or must it be full itself? Pure.
//!
//! Invariant: an archive hangs on a full one at most, never on one that hangs on another. What was not looked at in every
//! destination, or is not what it was, is not relied on.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::record::Sealed;
use crate::series::ArchiveName;

/// How long nights hang on a full archive, unless the job says otherwise.
pub const FULL_EVERY: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest that a full archive is made early: the timer spreads starts, and summer time ends.
const EARLY: Duration = Duration::from_secs(2 * 60 * 60);

/// A full archive whose contents this machine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its name.
    pub name: ArchiveName,
    /// What its bytes were when it was made.
    pub sealed: Sealed,
}

/// How a base was found in one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is there, has its size and the checksum that could be compared, and can be read.
    Sound,
    /// It is not there.
    Missing {
        /// Are archives there that may need it?
        is_needed: bool,
    },
    /// It is not what it was; in which way.
    Damaged(String),
    /// The destination did not say, or cannot; why.
    Unseen(String),
}

/// Why an archive is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyFull {
    /// This machine knows the contents of no full archive: the first night, or its state was lost.
    NoBase,
    /// The base is old enough.
    Due(ArchiveName),
    /// A destination does not have the base, and never had what needs it.
    Absent(ArchiveName, String),
    /// A destination does not have the base any more.
    Missing(ArchiveName, String),
    /// A destination has the base, and it is not what it was.
    Damaged(ArchiveName, String, String),
    /// A destination could not be looked at.
    Unseen(ArchiveName, String, String),
}

impl WhyFull {
    /// Is something wrong with archives that hang on the base?
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Missing(..) | Self::Damaged(..))
    }
}

impl fmt::Display for WhyFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBase => {
                f.write_str("this archive is full: this machine knows no full archive of the job")
            }
            Self::Due(name) => write!(f, "this archive is full: {name} is old enough"),
            Self::Absent(name, destination) => {
                write!(f, "this archive is full: {destination} does not have {name}")
            }
            Self::Missing(name, destination) => write!(
                f,
                "this archive is full: {destination} does not have {name}; the archives there that need it cannot be restored from there"
            ),
            Self::Damaged(name, destination, problem) => write!(
                f,
                "this archive is full: {destination} has a damaged {name} ({problem}); the archives there that need it cannot be restored \
                 from there as a whole"
            ),
            Self::Unseen(name, destination, problem) => write!(
                f,
                "this archive is full: whether {destination} still has {name} could not be seen ({problem})"
            ),
        }
    }
}

/// What tonight's archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tonight {
    /// It hangs on this one.
    HangsOn(Base),
    /// It needs no other one, and why.
    Full(WhyFull),
}

/// Decides about tonight. `look` is asked about each destination, by its position, until one says no.
///
/// # Errors
/// Those of `look`.
pub fn tonight<E>(
    base: Option<Base>,
    destinations: &[&str],
    full_every: Duration,
    now: Timestamp,
    look: &mut dyn FnMut(usize, &Base) -> Result<Seen, E>,
) -> Result<Tonight, E> {
    let Some(base) = base else { return Ok(Tonight::Full(WhyFull::NoBase)) };
    let age = now.duration_since(base.name.started());
    let due = full_every.saturating_sub(EARLY.min(full_every / 10));
    // A base of the future was made by a clock that has jumped.
    if !Duration::try_from(age).is_ok_and(|age| age < due) {
        return Ok(Tonight::Full(WhyFull::Due(base.name)));
    }
    for (position, destination) in destinations.iter().enumerate() {
        let destination = (*destination).to_owned();
        let why = match look(position, &base)? {
            Seen::Sound => continue,
            Seen::Missing { is_needed: true } => WhyFull::Missing(base.name, destination),
            Seen::Missing { is_needed: false } => WhyFull::Absent(base.name, destination),
            Seen::Damaged(problem) => WhyFull::Damaged(base.name, destination, problem),
            Seen::Unseen(problem) => WhyFull::Unseen(base.name, destination, problem),
        };
        return Ok(Tonight::Full(why));
    }
    Ok(Tonight::HangsOn(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base {
            name: ArchiveName::parse("h_j_2026-11-01T023000Z.tar.zst").unwrap(),
            sealed: Sealed { bytes: 7, sha256: "0a".repeat(32) },
        }
    }

    fn decided(now: &str, seen: &[Seen]) -> Tonight {
        let names: Vec<String> = (0..seen.len()).map(|number| format!("d{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut look = |position: usize, _: &Base| Ok::<Seen, ()>(seen[position].clone());
        tonight(Some(base()), &names, FULL_EVERY, now.parse().unwrap(), &mut look).unwrap()
    }

    #[test]
    fn a_week_hangs_on_its_full_archive_and_the_clock_may_be_a_little_early() {
        for (now, is_full) in [
            ("2026-11-02T02:30:00Z", false),
            ("2026-11-07T02:35:00Z", false),
            ("2026-11-08T00:29:00Z", false),
            ("2026-11-08T01:30:00Z", true),
            ("2026-11-08T02:30:00Z", true),
            ("2026-12-01T02:30:00Z", true),
            // A clock that has jumped.
            ("2026-10-31T02:30:00Z", true),
        ] {
            let decided = decided(now, &[Seen::Sound, Seen::Sound]);
            assert_eq!(matches!(decided, Tonight::Full(_)), is_full, "{now}");
        }
    }

    #[test]
    fn a_base_must_be_sound_in_every_destination() {
        let now = "2026-11-02T02:30:00Z";
        assert_eq!(decided(now, &[]), Tonight::HangsOn(base()));
        for (seen, is_loss) in [
            (Seen::Missing { is_needed: true }, true),
            (Seen::Missing { is_needed: false }, false),
            (Seen::Damaged("it has 3 bytes".to_owned()), true),
            (Seen::Unseen("no answer".to_owned()), false),
        ] {
            let Tonight::Full(why) = decided(now, &[Seen::Sound, seen]) else { panic!() };
            assert_eq!(why.is_loss(), is_loss);
            let text = why.to_string();
            assert!(text.contains("d1") && text.contains("h_j_2026-11-01T023000Z"), "{text}");
        }
        let mut look = |_: usize, _: &Base| Ok::<Seen, ()>(Seen::Sound);
        let first = tonight(None, &["d"], FULL_EVERY, now.parse().unwrap(), &mut look);
        assert_eq!(first, Ok(Tonight::Full(WhyFull::NoBase)));
    }
}
