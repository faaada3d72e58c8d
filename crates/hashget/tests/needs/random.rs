//! Random trees of parts of random packages.
//!
//! Invariant: bytes decide everything, so that a failure shrinks to few and small ones.

use std::collections::BTreeMap;
use std::io::Read as _;

use hashget::archive::{EntryOrigin, entry_origins};
use hashget::codec::Codec;
use hashget::hashdb::{HashDb as _, HashDbWriter as _, complete_members};
use hashget::model::manifest::AnyManifest;
use hashget::model::{Amount, Evidence, Kind, PackageRecord, RelPath};
use hashget::monitor::Silent;
use hashget::pack::{Explanation, HashesKept, PackOptions, Reason, Verdict};
use hashget_testkit::packages::{ZipEntry, deb, zip};
use hashget_testkit::trees::{self, Snapshot, snapshot};
use proptest::prelude::*;

use crate::scene::{Part, Scene, What, options, tar as packed_tar};

/// Decisions, one after the other; 0 when there are none left.
struct Choices<'b> {
    bytes: std::slice::Iter<'b, u8>,
}

impl Choices<'_> {
    fn one_of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::from(*self.bytes.next().unwrap_or(&0)) % list.len()].clone()
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.bytes.next().unwrap_or(&0) % bound
    }

    fn path(&mut self) -> Vec<u8> {
        let names: [&[u8]; 6] =
            [b"a", b"b", b"\xff", b"new\nline", b".hashget-restore.json", b"c d"];
        let depth = self.below(3);
        let mut path = self.one_of(&names).to_vec();
        for _ in 0..depth {
            path.push(b'/');
            path.extend_from_slice(self.one_of(&names));
        }
        path
    }

    fn content(&mut self) -> Vec<u8> {
        let number = self.below(7);
        let length = [0, 1, 300, 3000, 3000, 120_000, 512][usize::from(number)];
        (0..length)
            .map(|at: u32| u8::try_from(at.wrapping_mul(31) >> 2 & 0xff).unwrap() ^ number)
            .collect()
    }

    fn part(&mut self, before: &[Part]) -> Part {
        let path = self.path();
        let files: Vec<&Part> =
            before.iter().filter(|part| matches!(part.what, What::File(_))).collect();
        let what = match self.below(6) {
            0 => What::Folder,
            1 => What::Symlink(self.path()),
            2 if !files.is_empty() => What::HardLink(self.one_of(&files).path.clone()),
            _ => What::File(self.content()),
        };
        Part {
            path,
            what,
            mode: self.one_of(&[0o644, 0o755, 0o600, 0o4755, 0o700]) | 0o700,
            mtime: self.one_of(&[1_600_000_000, 0, -1, 1_700_000_001]),
        }
    }
}

/// Puts a part into the tree unless something is in its way.
fn try_lay_down(tree: &std::path::Path, part: &Part, choices: &mut Choices<'_>) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let path = tree.join(OsStr::from_bytes(&part.path));
    let change = choices.below(16);
    let free = fs_err::symlink_metadata(&path).is_err();
    if change == 1 || !free || fs_err::create_dir_all(path.parent().unwrap()).is_err() {
        return;
    }
    match &part.what {
        What::Folder => fs_err::create_dir(&path).unwrap(),
        What::Symlink(target) => {
            trees::symlink(tree, &part.path, target);
        }
        What::File(content) => {
            let mut content = content.clone();
            if change == 2 {
                content.push(b'!');
            }
            trees::file(tree, &part.path, content);
        }
        What::HardLink(target) => {
            let target = tree.join(OsStr::from_bytes(target));
            if fs_err::symlink_metadata(&target).is_ok_and(|found| found.is_file()) {
                trees::hard_link(tree, &part.path, &target);
            }
            return;
        }
    }
    let link = matches!(part.what, What::Symlink(_));
    if !link {
        trees::mode(&path, if change == 3 { 0o750 } else { part.mode });
    }
    if change == 4 && trees::is_root() {
        trees::owner(&path, 12, 13);
    }
    if change == 5 && !link {
        trees::xattr(&path, "user.random", b"value");
    }
    trees::mtime(&path, if change == 6 { 42 } else { part.mtime }, u32::from(change == 7));
    if change == 8 && !path.is_dir() {
        let name = [&part.path[..], b" linked"].concat();
        trees::hard_link(tree, name, &path);
    }
}

fn zipped(parts: &[Part]) -> Vec<u8> {
    let files: Vec<(&Part, &[u8])> = parts
        .iter()
        .filter_map(|part| match &part.what {
            What::File(content) => Some((part, &content[..])),
            _ => None,
        })
        .collect();
    let entries: Vec<ZipEntry<'_>> = files
        .iter()
        .map(|(part, content)| ZipEntry { name: &part.path, content, ..ZipEntry::default() })
        .collect();
    zip(&entries)
}

/// Packages on a server, and a tree with parts of them and others.
fn build(choices: &mut Choices<'_>) -> Scene {
    let scene = Scene::new();
    let tree = scene.tree();
    for number in 0..=choices.below(3) {
        let mut parts: Vec<Part> = Vec::new();
        for _ in 0..choices.below(14) {
            let part = choices.part(&parts);
            parts.push(part);
        }
        match choices.below(4) {
            0 => scene.index(
                &format!("{number}.deb"),
                &deb(&[("control", b"c")], &packed_tar(&parts), "gzip"),
            ),
            1 => scene.index(&format!("{number}.zip"), &zipped(&parts)),
            _ => scene.index(&format!("{number}.tar"), &packed_tar(&parts)),
        }
        let prefix: &[u8] = choices.one_of(&[&b""[..], b"", b"p/", b"a/", b"b/b/"]);
        for part in &mut parts {
            part.path = [prefix, &part.path].concat();
            if let What::HardLink(target) = &mut part.what {
                *target = [prefix, target].concat();
            }
            try_lay_down(&tree, part, choices);
        }
    }
    for _ in 0..choices.below(6) {
        let part = choices.part(&[]);
        try_lay_down(&tree, &part, choices);
    }
    scene
}

