//! Trees of manifests that `pack` would not write, and of many entries.
//!
//! Invariant: whatever a manifest says, each path leads to one node at most, and each node back to its path.

use super::ArchiveTree;
use crate::archive::{Listed, Listing, PackageMembers, StoredEntries};
use crate::fetch::Offline;
use crate::hashdb::NoHashDb;
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, EntryTable, Link, Manifest, Needs, TreeSummary};
use crate::model::{Digest, Entry, Extent, Kind, Metadata, RelPath, Timestamp};
use crate::monitor::Silent;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn entry(text: &str, kind: Kind) -> Entry {
    let mtime = Timestamp { seconds: -3, nanoseconds: 7 };
    let mut metadata = Metadata { mode: 0o640, uid: 1, gid: 2, mtime, ..Metadata::default() };
    if text.ends_with("noted") {
        metadata.xattrs.insert(b"user.note".to_vec().into(), b"value".to_vec().into());
    }
    Entry { path: path(text), kind, metadata, sha256: None, extents: None }
}

fn file(text: &str) -> Entry {
    entry(text, Kind::File { size: text.len() as u64 })
}

fn tree(mut entries: Vec<Entry>, links: &[(&str, &str)]) -> ArchiveTree {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let mut links: Vec<Link> =
        links.iter().map(|(from, to)| Link { path: path(from), to: path(to) }).collect();
    links.sort();
    let sha256 = Digest::of(b"");
    let manifest = AnyManifest::V2(Box::new(Manifest {
        format: Manifest::FORMAT.to_owned(),
        version: 2,
        needs: Needs::default(),
        tool: "a test".to_owned(),
        expires: None,
        tree: TreeSummary { sha256, entries: 0, files: 0, bytes: 0 },
        packages: Vec::new(),
        archived: EntryTable::new(&entries),
        links,
        renamed: Vec::new(),
        regenerable: Vec::new(),
        pieces: None,
    }));
    let limits = Limits::default();
    let members = PackageMembers {
        least: crate::model::Evidence::Downloaded,
        supplements: None,
        hashdb: &NoHashDb,
        source: &Offline,
        must_have: false,
        digests: false,
        limits: &limits,
    };
    let listed = Listed { manifest: &manifest, stored: StoredEntries::default() };
    ArchiveTree::new(&Listing::new(listed, &members, &|_| true, &Silent).unwrap()).unwrap()
}

fn names(tree: &ArchiveTree, folder: &str) -> Vec<String> {
    let folder = tree.find(&path(folder)).unwrap();
    let name = |(_, name, _): (usize, &[u8], _)| String::from_utf8(name.to_vec()).unwrap();
    tree.children(folder, 0).map(name).collect()
}

#[test]
fn names_are_found_in_their_folders_whatever_sorts_between() {
    let folder = |text| entry(text, Kind::Directory);
    let tree = tree(
        vec![
            folder(""),
            folder("a"),
            file("a-b"),
            file("a.c"),
            file("a/x"),
            folder("a/d"),
            file("ab"),
        ],
        &[],
    );
    assert_eq!(names(&tree, ""), ["a", "a-b", "a.c", "ab"]);
    assert_eq!(names(&tree, "a"), ["d", "x"]);
    assert_eq!(names(&tree, "a/d"), [""; 0]);
    for text in ["a", "a-b", "a/x", "a/d", "ab"] {
        let id = tree.find(&path(text)).unwrap();
        assert_eq!(tree.path(id), path(text));
    }
    assert!(tree.find(&path("a/y")).is_none() && tree.find(&path("ab/x")).is_none());
    let a = tree.find(&path("a")).unwrap();
    assert_eq!((tree.parent(a), tree.child(a, b"x")), (ArchiveTree::TOP, tree.find(&path("a/x"))));
    let rest: Vec<_> = tree.children(ArchiveTree::TOP, 2).map(|(at, name, _)| (at, name)).collect();
    assert_eq!(rest, [(2, &b"a.c"[..]), (3, b"ab")]);
    let node = tree.node(tree.find(&path("a.c")).unwrap()).unwrap();
    assert_eq!((node.kind, node.names), (Kind::File { size: 3 }, 1));
    assert_eq!(node.metadata, file("a.c").metadata);
}

