//! How what is on the disk differs from what was packed: by kind, counted, with a few names.
//!
//! Invariant: a kind keeps at most [`NAMED`] names, however many entries it has.

use std::collections::BTreeMap;

use super::RestoreOptions;
use crate::model::{RelPath, counted};

/// Number of names that are kept of each kind.
const NAMED: usize = 10;

/// A way in which an entry on the disk is not as it was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// There is nothing of its name.
    Absent,
    /// Another entry has its name, too: for the file system they are the same.
    SharedName,
    /// A device that was not made.
    Device,
    /// It cannot be looked at.
    Unseen,
    Kind,
    Size,
    LinkTarget,
    DeviceNumber,
    /// It is another name of what it should not be, or none of what it should be.
    HardLink,
    Mode,
    /// Permission bits that were not asked for.
    Masked,
    /// Only the set-user-ID or the set-group-ID bit.
    SetId,
    /// The same of a file that has another owner than it had: it was not set, lest it lend the rights of the wrong user.
    SetIdWithheld,
    Owner,
    Mtime,
    Acl,
    Capability,
    Attribute,
    /// A flag that `chattr` sets.
    Flag,
    /// The tree's own file of the manifest's name has another name, since the manifest stays.
    OwnName,
}

impl Difference {
    /// What a person calls the thing that differs.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Absent => "entry",
            Self::SharedName => "name of its own",
            Self::Device => "device",
            Self::Unseen => "unknown",
            Self::Kind => "type",
            Self::Size => "size",
            Self::LinkTarget => "link target",
            Self::DeviceNumber => "device number",
            Self::HardLink => "hard link",
            Self::Mode | Self::Masked => "mode",
            Self::SetId | Self::SetIdWithheld => "set-user-id or set-group-id bit",
            Self::Owner => "owner",
            Self::Mtime => "mtime",
            Self::Acl => "ACL",
            Self::Capability => "capability",
            Self::Attribute => "extended attribute",
            Self::Flag => "flag",
            Self::OwnName => "name",
        }
    }

    /// The whole sentence.
    pub(super) fn message(self, affected: &Affected) -> String {
        let entries = counted(affected.entries, "entry", "entries");
        let names = affected.names();
        match (self, affected.entries) {
            (Self::Absent, 1) => {
                format!("1 entry is not there, or not under its name: {names}")
            }
            (Self::Absent, _) => {
                format!("{entries} are not there, or not under their names: {names}")
            }
            (Self::SharedName, 1) => format!(
                "1 entry has a name that the file system takes for that of another entry, and what is there may hold either: {names}"
            ),
            (Self::SharedName, _) => format!(
                "{entries} have names that the file system takes for those of other entries, and what is there may hold either: {names}"
            ),
            (Self::Device, 1) => format!("1 device node was not created (needs root): {names}"),
            (Self::Device, _) => {
                let nodes = counted(affected.entries, "device node", "device nodes");
                format!("{nodes} were not created (needs root): {names}")
            }
            (Self::Unseen, _) => format!("{entries} could not be looked at: {names}"),
            _ => format!("{} not restored for {entries}: {names}", self.label()),
        }
    }

    /// Was this to be as it was packed?
    pub(super) fn is_asked_for(self, options: &RestoreOptions) -> bool {
        match self {
            Self::Owner | Self::SetIdWithheld => options.same_owner,
            Self::Masked | Self::OwnName => false,
            Self::Acl => options.acls,
            Self::Capability | Self::Attribute | Self::Flag => options.attributes,
            _ => true,
        }
    }
}

/// Entries that have something in common: how many, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Affected {
    /// Number of entries.
    pub entries: u64,
    /// The first few.
    pub first: Vec<RelPath>,
}

impl Affected {
    pub(super) fn add(&mut self, path: &RelPath) {
        self.entries += 1;
        if self.first.len() < NAMED {
            self.first.push(path.clone());
        }
    }

    /// Adds those of another list.
    fn join(&mut self, other: &Self) {
        self.entries += other.entries;
        let room = NAMED.saturating_sub(self.first.len());
        self.first.extend(other.first.iter().take(room).cloned());
    }

    /// The names that are kept, and how many more there are.
    pub fn names(&self) -> String {
        let mut names: Vec<String> = self.first.iter().map(RelPath::to_string).collect();
        let named = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        let more = self.entries.saturating_sub(named);
        if more > 0 {
            return format!("{} and {}", names.join(", "), counted(more, "more", "more"));
        }
        let last = names.pop().unwrap_or_default();
        if names.is_empty() { last } else { format!("{} and {last}", names.join(", ")) }
    }
}

/// Entries by what is different about them.
#[derive(Debug, Clone, Default)]
pub(super) struct Differences(pub(super) BTreeMap<Difference, Affected>);

impl Differences {
    pub(super) fn add(&mut self, difference: Difference, path: &RelPath) {
        self.0.entry(difference).or_default().add(path);
    }

    /// The numbers and names by what a person calls them.
    pub(super) fn by_label(&self) -> BTreeMap<String, Affected> {
        let mut labelled = BTreeMap::<String, Affected>::new();
        for (what, affected) in &self.0 {
            labelled.entry(what.label().to_owned()).or_default().join(affected);
        }
        labelled
    }

    /// Those that were to be as they were packed, and the others.
    pub(super) fn split(self, options: &RestoreOptions) -> (Self, Self) {
        let (lost, not_asked) =
            self.0.into_iter().partition(|(difference, _)| difference.is_asked_for(options));
        (Self(lost), Self(not_asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_names_are_kept_and_all_entries_are_counted() {
        let mut affected = Affected::default();
        let name = |number: u32| RelPath::new(format!("f{number}")).unwrap();
        affected.add(&name(0));
        assert_eq!(affected.names(), "f0");
        affected.add(&name(1));
        assert_eq!(affected.names(), "f0 and f1");
        (2..1234).for_each(|number| affected.add(&name(number)));
        assert_eq!((affected.entries, affected.first.len()), (1234, NAMED));
        assert!(affected.names().ends_with("f8, f9 and 1,224 more"), "{}", affected.names());
        let said = Difference::Owner.message(&affected);
        assert!(said.starts_with("owner not restored for 1,234 entries: f0, f1"), "{said}");
    }

    #[test]
    fn what_was_not_asked_for_is_no_loss() {
        let options = RestoreOptions { same_owner: false, ..RestoreOptions::default() };
        let mut differences = Differences::default();
        for difference in
            [Difference::Owner, Difference::SetIdWithheld, Difference::SetId, Difference::Mode]
        {
            differences.add(difference, &RelPath::root());
        }
        let (lost, not_asked) = differences.split(&options);
        assert_eq!(
            lost.by_label().into_keys().collect::<Vec<_>>(),
            ["mode", "set-user-id or set-group-id bit"]
        );
        assert_eq!(not_asked.0.len(), 2);
    }
}
