//! What becomes of each entry of a tree, and why.
//!
//! Invariant: every entry has exactly one verdict, from the first step on; a step that decides otherwise
//! replaces it immediately. It takes four bytes for each entry, since planning is bound by cache misses.

/// What becomes of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A package gives it back.
    Given {
        /// The index of the package in the manifest; while the plan is made, its index among the chosen
        /// packages.
        package: usize,
    },
    /// It is a further name of another entry.
    Link {
        /// The index of that entry, which is not a link itself.
        to: usize,
    },
    /// The archive holds it.
    Archived(Reason),
}

/// Why the archive holds an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is at, or below, a path that archives use for themselves: that of the manifest, or of the restorer.
    OwnManifest,
    /// The user wants it archived (`--skip`).
    Skipped,
    /// It is smaller than the files that the user wants looked up (`--min-size`).
    TooSmall,
    /// It has holes, which packages do not give back.
    Holes,
    /// Its name cannot be expressed in the exclude list of another tool.
    Inexpressible,
    /// It is empty: archiving it is shorter than recording where it comes from.
    Empty,
    /// It is not a regular file: it is left out only if a package has the same entry at the same place.
    NoFile,
    /// No package in the HashDB has it.
    Unknown,
    /// Packages have it, but with weaker evidence than the user wants.
    WeakEvidence,
    /// Packages have it, but may become unavailable before the day until which the backup must last.
    Expired,
    /// Packages have it, but it is not certain that their URLs give them.
    PlaceNotProven,
    /// Packages have it, but downloading them costs more than they save.
    NotWorth,
    /// Its package has several members with its path: it depends on the reader which one counts.
    DuplicatePath,
    /// Version 1 of the manifest cannot represent it.
    VersionOne,
}

/// Every reason, in the order of their numbers.
const REASONS: [Reason; 14] = [
    Reason::OwnManifest,
    Reason::Skipped,
    Reason::TooSmall,
    Reason::Holes,
    Reason::Inexpressible,
    Reason::Empty,
    Reason::NoFile,
    Reason::Unknown,
    Reason::WeakEvidence,
    Reason::Expired,
    Reason::PlaceNotProven,
    Reason::NotWorth,
    Reason::DuplicatePath,
    Reason::VersionOne,
];

impl Reason {
    /// Does the reason hold whatever packages exist? Then the entry is not looked up.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::OwnManifest
            | Self::Skipped
            | Self::TooSmall
            | Self::Holes
            | Self::Inexpressible => true,
            Self::Empty
            | Self::NoFile
            | Self::Unknown
            | Self::WeakEvidence
            | Self::Expired
            | Self::PlaceNotProven
            | Self::NotWorth
            | Self::DuplicatePath
            | Self::VersionOne => false,
        }
    }

    /// Does some package in the HashDB have the contents, even though the entry is archived?
    pub fn is_known(self) -> bool {
        match self {
            Self::WeakEvidence
            | Self::Expired
            | Self::PlaceNotProven
            | Self::NotWorth
            | Self::DuplicatePath
            | Self::VersionOne => true,
            Self::OwnManifest
            | Self::Skipped
            | Self::TooSmall
            | Self::Holes
            | Self::Inexpressible
            | Self::Empty
            | Self::NoFile
            | Self::Unknown => false,
        }
    }
}

/// The verdicts on all entries of a tree, by index.
#[derive(Debug, Clone)]
pub(super) struct Verdicts(Vec<u32>);

/// The two highest bits are the kind of verdict, the others its value.
const GIVEN: u32 = 0;
const LINK: u32 = 1 << 30;
const ARCHIVED: u32 = 2 << 30;
const TAG: u32 = 3 << 30;

fn packed(verdict: Verdict) -> u32 {
    let carried = |index: usize| {
        let index = u32::try_from(index).ok().filter(|index| index & TAG == 0);
        index.expect("a tree has fewer than 2^30 entries and packages")
    };
    match verdict {
        Verdict::Given { package } => GIVEN | carried(package),
        Verdict::Link { to } => LINK | carried(to),
        Verdict::Archived(reason) => ARCHIVED | reason as u32,
    }
}

