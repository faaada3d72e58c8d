//! What becomes of something that is in the target already. Pure.
//!
//! Invariant: without a rule, and by every rule but [`Overwrite::Never`] and [`Overwrite::Older`], the tree is in the end as it was
//! packed.

use crate::model::Timestamp;

/// Which existing files, links and other entries that are no folders are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// All of them, without a look at what they hold.
    Always,
    /// Those whose contents or metadata are not those of the archive.
    Changed,
    /// Those that were modified before the archive's.
    Older,
    /// None.
    Never,
}

impl Overwrite {
    /// Does something that was modified at `existing` stay as it is, where the archive has something that was modified at
    /// `archived`?
    pub(super) fn leaves(self, existing: Timestamp, archived: Timestamp) -> bool {
        match self {
            Self::Always | Self::Changed => false,
            Self::Older => existing >= archived,
            Self::Never => true,
        }
    }

    /// May it stay at all?
    pub(super) fn leaves_any(self) -> bool {
        matches!(self, Self::Older | Self::Never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_never_and_older_leave_anything() {
        let at = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        for (rule, older, same, newer) in [
            (Overwrite::Always, false, false, false),
            (Overwrite::Changed, false, false, false),
            (Overwrite::Older, false, true, true),
            (Overwrite::Never, true, true, true),
        ] {
            let archived = at(7, 5);
            let found =
                [at(7, 4), archived, at(7, 6)].map(|existing| rule.leaves(existing, archived));
            assert_eq!(found, [older, same, newer], "{rule:?}");
            assert_eq!(found.contains(&true), rule.leaves_any(), "{rule:?}");
        }
    }
}
