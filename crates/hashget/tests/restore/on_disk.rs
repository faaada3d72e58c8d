//! The proof is of what is on the disk: whatever is not there as it was packed is named, and nothing is called proven.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hashget::fetch::Offline;
use hashget::limits::Limits;
use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Step};
use hashget::restore::{RestoreOptions, Restorer, Summary};
use hashget_testkit::trees;

use crate::support::*;

/// Does something to the target when everything is in its place, before it is looked at: what a file system that keeps
/// less than was asked of it would have done.
struct Meddler<'a> {
    recorder: Recorder,
    is_unpacked: AtomicBool,
    /// Questions that are asked until then.
    questions: AtomicUsize,
    meddle: &'a (dyn Fn() + Sync),
}

impl Monitor for Meddler<'_> {
    fn event(&self, event: Event<'_>) {
        if let Event::Finished(progress) = &event
            && progress.step == Step::Extract
        {
            self.is_unpacked.store(true, Ordering::SeqCst);
        }
        self.recorder.event(event);
    }

    fn interrupted(&self) -> bool {
        let counts = self.is_unpacked.load(Ordering::SeqCst);
        if counts && self.questions.fetch_sub(1, Ordering::SeqCst) == 0 {
            (self.meddle)();
        }
        false
    }
}

/// A tree with one of everything that a user may make, all of it archived.
fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for name in ["a", "b", "sub/c"] {
        trees::file(&tree, name, format!("contents of {name}"));
    }
    let linked = trees::file(&tree, "linked", "one file");
    trees::hard_link(&tree, "linked-too", &linked);
    trees::symlink(&tree, "link", "a");
    trees::fifo(&tree, "pipe");
    trees::xattr(&tree.join("a"), "user.note", b"a note");
    trees::mtime(&tree, 44, 44);
    Fixture::new(folder, vec![])
}

/// Unpacks, and does something to the target before it is looked at.
fn unpack_meddled(fixture: &Fixture, meddle: &(dyn Fn(&Path) + Sync)) -> (Summary, Recorder) {
    let target = fixture.target();
    let meddler = Meddler {
        recorder: Recorder::default(),
        is_unpacked: AtomicBool::new(false),
        // One for each entry, and one before the links; then comes that before the first folder.
        questions: AtomicUsize::new(
            fixture.manifest.archived.len() + 1 + fixture.manifest.links.len(),
        ),
        meddle: &|| meddle(&target),
    };
    let summary = unpack(&fixture.source(), &fixture.archive(), &target, &meddler).unwrap();
    (summary, meddler.recorder)
}

fn replace(path: &Path, text: &str) {
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, text).unwrap();
}

#[test]
fn whatever_is_not_on_the_disk_as_it_was_packed_is_named_and_not_proven() {
    type Case = (&'static str, &'static str, fn(&Path));
    let cases: [Case; 10] = [
        // As where names are folded: one of two entries has the name of both.
        ("entry", "b", |at| fs_err::rename(at.join("b"), at.join("B")).unwrap()),
        ("entry", "pipe", |at| fs_err::remove_file(at.join("pipe")).unwrap()),
        ("type", "b", |at| {
            fs_err::remove_file(at.join("b")).unwrap();
            trees::symlink(at, "b", "a");
        }),
        ("size", "sub/c", |at| replace(&at.join("sub/c"), "shorter")),
        ("link target", "link", |at| {
            fs_err::remove_file(at.join("link")).unwrap();
            trees::symlink(at, "link", "b");
        }),
        ("hard link", "linked-too", |at| replace(&at.join("linked-too"), "one file")),
        ("mode", "b", |at| trees::mode(&at.join("b"), 0o600)),
        ("set-user-id or set-group-id bit", "b", |at| trees::mode(&at.join("b"), 0o4644)),
        ("mtime", "link", |at| trees::mtime(&at.join("link"), 1, 1)),
        ("extended attribute", "a", |at| {
            rustix::fs::removexattr(at.join("a"), c"user.note").unwrap();
        }),
    ];
    for (what, name, meddle) in cases {
        let fixture = fixture();
        let (summary, told) = unpack_meddled(&fixture, &meddle);
        assert_eq!(summary.proven, None, "{what} of {name}");
        let found = summary.not_applied.get(what).unwrap_or_else(|| panic!("{what}: {summary:?}"));
        assert_eq!((found.entries, found.names().as_str()), (1, name), "{what}");
        let is_said = |(kind, _, message): &(ProblemKind, String, String)| {
            *kind == ProblemKind::Incomplete && message.contains(name)
        };
        assert!(told.recorded().problems.iter().any(is_said), "{what}: {}", problems(&told));
        assert!(fixture.target().join(MANIFEST_NAME).exists(), "{what}");
    }
}

