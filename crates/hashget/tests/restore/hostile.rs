//! Nothing escapes: whatever an archive, a manifest or a package says, nothing outside changes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use hashget::archive::ArchiveError;
use hashget::model::Digest;
use hashget::model::manifest::{MANIFEST_NAME, ManifestError};
use hashget::monitor::Recorder;
use hashget::restore::{RestoreError, Summary};
use hashget_testkit::packages::{TarBuilder, TarEntry};

use crate::support::*;

/// A folder with the tree `good` to pack, and a folder `outside` that must stay as it is.
struct Scene {
    fixture: Fixture,
    outside: Digest,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("tree")).unwrap();
        fs_err::write(folder.path().join("tree/good"), "good").unwrap();
        fs_err::create_dir(folder.path().join("outside")).unwrap();
        fs_err::write(folder.path().join("outside/victim"), "precious").unwrap();
        let outside = scan_of(&folder.path().join("outside")).tree_digest();
        Self { fixture: Fixture::new(folder, vec![]), outside }
    }

    fn outside(&self) -> std::path::PathBuf {
        self.fixture.folder.path().join("outside")
    }

    fn manifest(&self) -> TarBuilder {
        TarBuilder::new().file(MANIFEST_NAME, &self.fixture.manifest.to_json())
    }

    fn unpack(&self, hostile: impl FnOnce(TarBuilder, &str) -> TarBuilder) -> (Summary, Recorder) {
        let outside = self.outside().display().to_string();
        let archive = hostile(self.manifest(), &outside).file("good", b"good").finish();
        let recorder = Recorder::default();
        let (source, target) = (self.fixture.source(), self.fixture.target());
        let summary = unpack(&source, &archive, &target, &recorder).unwrap();
        assert_eq!(fs_err::read(target.join("good")).unwrap(), b"good", "the others go on");
        self.assert_outside_is_untouched();
        (summary, recorder)
    }

    fn assert_outside_is_untouched(&self) {
        assert_eq!(scan_of(&self.outside()).tree_digest(), self.outside);
    }
}

fn link<'a>(name: &'a [u8], kind: u8, link: &'a [u8]) -> TarEntry<'a> {
    TarEntry { name, kind, link, ..TarEntry::default() }
}

type Build = fn(TarBuilder, &str) -> TarBuilder;

#[test]
fn hostile_entries_are_refused_and_named_and_the_others_go_on() {
    let table: [(&str, Build, &str); 9] = [
        ("absolute", |tar, out| tar.file(&format!("{out}/new"), b"x"), "absolute"),
        ("above", |tar, _| tar.file("../outside/new", b"x"), "\"..\" component"),
        ("above, later", |tar, _| tar.file("a/../../outside/new", b"x"), "\"..\" component"),
        (
            "through a link of its own",
            |tar, out| tar.symlink("x", out).file("x/new", b"x"),
            "symbolic link",
        ),
        (
            "a folder through a link",
            |tar, out| tar.symlink("x", out).directory("x/folder"),
            "symbolic link",
        ),
        (
            "a link to outside",
            |tar, out| {
                let victim = format!("{out}/victim");
                tar.entry(&link(b"x", b'1', victim.as_bytes())).file("x", b"overwritten")
            },
            "a link to ",
        ),
        ("a link above", |tar, _| tar.hard_link("x", "../outside/victim"), "\"..\" component"),
        (
            "a link to nothing of the archive's",
            |tar, _| tar.hard_link("x", "already-here"),
            "not an earlier entry",
        ),
        (
            "a manifest that is a link",
            |tar, out| tar.symlink(MANIFEST_NAME, &format!("{out}/victim")),
            "a manifest is a regular file",
        ),
    ];
    for (name, hostile, words) in table {
        let scene = Scene::new();
        fs_err::create_dir(scene.fixture.target()).unwrap();
        fs_err::write(scene.fixture.target().join("already-here"), "mine").unwrap();
        let (summary, recorder) = scene.unpack(hostile);
        let problems = problems(&recorder);
        assert!(problems.contains(words), "{name}: {problems}");
        assert_ne!(summary.proven, Some(true), "{name}");
        assert!(!summary.missing.is_empty(), "{name}");
        let kept = fs_err::read(scene.fixture.target().join("already-here")).unwrap();
        assert_eq!(kept, b"mine", "{name}");
    }
}

