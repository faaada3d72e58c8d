//! How two trees differ, entry by entry. Pure.
//!
//! Invariant: both sides are read once, in the order of their paths; contents are called the same only if their digests are.

use std::cmp::Ordering;

use crate::model::{Entry, Kind, Metadata, RelPath, effective_mode};

/// A difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: RelPath,
    /// Bytes of the file in the first tree; 0 of anything else.
    pub before: u64,
    /// The same in the second tree.
    pub after: u64,
    /// What is different.
    pub change: Change,
}

/// What is different at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the second tree has it.
    Added,
    /// Only the first tree has it.
    Removed,
    /// Both have it, and these are different.
    Changed(Vec<Aspect>),
    /// Both have a file of this size, and nothing says whether the contents are the same. All else is.
    Unknown,
}

/// In what two entries differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// One is a file, for example, and the other a folder.
    Kind,
    /// The contents of a file, or where its holes are.
    Contents,
    /// The target of a symbolic link, or the number of a device.
    Target,
    /// Whether it is another name of an earlier entry, and of which.
    HardLink,
    /// The permissions.
    Mode,
    /// The owner or the group.
    Owner,
    /// The time of the last change.
    Time,
    /// Extended attributes, among them access control lists and capabilities.
    Attributes,
}

impl Aspect {
    /// What a person calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kind => "type",
            Self::Contents => "contents",
            Self::Target => "target",
            Self::HardLink => "hard link",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Time => "mtime",
            Self::Attributes => "attributes",
        }
    }
}

impl Difference {
    /// By how many bytes the file has grown or shrunk; of changed contents, at least as much as there is now.
    pub fn weight(&self) -> u64 {
        match &self.change {
            Change::Changed(aspects) if aspects.contains(&Aspect::Contents) => {
                self.before.max(self.after)
            }
            _ => self.before.abs_diff(self.after),
        }
    }
}

/// Compares two trees, whose entries come sorted by path, hard links with the metadata and the digests of their files. Each
/// difference is passed to `found`.
///
/// # Errors
/// Those of the trees.
pub fn differences<E>(
    before: impl Iterator<Item = Result<Entry, E>>,
    after: impl Iterator<Item = Result<Entry, E>>,
    found: &mut dyn FnMut(Difference),
) -> Result<(), E> {
    let (mut before, mut after) = (before.peekable(), after.peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return Ok(()),
            (Some(Ok(before)), Some(Ok(after))) => before.path.cmp(&after.path),
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        };
        let first = if order.is_le() { before.next().transpose()? } else { None };
        let second = if order.is_ge() { after.next().transpose()? } else { None };
        let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, Entry::size);
        let (bytes_before, bytes_after) = (size(&first), size(&second));
        let (path, change) = match (first, second) {
            (Some(first), Some(second)) => match change(&first, &second) {
                Some(change) => (first.path, change),
                None => continue,
            },
            (Some(first), None) => (first.path, Change::Removed),
            (None, Some(second)) => (second.path, Change::Added),
            (None, None) => continue,
        };
        found(Difference { path, before: bytes_before, after: bytes_after, change });
    }
}

