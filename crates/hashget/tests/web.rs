//! Byte ranges and pages of what lies at a URL: the right bytes or an error, and no more traffic than needed.
//!
//! Invariant: every `Web` of the library passes the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/web.rs"]
mod conformance;
mod stage;

use conformance::{Fixture, check};
use hashget::fetch::{
    ByteRange, FetchError, FetchOptions, HttpOrigin, MirrorRule, Mirrors, Offline, OriginOptions,
    Reach, Retry, RetryOptions, Web, standard_sources,
};
use hashget::hashdb::CheckOutcome;
use hashget::monitor::{Recorder, Silent};
use hashget::places::{Asker, Known};
use hashget_testkit::origin::Fault;
use stage::{SIZE, Stage, bytes};

fn range(stage: &Stage, first: u64, count: u64) -> Result<ByteRange, FetchError> {
    stage.source.fetch_range(&stage.origin.url("/p"), Reach::Anywhere, first, count, &Silent)
}

fn fixture<'w>(web: &'w dyn Web, stage: &Stage) -> Fixture<'w> {
    let [url, missing] = ["/p", "/nothing"].map(|path| stage.origin.url(path));
    Fixture { web, url, content: stage.content.clone(), missing, ranges: true }
}

#[test]
fn the_origin_conforms() {
    let stage = Stage::new();
    check(&fixture(&stage.source, &stage));
}

#[test]
fn the_origin_conforms_where_the_server_knows_no_ranges() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::NoRange);
    check(&Fixture { ranges: false, ..fixture(&stage.source, &stage) });
}

#[test]
fn retry_conforms() {
    let stage = Stage::new();
    let origin = HttpOrigin::new(OriginOptions::default());
    check(&fixture(&Retry::new(origin, RetryOptions::default()), &stage));
}

/// A mirror that has nothing, and one that has all.
fn mirror_rule(stage: &Stage) -> MirrorRule {
    let use_urls = ["/none/", "/"].map(|place| stage.origin.url(place)).into();
    MirrorRule { prefix: "https://public.example/".to_owned(), use_urls }
}

#[test]
fn mirrors_conform() {
    let stage = Stage::new();
    let origin = HttpOrigin::new(OriginOptions::default());
    let mirrors = Mirrors::new(vec![mirror_rule(&stage)], origin).unwrap();
    let [url, missing] = ["p", "nothing"].map(|name| format!("https://public.example/{name}"));
    check(&Fixture { url, missing, ..fixture(&mirrors, &stage) });
}

#[test]
fn the_standard_arrangement_conforms_and_keeps_nothing() {
    let stage = Stage::new();
    let (cache, pool) = (stage.dir.path().join("cache"), stage.dir.path().join("pool"));
    fs_err::create_dir(&pool).unwrap();
    let options = FetchOptions {
        cache_dir: Some(cache.clone()),
        pools: vec![pool.to_str().unwrap().to_owned(), stage.origin.url("/pool")],
        mirrors: vec![mirror_rule(&stage)],
        ..FetchOptions::default()
    };
    let web = standard_sources(&options).unwrap().web;
    check(&fixture(&*web, &stage));
    assert!(!cache.exists());
}

#[test]
fn offline_nothing_is_asked() {
    let stage = Stage::new();
    let options = FetchOptions { offline: true, ..FetchOptions::default() };
    for web in [&Offline as &dyn Web, &*standard_sources(&options).unwrap().web] {
        let range =
            web.fetch_range(&stage.origin.url("/p"), Reach::Anywhere, 0, 1, &Silent).unwrap_err();
        let page = web
            .fetch_page(&stage.origin.url("/p"), Reach::Anywhere, "*/*", 1, &Silent)
            .unwrap_err();
        for error in [range, page] {
            assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains("offline"), "{error}");
        }
    }
    assert_eq!(stage.origin.requests(), []);
}

#[test]
fn a_server_sends_the_wanted_bytes_alone() {
    let (stage, total) = (Stage::new(), SIZE as u64);
    for (first, count) in [(0, 1), (0, 4096), (72, 60), (total - 5, 5), (0, total), (total - 5, 9)]
    {
        range(&stage, first, count).unwrap();
    }
    assert_eq!(range(&stage, total + 5, 100).unwrap().bytes, b"");
    assert_eq!(range(&stage, 0, 0).unwrap().bytes, b"");
    let sent: Vec<u64> = stage.origin.requests().iter().map(|sent| sent.bytes).collect();
    assert_eq!(sent, [1, 4096, 60, 5, total, 5, 0]);
}

