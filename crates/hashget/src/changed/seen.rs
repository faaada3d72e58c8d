//! The tree as it is: entries by path, through links of folders, and what they hold.
//!
//! Invariant: a link is followed only within the tree, and only so often.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::archive::Aspect;
use crate::detectors::TreeFiles;
use crate::model::{Digest, Entry, Kind, Member, RelPath};

/// Number of links that are followed one after the other.
const MOST_LINKS: usize = 40;

/// The entries of a tree.
pub(super) struct Seen<'s> {
    entries: &'s [Entry],
    files: &'s dyn TreeFiles,
    /// Folders that are links, and where they lead; and those that are none.
    folders: RefCell<HashMap<RelPath, Option<RelPath>>>,
}

impl<'s> Seen<'s> {
    /// `entries` are sorted by path.
    pub(super) fn new(entries: &'s [Entry], files: &'s dyn TreeFiles) -> Self {
        Self { entries, files, folders: RefCell::default() }
    }

    /// The entry with this number.
    pub(super) fn entry(&self, index: usize) -> &'s Entry {
        &self.entries[index]
    }

    /// The number of the entry at this path.
    pub(super) fn find(&self, path: &RelPath) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
    }

    fn at(&self, path: &RelPath) -> Option<&'s Entry> {
        self.find(path).map(|index| self.entry(index))
    }

    /// The path at which this really lies: some of the folders above it may be links.
    pub(super) fn behind_links(&self, path: &RelPath) -> RelPath {
        let Some(parent) = path.parent().filter(|parent| !parent.as_bytes().is_empty()) else {
            return path.clone();
        };
        let known = self.folders.borrow().get(&parent).cloned();
        let real = known.unwrap_or_else(|| {
            let found =
                self.real_folder(&parent, &mut { MOST_LINKS }).filter(|real| *real != parent);
            self.folders.borrow_mut().insert(parent.clone(), found.clone());
            found
        });
        real.and_then(|real| real.join(path.file_name()).ok()).unwrap_or_else(|| path.clone())
    }

    /// Where a folder really is; the path itself as far as nothing is there.
    fn real_folder(&self, folder: &RelPath, links: &mut usize) -> Option<RelPath> {
        let mut real = RelPath::root();
        for name in folder.components() {
            let next = real.join(name).ok()?;
            real = match self.at(&next).map(|entry| &entry.kind) {
                Some(Kind::Symlink { target }) => {
                    *links = links.checked_sub(1)?;
                    self.real_folder(&leads_to(&next, target)?, links)?
                }
                _ => next,
            };
        }
        Some(real)
    }

    /// Is it a link that leads to a folder of the tree?
    fn leads_to_folder(&self, path: &RelPath, target: &[u8]) -> bool {
        let real =
            leads_to(path, target).and_then(|path| self.real_folder(&path, &mut { MOST_LINKS }));
        real.is_some_and(|real| {
            real.as_bytes().is_empty()
                || self.at(&real).is_some_and(|entry| entry.kind == Kind::Directory)
        })
    }

    /// In what an entry is something else than the member of a package, whose contents have the digest `sha256`. `None` if its
    /// contents cannot be read.
    pub(super) fn contents_differ(
        &self,
        entry: &Entry,
        member: &Member,
        sha256: Option<Digest>,
    ) -> Option<Vec<Aspect>> {
        let differs = match (&entry.kind, &member.kind) {
            (Kind::Symlink { target }, Kind::Directory) => {
                // A folder may be moved elsewhere: clients follow the link.
                return Some(match self.leads_to_folder(&entry.path, target) {
                    true => Vec::new(),
                    false => vec![Aspect::Kind],
                });
            }
            (found, expected) if found.letter() != expected.letter() => {
                return Some(vec![Aspect::Kind]);
            }
            (Kind::File { .. } | Kind::HardLink { .. }, _) => {
                return self.bytes_differ(entry, member, sha256).map(|differs| match differs {
                    true => vec![Aspect::Contents],
                    false => Vec::new(),
                });
            }
            (found, expected) => found != expected,
        };
        Some(if differs { vec![Aspect::Target] } else { Vec::new() })
    }

    fn bytes_differ(&self, entry: &Entry, member: &Member, sha256: Option<Digest>) -> Option<bool> {
        let expected = sha256?;
        let entry = match &entry.kind {
            Kind::HardLink { target } if entry.sha256.is_none() => self.at(target)?,
            _ => entry,
        };
        if let Some(found) = entry.sha256 {
            return Some(found != expected);
        }
        match (&entry.kind, &member.kind) {
            (Kind::File { size }, Kind::File { size: of_member }) if size != of_member => {
                Some(true)
            }
            _ => Some(Digest::of(&self.files.read(&entry.path)?) != expected),
        }
    }
}

/// Where a link leads, within the tree; `None` if above its top.
fn leads_to(link: &RelPath, target: &[u8]) -> Option<RelPath> {
    let mut parts: Vec<&[u8]> = match target.starts_with(b"/") {
        true => Vec::new(),
        false => {
            let mut parts: Vec<&[u8]> = link.components().collect();
            parts.pop();
            parts
        }
    };
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    if parts.is_empty() { Some(RelPath::root()) } else { RelPath::new(parts.join(&b'/')).ok() }
}
