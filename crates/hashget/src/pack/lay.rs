//! Laying a package down: which of its folders lie where in the tree, and what differs there.
//!
//! Invariant: pure; laying proposes and [`super::plan`] decides. A proposed tree gives only entries that
//! are exactly the member's type, contents, target and links, and that no other tree gives.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::assign::{Pair, assign};
use super::plan::{Claims, Members};
use crate::model::manifest::{DigestColumn, Prefix, Tree};
use crate::model::{Digest, Entry, Kind, Member};
use crate::tree::Finder;

/// A tree of the manifest that could be, with the entries it gives.
pub(super) struct Proposal {
    /// What the manifest would say.
    pub(super) tree: Tree,
    /// What it gives, in the order of positions.
    pub(super) given: Vec<Given>,
}

/// A member that a proposal gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    /// Index of the member in its package.
    pub(super) member: usize,
    /// Index of the entry in the tree.
    pub(super) entry: usize,
    /// How the entry comes about.
    pub(super) role: Role,
}

/// How a given entry comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// This tree makes it, with its metadata.
    Made,
    /// A further name of a file that this tree makes.
    Link,
    /// A folder that an earlier tree makes.
    Again,
}

/// What a listed file, a folder or link, an exception and a tree cost in a compressed manifest; bytes,
/// roughly, as measured on real trees.
const FILE_COST: usize = 35;
const OTHER_COST: usize = 20;
const EXCEPTION_COST: usize = 12;
const TREE_COST: usize = 60;

/// Contents that stand in a package or a tree this often say nothing about where folders lie.
const COMMON: usize = 8;

/// Where the package's folders seem to lie: pairs of prefixes, the best supported first. `matches` are
/// contents that both have, each with the members and the entries that have it.
pub(super) fn prefixes<'a>(
    entries: &'a [Entry],
    members: &'a [Member],
    matches: impl Iterator<Item = (&'a [(u32, u32)], impl Iterator<Item = usize> + Clone)>,
) -> Vec<(Prefix, Prefix)> {
    let mut votes: BTreeMap<(&[u8], &[u8]), usize> = BTreeMap::new();
    // Most matches vote as the one before did.
    let (mut same, mut count) = ((&[][..], &[][..]), 0);
    for (candidates, names) in matches {
        if candidates.len() > COMMON || names.clone().nth(COMMON).is_some() {
            continue;
        }
        for entry in names {
            let path = entries[entry].path.as_bytes();
            let best = candidates
                .iter()
                .map(|&(_, member)| members[member as usize].path.as_bytes())
                .map(|member| (common_rest(member, path), member))
                .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1)));
            if let Some((rest, member)) = best
                && rest > 0
            {
                let pair = (&member[..member.len() - rest], &path[..path.len() - rest]);
                if pair != same {
                    *votes.entry(same).or_default() += count;
                    (same, count) = (pair, 0);
                }
                count += 1;
            }
        }
    }
    *votes.entry(same).or_default() += count;
    votes.retain(|_, votes| *votes > 0);
    let mut pairs: Vec<_> = votes.into_iter().collect();
    pairs.sort_by(|(a, a_votes), (b, b_votes)| b_votes.cmp(a_votes).then(a.cmp(b)));
    pairs.into_iter().map(|((from, to), _)| (Prefix(from.into()), Prefix(to.into()))).collect()
}

/// The length of the longest end of `member`, in whole components, that `path` ends with too.
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

/// Lays the members under `from` down at `to`.
pub(super) fn lay(
    from: &Prefix,
    to: &Prefix,
    entries: &[Entry],
    package: &Members,
    claims: &Claims,
) -> Proposal {
    let members = &package.members;
    let mut laying = Laying {
        entries,
        claims,
        from,
        to,
        finder: Finder::new(entries),
        path: Vec::new(),
        heads: HashMap::new(),
    };
    let (mut given, mut excepted) = (Vec::new(), Vec::new());
    for (index, member) in members.iter().enumerate() {
        let Some(rest) = from.rest_of(&member.path) else { continue };
        // Which of several members of one path counts depends on the reader, so none is given.
        let role = if package.occurs_twice(index) { None } else { laying.role(member, rest) };
        match role {
            Some((entry, role)) => given.push(Given { member: index, entry, role }),
            None => excepted.push(rest),
        }
    }
    let mut tree = Tree { from: from.clone(), to: to.clone(), ..Tree::default() };
    let given_rests =
        given.iter().map(|given| &members[given.member].path.as_bytes()[from.0.len()..]);
    tree.except = exceptions(given_rests, excepted);
    let pairs: Vec<Pair<'_>> = given
        .iter()
        .map(|given| Pair {
            kind: &members[given.member].kind,
            own: &members[given.member].metadata,
            actual: &claims.file(entries, given.entry).metadata,
            decides: given.role == Role::Made,
        })
        .collect();
    assign(&mut tree, &pairs);
    Proposal { tree, given }
}

