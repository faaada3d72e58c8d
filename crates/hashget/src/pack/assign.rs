//! How entries differ from what their package records, in the fewest words of the manifest.
//!
//! Invariant: pure; following the assignments that come out gives exactly the entries that went in.

use std::collections::{BTreeMap, HashMap};

use crate::model::manifest::{
    Assignment, MtimeAssignment, OneOrMany, Tree, XattrAssignment, xattrs_to_map,
};
use crate::model::{Kind, MemberMetadata, Metadata, Timestamp};

/// One given member and the entry it gives.
pub(super) struct Pair<'a> {
    /// The member's kind.
    pub(super) kind: &'a Kind,
    /// What the package records.
    pub(super) own: &'a MemberMetadata,
    /// What the entry has.
    pub(super) actual: &'a Metadata,
    /// Does this tree decide the entry's metadata? (Not for links, nor folders that an earlier tree
    /// gave.)
    pub(super) decides: bool,
}

impl Pair<'_> {
    /// Must something be said where the package says nothing? For a link nothing is needed; for a
    /// folder it is, even if an earlier tree decides.
    fn lacks<T>(&self, own: Option<T>) -> bool {
        own.is_none() && !matches!(self.kind, Kind::HardLink { .. })
    }
}

/// From this share of exceptions on, in quarters, values for all positions are shorter.
const MOSTLY: usize = 3;

/// Masks that people unpack with.
const UMASKS: [u32; 5] = [0o022, 0o002, 0o027, 0o077, 0o007];

