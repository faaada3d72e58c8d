//! What is told of packages that no system has, of files that several packages have, and of trees with other owners.

use std::collections::BTreeSet;

use super::*;
use crate::detectors::{PackageUrl, Release, Told};
use crate::model::{Digest, MemberMetadata, Metadata};
use crate::monitor::Silent;

/// No file can be read: digests must be enough.
struct NoFiles;

impl TreeFiles for NoFiles {
    fn read(&self, _path: &RelPath) -> Option<Vec<u8>> {
        None
    }

    fn names(&self, _folder: &RelPath) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn entry(name: &str, text: &str) -> Entry {
    Entry {
        path: path(name),
        kind: Kind::File { size: text.len() as u64 },
        metadata: Metadata { mode: 0o644, uid: 7, gid: 7, ..Metadata::default() },
        sha256: Some(Digest::of(text.as_bytes())),
        extents: None,
    }
}

fn member(name: &str, text: &str) -> Member {
    let metadata = MemberMetadata {
        mode: Some(0o644),
        uid: Some(0),
        gid: Some(0),
        ..MemberMetadata::default()
    };
    let entry = entry(name, text);
    Member { path: entry.path, kind: entry.kind, metadata, sha256: entry.sha256, extents: None }
}

fn package(members: Vec<Member>, is_named: bool) -> PackageFiles<'static> {
    PackageFiles {
        name: "a package".to_owned(),
        signature: None,
        members,
        places: vec![(Prefix(b"in/"[..].into()), Prefix(b"at/"[..].into()))],
        of_system: None,
        is_named,
    }
}

/// Ten files, of which the first `other` ones are others in the tree.
fn ten(other: usize) -> (Vec<Entry>, Vec<Member>) {
    let members = (0..10).map(|number| member(&format!("in/{number}"), "as it was")).collect();
    let text = |number: usize| if number < other { "as it is" } else { "as it was" };
    let entries = (0..10).map(|number| entry(&format!("at/{number}"), text(number))).collect();
    (entries, members)
}

#[test]
fn what_nothing_names_counts_only_if_nearly_all_of_it_is_there() {
    for (other, is_named, expected, is_dismissed) in
        [(1, false, 1, false), (2, false, 0, true), (2, true, 2, false)]
    {
        let (entries, members) = ten(other);
        let packages = [package(members, is_named)];
        let found = changed(&entries, &packages, &NoFiles, &Silent).unwrap();
        assert_eq!(found.entries.len(), expected, "{other} {is_named}");
        assert_eq!(found.dismissed.is_empty(), !is_dismissed);
        assert_eq!(found.unowned.len(), if is_dismissed { 10 } else { 0 });
    }
}

#[test]
fn one_of_several_packages_with_a_file_is_enough() {
    let of = |text| package(vec![member("in/x", text)], true);
    let found = |packages: &[PackageFiles<'_>]| {
        changed(&[entry("at/x", "b")], packages, &NoFiles, &Silent).unwrap()
    };
    assert_eq!(found(&[of("a"), of("b")]).entries, []);
    let both_differ = found(&[of("a"), of("c")]).entries;
    assert_eq!(both_differ.len(), 1);
    assert_eq!(both_differ[0].aspects, [Aspect::Contents]);
}

#[test]
fn contents_that_cannot_be_had_are_no_difference() {
    let unknown = Entry { sha256: None, ..entry("at/x", "b") };
    let packages = [package(vec![member("in/x", "c")], true)];
    let found = changed(&[unknown], &packages, &NoFiles, &Silent).unwrap();
    assert_eq!((found.entries.len(), found.unread), (0, vec![path("at/x")]));
    // Another size is enough to know.
    let longer = Entry { sha256: None, ..entry("at/x", "longer") };
    let found = changed(&[longer], &packages, &NoFiles, &Silent).unwrap();
    assert_eq!(found.entries.len(), 1);
}

#[test]
fn of_a_tree_of_somebody_else_owners_are_not_compared() {
    let of_system = SystemPackage {
        signature: "x:one".parse().unwrap(),
        name: "one".to_owned(),
        package_url: PackageUrl::of_file("https://a.example/one-1.tar"),
        places: Vec::new(),
        configuration: Vec::new(),
        may_be_missing: BTreeSet::new(),
        scripts: Vec::new(),
    };
    let system = InstalledSystem {
        folder: RelPath::root(),
        release: Release::default(),
        packages: Vec::new(),
        told: Told::default(),
    };
    let (entries, members) = ten(1);
    let package =
        |members| PackageFiles { of_system: Some((&system, &of_system)), ..package(members, true) };
    let found = changed(&entries, &[package(members.clone())], &NoFiles, &Silent).unwrap();
    assert!(found.owners_are_others);
    assert_eq!(found.entries.len(), 1, "the one with other contents");
    let mut entries = entries;
    for entry in &mut entries[..5] {
        (entry.metadata.uid, entry.metadata.gid) = (0, 0);
    }
    let found = changed(&entries, &[package(members)], &NoFiles, &Silent).unwrap();
    assert!(!found.owners_are_others);
    assert_eq!(found.entries.len(), 6);
}
