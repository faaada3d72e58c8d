//! An archive's tree as a file system wants it: entries by number, each with its parent and its children.
//!
//! Invariant: one archive gives the same numbers each time. All names of a hard-linked entry are one node. A million entries take
//! less than 100 MiB, and nothing is read or fetched.

mod build;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::Holder;
use crate::model::{Extent, Kind, Metadata, RelPath, Timestamp, Xattrs};

/// The type bits of a mode, as the system has them.
const TYPE_BITS: u32 = 0o170_000;

/// Stands for the target of a hard link whose file is not in the tree.
const NOWHERE: u64 = u64::MAX;

/// The number of an entry; the top folder is [`ArchiveTree::TOP`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    /// The node with this number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number: below [`ArchiveTree::len`].
    pub fn number(self) -> u32 {
        self.0
    }

    fn index(self) -> usize {
        usize::try_from(self.0).expect("addresses have 32 bits or more")
    }
}

/// What is known of an entry; of a hard-linked file, what all its names share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is: never [`Kind::HardLink`].
    pub kind: Kind,
    /// Its metadata.
    pub metadata: Metadata,
    /// How many names it has.
    pub names: u32,
    /// Who has its contents.
    pub holder: Holder,
}

/// The entries of an archive's tree.
#[derive(Debug)]
pub struct ArchiveTree {
    rows: Vec<Row>,
    /// The names of all rows, one after the other.
    names: Vec<u8>,
    /// The children of all folders, by folder and name.
    children: Vec<u32>,
    /// Where the children of each row begin; one more at the end.
    first_child: Vec<u32>,
    /// Targets of symbolic links.
    targets: Vec<Box<[u8]>>,
    /// Attributes: most files that have some have the same.
    attributes: Vec<Xattrs>,
    /// The names of all of them.
    attribute_names: BTreeSet<Box<[u8]>>,
    /// Rows that have attributes, and which.
    attributes_of: Vec<(u32, u32)>,
    /// Files with holes, by row: where their data lies.
    data: Vec<(u32, Box<[Extent]>)>,
    /// How many names each file has that has several, by row.
    name_counts: Vec<(u32, u32)>,
    /// See [`Self::left_out`].
    left_out: u64,
}

/// One entry, small: there may be millions.
#[derive(Debug, Clone, Copy)]
struct Row {
    seconds: i64,
    /// The size of a file, the number of a symbolic link's target, a device's numbers, the row of a hard link's file.
    value: u64,
    parent: u32,
    /// Where its name begins; it ends where that of the next row begins.
    name: u32,
    /// Permission bits and type, as the system has them. Hard links have no type.
    mode: u32,
    uid: u32,
    gid: u32,
    nanoseconds: u32,
    /// 0 is the archive, [`u32::MAX`] some package, anything else one more than a package's index.
    holder: u32,
}

impl Row {
    fn is_link(&self) -> bool {
        self.mode & TYPE_BITS == 0
    }
}

