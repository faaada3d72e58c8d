//! What profiles exclude: it is counted and recorded, and everything else comes back.

use hashget::archive::read_folder_manifest;
use hashget::model::manifest::{AnyManifest, ProfileItem};
use hashget::pack::PackOptions;
use hashget::restore::RestoreOptions;
use hashget_testkit::trees::{Snapshot, file, snapshot};

use crate::scene::{Scene, options};

fn item(pattern: &str, command: &str) -> ProfileItem {
    ProfileItem {
        profile: "own".to_owned(),
        pattern: pattern.to_owned(),
        reason: "a cache".to_owned(),
        command: command.to_owned(),
        by_itself: false,
    }
}

/// A tree with caches, and its description without them.
fn scene() -> (Scene, Snapshot) {
    let scene = Scene::new();
    let tree = scene.tree();
    for (path, content) in [
        ("var/cache/man/index.db", "index"),
        ("var/cache/man/cat1/one", "first"),
        ("var/cache/other", "not in a list"),
        ("home/ada/var/cache/man/letter", "to stay"),
        ("home/ada/.cache/pip/wheel", "a wheel"),
        ("home/ada/cache/letter", "to stay"),
    ] {
        file(&tree, path, content.as_bytes());
    }
    let wheel = tree.join("home/ada/.cache/pip/wheel");
    fs_err::hard_link(&wheel, tree.join("home/ada/.cache/pip/twin")).unwrap();
    // A further name elsewhere is a file of its own then.
    fs_err::hard_link(tree.join("var/cache/man/index.db"), tree.join("zcopy")).unwrap();
    let mut expected = snapshot(&tree);
    for folder in [&b"var/cache/man/"[..], b"home/ada/.cache/pip/"] {
        expected.retain(|path, _| !path.starts_with(folder));
    }
    expected.get_mut(&b"zcopy"[..]).unwrap().first_name = b"zcopy".to_vec();
    (scene, expected)
}

fn with_profile() -> PackOptions<'static> {
    let profile = vec![
        item("./var/cache/man/*", "mandb"),
        item("./var/cache/man/index.db", "never, since the first counts"),
        item("./none/*", "nothing"),
        item(".cache/pip/*", "pip install"),
    ];
    PackOptions { profile, ..options() }
}

#[test]
fn what_a_profile_excludes_is_counted_and_the_rest_comes_back() {
    let (scene, expected) = scene();
    let (archive, packed) = scene.pack_well(&with_profile());
    let told: Vec<(&str, u64, u64)> =
        packed.regenerable.iter().map(|one| (&*one.item.command, one.files, one.bytes)).collect();
    assert_eq!(told, [("mandb", 2, 10), ("pip install", 2, 7)]);
    let restored = scene.unpack_well(&archive, &expected);
    assert_eq!(restored.regenerable, packed.regenerable);
    scene.gnu_tar_and_restore_well(&archive, &expected);
}

#[test]
fn the_manifest_has_what_was_excluded_and_no_need() {
    let (scene, _) = scene();
    let (archive, packed) = scene.pack_well(&with_profile());
    let (target, monitor) = (scene.target(), hashget::monitor::Recorder::default());
    let keeps = RestoreOptions { keep_manifest: true, ..RestoreOptions::default() };
    scene.restorer().unpack(&mut &*archive, &target, &keeps, &monitor).unwrap();
    let manifest = read_folder_manifest(&target, &scene.limits).unwrap();
    assert_eq!(manifest.regenerable(), packed.regenerable);
    let AnyManifest::V2(manifest) = manifest else { panic!("version 1") };
    assert!(manifest.needs.is_empty());
    // Without a profile, the archive says nothing of it.
    let (archive, packed) = scene.pack_well(&options());
    assert!(packed.regenerable.is_empty());
    let has = archive.windows(11).any(|bytes| bytes == b"regenerable");
    assert!(!has);
}

#[test]
fn a_profile_is_told_before_another_pattern_and_does_not_hide_it() {
    let (scene, _) = scene();
    let exclude = vec!["./var/cache/man/index.db".to_owned(), "*.none".to_owned()];
    let options = PackOptions { exclude, ..with_profile() };
    let recorder = hashget::monitor::Recorder::default();
    let (_, packed) = scene.pack(&options, &recorder).unwrap();
    assert_eq!(packed.regenerable[0].files, 2);
    let notes = crate::scene::problems(&recorder);
    assert!(notes.contains("*.none") && !notes.contains("index.db"), "{notes}");
}
