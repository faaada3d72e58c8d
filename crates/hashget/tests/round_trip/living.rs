//! Trees that change while they are packed: at a certain event, or when so much of the archive is written.
//!
//! Invariant: no clock and no chance: each change happens at one place of the story.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Step};
use hashget::pack::{ManifestVersion, Output, Summary};
use hashget::storage::StreamSink;
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};

use crate::scene::{Part, Scene, assert_same, lay_down, options, problems, serious, tar};

type Change = Box<dyn FnOnce() + Send>;

/// Changes the tree at the n-th time that something of a step is heard: its start, or the question whether it
/// should stop.
pub(crate) struct Changing {
    recorder: Recorder,
    step: Step,
    is_under_way: AtomicBool,
    /// Moments that are still to pass.
    left: Mutex<(usize, Option<Change>)>,
}

impl Changing {
    /// At the n-th time (from 0) that something of `step` is heard; 0 is its start.
    pub(crate) fn at(step: Step, moment: usize, change: impl FnOnce() + Send + 'static) -> Self {
        let left = Mutex::new((moment, Some(Box::new(change) as Change)));
        Self { recorder: Recorder::default(), step, is_under_way: AtomicBool::new(false), left }
    }

    fn moment(&self) {
        let mut left = self.left.lock().unwrap();
        if left.0 == 0
            && let Some(change) = left.1.take()
        {
            change();
        }
        left.0 = left.0.saturating_sub(1);
    }
}

impl Monitor for Changing {
    fn event(&self, event: Event<'_>) {
        match &event {
            Event::Started(progress) if progress.step == self.step => {
                self.is_under_way.store(true, Ordering::SeqCst);
                self.moment();
            }
            Event::Finished(progress) if progress.step == self.step => {
                self.is_under_way.store(false, Ordering::SeqCst);
            }
            _ => {}
        }
        self.recorder.event(event);
    }

    fn interrupted(&self) -> bool {
        if self.is_under_way.load(Ordering::SeqCst) {
            self.moment();
        }
        false
    }
}

fn manifests(archive: &[u8]) -> usize {
    let header = |block: &&[u8]| {
        block.starts_with(MANIFEST_NAME.as_bytes()) && block[MANIFEST_NAME.len()] == 0
    };
    archive.chunks(512).filter(header).count()
}

/// A package, a tree with its files and others; some are links.
fn scene() -> Scene {
    let scene = Scene::new();
    let parts = [
        Part::folder("p/"),
        Part::file("p/given", vec![7; 5000]),
        Part::file("p/given too", vec![8; 5000]),
        Part::file("p/given three", vec![9; 5000]),
    ];
    scene.index("parts.tar", &tar(&parts));
    let tree = scene.tree();
    lay_down(&tree, &parts);
    for name in ["a", "b", "c", "folder/d", "folder/e", "z"] {
        trees::file(&tree, name, format!("contents of {name}").repeat(50));
    }
    let linked = trees::file(&tree, "l1", "linked");
    trees::hard_link(&tree, "l2", &linked);
    trees::hard_link(&tree, "l3", &linked);
    trees::hard_link(&tree, "l4", &linked);
    scene
}

/// Packs while `change` happens as writing starts; what came back, and what was told.
fn packed(change: impl FnOnce(&Path) + Send + 'static) -> (Scene, Snapshot, Recorder, Vec<u8>) {
    let scene = scene();
    let tree = scene.tree();
    let monitor = Changing::at(Step::Write, 0, move || change(&tree));
    let (archive, _) = scene.pack(&options(), &monitor).unwrap();
    let (target, restored, told) = scene.unpack(&archive);
    assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)));
    (scene, snapshot(&target), monitor.recorder, archive)
}

/// The paths that differ, without folders (whose times any change below them moves).
fn differing(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let without_folders = |snapshot: &Snapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.retain(|_, node| node.kind != 'd');
        snapshot
    };
    let differences = differences(&without_folders(expected), &without_folders(found));
    let paths = differences.iter().map(|line| line.split(':').next().unwrap().to_owned());
    let mut paths: Vec<String> = paths.collect();
    paths.dedup();
    paths
}

#[test]
fn files_that_grow_shrink_or_are_replaced_are_stored_as_they_are_then() {
    let (scene, found, told, archive) = packed(|tree| {
        trees::file(tree, "a", "longer than before ".repeat(1000));
        trees::file(tree, "b", "short");
        fs_err::remove_file(tree.join("c")).unwrap();
        trees::file(tree, "c", "another file");
        trees::mode(&tree.join("folder/d"), 0o600);
        trees::xattr(&tree.join("folder/e"), "user.new", b"now");
    });
    assert_eq!(problems(&told), "");
    assert_eq!(manifests(&archive), 2, "the second one is right");
    assert_eq!(differing(&snapshot(&scene.tree()), &found), [""; 0]);
}

