//! The example of `docs/detectors/README.md`: it compiles, and finds what the page says.
//!
//! Invariant: the page has the very text of `acme.rs`.

use super::{Candidate, DetectError, Detector, Machine, public_url, small_files};
use crate::index::detect_tree;
use crate::monitor::Silent;

mod acme;

fn found(release: &str) -> (Vec<Candidate>, Vec<DetectError>) {
    let tree = tempfile::tempdir().unwrap();
    fs_err::write(tree.path().join(".acme-release"), release).unwrap();
    fs_err::write(tree.path().join(".acmerc"), "https://packages.acme.example\n").unwrap();
    let detectors: [&dyn Detector; 1] = [&acme::Acme];
    detect_tree(tree.path(), &detectors, &Machine::default(), &Silent).unwrap()
}

#[test]
fn the_page_has_this_code() {
    let page = include_str!("../../../../docs/detectors/README.md");
    assert!(page.contains(&format!("```rust\n{}```\n", include_str!("acme.rs"))));
}

#[test]
fn a_release_file_names_its_package() {
    let digest = "2c".repeat(32);
    let (candidates, errors) =
        found(&format!("name = rocket\nversion = 1.4.2\nsha256 = {digest}\n"));
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(candidates[0].url, "https://packages.acme.example/rocket/rocket-1.4.2.tar.xz");
    assert_eq!(candidates[0].sha256.unwrap().to_string(), digest);
    assert_eq!(candidates[0].found_by, "acme");
}

#[test]
fn a_release_file_without_a_version_is_reported() {
    let (candidates, errors) = found("name = rocket\n");
    assert!(candidates.is_empty());
    assert!(errors[0].to_string().contains("no line \"version = ...\""), "{}", errors[0]);
}
