//! Proposes placements of a package: which of its folders lie where in the tree, and what differs there.
//!
//! Invariant: pure; this file proposes and [`super::plan`] decides. A proposed placement gives only entries
//! that have exactly the member's type, contents, target and links, and that no other placement gives.

use std::collections::{HashMap, HashSet};

use super::assign::{OwnMetadata, Pairs, assign};
use super::claims::Claims;
use super::members::Members;
use crate::hashdb::HashDbError;
use crate::model::manifest::{DigestColumn, Placement, Prefix};
use crate::model::{Digest, Entry, Kind, Member};
use crate::tree::Finder;

/// A placement that the manifest could contain, with the entries it gives.
pub(super) struct Proposal {
    /// The placement as in the manifest.
    pub(super) placement: Placement,
    /// What it gives, in the order of positions.
    pub(super) given: Vec<Given>,
}

/// A member that a proposal gives. There may be millions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    /// Index of the member in its package.
    pub(super) member: u32,
    /// Index of the entry in the tree.
    pub(super) entry: u32,
    /// How the entry is restored.
    pub(super) role: Role,
}

/// How a given entry is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// This placement creates it, with its metadata.
    Made,
    /// A further name of a file that this placement creates.
    Link,
    /// A folder that an earlier placement creates.
    Again,
}

/// Cost of a listed file, a folder or link, an exception and a placement in a compressed manifest, in bytes;
/// approximate, as measured on real trees.
const FILE_COST: usize = 35;
const OTHER_COST: usize = 20;
const EXCEPTION_COST: usize = 12;
const PLACEMENT_COST: usize = 60;

/// The placement of the members under `from` at `to`.
pub(super) fn propose(
    from: &Prefix,
    to: &Prefix,
    members: &Members<'_>,
    claims: &Claims<'_>,
) -> Result<Proposal, HashDbError> {
    let entries = claims.entries;
    let mut proposing = Proposing {
        claims,
        from,
        to,
        finder: entries.finder(),
        path: Vec::new(),
        heads: HashMap::new(),
    };
    let (mut given, mut own, mut any_excepted) = (Vec::new(), OwnMetadata::default(), false);
    members.each(&mut |index, member| {
        let Some(rest) = from.rest_of(&member.path) else { return };
        // If several members have the same path, it depends on the reader which one counts, so none of them
        // is given.
        let role =
            if members.is_duplicate_path(index) { None } else { proposing.role(member, rest) };
        match role {
            Some((entry, role)) => {
                let actual = &claims.file(entry).metadata;
                own.push(&member.metadata, actual.mtime);
                given.push(Given { member: compact(index), entry: compact(entry), role });
            }
            None => any_excepted = true,
        }
    })?;
    let mut placement = Placement { from: from.clone(), to: to.clone(), ..Placement::default() };
    if any_excepted {
        placement.except = exceptions(&placement, entries, members, &given)?;
    }
    assign(&mut placement, &Pairs { claims, given: &given, own: &own });
    Ok(Proposal { placement, given })
}

/// Converts an index to four bytes.
fn compact(index: usize) -> u32 {
    u32::try_from(index).expect("a tree or package has fewer than 2^32 entries")
}

/// The shortest list of exceptions for everything that `placement` does not give: a whole folder if nothing
/// in it is given.
fn exceptions(
    placement: &Placement,
    entries: &[Entry],
    members: &Members<'_>,
    given: &[Given],
) -> Result<Vec<Prefix>, HashDbError> {
    let rests = given.iter().map(|given| {
        // The entry's path is `to` and this rest.
        &entries[given.entry as usize].path.as_bytes()[placement.to.0.len()..]
    });
    let mut exceptions = Exceptions::new(rests);
    let mut given = given.iter().peekable();
    members.each(&mut |index, member| {
        if given.next_if(|given| given.member as usize == index).is_none()
            && let Some(rest) = placement.from.rest_of(&member.path)
        {
            exceptions.except(rest);
        }
    })?;
    Ok(exceptions.finish())
}

/// Collects the exceptions of a placement.
struct Exceptions<'a> {
    /// What is given, and all folders above it.
    needed: HashSet<&'a [u8]>,
    except: Vec<Prefix>,
}

