//! What came of asking a URL whether a package is still there.
//!
//! Invariant: plain data; the newest check of a digest at a URL counts, one for each depth.

use std::fmt;
use std::str::FromStr;

use crate::model::Digest;

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The package that is wanted there.
    pub sha256: Digest,
    /// Where it was asked for.
    pub url: String,
    /// Was it downloaded and proven? Else only its size was asked for.
    pub deep: bool,
    /// When, in seconds since 1970 UTC.
    pub checked_at: i64,
    /// The answer.
    pub outcome: CheckOutcome,
}

/// What a URL answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckOutcome {
    /// It is there, as far as was looked.
    Present,
    /// It is not there any more.
    Gone,
    /// Something else is there.
    Differs,
    /// There was no answer that says anything.
    Unreachable,
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Present => "present",
            Self::Gone => "gone",
            Self::Differs => "differs",
            Self::Unreachable => "unreachable",
        })
    }
}

impl FromStr for CheckOutcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Present, Self::Gone, Self::Differs, Self::Unreachable]
            .into_iter()
            .find(|outcome| outcome.to_string() == text)
            .ok_or_else(|| format!("\"{}\" is no outcome", crate::model::escaped(text.as_bytes())))
    }
}
