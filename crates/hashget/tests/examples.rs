//! The examples do what they say.
//!
//! Invariant: each example is run as it stands in `examples/`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../examples/look_into_an_archive.rs"]
#[expect(
    dead_code,
    reason = "its `main` reads the arguments of the process, which are the test runner's here"
)]
mod look_into_an_archive;
#[path = "../examples/own_detector_and_source.rs"]
mod own_detector_and_source;
#[path = "../examples/pack_and_unpack.rs"]
mod pack_and_unpack;

#[test]
fn a_folder_is_packed_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = pack_and_unpack::round_trip(folder.path()).unwrap();
    assert_eq!((outcome.left_out, outcome.archived, outcome.identical), (1, 1, Some(true)));
    pack_and_unpack::main().unwrap();
}

#[test]
fn an_archive_is_described() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen");
    let lines = look_into_an_archive::described(&frozen.join("v2.tar.zst")).unwrap();
    assert_eq!(lines[0], "version 2");
    assert!(lines.iter().any(|line| line.starts_with("package ")), "{lines:?}");
    assert!(lines.contains(&"archived tool-1.0/own.conf".to_owned()), "{lines:?}");
    let lines = look_into_an_archive::described(&frozen.join("v1.tar.gz")).unwrap();
    assert_eq!(lines[0], "version 1");
}

#[test]
fn a_detector_and_a_source_from_outside_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let summary = own_detector_and_source::plan(folder.path()).unwrap();
    assert_eq!((summary.left_out_files, summary.archived_files), (1, 1));
    assert_eq!(summary.packages.len(), 1);
    own_detector_and_source::main().unwrap();
}
