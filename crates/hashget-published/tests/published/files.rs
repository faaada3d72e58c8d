//! Published folders on this machine and on web servers.

use std::sync::Arc;

use hashget::fetch::{FetchOptions, standard_sources};
use hashget::monitor::Silent;
use hashget_published::{Files as _, Folder, OnWeb};
use hashget_testkit::origin::{Fault, Origin};

#[path = "../conformance/files.rs"]
mod suite;

use suite::{CONTENT, check};

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tables")).unwrap();
    std::fs::write(folder.path().join("tables/a"), CONTENT).unwrap();
    check(&Folder::new(folder.path()), 1);
}

fn on_web(origin: &Origin, path: &str) -> OnWeb {
    let web = standard_sources(&FetchOptions::default()).unwrap().web;
    OnWeb::new(&origin.url(path), Arc::from(web))
}

#[test]
fn a_web_server_conforms() {
    let origin = Origin::start();
    origin.serve("/published/tables/a", CONTENT);
    check(&on_web(&origin, "/published"), 1);
    check(&on_web(&origin, "/published/"), 1);
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
