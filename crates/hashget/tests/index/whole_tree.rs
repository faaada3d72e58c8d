//! Indexing what the detectors find in a tree: each package once, in spite of those that fail.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashget::detectors::{Candidate, Detector, Machine, select};
use hashget::fetch::FetchError;
use hashget::index::{IndexError, Indexer};
use hashget::limits::Limits;
use hashget::model::{Digest, Evidence, Origin};
use hashget::monitor::{Event, Monitor, ProblemKind, Recorder, Silent, Step};

use crate::parts::{Answer, MemoryDb, Server, indexer, tar};

fn url(name: &str) -> String {
    format!("https://packages.example/{name}")
}

/// A tree with a hint for each name.
fn tree(names: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for name in names {
        let folder = tree.path().join(name);
        fs_err::create_dir(&folder).unwrap();
        let hint = format!("{{\"url\": \"{}\"}}", url(name));
        fs_err::write(folder.join("hashget-hint.json"), hint).unwrap();
    }
    tree
}

fn hints() -> Vec<&'static dyn Detector> {
    select(&["hint".to_owned()], &[]).unwrap()
}

fn package(name: &str) -> Vec<u8> {
    tar(&[("name", name.as_bytes())])
}

fn candidate(name: &str) -> Candidate {
    Candidate { url: url(name), origin: Origin::Client, ..Candidate::default() }
}

#[test]
fn a_second_run_downloads_nothing() {
    let (hashdb, limits) = (MemoryDb::default(), Limits::default());
    let names = ["a", "b", "c"];
    let server = names.iter().fold(Server::default(), |server, name| {
        server.with(&url(name), Answer::Bytes(package(name)))
    });
    let indexer = indexer(&hashdb, &server, &limits);
    let tree = tree(&names);
    let (first, second) = (Recorder::default(), Recorder::default());
    let indexed = indexer.index_tree(tree.path(), &hints(), &Machine::default(), &first).unwrap();
    assert_eq!((indexed.new, indexed.known, indexed.failed.len()), (3, 0, 0));
    let found: Vec<String> = indexed.candidates.into_iter().map(|found| found.url).collect();
    assert_eq!(found, names.map(url));
    assert_eq!(first.recorded().downloads, 3);
    let indexed = indexer.index_tree(tree.path(), &hints(), &Machine::default(), &second).unwrap();
    assert_eq!((indexed.new, indexed.known, indexed.failed.len()), (0, 3, 0));
    assert_eq!((second.recorded().downloads, second.recorded().downloaded_bytes), (0, 0));
    let record = hashdb.list()[0].1.clone();
    assert_eq!(record.project.as_deref(), Some("_hints"));
}

#[test]
fn those_that_fail_are_told_and_the_others_go_on() {
    let limits = Limits::default();
    let tree = tree(&["cut", "gone", "good", "late", "other"]);
    let digest = Digest::of(b"what it should be");
    let hint = format!("{{\"url\": \"{}\", \"sha256\": \"{digest}\"}}", url("other"));
    fs_err::write(tree.path().join("other/hashget-hint.json"), hint).unwrap();
    fs_err::create_dir(tree.path().join("bad")).unwrap();
    fs_err::write(tree.path().join("bad/hashget-hint.json"), "{").unwrap();
    for jobs in [0, 1, 8] {
        let hashdb = MemoryDb::default();
        let server = Server::default()
            .with(&url("cut"), Answer::Bytes(package("cut")[..1026].to_vec()))
            .with(&url("gone"), Answer::NotFound)
            .with(&url("good"), Answer::Bytes(package("good")))
            .with(&url("late"), Answer::Silence)
            .with(&url("other"), Answer::Bytes(package("other")));
        let indexer = Indexer { jobs, ..indexer(&hashdb, &server, &limits) };
        let monitor = Recorder::default();
        let mut indexed =
            indexer.index_tree(tree.path(), &hints(), &Machine::default(), &monitor).unwrap();
        assert_eq!((indexed.candidates.len(), indexed.new, indexed.known), (5, 1, 0));
        assert_eq!(hashdb.urls(), [url("good")]);
        assert_eq!(indexed.not_understood.len(), 1);
        indexed.failed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let failed: Vec<&str> = indexed.failed.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(failed, ["late"].map(url));
        assert!(matches!(indexed.failed[0].1, IndexError::Fetch(FetchError::Unreachable { .. })));
        // What is not there may never have been public, and a package may have been replaced since its hint was written, or
        // may never have been one: these are no failures, but they are told.
        assert_eq!(indexed.unreliable, ["cut", "gone", "other"].map(url));
        let skipped = monitor.recorded().skipped;
        let expected = (url("gone"), "not relied on: server does not have it".to_owned());
        assert_eq!(skipped, [expected]);
        let mut problems = monitor.recorded().problems;
        problems.sort_by(|(_, one, _), (_, other, _)| one.cmp(other));
        let kind = |name: &str| {
            problems.iter().find(|(_, object, _)| *object == url(name)).map(|(kind, ..)| *kind)
        };
        assert_eq!(kind("cut"), Some(ProblemKind::Note));
        assert_eq!(kind("gone"), None);
        assert_eq!(kind("late"), Some(ProblemKind::Unreachable));
        assert_eq!(kind("other"), Some(ProblemKind::Note));
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.iter().any(|(kind, ..)| *kind == ProblemKind::Note), "{problems:?}");
    }
}

