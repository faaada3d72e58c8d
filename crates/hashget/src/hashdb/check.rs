//! Checks: is a package still available at a URL?
//!
//! Invariant: plain data. For each digest, URL and depth only the latest check is kept, with the time at which the package was
//! last there. A URL that moves stays one that moves.

use std::fmt;
use std::str::FromStr;

use crate::model::Digest;

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The package that should be there.
    pub sha256: Digest,
    /// The URL that was checked.
    pub url: String,
    /// Was it downloaded and proven? Otherwise only its size was compared.
    pub deep: bool,
    /// When, in seconds since 1970 UTC.
    pub checked_at: i64,
    /// The rest of that time: two checks of one second contradict each other, and the later one counts.
    pub nanoseconds: i32,
    /// The result.
    pub outcome: CheckOutcome,
    /// When the package was last there, by this check or an earlier one, in seconds since 1970 UTC. Whoever keeps checks
    /// fills it in.
    pub seen_at: Option<i64>,
    /// The last bytes of the package in hex digits, if they are known: an answer can be compared with them.
    pub tail: Option<String>,
    /// When the server says that the package was put there (`Last-Modified`), in seconds since 1970 UTC.
    pub published_at: Option<i64>,
}

impl Check {
    /// A check made now.
    pub fn now(sha256: Digest, url: &str, deep: bool, outcome: CheckOutcome) -> Self {
        let now = jiff::Timestamp::now();
        let (checked_at, nanoseconds) = (now.as_second(), now.subsec_nanosecond());
        Self {
            sha256,
            url: url.to_owned(),
            deep,
            checked_at,
            nanoseconds,
            outcome,
            seen_at: (outcome == CheckOutcome::Present).then_some(checked_at),
            tail: None,
            published_at: None,
        }
    }
}

/// The time, in seconds since 1970 UTC.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckOutcome {
    /// It is there, as far as it was checked.
    Present,
    /// It is no longer there.
    Gone,
    /// Something else is there.
    Differs,
    /// The URL gave other bytes before: what it gives changes.
    Moves,
    /// The check gave no usable answer.
    Unreachable,
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Present => "present",
            Self::Gone => "gone",
            Self::Differs => "differs",
            Self::Moves => "moves",
            Self::Unreachable => "unreachable",
        })
    }
}

impl FromStr for CheckOutcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Present, Self::Gone, Self::Differs, Self::Moves, Self::Unreachable]
            .into_iter()
            .find(|outcome| outcome.to_string() == text)
            .ok_or_else(|| format!("\"{}\" is no outcome", crate::model::escaped(text.as_bytes())))
    }
}
