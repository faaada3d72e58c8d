//! How a file is cut into parts.
//!
//! Invariant: the same file is always cut in the same way, so that an upload that broke off can go on; never into more than
//! 10,000 parts.

/// The most parts that an upload may have.
const MOST: u64 = 10_000;

/// What sizes of parts are multiples of.
const STEP: u64 = 1 << 20;

/// The parts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    total: u64,
    part: u64,
}

impl Cut {
    /// A file of `total` bytes, in parts of `least` bytes, or of more if they would be too many.
    pub(super) fn new(total: u64, least: u64) -> Self {
        let least = least.max(1);
        let is_enough = total.div_ceil(least) <= MOST;
        let part = if is_enough { least } else { total.div_ceil(MOST).next_multiple_of(STEP) };
        Self { total, part }
    }

    /// How many parts there are.
    pub(super) fn count(self) -> usize {
        usize::try_from(self.total.div_ceil(self.part)).unwrap_or(usize::MAX)
    }

    /// The first byte and the size of the part of this number, which begins with 1.
    pub(super) fn part(self, number: usize) -> (u64, u64) {
        let first = (number as u64).saturating_sub(1).saturating_mul(self.part).min(self.total);
        (first, self.part.min(self.total - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_file_and_are_never_too_many() {
        let least = 16 << 20;
        for total in [1, least - 1, least, least + 1, MOST * least, MOST * least + 1, 5 << 40] {
            let cut = Cut::new(total, least);
            assert!(cut.count() as u64 <= MOST, "{total}");
            let mut position = 0;
            for number in 1..=cut.count() {
                let (first, bytes) = cut.part(number);
                assert!(
                    first == position && bytes > 0 && (bytes >= least || first + bytes == total)
                );
                position += bytes;
            }
            assert_eq!(position, total);
            assert_eq!(cut.part(cut.count() + 1).1, 0);
        }
        assert_eq!(Cut::new(100 << 20, least).count(), 7);
    }
}
