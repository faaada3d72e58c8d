//! Which addresses a request may go to, by who named its URL.
//!
//! Invariant: what only an untrusted file names is asked for at public addresses, and loopback is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::sync::Arc;

use hashget::fetch::{
    FetchError, FetchOptions, HttpOrigin, HttpPool, MirrorRule, OriginOptions, Reach, Source,
    Wanted, Web, standard_sources,
};
use hashget::model::Digest;
use hashget::monitor::Silent;
use hashget_testkit::origin::{Fault, Origin};
use stage::bytes;

fn wanted(url: &str) -> Wanted {
    Wanted { url: url.to_owned(), reach: Reach::PublicOnly, ..Wanted::default() }
}

/// Asks in each way that there is.
fn ask<S: Source + Web>(source: &S, url: &str) -> [Result<(), FetchError>; 3] {
    [
        source.fetch(&wanted(url), &Silent).map(drop),
        source.fetch_range(url, Reach::PublicOnly, 0, 1, &Silent).map(drop),
        source.fetch_page(url, Reach::PublicOnly, "*/*", 100, &Silent).map(drop),
    ]
}

fn served() -> Origin {
    let origin = Origin::start();
    origin.serve("/p", bytes(1000));
    origin
}

/// The host and port of an origin.
fn host(origin: &Origin) -> String {
    origin.url("").trim_start_matches("http://").to_owned()
}

fn with_public(hosts: &[&str]) -> HttpOrigin {
    let public_hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    HttpOrigin::new(OriginOptions { public_hosts, ..OriginOptions::default() })
}

#[test]
fn the_first_request_goes_to_no_private_address() {
    let origin = served();
    let by_name = origin.url("/p").replace("127.0.0.1", "localhost");
    for url in [origin.url("/p"), by_name] {
        for outcome in ask(&with_public(&[]), &url) {
            let error = outcome.unwrap_err();
            assert!(matches!(error, FetchError::Refused { .. }), "{error:?}");
            assert!(error.to_string().contains("private network"), "{error}");
        }
    }
    assert_eq!(origin.requests(), []);
}

#[test]
fn the_configuration_can_say_that_a_host_is_public() {
    let origin = served();
    for name in [host(&origin), "127.0.0.1".to_owned()] {
        for outcome in ask(&with_public(&[&name]), &origin.url("/p")) {
            outcome.unwrap();
        }
    }
    let other_port = with_public(&["127.0.0.1:1"]);
    assert!(ask(&other_port, &origin.url("/p")).iter().all(Result::is_err));
}

#[test]
fn a_public_host_redirects_to_public_hosts_only() {
    let (first, second) = (served(), served());
    first.always("/p", Fault::RedirectTo(second.url("/p")));
    for outcome in ask(&with_public(&[&host(&first)]), &first.url("/p")) {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("redirects to a private network"), "{error}");
    }
    assert_eq!(second.requests(), []);
    for outcome in ask(&with_public(&[&host(&first), &host(&second)]), &first.url("/p")) {
        outcome.unwrap();
    }
}

#[test]
fn mirrors_and_pools_of_the_configuration_may_be_anywhere() {
    let origin = served();
    let prefix = "https://public.example/".to_owned();
    let mirrors = vec![MirrorRule { prefix, use_urls: vec![origin.url("/")] }];
    let sources = standard_sources(&FetchOptions { mirrors, ..FetchOptions::default() }).unwrap();
    let url = "https://public.example/p";
    sources.source.fetch(&wanted(url), &Silent).unwrap();
    sources.web.fetch_range(url, Reach::PublicOnly, 0, 1, &Silent).unwrap();
    sources.web.fetch_page(url, Reach::PublicOnly, "*/*", 10, &Silent).unwrap();

    let digest = Digest::of(&bytes(1000));
    let hex = digest.to_string();
    let path = format!("/sha256/{}/{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..6], &hex[6..]);
    origin.serve(&path, bytes(1000));
    let pool = HttpPool::new(&origin.url(""), Arc::new(with_public(&[])));
    let in_pool = Wanted { sha256: Some(digest), ..wanted("https://gone.example/p") };
    pool.fetch(&in_pool, &Silent).unwrap();
}