#[test]
fn an_unchanged_tree_has_one_manifest() {
    let (scene, found, told, archive) = packed(|_| {});
    assert_eq!((problems(&told).as_str(), manifests(&archive)), ("", 1));
    assert_same(&snapshot(&scene.tree()), &found);
}

#[test]
fn what_vanishes_or_becomes_something_else_is_named_and_the_rest_is_stored() {
    let (scene, found, told, archive) = packed(|tree| {
        fs_err::remove_file(tree.join("a")).unwrap();
        fs_err::remove_file(tree.join("b")).unwrap();
        trees::file(tree, "b/now/a folder", "x");
        fs_err::remove_file(tree.join("c")).unwrap();
        trees::fifo(tree, "c");
        fs_err::remove_file(tree.join("z")).unwrap();
        trees::symlink(tree, "z", "/etc/passwd");
        fs_err::rename(tree.join("folder"), tree.join("renamed")).unwrap();
    });
    let gone = ["a", "b", "c", "folder/d", "folder/e", "z"];
    let expected: Vec<_> =
        gone.iter().map(|name| (ProblemKind::Incomplete, (*name).to_owned())).collect();
    assert_eq!(serious(&told), expected, "{}", problems(&told));
    assert_eq!(manifests(&archive), 2);
    assert!(gone.iter().all(|name| !found.contains_key(name.as_bytes())));
    assert!(found.contains_key(&b"folder"[..]) && found.contains_key(&b"l4"[..]));
    assert_eq!(found[&b"p/given"[..]], snapshot(&scene.tree())[&b"p/given"[..]]);
}

/// A log that is rotated: one name of the file goes, the others keep what it was.
#[test]
fn other_names_of_a_file_that_vanished_keep_its_contents() {
    let (scene, found, told, _) = packed(|tree| fs_err::remove_file(tree.join("l1")).unwrap());
    assert_eq!(serious(&told), [(ProblemKind::Incomplete, "l1".to_owned())]);
    assert_eq!(differing(&snapshot(&scene.tree()), &found), [""; 0]);
    assert_eq!(found[&b"l4"[..]].first_name, b"l2");
}

#[test]
fn other_names_of_a_file_that_was_replaced_keep_its_contents() {
    let (scene, found, told, _) = packed(|tree| {
        fs_err::remove_file(tree.join("l1")).unwrap();
        trees::file(tree, "l1", "new");
        fs_err::remove_file(tree.join("l3")).unwrap();
        trees::file(tree, "l3", "new too");
    });
    assert_eq!(problems(&told), "");
    assert_eq!(differing(&snapshot(&scene.tree()), &found), [""; 0]);
    assert_eq!(found[&b"l4"[..]].first_name, b"l2");
}

#[test]
fn names_that_vanish_one_after_the_other_are_all_told() {
    let (scene, found, told, _) = packed(|tree| {
        for name in ["l1", "l2"] {
            fs_err::remove_file(tree.join(name)).unwrap();
        }
    });
    let gone: Vec<String> = serious(&told).into_iter().map(|(_, path)| path).collect();
    assert_eq!(gone, ["l1", "l2"], "{}", problems(&told));
    assert_eq!(differing(&snapshot(&scene.tree()), &found), [""; 0]);
}

/// What a package gives is as it was when it was looked at, whatever happens later.
#[test]
fn what_is_left_out_stays_as_it_was() {
    let before = snapshot(&scene().tree());
    let (_, found, told, archive) = packed(|tree| {
        fs_err::remove_file(tree.join("p/given")).unwrap();
        trees::file(tree, "p/given too", "changed");
    });
    assert_eq!((problems(&told).as_str(), manifests(&archive)), ("", 1));
    for name in [&b"p/given"[..], b"p/given too"] {
        assert_eq!(found[name].digest, before[name].digest);
    }
}

