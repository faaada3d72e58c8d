//! Manifests whose derived files are wrong: each costs its file, which is named, and everything else comes back.

use std::path::{Path, PathBuf};

use hashget::model::manifest::{AnyManifest, Derived, EntryTable, Manifest};
use hashget::model::{Digest, Entry, Kind, RelPath};
use hashget::monitor::Recorder;
use hashget::restore::{RestoreOptions, Summary};

use crate::recipes::manifest_of;
use crate::scene::{Scene, gnu_tar, options, problems};
use crate::trees::{INFO, conda_environment, debian, list_of, parts, virtual_environment};

/// A folder into which tar has unpacked an archive, with its manifest changed.
fn folder(scene: &Scene, change: impl FnOnce(&mut Manifest)) -> PathBuf {
    let (archive, _) = scene.pack_well(&options());
    let mut manifest = manifest_of(&archive);
    change(&mut manifest);
    let target = scene.target();
    gnu_tar(&archive, &target);
    fs_err::write(target.join(".hashget-restore.json"), manifest.to_json()).unwrap();
    target
}

fn restore(scene: &Scene, target: &Path) -> (Summary, Recorder) {
    let recorder = Recorder::default();
    let options = RestoreOptions { keep_manifest: true, ..RestoreOptions::default() };
    (scene.restorer().restore(target, &options, &recorder).unwrap(), recorder)
}

/// Changes the entries that the only package lists.
fn change_files(manifest: &mut Manifest, change: impl Fn(&mut Entry, &mut Option<RelPath>)) {
    let files = &mut manifest.packages[0].files;
    let mut rows: Vec<_> = files.entries().map(Result::unwrap).collect();
    rows.iter_mut().for_each(|(entry, from)| change(entry, from));
    let (entries, from): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    *files = EntryTable::new(&entries).with_from(from);
}

/// The derived file alone is missing, for this reason.
#[track_caller]
fn costs_one_file(scene: &Scene, path: &str, why: &str, change: impl FnOnce(&mut Manifest)) {
    let target = folder(scene, change);
    let (restored, recorder) = restore(scene, &target);
    let missing: Vec<String> = restored.missing.iter().map(|(path, _)| path.to_string()).collect();
    assert_eq!(missing, [path], "{}", problems(&recorder));
    let reason = &restored.missing[0].1;
    assert!(reason.contains(why), "{why:?} is not in: {reason}");
    assert!(!target.join(path).exists());
    assert_eq!(restored.proven, None);
}

fn list() -> String {
    format!("{INFO}/tool.list")
}

fn a_debian_machine() -> Scene {
    let parts = parts(40);
    debian(&parts, &list_of(&parts)).0
}

#[test]
fn a_recipe_that_nobody_knows() {
    let scene = a_debian_machine();
    let why = "this hashget does not know the recipe tea: a newer one wrote the archive";
    costs_one_file(&scene, &list(), why, |manifest| {
        manifest.packages[0].derived[0].recipe = "tea".to_owned();
    });
}

#[test]
fn a_digest_that_is_wrong() {
    let scene = a_debian_machine();
    costs_one_file(&scene, &list(), "expected", |manifest| {
        change_files(manifest, |entry, _| entry.sha256 = Some(Digest::of(b"another")));
    });
}

#[test]
fn a_digest_that_is_not_there() {
    let scene = a_debian_machine();
    costs_one_file(&scene, &list(), "no digest of it", |manifest| {
        change_files(manifest, |entry, _| entry.sha256 = None);
    });
}

#[test]
fn more_and_fewer_bytes_than_said() {
    let scene = a_debian_machine();
    let why = "more than the expected 600 bytes come out of the recipe";
    costs_one_file(&scene, &list(), why, |manifest| {
        change_files(manifest, |entry, _| entry.kind = Kind::File { size: 600 });
    });
    costs_one_file(&scene, &list(), "expected 60000", |manifest| {
        change_files(manifest, |entry, _| entry.kind = Kind::File { size: 60_000 });
    });
}

#[test]
fn a_member_that_is_described_nowhere_or_made_from_itself() {
    let scene = a_debian_machine();
    for number in ["1", "00", "-1", "0/x", "99999999999999999999999"] {
        costs_one_file(&scene, &list(), "has no member", |manifest| {
            let from = RelPath::new(format!("!/{number}")).unwrap();
            change_files(manifest, |_, member| *member = Some(from.clone()));
        });
    }
    let why = "the package has no file !/0 to make it from";
    costs_one_file(&scene, &list(), why, |manifest| {
        manifest.packages[0].derived[0].from = RelPath::new("!/0").ok();
    });
}

