//! How the metadata of entries differs from that in their package, as short as possible.
//!
//! Invariant: pure; applying the resulting assignments gives exactly the metadata of the entries.

use std::collections::{BTreeMap, HashMap};

use super::claims::Claims;
use super::placement::{Given, Role};

use crate::model::manifest::{
    Assignment, MtimeAssignment, OneOrMany, Placement, XattrAssignment, xattrs_to_map,
};
use crate::model::{Kind, MemberMetadata, Metadata, Timestamp};

/// The metadata that the package has for given members, compactly, since there may be millions.
#[derive(Default)]
pub(super) struct OwnMetadata {
    /// Runs of members with the same metadata: first member, and index in `distinct`; ascending.
    runs: Vec<(u32, u32)>,
    /// Number of members.
    count: usize,
    /// The distinct values, without times.
    distinct: Vec<MemberMetadata>,
    known: BTreeMap<OwnKey, u32>,
    /// Times that differ from those of the entries, by position.
    times: Vec<(u32, Option<Timestamp>)>,
}

/// Mode, owner, group and extended attributes.
type OwnKey = (Option<u32>, Option<u32>, Option<u32>, BTreeMap<Box<[u8]>, Box<[u8]>>);

impl OwnMetadata {
    /// Adds one more member; its entry has the time `actual`.
    pub(super) fn push(&mut self, own: &MemberMetadata, actual: Timestamp) {
        if own.mtime != Some(actual) {
            self.times.push((position(self.count), own.mtime));
        }
        // Most members have the same metadata as the one before.
        let last = self.runs.last().map(|&(_, which)| &self.distinct[which as usize]);
        if last.is_none_or(|last| !same_but_for_times(last, own)) {
            let key = (own.mode, own.uid, own.gid, (*own.xattrs).clone());
            let which = *self.known.entry(key).or_insert_with(|| {
                self.distinct.push(MemberMetadata { mtime: None, ..own.clone() });
                position(self.distinct.len() - 1)
            });
            self.runs.push((position(self.count), which));
        }
        self.count += 1;
    }

    /// The metadata of one member, except the time.
    fn but_for_time(&self, at: usize) -> &MemberMetadata {
        let run = self.runs.partition_point(|&(from, _)| from <= position(at)) - 1;
        &self.distinct[self.runs[run].1 as usize]
    }

    fn mtime(&self, at: usize, actual: Timestamp) -> Option<Timestamp> {
        match self.times.binary_search_by_key(&position(at), |&(position, _)| position) {
            Ok(index) => self.times[index].1,
            Err(_) => Some(actual),
        }
    }
}

fn same_but_for_times(a: &MemberMetadata, b: &MemberMetadata) -> bool {
    (a.mode, a.uid, a.gid) == (b.mode, b.uid, b.gid) && a.xattrs == b.xattrs
}

/// The given members, in order, with the entries they restore.
pub(super) struct Pairs<'a> {
    /// The tree.
    pub(super) claims: &'a Claims<'a>,
    /// The members.
    pub(super) given: &'a [Given],
    /// The metadata of the members in the package.
    pub(super) own: &'a OwnMetadata,
}

/// One given member and the entry it restores.
struct Pair<'a> {
    /// Is the member another name of a file?
    link: bool,
    /// Is it a symbolic link?
    symlink: bool,
    /// The metadata in the package, except the time.
    own: &'a MemberMetadata,
    own_mtime: Option<Timestamp>,
    /// The metadata of the entry.
    actual: &'a Metadata,
    /// Does this placement decide the entry's metadata? (It does not for links, and for folders of an earlier
    /// placement.)
    decides: bool,
}

impl<'a> Pairs<'a> {
    fn len(&self) -> usize {
        self.given.len()
    }

    fn get(&self, at: usize) -> Pair<'a> {
        let Given { entry, role, .. } = self.given[at];
        let file = self.claims.file(entry as usize);
        Pair {
            link: role == Role::Link,
            symlink: matches!(file.kind, Kind::Symlink { .. }),
            own: self.own.but_for_time(at),
            own_mtime: self.own.mtime(at, file.metadata.mtime),
            actual: &file.metadata,
            decides: role == Role::Made,
        }
    }

    fn iter(&self) -> impl Iterator<Item = Pair<'a>> + '_ {
        (0..self.len()).map(|at| self.get(at))
    }
}

impl Pair<'_> {
    /// Must a value be assigned because the package has none? For a link no value is needed; for a folder it
    /// is, even if an earlier placement decides.
    fn lacks<T>(&self, own: Option<T>) -> bool {
        own.is_none() && !self.link
    }

    /// Does this placement decide the entry's mode? Symbolic links have none.
    fn decides_mode(&self) -> bool {
        self.decides && !self.symlink
    }
}

/// If more than this share of the values (in quarters) are exceptions, a list of all values is shorter.
const MOSTLY: usize = 3;

/// Common umasks during unpacking.
const UMASKS: [u32; 5] = [0o022, 0o002, 0o027, 0o077, 0o007];

