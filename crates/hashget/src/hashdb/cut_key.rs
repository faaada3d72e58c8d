//! Cut keys: the beginnings of digests, which are asked for where whole ones would be too long.
//!
//! Invariant: a cut key is the first 48 bits of a SHA-256, written as 12 hex digits.

use std::fmt;
use std::str::FromStr;

use super::rows::PREFIX;
use crate::model::Digest;

/// Bytes of a cut key.
const BYTES: usize = 6;

/// The first 48 bits of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CutKey([u8; BYTES]);

impl CutKey {
    /// The key of a look-up key, which is longer.
    pub(super) fn of_prefix(prefix: [u8; PREFIX]) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&prefix[..BYTES]);
        Self(bytes)
    }

    /// Its 48 bits as a number.
    pub(super) fn to_bits(self) -> u64 {
        self.0.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }
}

impl From<&Digest> for CutKey {
    fn from(digest: &Digest) -> Self {
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&digest.as_bytes()[..BYTES]);
        Self(bytes)
    }
}

impl fmt::Display for CutKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for CutKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| {
            let text = crate::model::escaped(text.as_bytes());
            format!("\"{text}\" is not a cut key: expected 12 hex digits")
        })?;
        Ok(Self(bytes))
    }
}
