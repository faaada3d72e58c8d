//! What each recipe leaves out, and what it does not.

use hashget::derived::Derive;
use hashget::model::manifest::{AnyManifest, Manifest};
use hashget::monitor::{ProblemKind, Recorder};
use hashget::pack::{HashesKept, ManifestVersion, PackOptions, Summary};
use hashget::restore::RestoreOptions;
use hashget_testkit::packages::conda;
use hashget_testkit::trees::{self, Snapshot, snapshot};

use crate::scene::{Part, Scene, assert_same, lay_down, options, serious, tar};
use crate::trees::{INFO, conda_environment, debian, list_of, parts, row, virtual_environment};

/// The manifest of an archive that is not compressed.
pub(crate) fn manifest_of(archive: &[u8]) -> Manifest {
    let mut tar = tar::Archive::new(archive);
    let mut entry = tar.entries().unwrap().next().unwrap().unwrap();
    let mut json = Vec::new();
    std::io::Read::read_to_end(&mut entry, &mut json).unwrap();
    match AnyManifest::parse(&json).unwrap() {
        AnyManifest::V2(manifest) => *manifest,
        AnyManifest::V1(_) => panic!("it is of version 1"),
    }
}

/// Packs and restores; gives what was derived, as `RECIPE: FILES`.
#[track_caller]
fn derived(scene: &Scene, before: &Snapshot, options: &PackOptions<'_>) -> String {
    let (archive, packed) = scene.pack_well(options);
    scene.unpack_well(&archive, before);
    scene.gnu_tar_and_restore_well(&archive, before);
    let recipes = recipes(&packed);
    let needs = manifest_of(&archive).needs;
    let needs: Vec<&str> = needs.names().collect();
    assert_eq!(needs, if recipes.is_empty() { vec![] } else { vec!["derived"] });
    recipes
}

