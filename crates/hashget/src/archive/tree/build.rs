//! Making the tree from the listing of an archive.
//!
//! Invariant: each entry comes after its folder, and the children of a folder by their names. What the archive does not have
//! (a folder above an entry, the top) is made up as a plain folder.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::super::{Holder, ListedEntry, Listing};
use super::{ArchiveTree, NOWHERE, NodeId, Row};
use crate::model::manifest::ManifestError;
use crate::model::{Kind, Metadata, RelPath, Xattrs};

/// No file system of Linux has longer names, in bytes.
const MOST_NAME_BYTES: usize = 255;

/// The mode of a folder that the archive does not have.
const PLAIN_FOLDER: u32 = 0o755;

/// As many names of names lead to a file at most.
const MOST_LINKS: usize = 8;

fn narrow(number: usize) -> Result<u32, ManifestError> {
    let many = |_| ManifestError::field("archived", "has more entries or names than can be shown");
    u32::try_from(number).map_err(many)
}

/// The order of paths in which everything below a folder follows the folder.
fn by_components(a: &[u8], b: &[u8]) -> Ordering {
    // No name has a byte of 0.
    let key = |&byte: &u8| if byte == b'/' { 0 } else { byte };
    a.iter().map(key).cmp(b.iter().map(key))
}

impl ArchiveTree {
    /// The tree of a listing.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub fn new(listing: &Listing<'_>) -> Result<Self, ManifestError> {
        let mut order: Vec<u32> = (0..narrow(listing.len())?).collect();
        let path = |number: &u32| listing.path(NodeId(*number).index());
        order.sort_by(|a, b| by_components(path(a), path(b)));
        let mut building = Building::new(order.len());
        for number in order {
            building.add(listing.as_stored(NodeId(number).index())?)?;
        }
        building.finish()
    }
}

/// A tree of which some entries are there.
struct Building {
    tree: ArchiveTree,
    /// The folders above the next entry, each with the length of its path.
    open: Vec<(usize, u32)>,
    /// The path of the last folder.
    folder: Vec<u8>,
    /// The path of the last entry, if that is no folder.
    no_folder: Option<Vec<u8>>,
    known_attributes: HashMap<Xattrs, u32>,
    links: Vec<(u32, RelPath)>,
}

impl Building {
    fn new(entries: usize) -> Self {
        let tree = ArchiveTree {
            rows: Vec::with_capacity(entries + 1),
            names: Vec::new(),
            children: Vec::new(),
            first_child: Vec::new(),
            targets: Vec::new(),
            attributes: Vec::new(),
            attribute_names: BTreeSet::new(),
            attributes_of: Vec::new(),
            data: Vec::new(),
            name_counts: Vec::new(),
            left_out: 0,
        };
        Self {
            tree,
            open: Vec::new(),
            folder: Vec::new(),
            no_folder: None,
            known_attributes: HashMap::new(),
            links: Vec::new(),
        }
    }

    /// Adds the entry that follows all before it.
    fn add(&mut self, listed: ListedEntry) -> Result<(), ManifestError> {
        let path = listed.entry.path.clone();
        if path.is_root() && listed.entry.kind == Kind::Directory {
            return self.push(&[], 0, listed);
        }
        let is_within = |folder: &[u8]| {
            let rest = path.as_bytes().strip_prefix(folder);
            rest.is_some_and(|rest| folder.is_empty() || rest.starts_with(b"/"))
        };
        let too_long = path.components().any(|name| name.len() > MOST_NAME_BYTES);
        if path.is_root() || too_long || self.no_folder.as_deref().is_some_and(is_within) {
            self.tree.left_out += u64::from(!path.is_root());
            return Ok(());
        }
        if self.tree.rows.is_empty() {
            self.push(&[], 0, plain_folder(RelPath::root()))?;
        }
        while self.open.last().is_some_and(|&(length, _)| !is_within(&self.folder[..length])) {
            self.open.pop();
        }
        let (above, mut parent) = self.open.last().copied().unwrap_or_default();
        let start = if above == 0 { 0 } else { above + 1 };
        let names: Vec<&[u8]> = path.as_bytes()[start..].split(|&byte| byte == b'/').collect();
        let (name, missing) = names.split_last().expect("a path has a name");
        let mut length = above;
        for folder in missing {
            length += folder.len() + usize::from(length > 0);
            let made_up = RelPath::new(&path.as_bytes()[..length]).expect("a folder of a path");
            self.push(folder, parent, plain_folder(made_up))?;
            parent = self.open.last().map_or(0, |&(_, row)| row);
        }
        self.push(name, parent, listed)
    }

