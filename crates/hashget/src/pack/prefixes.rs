//! Finds where the folders of a package seem to lie in the tree.
//!
//! Invariant: pure except for reading members; equal packages and trees give the same list.

use std::collections::BTreeMap;

use super::claims::Claims;
use super::contents::{Contents, NONE};
use super::members::Members;

use crate::hashdb::HashDbError;
use crate::model::RelPath;
use crate::model::manifest::Prefix;

/// Contents that occur more often than this in a package or a tree do not show where folders lie.
const COMMON: usize = 8;

/// Where the package's folders seem to lie: pairs of prefixes, the best supported first. They are derived
/// from contents that both have and that nothing gives yet.
pub(super) fn prefixes(
    members: &Members<'_>,
    contents: &Contents<'_>,
    claims: &Claims<'_>,
) -> Result<Vec<(Prefix, Prefix)>, HashDbError> {
    let numbers = members.contents();
    let mut holders: Vec<u32> =
        numbers.iter().copied().filter(|&content| content != NONE).collect();
    holders.sort_unstable();
    let holders_of = |content: u32| {
        holders.partition_point(|&one| one <= content)
            - holders.partition_point(|&one| one < content)
    };
    let mut votes = Votes::default();
    // The paths of contents that several members have; there are few of them.
    let mut several: BTreeMap<u32, Vec<RelPath>> = BTreeMap::new();
    members.each(&mut |index, member| {
        let content = numbers[index];
        let names = contents.names(content).filter(|&entry| !claims.is_given(entry));
        let mut vote = |candidates: &[RelPath]| {
            for entry in names.clone() {
                votes.vote(candidates, claims.entries[entry].path.as_bytes());
            }
        };
        // Contents that occur in many places show nothing.
        let count = holders_of(content);
        if count > COMMON || names.clone().nth(COMMON).is_some() {
            return;
        }
        if count == 1 {
            vote(std::slice::from_ref(&member.path));
        } else {
            let candidates = several.entry(content).or_default();
            candidates.push(member.path.clone());
            if candidates.len() == count {
                vote(candidates);
                several.remove(&content);
            }
        }
    })?;
    Ok(votes.counted())
}

/// Votes of contents for where folders lie: pairs of prefixes, with the number of votes.
#[derive(Default)]
struct Votes {
    counts: BTreeMap<Pair, usize>,
    /// Most votes equal the one before: the last pair, and the number of its consecutive votes.
    same: (Pair, usize),
}

/// A prefix in the package and one in the tree.
type Pair = (Box<[u8]>, Box<[u8]>);

impl Votes {
    /// Votes for the one of `candidates` whose path has the most in common with `path`.
    fn vote(&mut self, candidates: &[RelPath], path: &[u8]) {
        let best = candidates
            .iter()
            .map(RelPath::as_bytes)
            .map(|member| (common_rest(member, path), member))
            .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)));
        let Some((rest, member)) = best.filter(|&(rest, _)| rest > 0) else { return };
        let (from, to) = (&member[..member.len() - rest], &path[..path.len() - rest]);
        let ((same_from, same_to), count) = &mut self.same;
        if **same_from == *from && **same_to == *to {
            *count += 1;
        } else {
            let (pair, count) = std::mem::replace(&mut self.same, ((from.into(), to.into()), 1));
            *self.counts.entry(pair).or_default() += count;
        }
    }

    /// The pairs, the best supported first.
    fn counted(mut self) -> Vec<(Prefix, Prefix)> {
        let (pair, count) = self.same;
        *self.counts.entry(pair).or_default() += count;
        self.counts.retain(|_, count| *count > 0);
        let mut pairs: Vec<_> = self.counts.into_iter().collect();
        pairs.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then(a.cmp(b)));
        pairs.into_iter().map(|((from, to), _)| (Prefix(from), Prefix(to))).collect()
    }
}

/// The length of the longest common ending of `member` and `path`, in whole components.
fn common_rest(member: &[u8], path: &[u8]) -> usize {
    let mut best = 0;
    let ends = member.iter().rev().zip(path.iter().rev()).take_while(|(a, b)| a == b).count();
    for length in 1..=ends {
        let start = member.len() - length;
        if start == 0 || member[start - 1] == b'/' {
            best = length;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_are_whole_components_of_the_member() {
        let cases: [(&str, &str, usize); 6] = [
            ("data/usr/bin/vim", "usr/bin/vim", 11),
            ("linux-6.1/a/b", "linux-source-6.1/a/b", 3),
            ("control/md5sums", "var/lib/dpkg/info/vim.md5sums", 7),
            ("a/b", "x/c", 0),
            ("whole", "whole", 5),
            ("xwhole", "whole", 0),
        ];
        for (member, path, rest) in cases {
            assert_eq!(common_rest(member.as_bytes(), path.as_bytes()), rest, "{member} {path}");
        }
    }
}