#[test]
fn a_file_takes_the_place_of_a_link_and_never_goes_through_it() {
    let scene = Scene::new();
    scene.unpack(|tar, out| {
        let victim = format!("{out}/victim");
        tar.symlink("x", &victim).file("x", b"new").symlink("good", &victim)
    });
    let target = scene.fixture.target();
    assert_eq!(fs_err::read(target.join("x")).unwrap(), b"new");
    assert!(!fs_err::symlink_metadata(target.join("good")).unwrap().is_symlink());
}

#[test]
fn links_that_are_in_the_target_already_are_not_followed() {
    let scene = Scene::new();
    let target = scene.fixture.target();
    fs_err::create_dir(&target).unwrap();
    for name in ["folder", "replaced"] {
        fs_err::os::unix::fs::symlink(scene.outside(), target.join(name)).unwrap();
    }
    fs_err::os::unix::fs::symlink(scene.outside().join("victim"), target.join("good")).unwrap();
    let (summary, _) = scene.unpack(|tar, _| tar.file("folder/new", b"x").directory("replaced"));
    assert!(summary.missing.iter().any(|(name, _)| *name == path("folder/new")), "{summary:?}");
    assert!(fs_err::symlink_metadata(target.join("replaced")).unwrap().is_dir());
}

#[test]
fn of_two_entries_of_one_name_the_last_one_stays() {
    let scene = Scene::new();
    let (summary, _) = scene.unpack(|tar, _| tar.file("good", b"an earlier one"));
    assert_eq!(summary.missing, []);
}

#[test]
fn what_the_manifest_does_not_name_is_told() {
    let scene = Scene::new();
    let (summary, recorder) = scene.unpack(|tar, _| tar.file("stranger", b"boo"));
    assert_eq!(summary.proven, Some(false));
    assert!(problems(&recorder).contains("Verification stranger: "), "{}", problems(&recorder));
}

#[test]
fn a_manifest_whose_names_leave_the_tree_is_refused() {
    let scene = Scene::new();
    let json = String::from_utf8(scene.fixture.manifest.to_json()).unwrap();
    for name in ["../outside/new", "/etc/new", "a/../../outside/new"] {
        let json = json.replacen("\"good\"", &format!("\"{name}\""), 1);
        let archive = TarBuilder::new().file(MANIFEST_NAME, json.as_bytes()).finish();
        let target = scene.fixture.target();
        let recorder = Recorder::default();
        let result = unpack(&scene.fixture.source(), &archive, &target, &recorder);
        assert!(
            matches!(
                result,
                Err(RestoreError::Archive(ArchiveError::Manifest(ManifestError::Json(_))))
            ),
            "{result:?}"
        );
        scene.assert_outside_is_untouched();
    }
}

/// Restores a package through a tree of the manifest; the archive itself is harmless.
fn restore_package(scene: &mut Scene, to: &str, bytes: &[u8]) -> (Summary, Recorder) {
    let url = "http://packages.example/hostile.tar";
    let package = package(url, bytes, "tar", vec![tree("", to)]);
    scene.fixture.manifest.packages.push(package);
    scene.fixture.packages.insert(url.to_owned(), bytes.to_vec());
    let outcome = scene.unpack(|tar, _| tar);
    assert_ne!(outcome.0.proven, Some(true));
    outcome
}

#[test]
fn a_package_cannot_leave_the_target() {
    let plain = TarBuilder::new().file("new", b"x").finish();
    let mut scene = Scene::new();
    let (summary, _) = restore_package(&mut scene, "../outside/", &plain);
    assert!(summary.missing[0].1.contains("\"..\" component"), "{summary:?}");

    let mut scene = Scene::new();
    let outside = scene.outside().display().to_string();
    let through = TarBuilder::new()
        .symlink("d", &outside)
        .file("d/new", b"x")
        .directory("d/folder")
        .file("fine", b"f")
        .finish();
    let (summary, _) = restore_package(&mut scene, "", &through);
    assert_eq!(summary.missing.len(), 2, "{summary:?}");
    assert_eq!(fs_err::read(scene.fixture.target().join("fine")).unwrap(), b"f");
}