#[test]
fn two_that_are_made_from_each_other() {
    let scene = conda_environment(None).0;
    let target = folder(&scene, |manifest| {
        let derived: &mut Vec<Derived> = &mut manifest.packages[0].derived;
        assert_eq!(derived.len(), 2);
        derived[0].from = RelPath::new("!/1").ok();
        derived[1].from = RelPath::new("!/0").ok();
    });
    let (restored, _) = restore(&scene, &target);
    assert_eq!(restored.missing.len(), 2);
    for (_, why) in restored.missing {
        assert!(why.contains("the package has no file !/"), "{why}");
    }
}

#[test]
fn an_input_that_is_not_there_or_no_file() {
    let scene = conda_environment(None).0;
    for input in ["pkg/lib/nothing", "pkg/lib"] {
        let why = format!("recipe conda-prefix: the package has no file {input} to make it from");
        costs_one_file(&scene, "env/bin/tool", &why, |manifest| {
            manifest.packages[0].derived[0].from = RelPath::new(input).ok();
        });
    }
}

#[test]
fn parameters_that_make_no_sense() {
    let scene = conda_environment(None).0;
    let changed = |name: &'static str, value: Option<&str>, why: &str| {
        let value = value.map(str::to_owned);
        costs_one_file(&scene, "env/lib/libtool.so", why, |manifest| {
            let parameters = &mut manifest.packages[0].derived[1].parameters;
            match value {
                Some(value) => parameters.insert(name.to_owned(), value),
                None => parameters.remove(name),
            };
        });
    };
    changed("mode", Some("tea"), "parameter mode is neither text nor binary");
    changed("placeholder", Some(""), "parameter placeholder is empty");
    changed("prefix", None, "parameter prefix is missing");
    changed("prefix", Some(&"/long".repeat(100)), "parameter prefix is longer");
    let scene = virtual_environment(30, &[]).0;
    let record = "lib/python3.11/site-packages/tool-1.0.dist-info/RECORD";
    costs_one_file(&scene, record, "parameter ends is neither lf nor crlf", |manifest| {
        let parameters = &mut manifest.packages[0].derived[0].parameters;
        parameters.insert("ends".to_owned(), "cr".to_owned());
    });
}

#[test]
fn a_package_that_changed_gives_derived_files_by_their_digest() {
    let parts = parts(40);
    let (scene, _) = debian(&parts, &list_of(&parts));
    let (archive, _) = scene.pack_well(&options());
    // The same names, so that the same list follows from it.
    let other: Vec<u8> = {
        let sums = b"other\n".repeat(30);
        hashget_testkit::packages::deb(&[("md5sums", &sums)], &crate::scene::tar(&parts), "xz")
    };
    scene.origin.serve("/tool_1.0_all.deb", other);
    let (target, restored, _) = scene.unpack(&archive);
    assert!(!restored.missing.is_empty());
    let found = fs_err::read_to_string(target.join(list())).unwrap();
    assert_eq!(found, list_of(&parts));
}

/// A manifest of this feature is not one that an older program could take for its own.
#[test]
fn the_feature_is_named() {
    let scene = a_debian_machine();
    let (archive, _) = scene.pack_well(&options());
    let json = String::from_utf8(manifest_of(&archive).to_json()).unwrap();
    assert!(
        json.starts_with(r#"{"format":"hashget-restore","version":2,"needs":{"derived":"0.1"},"#),
        "{json}"
    );
    let again = AnyManifest::parse(json.as_bytes()).unwrap();
    let AnyManifest::V2(again) = again else { panic!("it is of version 2") };
    assert_eq!(String::from_utf8(again.to_json()).unwrap(), json);
}

/// Such a manifest is refused as a whole, like any with such a path, and nothing is written.
#[test]
fn an_input_outside_of_the_package() {
    let scene = conda_environment(None).0;
    let (archive, _) = scene.pack_well(&options());
    let json = String::from_utf8(manifest_of(&archive).to_json()).unwrap();
    let outside = json.replacen(r#""from":"pkg/bin/tool""#, r#""from":"../bin/tool""#, 1);
    assert_ne!(json, outside);
    let error = AnyManifest::parse(outside.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("not a restore manifest"), "{error}");
}

#[test]
fn a_tag_that_is_no_part_of_a_name_is_written_nowhere() {
    for tag in ["t".repeat(255), "a/b".to_owned(), "a\nb".to_owned()] {
        let (scene, _) = virtual_environment(30, &[]);
        let record = "lib/python3.11/site-packages/tool-1.0.dist-info/RECORD";
        let why = "the manifest's parameter compiled is no part of a file's name";
        costs_one_file(&scene, record, why, |manifest| {
            let parameters = &mut manifest.packages[0].derived[0].parameters;
            parameters.insert("compiled".to_owned(), tag);
        });
    }
}