#[test]
fn a_file_on_this_machine_is_used_only_if_it_is_the_package() {
    let limits = Limits::default();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.crate");
    let here = Candidate {
        sha256: Some(Digest::of(&package("a"))),
        local_file: Some(file.clone()),
        ..candidate("a")
    };
    let without_digest = Candidate { sha256: None, ..here.clone() };
    let whole = package("a");
    for (content, found, fetched) in [
        (Some(&whole[..]), &here, false),
        (Some(&whole[..]), &without_digest, true),
        (Some(&whole[..1024]), &here, true),
        (None, &here, true),
    ] {
        let size = content.map(|content| content.len() as u64);
        let _ = fs_err::remove_file(&file);
        if let Some(content) = content {
            fs_err::write(&file, content).unwrap();
        }
        let hashdb = MemoryDb::default();
        let server = Server::default().with(&url("a"), Answer::Bytes(whole.clone()));
        let found = Candidate { size, ..found.clone() };
        let candidates = vec![found];
        let indexed = indexer(&hashdb, &server, &limits).index_candidates(candidates, &Silent);
        assert_eq!(indexed.unwrap().new, 1, "{size:?}");
        assert_eq!(server.asked_urls().len(), usize::from(fetched), "{size:?}");
        let record = hashdb.list()[0].1.clone();
        assert_eq!(record.sha256, Digest::of(&whole));
        assert_eq!((record.evidence, record.vouched), (Evidence::Downloaded, false));
    }
}

#[test]
fn a_failing_hashdb_ends_it() {
    let limits = Limits::default();
    let hashdb = MemoryDb::broken();
    let server = Server::default().with(&url("a"), Answer::Bytes(package("a")));
    let found = vec![candidate("a")];
    let error = indexer(&hashdb, &server, &limits).index_candidates(found, &Silent).unwrap_err();
    assert!(matches!(error, IndexError::HashDb(_)), "{error:?}");
}

#[test]
fn a_tree_that_is_not_there_is_an_error_and_an_empty_one_is_not() {
    let (hashdb, server, limits) = (MemoryDb::default(), Server::default(), Limits::default());
    let indexer = indexer(&hashdb, &server, &limits);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = indexer.index_tree(&missing, &hints(), &Machine::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    let empty = indexer.index_tree(folder.path(), &hints(), &Machine::default(), &Silent).unwrap();
    assert_eq!((empty.candidates.len(), empty.new), (0, 0));
}

#[test]
fn links_are_not_followed() {
    let (hashdb, server, limits) = (MemoryDb::default(), Server::default(), Limits::default());
    let outside = tree(&["a"]);
    let inside = tempfile::tempdir().unwrap();
    fs_err::os::unix::fs::symlink(outside.path(), inside.path().join("out")).unwrap();
    fs_err::os::unix::fs::symlink(Path::new("."), inside.path().join("loop")).unwrap();
    let indexed = indexer(&hashdb, &server, &limits)
        .index_tree(inside.path(), &hints(), &Machine::default(), &Silent)
        .unwrap();
    assert!(indexed.candidates.is_empty());
}

/// Asks to stop once so many packages have been read.
struct StopAfter {
    packages: usize,
    read: AtomicUsize,
}

impl Monitor for StopAfter {
    fn event(&self, event: Event<'_>) {
        if matches!(event, Event::Finished(progress) if progress.step == Step::Read) {
            self.read.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn interrupted(&self) -> bool {
        self.read.load(Ordering::SeqCst) >= self.packages
    }
}

#[test]
fn an_interrupted_run_is_continued_by_the_next() {
    let (hashdb, limits) = (MemoryDb::default(), Limits::default());
    let names = ["a", "b", "c", "d", "e", "f"];
    let server = names.iter().fold(Server::default(), |server, name| {
        server.with(&url(name), Answer::Bytes(package(name)))
    });
    let indexer = Indexer { jobs: 1, ..indexer(&hashdb, &server, &limits) };
    let tree = tree(&names);
    let stop = StopAfter { packages: 2, read: AtomicUsize::new(0) };
    let error = indexer.index_tree(tree.path(), &hints(), &Machine::default(), &stop).unwrap_err();
    assert!(matches!(error, IndexError::Interrupted(_)), "{error:?}");
    assert_eq!(hashdb.urls().len(), 2, "what was read is kept, and no more is begun");
    let indexed = indexer.index_tree(tree.path(), &hints(), &Machine::default(), &Silent).unwrap();
    assert_eq!((indexed.known, indexed.new), (2, 4));
}

#[test]
fn a_run_that_is_stopped_before_it_begins_does_nothing() {
    let (hashdb, server, limits) = (MemoryDb::default(), Server::default(), Limits::default());
    let indexer = indexer(&hashdb, &server, &limits);
    let stop = StopAfter { packages: 0, read: AtomicUsize::new(0) };
    let tree = tree(&["a"]);
    let error = indexer.index_tree(tree.path(), &hints(), &Machine::default(), &stop).unwrap_err();
    assert!(matches!(error, IndexError::Interrupted(_)), "{error:?}");
    let error = indexer.index_candidates(vec![candidate("a")], &stop).unwrap_err();
    assert!(matches!(error, IndexError::Interrupted(_)), "{error:?}");
    assert!(hashdb.urls().is_empty());
}