fn unpacked(verdict: u32) -> Verdict {
    let carried = (verdict & !TAG) as usize;
    match verdict & TAG {
        GIVEN => Verdict::Given { package: carried },
        LINK => Verdict::Link { to: carried },
        _ => Verdict::Archived(REASONS[carried]),
    }
}

impl FromIterator<Verdict> for Verdicts {
    fn from_iter<I: IntoIterator<Item = Verdict>>(verdicts: I) -> Self {
        Self(verdicts.into_iter().map(packed).collect())
    }
}

impl Verdicts {
    pub(super) fn get(&self, entry: usize) -> Verdict {
        unpacked(self.0[entry])
    }

    pub(super) fn set(&mut self, entry: usize, verdict: Verdict) {
        self.0[entry] = packed(verdict);
    }

    /// Changes the reason for archiving an entry, if it is archived and its reason is not final.
    pub(super) fn set_reason(&mut self, entry: usize, reason: Reason) {
        if let Verdict::Archived(before) = self.get(entry)
            && !before.is_final()
        {
            self.set(entry, Verdict::Archived(reason));
        }
    }

    /// Gives the packages other indices.
    pub(super) fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        for entry in 0..self.0.len() {
            if let Verdict::Given { package } = self.get(entry) {
                self.set(entry, Verdict::Given { package: number(package) });
            }
        }
    }

    pub(super) fn is_given(&self, entry: usize) -> bool {
        self.0[entry] & TAG == GIVEN
    }

    pub(super) fn is_archived(&self, entry: usize) -> bool {
        self.0[entry] & TAG == ARCHIVED
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Verdict> + '_ {
        self.0.iter().copied().map(unpacked)
    }

    /// For each entry, whether it is archived.
    pub(super) fn archived(&self) -> Vec<bool> {
        self.0.iter().map(|verdict| verdict & TAG == ARCHIVED).collect()
    }

    /// Keeps the verdicts on the entries for which `keep` is true. No remaining entry is a link to a dropped
    /// one.
    pub(super) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        let mut kept = 0;
        let positions: Vec<usize> = (0..self.0.len())
            .map(|entry| {
                kept += usize::from(keep(entry));
                kept.saturating_sub(1)
            })
            .collect();
        let moved = |verdict| match verdict {
            Verdict::Link { to } => Verdict::Link { to: positions[to] },
            Verdict::Given { .. } | Verdict::Archived(_) => verdict,
        };
        let entries = (0..self.0.len()).filter(|&entry| keep(entry));
        *self = entries.map(|entry| moved(self.get(entry))).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_back_as_it_was_put() {
        let archived = REASONS.map(Verdict::Archived);
        let others = [0, 7, (1 << 30) - 1]
            .map(|index| [Verdict::Given { package: index }, Verdict::Link { to: index }]);
        let all: Vec<Verdict> = archived.into_iter().chain(others.into_iter().flatten()).collect();
        let verdicts: Verdicts = all.iter().copied().collect();
        assert!(verdicts.iter().eq(all.iter().copied()));
        for (index, verdict) in all.iter().enumerate() {
            let (given, archived) = (verdicts.is_given(index), verdicts.is_archived(index));
            assert_eq!(given, matches!(verdict, Verdict::Given { .. }));
            assert_eq!(archived, matches!(verdict, Verdict::Archived(_)));
        }
    }

    #[test]
    fn links_follow_their_files_when_others_go() {
        let archived = Verdict::Archived(Reason::Unknown);
        let all = [archived, archived, Verdict::Link { to: 1 }, Verdict::Given { package: 9 }];
        let mut verdicts: Verdicts = all.into_iter().collect();
        verdicts.retain(|entry| entry != 0);
        let left: Vec<Verdict> = verdicts.iter().collect();
        assert_eq!(left, [archived, Verdict::Link { to: 0 }, Verdict::Given { package: 9 }]);
    }

    #[test]
    fn reasons_that_hold_whatever_packages_have_are_not_replaced() {
        let reasons = [Reason::Skipped, Reason::Unknown].map(Verdict::Archived);
        let mut verdicts: Verdicts = reasons.into_iter().collect();
        (0..2).for_each(|entry| verdicts.set_reason(entry, Reason::Expired));
        assert_eq!(verdicts.get(0), Verdict::Archived(Reason::Skipped));
        assert_eq!(verdicts.get(1), Verdict::Archived(Reason::Expired));
    }
}
