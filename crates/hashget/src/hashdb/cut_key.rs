//! Cut keys: the beginnings of digests, which are asked for where whole ones would be too long.
//!
//! Invariant: a cut key is the first 48 bits of a SHA-256, written as 12 hex digits.

use std::fmt;
use std::str::FromStr;

use crate::model::Digest;

/// Bytes of a cut key.
const BYTES: usize = 6;
/// Bytes of the look-up keys that it is the beginning of.
const WHOLE: usize = 16;

/// The first 48 bits of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CutKey([u8; BYTES]);

impl CutKey {
    /// The first and the last look-up key that begin so.
    pub(super) fn bounds(self) -> ([u8; WHOLE], [u8; WHOLE]) {
        let (mut first, mut last) = ([0; WHOLE], [u8::MAX; WHOLE]);
        first[..BYTES].copy_from_slice(&self.0);
        last[..BYTES].copy_from_slice(&self.0);
        (first, last)
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
