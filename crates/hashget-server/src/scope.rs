//! What a request may do.
//!
//! Invariant: each scope includes the ones before it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a token, or a request without one, may do. Greater includes smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask for what is known.
    Read,
    /// Submit URLs, and put packages into the pool.
    Submit,
    /// See the metrics.
    Admin,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Read, Self::Submit, Self::Admin]
            .into_iter()
            .find(|scope| scope.to_string() == text)
            .ok_or_else(|| format!("\"{text}\": expected read, submit or admin"))
    }
}
