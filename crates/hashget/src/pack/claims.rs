//! Which entries are given by packages so far, while a plan is made.
//!
//! Invariant: an entry is given at most once. Of the names of a file at most one is given as a file; all
//! others are links to it.

use std::collections::HashMap;

use super::placement::Role;
use super::verdict::{Reason, Verdict, Verdicts};
use crate::model::Entry;
use crate::tree::Entries;

/// The verdicts on a tree while a plan is made.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    /// The tree.
    pub(super) entries: &'a Entries,
    verdicts: Verdicts,
    /// For files with several names, by first name: the name under which a package gives the file.
    heads: HashMap<usize, usize>,
}

impl<'a> Claims<'a> {
    /// Nothing is given at the start.
    pub(super) fn new(entries: &'a Entries, verdicts: Verdicts) -> Self {
        Self { entries, verdicts, heads: HashMap::new() }
    }

    /// The entry that has the contents and metadata of this one.
    pub(super) fn file(&self, entry: usize) -> &'a Entry {
        self.entries.file(entry)
    }

    pub(super) fn is_given(&self, entry: usize) -> bool {
        self.verdicts.is_given(entry)
    }

    pub(super) fn may_leave_out(&self, first_name: usize) -> bool {
        match self.verdicts.get(first_name) {
            Verdict::Archived(reason) => !reason.is_final(),
            Verdict::Given { .. } | Verdict::Link { .. } => true,
        }
    }

    /// The name under which the file with this first name is given, if it has several names.
    pub(super) fn head(&self, first_name: usize) -> Option<usize> {
        self.heads.get(&first_name).copied()
    }

    /// Marks this entry as given by the package.
    pub(super) fn give(&mut self, entry: usize, role: Role, package: usize) {
        if role == Role::Again {
            return;
        }
        self.verdicts.set(entry, Verdict::Given { package });
        let first = self.entries.first_name(entry);
        if role == Role::Made && self.entries.has_links(first) {
            self.heads.insert(first, entry);
        }
    }

    /// Changes the reason for archiving an entry, unless it is given, or its reason is final.
    pub(super) fn set_reason(&mut self, entry: usize, reason: Reason) {
        self.verdicts.set_reason(entry, reason);
    }

    /// The final verdicts: names that are not given become links to the name that is, and packages are
    /// renumbered by `number`.
    pub(super) fn finish(self, number: impl Fn(usize) -> usize) -> Verdicts {
        let Self { entries, mut verdicts, heads } = self;
        for index in 0..entries.len() {
            let head = || heads.get(&entries.first_name(index)).copied();
            match verdicts.get(index) {
                Verdict::Given { package } => {
                    verdicts.set(index, Verdict::Given { package: number(package) });
                }
                Verdict::Link { .. } | Verdict::Archived(_) if heads.is_empty() => {}
                Verdict::Link { .. } | Verdict::Archived(_) => {
                    if let Some(to) = head() {
                        verdicts.set(index, Verdict::Link { to });
                    }
                }
            }
        }
        verdicts
    }
}
