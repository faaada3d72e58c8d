//! The members of a package, for planning.
//!
//! Invariant: a package with very many members takes only a few bytes of memory for each; the rest is read
//! from the HashDB again, in order.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::contents::Contents;
use crate::hashdb::{HashDb, HashDbError, PackageId};
use crate::model::{Member, RelPath};

/// Limit on the members of one package kept in memory, about 200 bytes each. Those of larger packages are
/// read again each time.
const MOST_KEPT: usize = 100_000;

/// Number of members of a larger package that are processed together.
const BATCH: usize = 1024;

/// The members of a package.
pub(super) struct Members<'a> {
    hashdb: &'a dyn HashDb,
    id: PackageId,
    /// The members in the package's own order, if they are kept in memory.
    kept: Option<Vec<Member>>,
    count: usize,
    /// The number of each member's contents; empty if they were not looked up.
    contents: Vec<u32>,
    /// The members that share their path with another member, ascending. Usually there are none.
    duplicate_paths: Vec<usize>,
}

impl<'a> Members<'a> {
    /// Reads the members of a package and looks up their `contents`, for planning.
    pub(super) fn read(
        hashdb: &'a dyn HashDb,
        id: PackageId,
        contents: &Contents<'_>,
    ) -> Result<Self, HashDbError> {
        let (mut numbers, mut sorted) = (Vec::new(), true);
        let mut before: Option<RelPath> = None;
        let mut members = Self::gather(hashdb, id, &mut |batch| {
            // The look-ups are done in a row, so that their cache misses overlap.
            numbers.extend(batch.iter().map(|member| contents.number_of(member)));
            let paths = before.iter().chain(batch.iter().map(|member| &member.path));
            sorted &= paths.is_sorted_by(|one, next| one < next);
            before = batch.last().map(|last| last.path.clone());
        })?;
        members.contents = numbers;
        if !sorted {
            members.duplicate_paths = members.repeated()?;
        }
        Ok(members)
    }

    /// Reads the members of a package without looking up their contents.
    pub(super) fn read_plain(hashdb: &'a dyn HashDb, id: PackageId) -> Result<Self, HashDbError> {
        Self::gather(hashdb, id, &mut |_| {})
    }

    /// Reads all members and passes them to `look` in batches. Keeps them if they are few.
    fn gather(
        hashdb: &'a dyn HashDb,
        id: PackageId,
        look: &mut dyn FnMut(&[Member]),
    ) -> Result<Self, HashDbError> {
        let (mut batch, mut count, mut most) = (Vec::new(), 0, MOST_KEPT);
        hashdb.each_member(id, &mut |member| {
            if batch.len() == most {
                look(&batch);
                (batch, most) = (Vec::new(), BATCH);
            }
            batch.push(member);
            count += 1;
        })?;
        look(&batch);
        let kept = (count <= MOST_KEPT).then_some(batch);
        Ok(Self { hashdb, id, kept, count, contents: Vec::new(), duplicate_paths: Vec::new() })
    }

    /// Number of members.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Are they in memory?
    pub(super) fn are_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// The number of the contents of each member.
    pub(super) fn contents(&self) -> &[u32] {
        &self.contents
    }

    /// Does another member have the same path?
    pub(super) fn is_duplicate_path(&self, member: usize) -> bool {
        self.duplicate_paths.binary_search(&member).is_ok()
    }

    /// Passes each member, with its index, to `visit`.
    ///
    /// # Errors
    /// The HashDB failed, or the package in it has been replaced.
    pub(super) fn each(&self, visit: &mut dyn FnMut(usize, &Member)) -> Result<(), HashDbError> {
        if let Some(kept) = &self.kept {
            kept.iter().enumerate().for_each(|(index, member)| visit(index, member));
            return Ok(());
        }
        let mut count = 0;
        self.hashdb.each_member(self.id, &mut |member| {
            if count < self.len() {
                visit(count, &member);
            }
            count += 1;
        })?;
        if count == self.len() {
            return Ok(());
        }
        Err(HashDbError::Replaced)
    }

    /// The members whose path occurs more than once.
    fn repeated(&self) -> Result<Vec<usize>, HashDbError> {
        let state = RandomState::new();
        let mut hashes = Vec::with_capacity(self.len());
        self.each(&mut |_, member| hashes.push(state.hash_one(&member.path)))?;
        hashes.sort_unstable();
        let mut same: Vec<u64> =
            hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        same.dedup();
        drop(hashes);
        if same.is_empty() {
            return Ok(Vec::new());
        }
        let mut with_path: HashMap<RelPath, Vec<usize>> = HashMap::new();
        self.each(&mut |index, member| {
            if same.binary_search(&state.hash_one(&member.path)).is_ok() {
                with_path.entry(member.path.clone()).or_default().push(index);
            }
        })?;
        let mut duplicate_paths: Vec<usize> =
            with_path.into_values().filter(|indices| indices.len() > 1).flatten().collect();
        duplicate_paths.sort_unstable();
        Ok(duplicate_paths)
    }
}
