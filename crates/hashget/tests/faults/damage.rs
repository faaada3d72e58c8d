//! The damage matrix: each region of an archive, of a package at its origin, and of a pool's file is flipped,
//! zeroed or cut.
//!
//! Invariant: whatever is not exactly as it was packed has been told; and if nothing was told, everything
//! is exactly as it was packed.

use std::collections::BTreeSet;
use std::path::Path;

use hashget::codec::Codec;
use hashget::fetch::{DirPool, Offline, Source};
use hashget::model::Digest;
use hashget::monitor::{ProblemKind, Recorder};
use hashget::pack::{HashesKept, PackOptions};
use hashget::restore::{RestoreOptions, Restorer};
use hashget_testkit::packages::compress;
use hashget_testkit::trees::{self, Snapshot, snapshot};

use crate::scene::{Part, Scene, lay_down, options, problems, serious, tar};

const ARCHIVED: usize = 6;
const GIVEN: usize = 6;

fn content(seed: usize) -> Vec<u8> {
    (0..60_u64)
        .flat_map(|number| {
            Digest::of(&[seed as u64, number].map(u64::to_le_bytes).concat()).as_bytes().to_vec()
        })
        .collect()
}

fn parts() -> Vec<Part> {
    let files = (0..GIVEN).map(|number| Part::file(&format!("p/{number}"), content(number)));
    std::iter::once(Part::folder("p/")).chain(files).collect()
}

/// A tree of which half the files come from a package.
fn scene(package: &[u8]) -> (Scene, Snapshot) {
    let scene = Scene::new();
    scene.index("p.tar.gz", package);
    lay_down(&scene.tree(), &parts());
    for number in 0..ARCHIVED {
        trees::file(&scene.tree(), format!("own/{number}"), content(100 + number));
    }
    trees::hard_link(&scene.tree(), "own/linked", &scene.tree().join("own/1"));
    trees::symlink(&scene.tree(), "own/link", "1");
    let before = snapshot(&scene.tree());
    (scene, before)
}

/// The kinds of damage at `offset`.
fn damaged(bytes: &[u8], offset: usize) -> [Vec<u8>; 3] {
    let mut flipped = bytes.to_vec();
    flipped[offset] ^= 0x10;
    let mut zeroed = bytes.to_vec();
    let end = (offset + 64).min(bytes.len());
    zeroed[offset..end].fill(0);
    [flipped, zeroed, bytes[..offset].to_vec()]
}

/// Where the contents of these files lie.
fn places(bytes: &[u8], seed: usize, files: usize) -> Vec<std::ops::Range<usize>> {
    let place = |content: Vec<u8>| {
        let start = (0..bytes.len()).step_by(512).find(|&at| bytes[at..].starts_with(&content));
        start.unwrap()..start.unwrap() + content.len()
    };
    (seed..seed + files).map(content).map(place).collect()
}

/// The files whose contents are not those that were packed, or that are not there.
fn wrong_files(before: &Snapshot, target: &Path) -> BTreeSet<String> {
    let found = if target.exists() { snapshot(target) } else { Snapshot::new() };
    let right = |path: &Vec<u8>| found.get(path).and_then(|node| node.digest);
    let files = before.iter().filter(|(_, node)| node.kind == 'f');
    files
        .filter(|(path, node)| right(path) != node.digest)
        .map(|(path, _)| String::from_utf8_lossy(path).into_owned())
        .collect()
}

/// Restores from a damaged archive, or from damaged packages; how many files are not right.
fn judge(
    scene: &Scene,
    source: &dyn Source,
    archive: &[u8],
    before: &Snapshot,
    what: &str,
) -> usize {
    let (target, recorder) = (scene.target(), Recorder::default());
    let restorer =
        Restorer { source, web: &Offline, limits: &scene.limits, jobs: 1, accepting: None };
    let outcome = restorer.unpack(&mut &*archive, &target, &RestoreOptions::default(), &recorder);
    let wrong = wrong_files(before, &target);
    if let Ok(summary) = &outcome {
        let told = serious(&recorder);
        if told.is_empty() && summary.proven == Some(true) {
            let mut found = snapshot(&target);
            found.remove(&b".hashget-restore.json"[..]);
            let differences = trees::differences(before, &found);
            assert!(differences.is_empty(), "{what}: nothing was told, but {differences:?}");
        } else {
            assert!(!told.is_empty(), "{what}: {summary:?}");
        }
        // Whatever is in a place with other contents than it should has been named.
        for name in wrong.iter().filter(|name| target.join(name).exists()) {
            let named =
                told.iter().any(|(_, object)| object == name || !object.starts_with("own/"));
            assert!(named, "{what}: {name} is wrong; {}", problems(&recorder));
        }
    }
    if target.exists() {
        let leftovers = snapshot(&target).into_keys().find(|path| path.ends_with(b".part"));
        assert_eq!(leftovers, None, "{what}");
        fs_err::remove_dir_all(&target).unwrap();
    }
    wrong.len()
}

