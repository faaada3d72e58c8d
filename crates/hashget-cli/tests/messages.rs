//! docs/messages.md names every error that the library can give.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use regex::Regex;

/// Texts that never reach a user: what they stand for is told by another message.
const INNER: &[&str] = &[
    "it is found",
    "everything is found",
    "cannot read it",
    "the archive would not come back",
    "enough was read",
];

/// Pieces of a text that say something, between its placeholders.
const LONG_ENOUGH: usize = 6;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The texts of all `#[error("...")]` in the libraries.
fn errors(project: &Path) -> Vec<(PathBuf, String)> {
    let attribute = Regex::new(r#"(?s)#\[error\(\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let mut files = Vec::new();
    sources(&project.join("crates/hashget/src"), &mut files);
    sources(&project.join("crates/hashget-parity/src"), &mut files);
    sources(&project.join("crates/hashget-backup/src"), &mut files);
    sources(&project.join("crates/hashget-server/src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let code = fs_err::read_to_string(&file).unwrap();
        for text in attribute.captures_iter(&code) {
            let text = continued.replace_all(&text[1], "").replace("\\\"", "\"");
            found.push((file.clone(), text.replace("{MANIFEST_NAME}", ".hashget-restore.json")));
        }
    }
    found
}

#[test]
fn the_page_of_messages_has_every_error() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs_err::read_to_string(project.join("docs/messages.md")).unwrap();
    let placeholder = Regex::new(r"\{[^}]*\}").unwrap();
    let errors = errors(&project);
    assert!(errors.len() > 40, "only {} errors were found: is the search right?", errors.len());
    let mut missing = Vec::new();
    for (file, text) in errors.iter().filter(|(_, text)| !INNER.contains(&text.as_str())) {
        for piece in placeholder.split(text).filter(|piece| piece.trim().len() >= LONG_ENOUGH) {
            if !page.contains(piece.trim()) {
                missing.push(format!("{}: {text:?} ({:?})", file.display(), piece.trim()));
            }
        }
    }
    assert!(missing.is_empty(), "docs/messages.md does not have:\n{}", missing.join("\n"));
}
