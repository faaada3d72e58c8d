//! How much: files and their bytes.
//!
//! Invariant: sums never overflow; they stop at the largest number.

/// A number of files and their size in bytes (each hard-link group counts once).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Regular files, each name counted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, one| Self {
            files: sum.files.saturating_add(one.files),
            bytes: sum.bytes.saturating_add(one.bytes),
        })
    }
}
