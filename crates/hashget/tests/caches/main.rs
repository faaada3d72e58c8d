//! What clients of registries keep on disk, built after their real formats: whole, private, damaged.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod conda;
mod downloads;
mod gems;
mod go;
mod hugging_face;
mod maven;
mod wordpress;

use std::ffi::OsString;
use std::path::Path;

use hashget::detectors::{Answer, Candidate, DetectError, Machine, select};
use hashget::index::detect_tree;
use hashget::model::{Algorithm, Checksum};
use hashget::monitor::Silent;

pub(crate) fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

/// What the detector finds on a machine of which only these variables are known.
pub(crate) fn found_with(
    detector: &str,
    root: &Path,
    variables: &[(&str, &str)],
) -> (Vec<Candidate>, Vec<DetectError>) {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), value.into()));
    let machine = Machine { variables: variables.collect(), ..Machine::default() };
    detect_tree(root, &select(&[detector.to_owned()], &[]).unwrap(), &machine, &Silent).unwrap()
}

pub(crate) fn found(detector: &str, root: &Path) -> (Vec<Candidate>, Vec<DetectError>) {
    found_with(detector, root, &[])
}

/// The one candidate that is found, without any trouble.
#[track_caller]
pub(crate) fn the_only(detector: &str, root: &Path) -> Candidate {
    let (mut candidates, errors) = found(detector, root);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(candidates.len(), 1, "{candidates:?}");
    candidates.remove(0)
}

/// Nothing is found, and nobody is bothered.
#[track_caller]
pub(crate) fn assert_nothing(detector: &str, root: &Path) {
    let (candidates, errors) = found(detector, root);
    assert!(candidates.is_empty() && errors.is_empty(), "{candidates:?} {errors:?}");
}

/// What the candidate's first page would tell it.
#[track_caller]
pub(crate) fn answer(candidate: &Candidate, page: &[u8]) -> Result<Option<Answer>, String> {
    let question = candidate.question.as_ref().expect("it has a question");
    question.answer(&question.pages()[0], page)
}

pub(crate) fn sha1(bytes: &[u8]) -> Checksum {
    let mut hasher = Algorithm::Sha1.hasher();
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes in which a list or a page may come that cannot be understood.
pub(crate) fn nonsense() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        b"\0\xff\xfe".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"{\"url\": 7}".to_vec(),
        b"<html>not found</html>".to_vec(),
        vec![b'a'; 100_000],
        b"\n".repeat(10_000),
        b"[".repeat(10_000),
        b"<a>".repeat(10_000),
    ]
}

/// Puts nonsense, a folder, a pipe and a dangling link in place of `path`: nothing panics or waits, and no
/// candidate comes of it.
#[track_caller]
pub(crate) fn assert_survives(detector: &str, root: &Path, path: &str) {
    let file = root.join(path);
    for bytes in nonsense() {
        write(root, path, &bytes);
        let (candidates, _) = found(detector, root);
        assert!(candidates.is_empty(), "{candidates:?}");
    }
    fs_err::remove_file(&file).unwrap();
    fs_err::create_dir(&file).unwrap();
    assert!(found(detector, root).0.is_empty());
    fs_err::remove_dir(&file).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(found(detector, root).0.is_empty());
    fs_err::remove_file(&file).unwrap();
    fs_err::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert!(found(detector, root).0.is_empty());
    fs_err::remove_file(&file).unwrap();
}
