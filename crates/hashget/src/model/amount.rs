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

impl Amount {
    /// Adds so many files with so many bytes.
    pub fn add(&mut self, files: u64, bytes: u64) {
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The sum of sizes. Sizes of sparse files, and what an archive says, may add up to more than a number holds.
pub fn total_bytes(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// Adds a size to a sum, as [`total_bytes`] does.
pub fn add_bytes(sum: &mut u64, size: u64) {
    *sum = sum.saturating_add(size);
}

impl std::iter::Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, one| Self {
            files: sum.files.saturating_add(one.files),
            bytes: sum.bytes.saturating_add(one.bytes),
        })
    }
}
