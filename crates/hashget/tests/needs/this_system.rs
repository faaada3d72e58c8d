//! What this machine itself has: its own dpkg, and files with extended attributes as a browser writes them.
//!
//! Invariant: what the machine has installed is only read.

use std::path::Path;

use hashget::detectors::{Candidate, DETECTORS, Machine, select};
use hashget::index::detect_tree;
use hashget::model::RelPath;
use hashget::monitor::Silent;
use hashget_testkit::trees;

pub(crate) fn this_machines_own_packages_are_all_understood() {
    let status = RelPath::new("var/lib/dpkg/status").unwrap();
    let root = Path::new("/");
    let debian = DETECTORS.iter().find(|detector| detector.name() == "debian").unwrap();
    let mut notes = Vec::new();
    let machine = Machine { root: Some(root.to_owned()), ..Machine::default() };
    let note = &mut |note| notes.push(note);
    let found = debian.detect(&machine, root, &status, note).unwrap();
    let broken: Vec<_> =
        notes.iter().filter(|note| note.problem.contains("passed over: it has no")).collect();
    assert!(broken.is_empty(), "{broken:?}");
    assert!(!found.is_empty() || !notes.is_empty());
}

/// A downloaded file that names where it came from.
fn with_origin(root: &Path, name: &str, url: &str) {
    let file = trees::file(root, name, b"package");
    assert!(trees::xattr(&file, "user.xdg.origin.url", url.as_bytes()));
}

/// What is found, without any trouble: one candidate at most.
fn found(root: &Path) -> Vec<Candidate> {
    let detectors = select(&["downloads".to_owned()], &[]).unwrap();
    let (candidates, errors) = detect_tree(root, &detectors, &Machine::default(), &Silent).unwrap();
    assert!(candidates.len() <= 1 && errors.is_empty(), "{candidates:?} {errors:?}");
    candidates
}

pub(crate) fn the_origin_that_a_browser_wrote_is_the_url() {
    let tree = tempfile::tempdir().unwrap();
    with_origin(tree.path(), "Tool.AppImage", "https://files.example/Tool.AppImage");
    let candidate = found(tree.path()).pop().unwrap();
    assert_eq!(candidate.url, "https://files.example/Tool.AppImage");
    // Nobody vouches for the file here: the URL is asked.
    assert_eq!((candidate.sha256, candidate.local_file, candidate.size), (None, None, Some(7)));
}

pub(crate) fn origins_that_cannot_last_are_left_alone() {
    for url in [
        "https://files.example/x.zip?X-Signature=secret",
        "https://user:secret@files.example/x.zip",
        "file:///home/u/x.zip",
        "blob:https://files.example/1",
        "no url",
        "",
        "https://files.example/x.zip#part",
    ] {
        let tree = tempfile::tempdir().unwrap();
        with_origin(tree.path(), "x.zip", url);
        assert_eq!(found(tree.path()).len(), 0, "{url}");
    }
    let tree = tempfile::tempdir().unwrap();
    with_origin(tree.path(), "notes.txt", "https://files.example/notes.txt");
    trees::file(tree.path(), "empty.zip", b"");
    trees::file(tree.path(), "plain.zip", b"no origin");
    assert_eq!(found(tree.path()).len(), 0);
}