/// While the tree is scanned: files change while they are hashed, and names change hands.
#[test]
fn changes_during_the_scan_lose_nothing() {
    for event in 0..12 {
        let scene = scene();
        let tree = scene.tree();
        trees::file(&tree, "large", vec![b'x'; 1 << 20]);
        let changed = tree.clone();
        let monitor = Changing::at(Step::Scan, event, move || {
            trees::file(&changed, "large", vec![b'y'; 2 << 20]);
            fs_err::remove_file(changed.join("l1")).unwrap();
            trees::file(&changed, "l1", "new");
            fs_err::remove_file(changed.join("a")).unwrap();
            trees::file(&changed, "folder/new", "new");
        });
        let (archive, _) = scene.pack(&options(), &monitor).unwrap();
        let (target, restored, told) = scene.unpack(&archive);
        assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)), "{event}");
        let (now, found) = (snapshot(&tree), snapshot(&target));
        let named = serious(&monitor.recorder);
        assert!(named.iter().all(|(_, path)| path == "a"), "{event}: {named:?}");
        for (path, node) in found.iter().filter(|(_, node)| node.kind == 'f') {
            let old_is_right = [&b"a"[..], b"l1", b"large"].contains(&&path[..]);
            let same = now.get(path).is_some_and(|now| now.digest == node.digest);
            assert!(same || old_is_right, "{event}: {}", String::from_utf8_lossy(path));
        }
        for name in [&b"l2"[..], b"l3", b"l4", b"large", b"z", b"p/given"] {
            assert!(found.contains_key(name), "{event}");
        }
    }
}

/// Changes the tree when so many bytes of the archive have passed.
struct ChangingOutput<'a> {
    archive: &'a mut Vec<u8>,
    at: usize,
    change: Option<Change>,
}

impl Write for ChangingOutput<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.archive.extend_from_slice(bytes);
        if self.archive.len() >= self.at
            && let Some(change) = self.change.take()
        {
            change();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn packed_midway(change: fn(&Path)) -> (Scene, Recorder, Summary, Vec<u8>) {
    let scene = Scene::new();
    let tree = scene.tree();
    trees::file(&tree, "large", vec![b'1'; 8 << 20]);
    trees::file(&tree, "small", "behind it");
    let mut archive = Vec::new();
    let recorder = Recorder::default();
    let changed = tree.clone();
    let output = ChangingOutput {
        archive: &mut archive,
        at: 2 << 20,
        change: Some(Box::new(move || change(&changed.join("large")))),
    };
    let output = Output::Sink(Box::new(StreamSink::new(output)));
    let summary = scene.packer().pack(&tree, output, &options(), &recorder).unwrap();
    (scene, recorder, summary, archive)
}

#[test]
fn a_large_file_that_changes_while_it_is_written_is_named_and_the_archive_is_whole() {
    let append = |path: &Path| {
        fs_err::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    };
    let cut = |path: &Path| {
        fs_err::OpenOptions::new().write(true).open(path).unwrap().set_len(3 << 20).unwrap();
    };
    // What was appended is not in the archive: the file as it was before is, as the first manifest says.
    for (change, expected) in [(append as fn(&Path), 1), (cut, 2)] {
        let (scene, told, summary, archive) = packed_midway(change);
        assert_eq!(serious(&told), [(ProblemKind::Incomplete, "large".to_owned())]);
        assert_eq!((summary.changed_files, manifests(&archive)), (1, expected));
        let (target, restored, told) = scene.unpack(&archive);
        assert_eq!((problems(&told).as_str(), restored.proven), ("", Some(true)));
        let stored = fs_err::read(target.join("large")).unwrap();
        assert_eq!(stored.len(), 8 << 20);
        assert!(stored[..3 << 20].iter().all(|&byte| byte == b'1'));
        assert_eq!(fs_err::read(target.join("small")).unwrap(), b"behind it");
    }
}

/// Version 1 has no digests of what the tar holds, so nothing contradicts it.
#[test]
fn a_version_one_archive_of_a_living_tree_is_whole() {
    let scene = scene();
    let tree = scene.tree();
    let changed = tree.clone();
    let monitor = Changing::at(Step::Write, 0, move || {
        fs_err::remove_file(changed.join("l1")).unwrap();
        trees::file(&changed, "a", "changed");
    });
    let options =
        hashget::pack::PackOptions { manifest_version: ManifestVersion::One, ..options() };
    let (archive, _) = scene.pack(&options, &monitor).unwrap();
    assert_eq!(serious(&monitor.recorder), [(ProblemKind::Incomplete, "l1".to_owned())]);
    let (target, restored, told) = scene.unpack(&archive);
    assert_eq!((problems(&told).as_str(), restored.missing.len()), ("", 0));
    assert_eq!(differing(&snapshot(&tree), &snapshot(&target)), [""; 0]);
}
