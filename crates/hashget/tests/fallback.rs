//! Fall-backs whose service is silent or slow: the time that is waited has an end, and so has what is taken of an answer.

#![allow(clippy::unwrap_used, reason = "a test tells by panicking")]

use std::time::Duration;

use hashget::fetch::{
    Failover, FallbackOptions, FetchError, FetchOptions, RetryOptions, TimeOuts, Wanted,
    WithFallbacks, with_fallbacks,
};
use hashget::model::Digest;
use hashget::monitor::{ProblemKind, Recorder};
use hashget_testkit::public_archives::{Fault, PublicArchives, Vault};

const CONTENT: &[u8] = b"what is in the package";

fn wanted() -> Wanted {
    let (url, sha256) = ("https://packages.example/p.tar".to_owned(), Some(Digest::of(b"package")));
    Wanted { url, sha256, size: Some(7), ..Wanted::default() }
}

/// The fall-backs at these archives, after a source that has nothing.
fn fallbacks(archives: &PublicArchives, cooking: Duration) -> WithFallbacks {
    let short = Duration::from_millis(200);
    let time_outs = TimeOuts { answer: short, stall: short, ..TimeOuts::default() };
    let first_pause = Duration::from_millis(1);
    let fetch = FetchOptions {
        time_outs,
        retry: RetryOptions { first_pause, ..RetryOptions::default() },
        // Without a look-up of its address.
        public_hosts: ["packages.example".to_owned()].into(),
        ..FetchOptions::default()
    };
    let base = || Some(archives.base());
    let options = FallbackOptions {
        software_heritage: base(),
        wayback: base(),
        cooking,
        ..FallbackOptions::default()
    };
    with_fallbacks(Box::new(Failover::new(Vec::new())), &fetch, options).unwrap()
}

/// What is said when the package, and its file together with others, is asked for in vain.
fn notes(archives: &PublicArchives, cooking: Duration, others: u64) -> Vec<String> {
    let WithFallbacks { source, files, .. } = fallbacks(archives, cooking);
    let (files, recorder) = (files.unwrap(), Recorder::default());
    let error = source.fetch(&wanted(), &recorder).unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
    let other = |number: u64| (Digest::of(&number.to_le_bytes()), 8);
    let mut all: Vec<_> = (0..others).map(other).collect();
    all.push((Digest::of(CONTENT), CONTENT.len() as u64));
    files.gather(Digest::of(b"package"), &all, &recorder).unwrap();
    for (sha256, size) in all {
        assert!(files.file(sha256, size, &recorder).unwrap().is_none());
    }
    let problems = recorder.recorded().problems;
    assert!(problems.iter().all(|(kind, ..)| *kind == ProblemKind::Note), "{problems:?}");
    problems.into_iter().map(|(_, object, text)| format!("{object}: {text}")).collect()
}

#[test]
fn silence_has_an_end() {
    let long = Duration::from_secs(3600);
    for (path, others, said) in [
        ("/cdx/", 0, "the Wayback Machine: nothing came from it: "),
        ("/web/", 0, "the Wayback Machine: nothing came from it: "),
        ("/api/1/content/", 0, "1 of its files was not asked for at Software Heritage: "),
        ("/api/1/extid/", 6, "Software Heritage: "),
        ("/api/1/vault/", 6, "Software Heritage: "),
    ] {
        let archives = PublicArchives::start();
        archives.has_copy(&wanted().url, "20200101000000", b"package");
        archives.has_directory(b"package", b"", Vault::DoneAfter(0));
        archives.fault(path, Fault::Hang);
        // Where the copy is not what hangs, it is other bytes.
        archives.fault("/web/", Fault::OtherBytes);
        let notes = notes(&archives, long, others);
        let is_it = |note: &String| note.contains(said) && note.contains("no answer in time");
        assert!(notes.iter().any(is_it), "{path}: {notes:?}");
    }
}

#[test]
fn a_directory_that_is_never_done_is_given_up() {
    let archives = PublicArchives::start();
    let name = archives.has_directory(b"package", b"", Vault::DoneAfter(u32::MAX));
    let notes = notes(&archives, Duration::from_secs(1), 6);
    let said = format!("Software Heritage: it did not put {name} together in 1 s");
    assert!(notes.contains(&said), "{notes:?}");
}

#[test]
fn files_are_asked_for_only_of_packages_that_were_lost_before() {
    let archives = PublicArchives::start();
    archives.has_content(CONTENT);
    let WithFallbacks { source, files, .. } = fallbacks(&archives, Duration::from_secs(1));
    let (files, recorder) = (files.unwrap(), Recorder::default());
    let file = (Digest::of(CONTENT), CONTENT.len() as u64);
    files.gather(Digest::of(b"package"), &[file], &recorder).unwrap();
    assert_eq!(archives.requests(), []);
    source.fetch(&wanted(), &recorder).unwrap_err();
    files.gather(Digest::of(b"package"), &[file], &recorder).unwrap();
    assert!(files.file(file.0, file.1, &recorder).unwrap().is_some());
    // What is here is asked for no more.
    let asked = archives.requests().len();
    files.gather(Digest::of(b"package"), &[file], &recorder).unwrap();
    assert_eq!(archives.requests().len(), asked);
}