/// Writes the assignments for `pairs`, the given members in order, into `tree`.
pub(super) fn assign(tree: &mut Tree, pairs: &[Pair<'_>]) {
    assign_modes(tree, pairs);
    tree.uid = numbers(pairs, |pair| pair.own.uid, |pair| pair.actual.uid);
    tree.gid = numbers(pairs, |pair| pair.own.gid, |pair| pair.actual.gid);
    tree.mtime = times(pairs);
    tree.xattrs = xattrs(pairs);
}

fn assign_modes(tree: &mut Tree, pairs: &[Pair<'_>]) {
    let has_mode = |pair: &Pair<'_>| pair.decides && !matches!(pair.kind, Kind::Symlink { .. });
    let differing = |umask: u32| {
        pairs
            .iter()
            .filter(|pair| {
                has_mode(pair) && pair.own.mode.map(|mode| mode & !umask) != Some(pair.actual.mode)
            })
            .count()
    };
    let without = differing(0);
    if without > 0 {
        let best = UMASKS.into_iter().min_by_key(|&umask| differing(umask));
        tree.umask = best.filter(|&umask| differing(umask) + 1 < without);
    }
    let umask = tree.umask.unwrap_or(0);
    let modes: Vec<Pair<'_>> =
        pairs.iter().map(|pair| Pair { decides: has_mode(pair), ..*pair }).collect();
    tree.mode =
        numbers(&modes, |pair| pair.own.mode.map(|mode| mode & !umask), |pair| pair.actual.mode);
}

/// Positions as a manifest has them.
fn position(index: usize) -> u32 {
    u32::try_from(index).expect("a package has fewer than 2^32 members")
}

/// A constant for all where that leaves fewer exceptions, then the exceptions.
fn numbers(
    pairs: &[Pair<'_>],
    own: impl Fn(&Pair<'_>) -> Option<u32>,
    actual: impl Fn(&Pair<'_>) -> u32,
) -> Vec<Assignment> {
    let exceptions = |constant: Option<u32>| -> Vec<usize> {
        let wrong = |pair: &Pair<'_>| match constant.or(own(pair)) {
            Some(value) => pair.decides && value != actual(pair),
            None => pair.decides || pair.lacks(own(pair)),
        };
        (0..pairs.len()).filter(|&at| wrong(&pairs[at])).collect()
    };
    let mut assignments = Vec::new();
    let mut rest = exceptions(None);
    if rest.len() > 1 {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for pair in pairs.iter().filter(|pair| pair.decides) {
            *counts.entry(actual(pair)).or_default() += 1;
        }
        let most =
            counts.into_iter().max_by_key(|&(value, count)| (count, std::cmp::Reverse(value)));
        if let Some((value, _)) = most {
            let with = exceptions(Some(value));
            if with.len() < rest.len() {
                assignments.push(Assignment { at: None, is: OneOrMany::One(value) });
                rest = with;
            }
        }
    }
    if rest.is_empty() {
        return assignments;
    }
    let first = actual(&pairs[rest[0]]);
    let same = rest.iter().all(|&at| actual(&pairs[at]) == first);
    if !same && rest.len() * 4 > pairs.len() * MOSTLY {
        return vec![Assignment {
            at: None,
            is: OneOrMany::Many(pairs.iter().map(actual).collect()),
        }];
    }
    let is = if same {
        OneOrMany::One(first)
    } else {
        OneOrMany::Many(rest.iter().map(|&at| actual(&pairs[at])).collect())
    };
    assignments.push(Assignment { at: Some(rest.into_iter().map(position).collect()), is });
    assignments
}

/// How many members make a shift of their own worth writing.
const SHIFT_MEMBERS: usize = 4;

fn times(pairs: &[Pair<'_>]) -> Vec<MtimeAssignment> {
    let shift_of = |pair: &Pair<'_>| {
        let own = pair.own.mtime?;
        let actual = pair.actual.mtime;
        let whole = own.nanoseconds == actual.nanoseconds;
        if whole { actual.seconds.checked_sub(own.seconds) } else { None }
    };
    let counts = |pair: &Pair<'_>| pair.decides || pair.lacks(pair.own.mtime);
    // So it mostly is, and finding it out takes no memory.
    if pairs.iter().all(|pair| !counts(pair) || shift_of(pair) == Some(0)) {
        return Vec::new();
    }
    let deciding: Vec<usize> = (0..pairs.len()).filter(|&at| counts(&pairs[at])).collect();
    let mut by_shift: HashMap<i64, Vec<usize>> = HashMap::new();
    for &at in &deciding {
        if let Some(shift) = shift_of(&pairs[at]) {
            by_shift.entry(shift).or_default().push(at);
        }
    }
    let mut shifts: Vec<(i64, Vec<usize>)> = by_shift.into_iter().collect();
    shifts.sort_by_key(|(shift, members)| (std::cmp::Reverse(members.len()), *shift != 0, *shift));

    let mut assignments = Vec::new();
    let mut done = vec![false; pairs.len()];
    // What needs no word: the shift of the most members, said once for all unless it is 0.
    let base = match shifts.first() {
        Some((shift, members)) if members.len() >= SHIFT_MEMBERS => *shift,
        _ => 0,
    };
    if base != 0 {
        assignments.push(MtimeAssignment { shift: Some(base), ..MtimeAssignment::default() });
    }
    for (shift, members) in shifts {
        if shift == base {
            members.iter().for_each(|&at| done[at] = true);
        } else if members.len() >= SHIFT_MEMBERS {
            members.iter().for_each(|&at| done[at] = true);
            assignments.push(MtimeAssignment {
                at: Some(members.into_iter().map(position).collect()),
                shift: Some(shift),
                ..MtimeAssignment::default()
            });
        }
    }
    let rest: Vec<usize> = deciding.into_iter().filter(|&at| !done[at]).collect();
    if rest.is_empty() {
        return assignments;
    }
    if rest.len() * 4 > pairs.len() * MOSTLY {
        let all = pairs.iter().map(|pair| pair.actual.mtime);
        return vec![columns(None, all)];
    }
    let times = rest.iter().map(|&at| pairs[at].actual.mtime).collect::<Vec<_>>();
    assignments.push(columns(Some(rest.into_iter().map(position).collect()), times.into_iter()));
    assignments
}

fn columns(at: Option<Vec<u32>>, times: impl Iterator<Item = Timestamp>) -> MtimeAssignment {
    let (mut seconds, mut nanoseconds) = (Vec::new(), Vec::new());
    let mut before = 0_i64;
    for time in times {
        seconds.push(time.seconds.wrapping_sub(before));
        nanoseconds.push(time.nanoseconds);
        before = time.seconds;
    }
    let whole = nanoseconds.iter().all(|&value| value == 0);
    MtimeAssignment {
        at,
        shift: None,
        seconds: Some(seconds),
        nanoseconds: (!whole).then_some(nanoseconds),
    }
}

fn xattrs(pairs: &[Pair<'_>]) -> Option<XattrAssignment> {
    let rest: Vec<usize> = (0..pairs.len())
        .filter(|&at| pairs[at].decides && pairs[at].own.xattrs != pairs[at].actual.xattrs)
        .collect();
    (!rest.is_empty()).then(|| XattrAssignment {
        is: rest.iter().map(|&at| xattrs_to_map(&pairs[at].actual.xattrs)).collect(),
        at: Some(rest.into_iter().map(position).collect()),
    })
}