#[test]
fn a_further_name_that_is_none_of_the_trees_is_a_stray() {
    let fixture = fixture();
    let (summary, _) = unpack_meddled(&fixture, &|at| {
        trees::hard_link(at, "stray", &at.join("b"));
    });
    assert_eq!((summary.proven, summary.strays.names().as_str()), (Some(true), "stray"));
}

#[test]
fn two_entries_that_are_one_file_are_a_difference() {
    let fixture = fixture();
    let (summary, _) = unpack_meddled(&fixture, &|at| {
        fs_err::remove_file(at.join("b")).unwrap();
        trees::hard_link(at, "b", &at.join("a"));
    });
    assert_eq!(summary.proven, None);
    assert_eq!(summary.not_applied["hard link"].entries, 1, "{summary:?}");
}

#[test]
fn an_attribute_that_nobody_packed_is_a_difference() {
    let fixture = fixture();
    let (summary, told) = unpack_meddled(&fixture, &|at| {
        assert!(trees::xattr(&at.join("b"), "user.other", b"x"));
    });
    assert_eq!(summary.not_applied["extended attribute"].names(), "b");
    assert!(problems(&told).contains("extended attribute not restored for 1 entry: b"));
}

#[test]
fn ten_names_are_told_and_all_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    for number in 10..44 {
        trees::file(&folder.path().join("tree"), format!("sub/{number}"), "x");
    }
    let fixture = Fixture::new(folder, vec![]);
    let (summary, told) = unpack_meddled(&fixture, &|at| {
        for number in 10..44 {
            trees::mode(&at.join(format!("sub/{number}")), 0o600);
        }
    });
    let mode = &summary.not_applied["mode"];
    assert_eq!((mode.entries, mode.first.len()), (34, 10));
    let told = problems(&told);
    assert!(told.contains("mode not restored for 34 entries: sub/"), "{told}");
    assert!(told.contains(" and 24 more"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    // Restoring once more mends it.
    let recorder = Recorder::default();
    let summary = restore(&fixture.source(), &fixture.target(), &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn what_the_archive_does_not_have_is_said_once() {
    let fixture = fixture();
    let target = fixture.target();
    trees::file(&target, "sub/stray", "1");
    trees::file(&target, "other/x", "2");
    trees::file(&target, "other/y", "3");
    trees::file(&target, "b", "replaced");
    let told = Recorder::default();
    let summary = unpack(&fixture.source(), &fixture.archive(), &target, &told).unwrap();
    assert_eq!(summary.proven, Some(true));
    assert_eq!(summary.strays.entries, 2, "a folder stands for all below it");
    let mut names: Vec<String> = summary.strays.first.iter().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["other", "sub/stray"]);
    let told = problems(&told);
    assert!(told.contains("2 entries in it are not part of the archive: "), "{told}");
    assert!(told.starts_with("Note ") && told.lines().count() == 1, "{told}");
    assert!(!target.join(MANIFEST_NAME).exists());
    assert_eq!(fs_err::read_to_string(target.join("other/x")).unwrap(), "2");
    assert_eq!(fs_err::read_to_string(target.join("b")).unwrap(), "contents of b");
}

#[test]
fn what_was_not_asked_for_is_no_loss_and_is_said() {
    let fixture = fixture();
    trees::mode(&fixture.tree().join("b"), 0o666);
    for folder in [fixture.tree(), fixture.tree().join("sub")] {
        trees::mode(&folder, 0o755);
    }
    let fixture = Fixture::new(fixture.folder, vec![]);
    let options =
        RestoreOptions { mode_mask: 0o755, attributes: false, ..RestoreOptions::default() };
    let (source, limits, told) = (fixture.source(), Limits::default(), Recorder::default());
    let restorer =
        Restorer { source: &source, web: &Offline, limits: &limits, jobs: 2, accepting: None };
    let target = fixture.target();
    let archive = fixture.archive();
    let summary = restorer.unpack(&mut &archive[..], &target, &options, &told).unwrap();
    assert_eq!((summary.proven, summary.not_applied.len()), (Some(true), 0), "{}", problems(&told));
    let not_asked: Vec<_> =
        summary.not_asked_for.iter().map(|(what, found)| (what.as_str(), found.names())).collect();
    let expected = [("extended attribute", "a".to_owned()), ("mode", "b".to_owned())];
    assert_eq!(not_asked, expected);
    assert!(!problems(&told).contains("Incomplete"), "{}", problems(&told));
    assert!(!target.join(MANIFEST_NAME).exists());
    let mode = fs_err::metadata(target.join("b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    assert!(rustix::fs::getxattr(target.join("a"), c"user.note", &mut [0; 64]).is_err());
}