/// Packs what the bytes describe, and lets `bring_back` compare.
fn check(bytes: &[u8], bring_back: impl Fn(&Scene, &[u8], &Snapshot)) {
    let mut choices = Choices { bytes: bytes.iter() };
    let scene = build(&mut choices);
    let before = snapshot(&scene.tree());
    let options = PackOptions {
        hashes: choices.one_of(&[HashesKept::Anchors, HashesKept::All, HashesKept::None]),
        codec: choices.one_of(&[Codec::None, Codec::Gzip, Codec::Zstd, Codec::Xz]),
        min_size: choices.one_of(&[0, 0, 2]),
        ..options()
    };
    let (archive, _) = scene.pack_well(&options);
    bring_back(&scene, &archive, &before);
}

/// Options that decide what becomes of an entry.
fn deciding_options(choices: &mut Choices<'_>) -> PackOptions<'static> {
    let patterns = |choices: &mut Choices<'_>| match choices.below(4) {
        0 => vec!["a/*".to_owned()],
        1 => vec!["./b".to_owned(), "c d".to_owned()],
        _ => Vec::new(),
    };
    PackOptions {
        // Of these, a pattern that matches nothing is no problem.
        exclude_by_default: patterns(choices),
        skip: patterns(choices),
        min_size: choices.one_of(&[0, 0, 2, 3000]),
        max_fetch_ratio: choices.one_of(&[f64::INFINITY, 10.0, 1.0, 0.1]),
        evidence: choices.one_of(&[Evidence::Signed, Evidence::Downloaded, Evidence::Local]),
        expires: choices.one_of(&[None, None, Some("2030-01-01".to_owned())]),
        ..options()
    }
}

/// What the archive has of each entry, by its manifest and the members of its packages.
fn by_archive(scene: &Scene, archive: &[u8], explanation: &Explanation) -> Vec<EntryOrigin> {
    let (mut archive, mut json) = (tar::Archive::new(archive), Vec::new());
    let mut first = archive.entries().unwrap().next().unwrap().unwrap();
    first.read_to_end(&mut json).unwrap();
    let manifest = AnyManifest::parse(&json).unwrap();
    let paths: Vec<RelPath> = explanation.entries.iter().map(|entry| entry.path.clone()).collect();
    entry_origins(&manifest, &paths, &|sha256, _| -> Result<_, Box<dyn std::error::Error>> {
        Ok(complete_members(&scene.hashdb, sha256)?)
    })
    .unwrap()
}

/// Packs and explains: every entry has the same verdict, and every reason the same sum.
fn check_agreement(bytes: &[u8]) {
    let mut choices = Choices { bytes: bytes.iter() };
    let scene = build(&mut choices);
    for (id, record) in scene.hashdb.list().unwrap() {
        let members = scene.hashdb.members(id).unwrap();
        let expires = choices.one_of(&[None, None, Some("2029-01-01".to_owned())]);
        scene.hashdb.put(&PackageRecord { expires, ..record }, &members).unwrap();
    }
    let (seed, tree) = (choices.bytes.clone(), scene.tree());
    let (archive, packed) = scene.pack_well(&deciding_options(&mut choices));
    let options = deciding_options(&mut Choices { bytes: seed });
    let explained = scene.packer().explain(&tree, &[RelPath::root()], options, &Silent).unwrap();

    let entries = &explained.entries;
    assert_eq!(explained.packages, packed.packages);
    let mut reasons: BTreeMap<Reason, Amount> = BTreeMap::new();
    for (index, origin) in by_archive(&scene, &archive, &explained).iter().enumerate() {
        let verdict = explained.verdict(index);
        let path = &entries[index].path;
        match (verdict, origin) {
            (Verdict::Archived(_), EntryOrigin::Archived) => {}
            (Verdict::Link { to }, EntryOrigin::Link(target)) if entries[to].path == *target => {}
            (Verdict::Given { package }, EntryOrigin::Packages(packages)) => {
                assert!(packages.contains(&package), "{path}: {verdict:?}, {origin:?}");
            }
            _ => panic!("{path}: explain says {verdict:?}, the archive {origin:?}"),
        }
        let first = entries.first_name(index);
        if let (Kind::File { size }, Verdict::Archived(reason)) =
            (&entries[first].kind, explained.verdict(first))
        {
            let amount = reasons.entry(reason).or_default();
            amount.files += 1;
            amount.bytes += if first == index { *size } else { 0 };
        }
    }
    assert_eq!(reasons, packed.reasons);
    let unasked = explained.absent.iter().filter(|(path, _)| entries.at(path).is_some());
    assert_eq!(unasked.count(), 0, "{:?}", explained.absent);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(24, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    fn unpacked(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        check(&bytes, |scene, archive, before| {
            scene.unpack_well(archive, before);
        });
    }

    fn by_gnu_tar(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        check(&bytes, Scene::gnu_tar_and_restore_well);
    }

    fn by_the_restorer(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        check(&bytes, crate::restorer::restore_well);
    }

    fn explained(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        check_agreement(&bytes);
    }
}

pub(crate) fn random_trees_with_random_packages_come_back() {
    unpacked();
}

pub(crate) fn random_trees_with_random_packages_come_back_by_gnu_tar() {
    by_gnu_tar();
}

pub(crate) fn random_trees_with_random_packages_come_back_by_the_restorer() {
    by_the_restorer();
}

pub(crate) fn explain_says_of_random_trees_what_pack_does() {
    explained();
}