#[test]
fn a_package_cannot_replace_what_the_archive_holds() {
    let mut scene = Scene::new();
    let package = TarBuilder::new().file("good", b"evil").finish();
    let (summary, recorder) = restore_package(&mut scene, "", &package);
    assert_eq!(summary.missing.len(), 1);
    assert!(problems(&recorder).contains("the archive holds it"), "{}", problems(&recorder));
}

#[test]
fn a_folder_of_the_users_is_not_deleted() {
    let scene = Scene::new();
    let target = scene.fixture.target();
    fs_err::create_dir_all(target.join("good/of the user")).unwrap();
    let archive = scene.manifest().file("good", b"good").finish();
    let recorder = Recorder::default();
    let summary = unpack(&scene.fixture.source(), &archive, &target, &recorder).unwrap();
    assert!(summary.missing.iter().any(|(_, why)| why.contains("not empty")), "{summary:?}");
    assert!(target.join("good/of the user").is_dir());
    fs_err::remove_dir(target.join("good/of the user")).unwrap();
    let summary = unpack(&scene.fixture.source(), &archive, &target, &recorder).unwrap();
    assert_eq!(summary.missing, [], "an empty one gives way");
}

#[test]
fn a_file_that_has_a_name_outside_is_not_changed_in_place() {
    let scene = Scene::new();
    let target = scene.fixture.target();
    let archive = scene.fixture.archive();
    fs_err::create_dir(&target).unwrap();
    run("tar", &["--extract", "--file=../archive.tar"], &target);
    fs_err::write(scene.outside().join("victim"), "good").unwrap();
    let before = scan_of(&scene.outside()).entries;
    fs_err::remove_file(target.join("good")).unwrap();
    fs_err::hard_link(scene.outside().join("victim"), target.join("good")).unwrap();
    let recorder = Recorder::default();
    let summary = restore(&scene.fixture.source(), &target, &recorder).unwrap();
    scene.fixture.assert_restored(&summary, &recorder);
    assert_eq!(scan_of(&scene.outside()).entries, before);
    drop(archive);
}

/// While files are placed in a folder, somebody swaps that folder for a link to another one.
#[test]
fn a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere() {
    let mut scene = Scene::new();
    let mut tar = TarBuilder::new().directory("d");
    for number in 0..150 {
        tar = tar.file(&format!("d/{number}"), b"contents");
        tar = tar.directory(&format!("d/{number}.d"));
        tar = tar.symlink(&format!("d/{number}.l"), "nowhere");
    }
    let bytes = tar.finish();
    let target = scene.fixture.target();
    fs_err::create_dir_all(target.join("d")).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), AtomicBool::new(false));
    let outside = scene.outside();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                swap(&target, &outside);
                swaps.store(true, Ordering::Relaxed);
            }
        });
        // Also when something panics: the other thread must end for this one to fail.
        let _stop = StopWhenDropped(&stop);
        while !swaps.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let url = "http://packages.example/hostile.tar";
        let package = package(url, &bytes, "tar", vec![tree("", "")]);
        scene.fixture.manifest.packages.push(package);
        let source = MemorySource::default().with(url, &bytes);
        let archive = scene.manifest().file("good", b"good").finish();
        for _ in 0..2 {
            unpack(&source, &archive, &target, &Recorder::default()).unwrap();
        }
    });
    scene.assert_outside_is_untouched();
}

struct StopWhenDropped<'s>(&'s AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn swap(target: &Path, outside: &Path) {
    // The restoring side may have replaced either by now: any failure is fine.
    let _ = std::fs::rename(target.join("d"), target.join("away"));
    let _ = std::os::unix::fs::symlink(outside, target.join("d"));
    let _ = std::fs::remove_file(target.join("d"));
    let _ = std::fs::rename(target.join("away"), target.join("d"));
}