#[test]
fn folders_that_are_not_in_the_archive_are_plain_ones() {
    let tree = tree(vec![file("a/b/c"), file("a/b/d"), file("e")], &[]);
    assert_eq!(names(&tree, ""), ["a", "e"]);
    assert_eq!(names(&tree, "a/b"), ["c", "d"]);
    let folder = tree.node(tree.find(&path("a/b")).unwrap()).unwrap();
    assert_eq!((folder.kind, folder.metadata.mode), (Kind::Directory, 0o755));
    let empty = super::tests::tree(Vec::new(), &[]);
    assert!(empty.is_empty() && empty.node(ArchiveTree::TOP).unwrap().kind == Kind::Directory);
}

#[test]
fn what_cannot_be_shown_is_counted() {
    let long = format!("{}/x", "n".repeat(256));
    let below = vec![file("f"), file("f/x"), file("f/y/z"), file(&long), file("g")];
    let tree = tree(below, &[("dangling", "nowhere"), ("ring", "ring-too"), ("ring-too", "ring")]);
    assert_eq!(names(&tree, ""), ["f", "g"]);
    assert_eq!(tree.left_out(), 6);
    assert!(tree.find(&path("f/x")).is_none() && tree.find(&path("ring")).is_none());
}

#[test]
fn all_names_of_a_file_are_one_node() {
    let entries = vec![file("m"), file("n/noted"), entry("n/pipe", Kind::Fifo)];
    let links = [("a", "m"), ("z", "m"), ("y", "z"), ("n/pipe-too", "n/pipe"), ("n-too", "n")];
    let tree = tree(entries, &links);
    let node = tree.find(&path("m")).unwrap();
    for name in ["a", "z", "y"] {
        assert_eq!(tree.find(&path(name)), Some(node), "{name}");
    }
    assert_eq!((tree.node(node).unwrap().names, tree.path(node)), (4, path("m")));
    // A pipe has further names, too, but no folder has.
    assert_eq!(tree.find(&path("n/pipe-too")), tree.find(&path("n/pipe")));
    assert_eq!((tree.find(&path("n-too")), tree.left_out()), (None, 1));
    let noted = tree.find(&path("n/noted")).unwrap();
    let xattrs = tree.xattrs(noted).unwrap();
    assert_eq!(xattrs.get(&b"user.note"[..]).map(|value| &**value), Some(&b"value"[..]));
    assert!(tree.xattrs(node).is_none() && tree.has_xattrs());
    assert!(tree.node(super::NodeId::new(99)).is_none());
}

#[test]
fn data_and_holes_are_found_from_any_place_on() {
    let mut sparse = entry("sparse", Kind::File { size: 100 });
    let extent = |offset, length| Extent { offset, length };
    sparse.extents = Some(vec![extent(10, 5), extent(15, 5), extent(40, 1)]);
    let empty = Entry { extents: Some(Vec::new()), ..entry("hole", Kind::File { size: 9 }) };
    let tree = tree(vec![sparse, empty, entry("whole", Kind::File { size: 7 })], &[]);
    let find = |name: &str| tree.find(&path(name)).unwrap();
    let sparse = find("sparse");
    for (from, data, hole) in [
        (0, Some(10), Some(0)),
        (10, Some(10), Some(20)),
        (17, Some(17), Some(20)),
        (20, Some(40), Some(20)),
        (40, Some(40), Some(41)),
        (41, None, Some(41)),
        (100, None, None),
    ] {
        assert_eq!(
            (tree.next_data(sparse, from), tree.next_hole(sparse, from)),
            (data, hole),
            "{from}"
        );
    }
    let [hole, whole] = ["hole", "whole"].map(find);
    assert_eq!((tree.next_data(hole, 0), tree.next_hole(hole, 3)), (None, Some(3)));
    assert_eq!((tree.next_data(whole, 3), tree.next_hole(whole, 3)), (Some(3), Some(7)));
    assert_eq!((tree.next_data(whole, 7), tree.next_hole(ArchiveTree::TOP, 0)), (None, None));
}
