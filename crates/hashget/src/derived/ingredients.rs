//! What a recipe reads, and what it makes.
//!
//! Invariant: what is made never has more bytes than it is allowed to have, whatever goes in.

use super::Failure;
use crate::model::{Digest, Kind, Member, RelPath};

/// Bytes of a derived file: it is made in memory.
const MOST_MADE_BYTES: u64 = 256 << 20;

/// A member, as far as recipes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ingredient {
    /// Where it lies in the package.
    pub(crate) path: RelPath,
    /// What it is.
    pub(crate) kind: Kind,
    /// The digest of a regular file, where it is wanted.
    pub(crate) sha256: Option<Digest>,
}

impl From<&Member> for Ingredient {
    fn from(member: &Member) -> Self {
        let Member { path, kind, sha256, .. } = member.clone();
        Self { path, kind, sha256 }
    }
}

/// What a recipe reads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ingredients<'i> {
    /// The members that it wants, in the package's own order; of a package that was read, there may be others among them.
    pub(crate) members: &'i [Ingredient],
    /// The contents of the member that it is made from.
    pub(crate) contents: Option<&'i [u8]>,
}

/// What a recipe makes.
#[derive(Debug)]
pub(crate) struct Made {
    bytes: Vec<u8>,
    most: u64,
}

impl Made {
    /// Nothing yet, and never more than `most` bytes, nor more than [`MOST_MADE_BYTES`].
    pub(crate) fn new(most: u64) -> Self {
        Self { bytes: Vec::new(), most: most.min(MOST_MADE_BYTES) }
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// These are too many.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let room = self.most.saturating_sub(self.bytes.len() as u64);
        if bytes.len() as u64 > room {
            return Err(Failure::TooMuch { limit: self.most });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// All that was made.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, whoever needs them from now on.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_comes_out_than_is_allowed() {
        let mut made = Made::new(5);
        assert!(made.push(b"abc").is_ok() && made.push(b"de").is_ok());
        assert!(made.push(b"").is_ok());
        let error = made.push(b"f").unwrap_err();
        assert!(error.to_string().contains("more than the expected 5 bytes"), "{error}");
        assert_eq!(made.bytes(), b"abcde");
        assert_eq!(Made::new(u64::MAX).most, MOST_MADE_BYTES);
    }
}