/// The lower half of a number, and the upper one.
fn halves(value: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

impl ArchiveTree {
    /// The top folder.
    pub const TOP: NodeId = NodeId(0);

    /// How many numbers are in use; some of them are further names of files, which are no nodes.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is there nothing but the top folder?
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// How many entries cannot be shown: their names are longer than 255 bytes, they lie in a file, or the file that they are
    /// another name of is not known.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What is known of the node; `None` if no entry has this number.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        let row = self.rows.get(id.index()).filter(|row| !row.is_link())?;
        let (low, high) = halves(row.value);
        let kind = match row.mode & TYPE_BITS {
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Symlink { target: self.targets.get(index(row.value))?.clone() },
            0o020_000 => Kind::CharDevice { major: high, minor: low },
            0o060_000 => Kind::BlockDevice { major: high, minor: low },
            0o010_000 => Kind::Fifo,
            0o140_000 => Kind::Socket,
            _ => Kind::File { size: row.value },
        };
        let metadata = Metadata {
            mode: row.mode & !TYPE_BITS,
            uid: row.uid,
            gid: row.gid,
            mtime: Timestamp { seconds: row.seconds, nanoseconds: row.nanoseconds },
            xattrs: self.xattrs(id).cloned().unwrap_or_default(),
        };
        let counts = &self.name_counts;
        let found = counts.binary_search_by_key(&id.0, |(row, _)| *row);
        let names = found.map_or(1, |at| counts[at].1);
        let holder = match row.holder {
            0 => Holder::Archive,
            u32::MAX => Holder::SomePackage,
            package => Holder::Package(NodeId(package - 1).index()),
        };
        Some(Node { kind, metadata, names, holder })
    }

    /// The attributes of a node, if it has some.
    pub fn xattrs(&self, id: NodeId) -> Option<&Xattrs> {
        let found = self.attributes_of.binary_search_by_key(&id.0, |(row, _)| *row).ok()?;
        self.attributes.get(NodeId(self.attributes_of[found].1).index())
    }

    /// Has any node attributes?
    pub fn has_xattrs(&self) -> bool {
        !self.attributes_of.is_empty()
    }

    /// Has any node an attribute of this name?
    pub fn has_xattr_named(&self, name: &[u8]) -> bool {
        self.attribute_names.contains(name)
    }

    /// Where data begins in a regular file, at `from` or behind it; `None` if only a hole follows, or the file ends before.
    pub fn next_data(&self, file: NodeId, from: u64) -> Option<u64> {
        let Kind::File { size } = self.node(file)?.kind else { return None };
        let data = self.data.binary_search_by_key(&file.0, |(row, _)| *row);
        let start = match data {
            Ok(at) => {
                let extents = self.data[at].1.iter();
                let mut rest =
                    extents.filter(|extent| extent.offset.saturating_add(extent.length) > from);
                rest.next()?.offset.max(from)
            }
            Err(_) => from,
        };
        (start < size).then_some(start)
    }

    /// Where a hole begins in a regular file, at `from` or behind it: its end is one; `None` if the file ends before.
    pub fn next_hole(&self, file: NodeId, from: u64) -> Option<u64> {
        let Kind::File { size } = self.node(file)?.kind else { return None };
        let data = self.data.binary_search_by_key(&file.0, |(row, _)| *row);
        let end = match data {
            Ok(at) => self.data[at].1.iter().fold(from, |end, extent| {
                let is_within = extent.offset <= end;
                if is_within { end.max(extent.offset.saturating_add(extent.length)) } else { end }
            }),
            Err(_) => size,
        };
        (from < size).then_some(end.min(size))
    }

    /// The folder that a node lies in, by its first name; the top folder lies in itself.
    pub fn parent(&self, id: NodeId) -> NodeId {
        NodeId(self.rows[id.index()].parent)
    }

    /// The path of a node, by its first name.
    pub fn path(&self, id: NodeId) -> RelPath {
        let mut components = Vec::new();
        let mut row = id;
        while row != Self::TOP {
            components.push(self.name(row.0));
            row = self.parent(row);
        }
        components.reverse();
        RelPath::new(components.join(&b'/')).expect("it was a path when the tree was built")
    }

    fn name(&self, row: u32) -> &[u8] {
        let row = NodeId(row).index();
        let start = self.rows[row].name;
        let end = self.rows.get(row + 1).map_or(self.names.len(), |next| NodeId(next.name).index());
        &self.names[NodeId(start).index()..end]
    }

    fn children_rows(&self, folder: NodeId) -> &[u32] {
        let borders =
            (self.first_child.get(folder.index()), self.first_child.get(folder.index() + 1));
        let (Some(&first), Some(&end)) = borders else { return &[] };
        &self.children[NodeId(first).index()..NodeId(end).index()]
    }

    /// The row's node: of a hard link, that of its file; `None` if that is not in the tree.
    fn node_of(&self, row: u32) -> Option<NodeId> {
        let found = &self.rows[NodeId(row).index()];
        match (found.is_link(), found.value) {
            (false, _) => Some(NodeId(row)),
            (true, NOWHERE) => None,
            (true, file) => Some(NodeId(halves(file).0)),
        }
    }

    /// What has this name in the folder.
    pub fn child(&self, folder: NodeId, name: &[u8]) -> Option<NodeId> {
        let rows = self.children_rows(folder);
        let found = rows.binary_search_by(|&row| self.name(row).cmp(name)).ok()?;
        self.node_of(rows[found])
    }

    /// The names in the folder from the one with this position on, sorted by their bytes: position, name, node.
    pub fn children(
        &self,
        folder: NodeId,
        first: usize,
    ) -> impl Iterator<Item = (usize, &[u8], NodeId)> {
        let rows = self.children_rows(folder).iter().enumerate().skip(first);
        rows.filter_map(|(position, &row)| Some((position, self.name(row), self.node_of(row)?)))
    }

    /// The node at this path.
    pub fn find(&self, path: &RelPath) -> Option<NodeId> {
        path.components().try_fold(Self::TOP, |folder, name| self.child(folder, name))
    }
}

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