    fn push(&mut self, name: &[u8], parent: u32, listed: ListedEntry) -> Result<(), ManifestError> {
        let ListedEntry { entry, holder } = listed;
        let tree = &mut self.tree;
        let row = narrow(tree.rows.len())?;
        let (kind, value) = match entry.kind {
            Kind::File { size } => (0o100_000, size),
            Kind::Directory => (0o040_000, 0),
            Kind::Symlink { target } => {
                tree.targets.push(target);
                (0o120_000, tree.targets.len() as u64 - 1)
            }
            Kind::HardLink { target } => {
                self.links.push((row, target));
                (0, NOWHERE)
            }
            Kind::CharDevice { major, minor } => (0o020_000, device(major, minor)),
            Kind::BlockDevice { major, minor } => (0o060_000, device(major, minor)),
            Kind::Fifo => (0o010_000, 0),
            Kind::Socket => (0o140_000, 0),
        };
        if let Some(extents) = entry.extents {
            tree.data.push((row, extents.into()));
        }
        // What shows the tree has no flags to set: programs that copy from it could not copy such an attribute.
        let Metadata { mode, uid, gid, mtime, xattrs } = entry.metadata.without_flags();
        if !xattrs.is_empty() {
            let next = narrow(tree.attributes.len())?;
            let attributes = *self.known_attributes.entry(xattrs.clone()).or_insert(next);
            if attributes == next {
                tree.attributes.push(xattrs);
            }
            tree.attributes_of.push((row, attributes));
        }
        tree.rows.push(Row {
            seconds: mtime.seconds,
            value,
            parent,
            name: narrow(tree.names.len())?,
            mode: kind | mode & 0o7777,
            uid,
            gid,
            nanoseconds: mtime.nanoseconds,
            holder: match holder {
                Holder::Archive => 0,
                Holder::SomePackage => u32::MAX,
                Holder::Package(index) => narrow(index + 1)?,
            },
        });
        tree.names.extend_from_slice(name);
        if kind == 0o040_000 {
            self.open.push((entry.path.as_bytes().len(), row));
            self.folder = entry.path.as_bytes().to_vec();
            self.no_folder = None;
        } else {
            self.no_folder = Some(entry.path.as_bytes().to_vec());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<ArchiveTree, ManifestError> {
        if self.tree.rows.is_empty() {
            self.push(&[], 0, plain_folder(RelPath::root()))?;
        }
        self.tree.names.shrink_to_fit();
        self.sort_children()?;
        self.resolve_links();
        let names = self.tree.attributes.iter().flat_map(|some| some.keys()).cloned();
        self.tree.attribute_names = names.collect();
        Ok(self.tree)
    }

    /// Gathers the children of each folder. They are in the order of their names already.
    fn sort_children(&mut self) -> Result<(), ManifestError> {
        let tree = &mut self.tree;
        let mut next = vec![0_u32; tree.rows.len() + 1];
        for row in &tree.rows[1..] {
            next[NodeId(row.parent).index() + 1] += 1;
        }
        for row in 1..next.len() {
            next[row] += next[row - 1];
        }
        tree.first_child = next.clone();
        tree.children = vec![0; tree.rows.len() - 1];
        for (row, found) in tree.rows.iter().enumerate().skip(1) {
            let at = &mut next[NodeId(found.parent).index()];
            tree.children[NodeId(*at).index()] = narrow(row)?;
            *at += 1;
        }
        Ok(())
    }

    /// Finds the file of each hard link.
    fn resolve_links(&mut self) {
        let tree = &mut self.tree;
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for (row, target) in &self.links {
            match file_of(tree, &self.links, target) {
                Some(file) => {
                    tree.rows[NodeId(*row).index()].value = file.into();
                    *counts.entry(file).or_insert(1) += 1;
                }
                None => tree.left_out += 1,
            }
        }
        tree.name_counts = counts.into_iter().collect();
        tree.name_counts.sort_unstable();
    }
}

/// The row of the file at `path`, perhaps by further names of it.
fn file_of(tree: &ArchiveTree, links: &[(u32, RelPath)], path: &RelPath) -> Option<u32> {
    let mut path = path;
    for _ in 0..MOST_LINKS {
        let row = path.components().try_fold(0, |folder, name| {
            let rows = tree.children_rows(NodeId(folder));
            let found = rows.binary_search_by(|&row| tree.name(row).cmp(name)).ok()?;
            Some(rows[found])
        })?;
        let found = &tree.rows[NodeId(row).index()];
        if !found.is_link() {
            let is_folder = found.mode & super::TYPE_BITS == 0o040_000;
            return (!is_folder).then_some(row);
        }
        let link = links.binary_search_by_key(&row, |(row, _)| *row).ok()?;
        path = &links[link].1;
    }
    None
}

fn device(major: u32, minor: u32) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

fn plain_folder(path: RelPath) -> ListedEntry {
    let metadata = Metadata { mode: PLAIN_FOLDER, ..Metadata::default() };
    let entry =
        crate::model::Entry { path, kind: Kind::Directory, metadata, sha256: None, extents: None };
    ListedEntry { entry, holder: Holder::Archive }
}