#[test]
fn what_is_wrong_is_told() {
    let with = |fault: Fault| {
        let stage = Stage::new();
        stage.origin.always("/p", fault);
        range(&stage, 100, 1000).unwrap_err()
    };
    assert!(matches!(with(Fault::Status(404)), FetchError::NotFound { .. }));
    assert!(matches!(with(Fault::Status(503)), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::Truncate(10)), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::Hang), FetchError::Transient { .. }));
    assert!(matches!(with(Fault::WrongContentRange), FetchError::Unreachable { .. }));
    assert!(matches!(with(Fault::LyingContentRange), FetchError::Unreachable { .. }));
    assert!(matches!(with(Fault::RedirectLoop), FetchError::Unreachable { .. }));
}

#[test]
fn a_body_without_an_end_is_left_where_it_is() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::NoRange);
    stage.origin.always("/p", Fault::Endless);
    let found = range(&stage, 0, SIZE as u64 + 10).unwrap();
    assert_eq!(found.bytes.len(), SIZE + 10);
}

#[test]
fn a_retry_asks_again_and_a_mirror_is_asked_in_turn() {
    let stage = Stage::new();
    stage.origin.script("/p", [Fault::Status(503)]);
    let first_pause = std::time::Duration::from_millis(1);
    let options = RetryOptions { first_pause, ..RetryOptions::default() };
    let patient = Retry::new(HttpOrigin::new(OriginOptions::default()), options);
    let mirrors = Mirrors::new(vec![mirror_rule(&stage)], patient).unwrap();
    let recorder = Recorder::default();
    let found = mirrors
        .fetch_range("https://public.example/p", Reach::Anywhere, 10, 20, &recorder)
        .unwrap();
    assert_eq!(found.bytes, stage.content[10..30]);
    assert_eq!(recorder.recorded().downloaded_bytes, 20);
}

#[test]
fn pages_and_parts_have_the_minimum_speed_of_packages() {
    let stage = Stage::new();
    stage.origin.always("/p", Fault::Slow);
    let url = stage.origin.url("/p");
    let page = stage.source.fetch_page(&url, Reach::Anywhere, "*/*", 1 << 20, &Silent);
    for error in [page.unwrap_err(), range(&stage, 0, 100_000).unwrap_err()] {
        assert!(matches!(error, FetchError::Transient { .. }), "{error:?}");
        assert!(error.to_string().contains("too slow"), "{error}");
    }
}

#[test]
fn a_server_without_parts_is_not_read_to_the_end_of_a_large_file() {
    let stage = Stage::new();
    let (content, size) = (bytes(3 << 20), 3 << 20);
    stage.origin.serve("/big", content.clone());
    stage.origin.always("/big", Fault::NoRange);
    let ask = |first, count| {
        let url = stage.origin.url("/big");
        stage.source.fetch_range(&url, Reach::Anywhere, first, count, &Silent)
    };
    for (first, count) in [(size - 10, 10), (0, size), (1 << 20, 1)] {
        let error = ask(first, count).unwrap_err();
        assert!(error.has_no_parts(), "{error}");
    }
    assert_eq!(ask(1000, 10).unwrap().bytes, content[1000..1010]);
}

#[test]
fn a_part_comes_with_what_the_server_says_of_the_whole() {
    let stage = Stage::new();
    let stated = range(&stage, 0, 1).unwrap().stated;
    assert!(stated.etag.is_some() && stated.last_modified.is_some(), "{stated:?}");
    stage.origin.always("/p", Fault::NoEtag);
    assert_eq!(range(&stage, 0, 1).unwrap().stated.etag, None);
}

/// Whether a package is still there is asked without downloading it.
#[test]
fn a_server_without_parts_is_asked_for_the_start() {
    let (stage, size) = (Stage::new(), 3 << 20);
    stage.origin.serve("/big", bytes(size));
    stage.origin.always("/big", Fault::NoRange);
    let asker = Asker { web: &stage.source };
    let url = stage.origin.url("/big");
    for (size, expected) in
        [(size as u64, CheckOutcome::Present), (size as u64 + 1, CheckOutcome::Differs)]
    {
        let answer = asker.ask(&url, Reach::Anywhere, Some(size), Known::Nothing, &Silent).unwrap();
        assert_eq!(answer.outcome, Some(expected), "{answer:?}");
    }
    stage.origin.always("/big", Fault::NoLength);
    let size = Some(size as u64);
    let answer = asker.ask(&url, Reach::Anywhere, size, Known::Nothing, &Silent).unwrap();
    assert_eq!(answer.outcome, Some(CheckOutcome::Unreachable), "{answer:?}");
}