/// Writes the assignments for `pairs` into `placement`.
pub(super) fn assign(placement: &mut Placement, pairs: &Pairs<'_>) {
    assign_modes(placement, pairs);
    let decides = |pair: &Pair<'_>| pair.decides;
    placement.uid = numbers(pairs, decides, |pair| pair.own.uid, |pair| pair.actual.uid);
    placement.gid = numbers(pairs, decides, |pair| pair.own.gid, |pair| pair.actual.gid);
    placement.mtime = times(pairs);
    placement.xattrs = xattrs(pairs);
}

fn assign_modes(placement: &mut Placement, pairs: &Pairs<'_>) {
    let differing = |umask: u32| {
        let differs = |pair: &Pair<'_>| {
            pair.decides_mode() && pair.own.mode.map(|mode| mode & !umask) != Some(pair.actual.mode)
        };
        pairs.iter().filter(differs).count()
    };
    let without = differing(0);
    if without > 0 {
        let best = UMASKS.into_iter().min_by_key(|&umask| differing(umask));
        placement.umask = best.filter(|&umask| differing(umask) + 1 < without);
    }
    let umask = placement.umask.unwrap_or(0);
    let own = |pair: &Pair<'_>| pair.own.mode.map(|mode| mode & !umask);
    let decides = |pair: &Pair<'_>| pair.decides_mode();
    placement.mode = numbers(pairs, decides, own, |pair| pair.actual.mode);
}

/// A position in the form used by manifests.
fn position(index: usize) -> u32 {
    u32::try_from(index).expect("a package has fewer than 2^32 members")
}

/// A constant for all if that leaves fewer exceptions, followed by the exceptions.
fn numbers(
    pairs: &Pairs<'_>,
    decides: impl Fn(&Pair<'_>) -> bool,
    own: impl Fn(&Pair<'_>) -> Option<u32>,
    actual: impl Fn(&Pair<'_>) -> u32,
) -> Vec<Assignment> {
    let exceptions = |constant: Option<u32>| -> Vec<usize> {
        let wrong = |pair: Pair<'_>| match constant.or(own(&pair)) {
            Some(value) => decides(&pair) && value != actual(&pair),
            None => decides(&pair) || pair.lacks(own(&pair)),
        };
        (0..pairs.len()).filter(|&at| wrong(pairs.get(at))).collect()
    };
    let mut assignments = Vec::new();
    let mut rest = exceptions(None);
    if rest.len() > 1 {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for pair in pairs.iter().filter(|pair| decides(pair)) {
            *counts.entry(actual(&pair)).or_default() += 1;
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
    let first = actual(&pairs.get(rest[0]));
    let same = rest.iter().all(|&at| actual(&pairs.get(at)) == first);
    if !same && rest.len() * 4 > pairs.len() * MOSTLY {
        return vec![Assignment {
            at: None,
            is: OneOrMany::Many(pairs.iter().map(|pair| actual(&pair)).collect()),
        }];
    }
    let is = if same {
        OneOrMany::One(first)
    } else {
        OneOrMany::Many(rest.iter().map(|&at| actual(&pairs.get(at))).collect())
    };
    assignments.push(Assignment { at: Some(rest.into_iter().map(position).collect()), is });
    assignments
}

/// Number of members from which a separate time shift is worth writing.
const SHIFT_MEMBERS: usize = 4;

fn times(pairs: &Pairs<'_>) -> Vec<MtimeAssignment> {
    let shift_of = |pair: &Pair<'_>| {
        let own = pair.own_mtime?;
        let actual = pair.actual.mtime;
        let whole = own.nanoseconds == actual.nanoseconds;
        if whole { actual.seconds.checked_sub(own.seconds) } else { None }
    };
    let counts = |pair: &Pair<'_>| pair.decides || pair.lacks(pair.own_mtime);
    // The usual case, detected without allocating memory.
    if pairs.iter().all(|pair| !counts(&pair) || shift_of(&pair) == Some(0)) {
        return Vec::new();
    }
    let deciding: Vec<usize> = (0..pairs.len()).filter(|&at| counts(&pairs.get(at))).collect();
    let mut by_shift: HashMap<i64, Vec<usize>> = HashMap::new();
    for &at in &deciding {
        if let Some(shift) = shift_of(&pairs.get(at)) {
            by_shift.entry(shift).or_default().push(at);
        }
    }
    let mut shifts: Vec<(i64, Vec<usize>)> = by_shift.into_iter().collect();
    shifts.sort_by_key(|(shift, members)| (std::cmp::Reverse(members.len()), *shift != 0, *shift));

    let mut assignments = Vec::new();
    let mut done = vec![false; pairs.len()];
    // The most frequent shift is assigned once for all, unless it is 0.
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
    let times = rest.iter().map(|&at| pairs.get(at).actual.mtime).collect::<Vec<_>>();
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

fn xattrs(pairs: &Pairs<'_>) -> Option<XattrAssignment> {
    let rest: Vec<usize> = (0..pairs.len())
        .filter(|&at| {
            let pair = pairs.get(at);
            pair.decides && pair.own.xattrs != pair.actual.xattrs
        })
        .collect();
    (!rest.is_empty()).then(|| XattrAssignment {
        is: rest.iter().map(|&at| xattrs_to_map(&pairs.get(at).actual.xattrs)).collect(),
        at: Some(rest.into_iter().map(position).collect()),
    })
}