fn recipes(packed: &Summary) -> String {
    let recipes = packed.derived.iter().map(|(name, amount)| format!("{name}: {}", amount.files));
    recipes.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_list_of_a_debian_package_is_left_out_whatever_hashes_are_kept() {
    let parts = parts(40);
    let (scene, before) = debian(&parts, &list_of(&parts));
    for hashes in [HashesKept::Anchors, HashesKept::All, HashesKept::None] {
        let options = PackOptions { hashes, ..options() };
        assert_eq!(derived(&scene, &before, &options), "dpkg-list: 1");
    }
    // The archive has no file at all.
    let (_, packed) = scene.pack_well(&options());
    assert_eq!(packed.archived_files, 0, "{packed:?}");
}

#[test]
fn a_list_that_does_not_follow_is_archived() {
    let parts = parts(40);
    let list = list_of(&parts);
    let (obsolete, cut) = (format!("{list}/etc/tool.conf\n"), &list[..list.len() - 1]);
    for other in [&*obsolete, cut, &*list.replace("0007", "0008"), &list.replacen("/.\n", "", 1)] {
        let (scene, before) = debian(&parts, other);
        assert_eq!(derived(&scene, &before, &options()), "");
    }
}

#[test]
fn what_is_small_or_not_wanted_is_archived() {
    let few = parts(3);
    let (scene, before) = debian(&few, &list_of(&few));
    assert_eq!(derived(&scene, &before, &options()), "");
    let many = parts(40);
    let (scene, before) = debian(&many, &list_of(&many));
    for options in [
        PackOptions { derive: Derive::None, ..options() },
        PackOptions { skip: vec!["*.list".to_owned()], ..options() },
        PackOptions { min_size: 1 << 20, ..options() },
    ] {
        assert_eq!(derived(&scene, &before, &options), "");
    }
    let options = PackOptions { manifest_version: ManifestVersion::One, ..options() };
    let (_, packed) = scene.pack_well(&options);
    assert_eq!(recipes(&packed), "");
}

#[test]
fn the_record_of_a_wheel_is_left_out_with_what_the_installer_made() {
    let script = row("../../../bin/tool", "#!python\n");
    for further in [vec![], vec![script, row("tool-1.0.dist-info/INSTALLER", "pip\n")]] {
        let (scene, before) = virtual_environment(30, &further);
        assert_eq!(derived(&scene, &before, &options()), "wheel-record: 1");
    }
    // Most of it is of something else.
    let further: Vec<String> =
        (0..60).map(|number| row(&format!("other/file {number}"), "text")).collect();
    let (scene, before) = virtual_environment(30, &further);
    assert_eq!(derived(&scene, &before, &options()), "");
}

#[test]
fn files_with_the_path_of_an_environment_are_left_out() {
    let (scene, before) = conda_environment(None);
    assert_eq!(derived(&scene, &before, &options()), "conda-prefix: 2");
    // The tree is the system on which the environment is at this path.
    let (scene, before) = conda_environment(Some("/env"));
    assert_eq!(derived(&scene, &before, &options()), "conda-prefix: 2");
    let (scene, before) = conda_environment(Some("/elsewhere/env"));
    assert_eq!(derived(&scene, &before, &options()), "");
}

/// An environment of conda at `place` of the tree, of one text file that has `prefix` (if that is absent, where it
/// is) so often, and of a file of its own.
fn large_environment(
    place: &str,
    prefix: Option<&str>,
    placeholder: &str,
    times: usize,
) -> (Scene, Snapshot) {
    let scene = Scene::new();
    let folder = scene.tree().join(place);
    let own = folder.to_str().unwrap().trim_end_matches('/');
    let prefix = prefix.unwrap_or(own);
    let text = |at: &str| format!("{at}\n").repeat(times);
    let parts = |at: &str| {
        [
            Part::folder("bin"),
            Part::file("bin/own", "what only this package has\n".repeat(50)),
            Part::file("bin/tool", text(at)),
        ]
    };
    let info = tar(&[Part::folder("info"), Part::file("info/index.json", "{}")]);
    scene.index("tool-1.0-0.conda", &conda(&tar(&parts(placeholder)), &info));
    lay_down(&folder, &parts(prefix));
    let path = serde_json::json!({
        "_path": "bin/tool", "file_mode": "text", "prefix_placeholder": placeholder,
    });
    let record = serde_json::json!({ "paths_data": { "paths": [path] } });
    trees::file(&folder, "conda-meta/tool-1.0-0.json", record.to_string());
    let before = snapshot(&scene.tree());
    (scene, before)
}

#[test]
fn an_environment_may_be_the_folder_that_is_packed() {
    for place in ["", "env"] {
        let (scene, before) = large_environment(place, None, &"p".repeat(200), 200);
        assert_eq!(derived(&scene, &before, &options()), "conda-prefix: 1", "{place}");
    }
}

#[test]
fn what_a_restore_would_not_read_is_archived() {
    let (scene, before) = large_environment("e", Some("/e"), &"p".repeat(255), 300_000);
    assert_eq!(derived(&scene, &before, &options()), "");
    // A placeholder that would fill the memory.
    let (scene, before) = large_environment("e", Some("/e"), &"p".repeat(1 << 20), 1000);
    assert_eq!(derived(&scene, &before, &options()), "");
}

#[test]
fn what_was_not_made_is_named_and_the_next_restore_makes_it() {
    let parts = parts(40);
    let (scene, before) = debian(&parts, &list_of(&parts));
    let (archive, _) = scene.pack_well(&options());
    let (target, recorder) = (scene.target(), Recorder::default());
    let none = RestoreOptions { derive: Derive::None, ..RestoreOptions::default() };
    let restored = scene.restorer().unpack(&mut &*archive, &target, &none, &recorder).unwrap();
    let why = "derived, not made: `hashget restore --derive pure DIR` makes it";
    let list = format!("{INFO}/tool.list");
    let missing: Vec<_> =
        restored.missing.iter().map(|(path, why)| (path.to_string(), &**why)).collect();
    assert_eq!(missing, [(list.clone(), why)]);
    assert_eq!(restored.proven, None);
    assert_eq!(serious(&recorder), [(ProblemKind::Incomplete, list.clone())]);
    assert!(!target.join(&list).exists());
    assert!(target.join(".hashget-restore.json").exists());
    // Once more without is the same; with it, the tree is complete.
    let again = scene.restorer().restore(&target, &none, &Recorder::default()).unwrap();
    assert_eq!(again.missing.len(), 1);
    let recorder = Recorder::default();
    let restored =
        scene.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
    scene.judge(&target, &restored, &recorder, &before);
}

#[test]
fn a_derived_file_that_is_there_and_right_stays_without_being_made() {
    let parts = parts(40);
    let (scene, before) = debian(&parts, &list_of(&parts));
    let (archive, _) = scene.pack_well(&options());
    let target = scene.target();
    let keeping = RestoreOptions { keep_manifest: true, ..RestoreOptions::default() };
    let restorer = scene.restorer();
    restorer.unpack(&mut &*archive, &target, &keeping, &Recorder::default()).unwrap();
    // Something else is missing, so that the folder is not complete.
    fs_err::remove_file(target.join("usr/share/tool/a file of the tool, number 0003")).unwrap();
    let none = RestoreOptions { derive: Derive::None, ..RestoreOptions::default() };
    let restored = restorer.restore(&target, &none, &Recorder::default()).unwrap();
    assert_eq!((restored.missing, restored.proven), (vec![], Some(true)));
    assert_same(&before, &snapshot(&target));
}
