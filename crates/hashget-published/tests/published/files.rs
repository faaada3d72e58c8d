//! What every way to read a published folder must do: one suite for all of them.

use std::sync::Arc;

use hashget::fetch::{FetchOptions, standard_sources};
use hashget::monitor::Silent;
use hashget_published::{Files, Folder, OnWeb, PublishedError};
use hashget_testkit::origin::{Fault, Origin};

const CONTENT: &[u8] = b"0123456789abcdef";

fn check(files: &dyn Files) {
    assert!(!files.location().is_empty());
    let before = files.traffic();
    assert_eq!(files.whole("tables/a", 16, &Silent).unwrap(), CONTENT);
    assert_eq!(files.part("tables/a", 0, 16, &Silent).unwrap(), CONTENT);
    assert_eq!(files.part("tables/a", 10, 3, &Silent).unwrap(), b"abc");
    let after = files.traffic();
    assert_eq!((after.requests - before.requests, after.bytes - before.bytes), (3, 35));
    // Longer than it may be, and shorter than is needed.
    let too_long = files.whole("tables/a", 15, &Silent).unwrap_err();
    assert!(too_long.to_string().contains("longer than 15 bytes"), "{too_long}");
    for (first, count) in [(0, 17), (16, 1), (10, u64::MAX), (u64::MAX, 1)] {
        let error = files.part("tables/a", first, count, &Silent);
        assert!(error.is_err(), "{first} {count}");
    }
    let missing = files.whole("tables/b", 16, &Silent).unwrap_err();
    assert!(!matches!(missing, PublishedError::Damaged { .. }), "{missing}");
    files.part("tables/b", 0, 1, &Silent).unwrap_err();
}

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tables")).unwrap();
    std::fs::write(folder.path().join("tables/a"), CONTENT).unwrap();
    check(&Folder::new(folder.path()));
}

fn on_web(origin: &Origin, path: &str) -> OnWeb {
    let web = standard_sources(&FetchOptions::default()).unwrap().web;
    OnWeb::new(&origin.url(path), Arc::from(web))
}

#[test]
fn a_web_server_conforms() {
    let origin = Origin::start();
    origin.serve("/published/tables/a", CONTENT);
    check(&on_web(&origin, "/published"));
    check(&on_web(&origin, "/published/"));
}

#[test]
fn a_server_that_sends_other_ranges_is_no_source_of_bytes() {
    let origin = Origin::start();
    origin.serve("/tables/a", CONTENT);
    let files = on_web(&origin, "/");
    // The whole file in place of a part is cut.
    origin.always("/tables/a", Fault::NoRange);
    assert_eq!(files.part("tables/a", 10, 3, &Silent).unwrap(), b"abc");
    for fault in [Fault::WrongContentRange, Fault::LyingContentRange, Fault::Status(500)] {
        let name = format!("{fault:?}");
        origin.always("/tables/a", fault);
        match files.part("tables/a", 10, 3, &Silent) {
            Ok(bytes) => assert_eq!(bytes, b"abc", "{name}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