fn change(before: &Entry, after: &Entry) -> Option<Change> {
    let mut aspects = Vec::new();
    let mut is_unknown = false;
    let (old, new) = (&before.kind, &after.kind);
    if old.letter() == new.letter() {
        match (before.sha256, after.sha256) {
            (Some(old), Some(new)) if old != new => aspects.push(Aspect::Contents),
            (Some(_), Some(_)) if before.extents != after.extents => aspects.push(Aspect::Contents),
            (Some(_), Some(_)) => {}
            _ if old.letter() != "f" => {
                if old != new {
                    aspects.push(Aspect::Target);
                }
            }
            _ if matches!((old, new), (Kind::File { size: a }, Kind::File { size: b }) if a != b) =>
            {
                aspects.push(Aspect::Contents);
            }
            _ => is_unknown = true,
        }
        let first = |entry: &Entry| match &entry.kind {
            Kind::HardLink { target } => Some(target.clone()),
            _ => None,
        };
        if first(before) != first(after) {
            aspects.push(Aspect::HardLink);
        }
    } else {
        aspects.push(Aspect::Kind);
    }
    let mode = |entry: &Entry| effective_mode(&entry.kind, entry.metadata.mode);
    if mode(before) != mode(after) {
        aspects.push(Aspect::Mode);
    }
    let owner = |metadata: &Metadata| (metadata.uid, metadata.gid);
    let (old, new) = (&before.metadata, &after.metadata);
    if owner(old) != owner(new) {
        aspects.push(Aspect::Owner);
    }
    if old.mtime != new.mtime {
        aspects.push(Aspect::Time);
    }
    if old.xattrs != new.xattrs {
        aspects.push(Aspect::Attributes);
    }
    match aspects.is_empty() {
        false => Some(Change::Changed(aspects)),
        true if is_unknown => Some(Change::Unknown),
        true => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::model::Digest;

    fn file(path: &str, text: &str) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            kind: Kind::File { size: text.len() as u64 },
            metadata: Metadata { mode: 0o644, ..Metadata::default() },
            sha256: Some(Digest::of(text.as_bytes())),
            extents: None,
        }
    }

    fn compared(before: &[Entry], after: &[Entry]) -> Vec<(String, Change)> {
        fn side(entries: &[Entry]) -> impl Iterator<Item = Result<Entry, Infallible>> + '_ {
            entries.iter().cloned().map(Ok)
        }
        let mut all = Vec::new();
        let mut add = |one: Difference| all.push((one.path.to_string(), one.change));
        differences(side(before), side(after), &mut add).unwrap();
        all
    }

    #[test]
    fn every_difference_is_found_once_and_nothing_else() {
        let same = file("same", "same");
        let before = [file("a", "1"), file("c", "1"), file("d", "1"), same.clone()];
        let mut touched = file("d", "1");
        (touched.metadata.mode, touched.metadata.uid) = (0o600, 7);
        let after = [file("b", "1"), file("c", "2"), touched, same];
        let expected = [
            ("a", Change::Removed),
            ("b", Change::Added),
            ("c", Change::Changed(vec![Aspect::Contents])),
            ("d", Change::Changed(vec![Aspect::Mode, Aspect::Owner])),
        ];
        let expected: Vec<_> = expected.map(|(path, change)| (path.to_owned(), change)).into();
        assert_eq!(compared(&before, &after), expected);
        assert_eq!(compared(&after, &after), []);
        assert_eq!(compared(&[], &after).len(), 4);
        assert_eq!(compared(&before, &[]).len(), 4);
    }

    #[test]
    fn without_digests_only_sizes_can_tell() {
        let unknown = |text: &str| Entry { sha256: None, ..file("a", text) };
        assert_eq!(
            compared(&[unknown("1")], &[file("a", "2")]),
            [("a".to_owned(), Change::Unknown)]
        );
        let changed = Change::Changed(vec![Aspect::Contents]);
        assert_eq!(compared(&[unknown("1")], &[file("a", "22")]), [("a".to_owned(), changed)]);
    }

    #[test]
    fn kinds_targets_and_links_are_told_apart() {
        let other = |kind: Kind| Entry { kind, sha256: None, ..file("a", "1") };
        let symlink = |target: &[u8]| other(Kind::Symlink { target: target.into() });
        let link =
            Entry { kind: Kind::HardLink { target: RelPath::new("0").unwrap() }, ..file("a", "1") };
        for (before, after, aspect) in [
            (file("a", "1"), other(Kind::Directory), Aspect::Kind),
            (symlink(b"x"), symlink(b"y"), Aspect::Target),
            (file("a", "1"), link, Aspect::HardLink),
        ] {
            let expected = Change::Changed(vec![aspect]);
            assert_eq!(compared(&[before], &[after]), [("a".to_owned(), expected)]);
        }
    }
}