/// The shortest list that excepts every rest of `excepted` and none of `given`: whole folders where
/// nothing in them is given.
fn exceptions<'a>(given: impl Iterator<Item = &'a [u8]>, excepted: Vec<&'a [u8]>) -> Vec<Prefix> {
    if excepted.is_empty() {
        return Vec::new();
    }
    let mut needed: HashSet<&[u8]> = HashSet::new();
    for rest in given {
        needed.insert(rest);
        // Folders are marked from the inside out; once one is marked, so are all above it.
        for at in (0..rest.len()).rev().filter(|&at| rest[at] == b'/') {
            if !needed.insert(&rest[..at]) {
                break;
            }
        }
    }
    let mut except: Vec<Prefix> = excepted
        .into_iter()
        .map(|rest| {
            (0..rest.len())
                .filter(|&at| rest[at] == b'/')
                .find(|&at| !needed.contains(&rest[..at]))
                .map_or(rest, |at| &rest[..=at])
        })
        .map(|rest| Prefix(rest.into()))
        .collect();
    except.sort_unstable();
    except.dedup();
    // A folder with all below it needs no word of its own.
    let whole: HashSet<Box<[u8]>> =
        except.iter().filter_map(|one| one.0.strip_suffix(b"/")).map(Into::into).collect();
    except.retain(|one| !whole.contains(&one.0));
    except
}

struct Laying<'a> {
    entries: &'a [Entry],
    claims: &'a Claims,
    from: &'a Prefix,
    to: &'a Prefix,
    finder: Finder<'a>,
    /// The path that is looked for: one vector for all.
    path: Vec<u8>,
    /// First names of hard-link groups of which this tree makes the file, and the name it makes.
    heads: HashMap<usize, usize>,
}

impl Laying<'_> {
    /// The entry where a member with this rest lies.
    fn entry(&mut self, rest: &[u8]) -> Option<usize> {
        self.path.clear();
        self.path.extend_from_slice(&self.to.0);
        self.path.extend_from_slice(rest);
        self.finder.find(&self.path)
    }

    /// How the tree gives this member, if it can.
    fn role(&mut self, member: &Member, rest: &[u8]) -> Option<(usize, Role)> {
        let index = self.entry(rest)?;
        let first = self.claims.first_name(index);
        if !self.claims.may_leave_out(first) {
            return None;
        }
        let file = &self.entries[first];
        if file.kind == Kind::Directory {
            let same = member.kind == Kind::Directory;
            let role = if self.claims.is_given(index) { Role::Again } else { Role::Made };
            return same.then_some((index, role));
        }
        if self.claims.is_given(index) {
            return None;
        }
        if let Kind::HardLink { target } = &member.kind {
            let target = self.entry(self.from.rest_of(target)?)?;
            let linked = self.heads.get(&first) == Some(&target);
            return linked.then_some((index, Role::Link));
        }
        let same = match &member.kind {
            Kind::File { .. } => {
                matches!(file.kind, Kind::File { .. })
                    && member.sha256.is_some()
                    && member.sha256 == file.sha256
            }
            kind => *kind == file.kind,
        };
        // A group of hard links has one file; its other names are links to it.
        if !same {
            return None;
        }
        if self.claims.has_links(first) {
            if self.claims.head(first).is_some() || self.heads.contains_key(&first) {
                return None;
            }
            self.heads.insert(first, index);
        }
        Some((index, Role::Made))
    }
}

impl Proposal {
    /// Is it shorter than listing what it gives?
    pub(super) fn is_worth(&self, entries: &[Entry]) -> bool {
        let saved: usize = self
            .given
            .iter()
            .filter(|given| given.role != Role::Again)
            .map(|given| match entries[given.entry].kind {
                Kind::File { .. } => FILE_COST,
                _ => OTHER_COST,
            })
            .sum();
        saved > TREE_COST + EXCEPTION_COST * self.tree.except.len()
    }

    /// Adds the digests of those files that `keep` wants.
    pub(super) fn keep_digests(
        &mut self,
        entries: &[Entry],
        members: &[Member],
        keep: impl Fn(u64) -> bool,
    ) {
        let mut column = DigestColumn { at: Vec::new(), is: Vec::<Digest>::new() };
        for (at, given) in self.given.iter().enumerate() {
            let member = &members[given.member];
            if let (Kind::File { size }, Some(sha256)) = (&member.kind, member.sha256)
                && keep(*size)
                && entries[given.entry].kind != Kind::Directory
            {
                column.at.push(u32::try_from(at).expect("a package has fewer than 2^32 members"));
                column.is.push(sha256);
            }
        }
        self.tree.sha256 = (!column.at.is_empty()).then_some(column);
    }
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

    #[test]
    fn whole_folders_are_excepted_where_nothing_in_them_is_given() {
        let except = |given: &[&'static str], excepted: &[&'static str]| -> Vec<String> {
            let list = excepted.iter().map(|rest| rest.as_bytes()).collect();
            exceptions(given.iter().map(|rest| rest.as_bytes()), list)
                .into_iter()
                .map(|prefix| String::from_utf8_lossy(&prefix.0).into_owned())
                .collect()
        };
        assert_eq!(except(&["a/x"], &["a/y", "b/c/d", "b/e"]), ["a/y", "b/"]);
        assert_eq!(except(&["a"], &["a/y"]), ["a/y"]);
        assert_eq!(except(&["z"], &["a", "a/y"]), ["a/"]);
        assert_eq!(except(&["a/b/c"], &["a/b/d/e"]), ["a/b/d/"]);
        assert_eq!(except(&["a"], &[]), [""; 0]);
    }
}