impl<'a> Exceptions<'a> {
    fn new(given: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut needed: HashSet<&[u8]> = HashSet::new();
        for rest in given {
            needed.insert(rest);
            // Folders are marked from the inside out; if one is marked already, so are all above it.
            for at in (0..rest.len()).rev().filter(|&at| rest[at] == b'/') {
                if !needed.insert(&rest[..at]) {
                    break;
                }
            }
        }
        Self { needed, except: Vec::new() }
    }

    /// Adds `rest`, or the outermost folder above it in which nothing is given.
    fn except(&mut self, rest: &[u8]) {
        let shortest = (0..rest.len())
            .filter(|&at| rest[at] == b'/')
            .find(|&at| !self.needed.contains(&rest[..at]))
            .map_or(rest, |at| &rest[..=at]);
        // Members of one folder usually follow one another.
        if self.except.last().is_none_or(|last| *last.0 != *shortest) {
            self.except.push(Prefix(shortest.into()));
        }
    }

    /// All exceptions, each once.
    fn finish(self) -> Vec<Prefix> {
        let mut except = self.except;
        except.sort_unstable();
        except.dedup();
        // A folder that is excepted with everything below it is not listed a second time.
        let whole: HashSet<Box<[u8]>> =
            except.iter().filter_map(|one| one.0.strip_suffix(b"/")).map(Into::into).collect();
        except.retain(|one| !whole.contains(&one.0));
        except
    }
}

struct Proposing<'a> {
    claims: &'a Claims<'a>,
    from: &'a Prefix,
    to: &'a Prefix,
    finder: Finder<'a>,
    /// The path to look up: one buffer for all of them.
    path: Vec<u8>,
    /// First names of hard-link groups whose file this placement creates, and the name it creates.
    heads: HashMap<usize, usize>,
}

impl Proposing<'_> {
    /// The entry for a member with this rest.
    fn entry(&mut self, rest: &[u8]) -> Option<usize> {
        self.path.clear();
        self.path.extend_from_slice(&self.to.0);
        self.path.extend_from_slice(rest);
        self.finder.find(&self.path)
    }

    /// How the placement gives this member, if it can.
    fn role(&mut self, member: &Member, rest: &[u8]) -> Option<(usize, Role)> {
        let index = self.entry(rest)?;
        let first = self.claims.entries.first_name(index);
        if !self.claims.may_leave_out(first) {
            return None;
        }
        let file = &self.claims.entries[first];
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
        // A hard-link group has one file; its other names are links to it.
        if !same {
            return None;
        }
        if self.claims.entries.has_links(first) {
            if self.claims.head(first).is_some() || self.heads.contains_key(&first) {
                return None;
            }
            self.heads.insert(first, index);
        }
        Some((index, Role::Made))
    }
}

impl Proposal {
    /// Is the placement shorter than a list of what it gives?
    pub(super) fn is_worth(&self, entries: &[Entry]) -> bool {
        let saved: usize = self
            .given
            .iter()
            .filter(|given| given.role != Role::Again)
            .map(|given| match entries[given.entry as usize].kind {
                Kind::File { .. } => FILE_COST,
                _ => OTHER_COST,
            })
            .sum();
        saved > PLACEMENT_COST + EXCEPTION_COST * self.placement.except.len()
    }

    /// Adds the digests of the files that `keep` selects.
    pub(super) fn keep_digests(&mut self, claims: &Claims<'_>, keep: impl Fn(u64) -> bool) {
        let mut column = DigestColumn { at: Vec::new(), is: Vec::<Digest>::new() };
        for (at, given) in self.given.iter().enumerate() {
            // The member has the contents of the entry that it restores.
            let file = claims.file(given.entry as usize);
            if let (Kind::File { size }, Some(sha256)) = (&file.kind, file.sha256)
                && given.role == Role::Made
                && keep(*size)
            {
                column.at.push(compact(at));
                column.is.push(sha256);
            }
        }
        self.placement.sha256 = (!column.at.is_empty()).then_some(column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_folders_are_excepted_where_nothing_in_them_is_given() {
        let except = |given: &[&'static str], excepted: &[&'static str]| -> Vec<String> {
            let mut exceptions = Exceptions::new(given.iter().map(|rest| rest.as_bytes()));
            excepted.iter().for_each(|rest| exceptions.except(rest.as_bytes()));
            exceptions
                .finish()
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
