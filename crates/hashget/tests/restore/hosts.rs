//! Hosts that refuse, that cannot be reached for a while, and that are dead: what is asked for, and how often.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use hashget::fetch::{
    FetchError, FetchOptions, Fetched, RetryOptions, Source, Sources, Wanted, standard_sources,
};
use hashget::model::manifest::MANIFEST_NAME;
use hashget::monitor::{Monitor, ProblemKind, Recorder};
use hashget_testkit::origin::{Fault, Origin};

use crate::support::*;

/// A tree of `count` packages with a file each, on one host.
fn fixture(origin: &Origin, count: usize) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let tree_folder = folder.path().join("tree");
    let mut packages = Vec::new();
    for number in 0..count {
        let name = format!("p{number}");
        fs_err::create_dir_all(tree_folder.join(&name)).unwrap();
        fs_err::write(tree_folder.join(&name).join("file"), name.repeat(1000)).unwrap();
        let arguments = ["--create", "--format=posix", "--sort=name", "--file=../package", &name];
        run("tar", &arguments, &tree_folder);
        let bytes = fs_err::read(folder.path().join("package")).unwrap();
        let path = format!("/{name}.tar");
        origin.serve(&path, bytes.clone());
        packages.push((package(&origin.url(&path), &bytes, "tar", vec![tree("", "")]), bytes));
    }
    Fixture::new(folder, packages)
}

/// Everything at once, without retries; hosts that were given up are asked again soon.
fn sources(cool_down: Duration) -> Sources {
    let retry = RetryOptions { tries: 1, cool_down, ..RetryOptions::default() };
    standard_sources(&FetchOptions { retry, ..FetchOptions::default() }).unwrap()
}

const SOON: Duration = Duration::from_millis(20);

#[test]
fn a_host_that_refuses_some_packages_gives_all_others() {
    for fault in [Fault::Status(403), Fault::Status(404), Fault::Status(500), Fault::RedirectLoop] {
        let origin = Origin::start();
        let fixture = fixture(&origin, 9);
        for number in 0..7 {
            origin.always(&format!("/p{number}.tar"), fault.clone());
        }
        let recorder = Recorder::default();
        let source = sources(Duration::from_secs(3600)).source;
        let summary = unpack(&*source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
        assert_eq!((summary.files_from_packages, summary.missing.len()), (2, 7), "{fault:?}");
        for number in 0..9 {
            let asked = origin.requests_of(&format!("/p{number}.tar")).len();
            assert!(asked == 1 || fault == Fault::RedirectLoop, "{number}: {asked}");
            assert_ne!(asked, 0, "{fault:?}: p{number} was not asked for");
        }
    }
}

#[test]
fn a_host_that_comes_back_gives_what_was_not_asked_for() {
    let origin = Origin::start();
    let fixture = fixture(&origin, 12);
    // It fails five times; then it is back.
    for number in 0..5 {
        origin.script(&format!("/p{number}.tar"), [Fault::Drop]);
    }
    let recorder = Recorder::default();
    let source = sources(SOON).source;
    let summary = unpack(&*source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
    // Only those are missing for which it was asked in vain.
    assert_eq!((summary.files_from_packages, summary.missing.len()), (7, 5), "{summary:?}");
    let target = fixture.target();
    let recorder = Recorder::default();
    let summary = restore(&*source, &target, &recorder).unwrap();
    fixture.assert_restored(&summary, &recorder);
}

#[test]
fn a_dead_host_ends_and_every_package_is_named() {
    let origin = Origin::start();
    let fixture = fixture(&origin, 20);
    for number in 0..20 {
        origin.always(&format!("/p{number}.tar"), Fault::Drop);
    }
    let recorder = Recorder::default();
    let source = sources(SOON).source;
    let summary = unpack(&*source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
    assert_eq!((summary.missing.len(), summary.proven), (20, None));
    assert!(fixture.target().join(MANIFEST_NAME).exists());
    let problems = recorder.recorded().problems;
    let named = problems.iter().filter(|(kind, ..)| *kind == ProblemKind::Unreachable);
    assert_eq!(named.count(), 20, "{problems:?}");
}

/// A source whose host was given up when the first request for each package comes.
struct GivenUp {
    inner: MemorySource,
    asked: Mutex<HashMap<String, usize>>,
    /// Another source answered that it does not have the package.
    beside: bool,
}

impl Source for GivenUp {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let url = wanted.url.clone();
        let first = {
            let mut asked = self.asked.lock().unwrap();
            let count = asked.entry(url.clone()).or_default();
            *count += 1;
            *count == 1
        };
        if !first {
            return self.inner.fetch(wanted, monitor);
        }
        let (host, again) = ("packages.example".to_owned(), SOON);
        let (failures, problem) = (5, "no answer in time".to_owned());
        let not_asked = FetchError::NotAsked { url: url.clone(), host, failures, again, problem };
        let not_found = FetchError::NotFound { from: "other.example".to_owned(), url };
        Err(if self.beside {
            FetchError::All { errors: vec![not_asked, not_found] }
        } else {
            not_asked
        })
    }
}

#[test]
fn packages_that_were_not_asked_for_are_asked_once_more() {
    for beside in [false, true] {
        let fixture = two_packages();
        let source = GivenUp { inner: fixture.source(), asked: Mutex::default(), beside };
        let recorder = Recorder::default();
        let summary = unpack(&source, &fixture.archive(), &fixture.target(), &recorder).unwrap();
        assert_eq!((summary.proven, &*summary.missing), (Some(true), &[][..]));
        assert_same_trees(&fixture.tree(), &fixture.target());
        let problems = recorder.recorded().problems;
        let [(ProblemKind::Note, object, message)] = &problems[..] else { panic!("{problems:?}") };
        assert!(object == "2 packages" && message.contains("not asked for yet"), "{problems:?}");
        assert!(source.asked.lock().unwrap().values().all(|count| *count == 2));
    }
}

#[test]
fn the_same_with_an_archive_of_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, url, bytes) = crate::version_one::small();
    let inner = MemorySource::default().with(url, &bytes);
    let source = GivenUp { inner, asked: Mutex::default(), beside: false };
    let recorder = Recorder::default();
    let target = folder.path().join("target");
    let summary = unpack(&source, &archive, &target, &recorder).unwrap();
    assert_eq!((summary.files_from_packages, &*summary.missing), (1, &[][..]));
    assert_eq!(recorder.recorded().problems.len(), 1);
}