#[test]
fn a_damaged_archive_is_told_and_gives_what_is_undamaged() {
    let (scene, before) = scene(&compress("gzip", &tar(&parts())));
    let mut tried = 0;
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let options = PackOptions { codec, hashes: HashesKept::All, ..options() };
        let (archive, _) = scene.pack_well(&options);
        let step = archive.len() / 40;
        for offset in (0..archive.len()).step_by(step) {
            for (kind, bytes) in ["flipped", "zeroed", "cut"].iter().zip(damaged(&archive, offset))
            {
                let what = format!("{codec:?} {kind} at {offset} of {}", archive.len());
                let wrong = judge(&scene, &scene.source, &bytes, &before, &what);
                tried += 1;
                // Behind the manifest, one damage of an uncompressed archive harms one file; a broken
                // header ends it. Packages are not touched by it.
                let manifest = 8192;
                if codec == Codec::None && offset > manifest {
                    assert!(wrong <= ARCHIVED + 1, "{what}: {wrong}");
                    let one = *kind == "flipped"
                        && places(&archive, 100, ARCHIVED)
                            .iter()
                            .any(|place| place.contains(&offset));
                    assert!(!one || wrong <= 2, "{what}: {wrong}");
                }
            }
        }
    }
    assert!(tried >= 360, "{tried}");
}

#[test]
fn a_damaged_package_gives_those_files_that_are_proven() {
    let package = compress("none", &tar(&parts()));
    let (scene, before) = scene(&package);
    for hashes in [HashesKept::All, HashesKept::None] {
        let (archive, packed) = scene.pack_well(&PackOptions { hashes, ..options() });
        assert_eq!(packed.left_out_files, GIVEN as u64);
        for offset in (0..package.len()).step_by(package.len() / 40) {
            for (kind, bytes) in ["flipped", "zeroed", "cut"].iter().zip(damaged(&package, offset))
            {
                if bytes == package {
                    continue;
                }
                scene.origin.serve("/p.tar.gz", bytes);
                let what = format!("package {kind} at {offset}, {hashes:?}");
                let wrong = judge(&scene, &scene.source, &archive, &before, &what);
                let expected = if hashes == HashesKept::None { GIVEN } else { 0 };
                assert!(wrong >= expected && wrong <= GIVEN, "{what}: {wrong}");
                let one = *kind == "flipped"
                    && places(&package, 0, GIVEN).iter().any(|place| place.contains(&offset));
                if hashes == HashesKept::All && one {
                    assert!(wrong <= 1, "{what}: {wrong}");
                }
            }
        }
        scene.origin.serve("/p.tar.gz", package.clone());
        scene.unpack_well(&archive, &before);
    }
}

#[test]
fn a_damaged_file_of_a_pool_is_never_taken_for_the_package() {
    let package = compress("gzip", &tar(&parts()));
    let (scene, before) = scene(&package);
    let (archive, _) = scene.pack_well(&PackOptions { hashes: HashesKept::None, ..options() });
    let folder = scene.path("pool");
    fs_err::create_dir(&folder).unwrap();
    let name = Digest::of(&package).to_string();
    for offset in (0..package.len()).step_by(package.len() / 20) {
        for bytes in damaged(&package, offset).into_iter().filter(|bytes| *bytes != package) {
            fs_err::write(folder.join(&name), bytes).unwrap();
            let pool = DirPool::open(&folder).unwrap();
            let what = format!("pool at {offset}");
            assert_eq!(judge(&scene, &pool, &archive, &before, &what), GIVEN, "{what}");
        }
    }
    let told = Recorder::default();
    let pool = DirPool::open(&folder).unwrap();
    let restorer =
        Restorer { source: &pool, web: &Offline, limits: &scene.limits, jobs: 1, accepting: None };
    let summary = restorer
        .unpack(&mut &*archive, &scene.target(), &RestoreOptions::default(), &told)
        .unwrap();
    assert_eq!(summary.proven, None);
    let kinds: Vec<ProblemKind> = serious(&told).into_iter().map(|(kind, _)| kind).collect();
    assert!(
        kinds
            .iter()
            .all(|kind| matches!(kind, ProblemKind::Verification | ProblemKind::Unreachable)),
        "{}",
        problems(&told)
    );
}
