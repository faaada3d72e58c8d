//! Files that `download --local-dir` put into a folder. The client notes their commit and digest there, but not the repository.
//!
//! Invariant: the hub is told no names but those that came from it: the ones in the repository's own page and configuration,
//! if the client notes that it fetched these.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use super::{Package, Repository, Stored, is_commit, is_name};
use crate::detectors::{DetectError, small_files};
use crate::model::{Digest, RelPath};

/// Where notes lie in the folder; the second is that of older clients.
const NOTES: [&str; 2] = ["/.cache/huggingface/download/", "/.huggingface/download/"];

const ENDING: &str = ".metadata";

/// Size limit of a note, which has three lines.
const MAX_NOTE: u64 = 1024;

/// Number of bytes that are read of a page or configuration.
const MAX_TEXT: u64 = 1 << 20;

/// Number of repositories that are asked for.
const MOST: usize = 4;

/// Files of a repository that say what it is called.
const TEXTS: [&str; 2] = ["README.md", "config.json"];

/// A file for which there is a note.
pub(super) struct Noted {
    folder: PathBuf,
    /// The folder of the notes.
    notes: PathBuf,
    /// Its path in the folder and in the repository.
    file: String,
    commit: String,
    sha256: Digest,
    size: u64,
}

impl Noted {
    /// Is this a note?
    pub(super) fn is_note(path: &RelPath) -> bool {
        let path = [b"/", path.as_bytes()].concat();
        let holds = |notes: &str| path.windows(notes.len()).any(|part| part == notes.as_bytes());
        path.ends_with(ENDING.as_bytes()) && NOTES.iter().any(|notes| holds(notes))
    }

    /// The file whose note `entry` is, if it is a large one: of small ones the hub has no SHA-256.
    pub(super) fn read(entry: &Path) -> Result<Option<Self>, DetectError> {
        let Some(text) = entry.to_str() else { return Ok(None) };
        let split = |notes: &'static str| {
            text.rsplit_once(notes).map(|(folder, file)| (notes, folder, file))
        };
        let Some((notes, folder, file)) = NOTES.into_iter().find_map(split) else {
            return Ok(None);
        };
        let Some(file) = file.strip_suffix(ENDING).filter(|file| RelPath::new(*file).is_ok())
        else {
            return Ok(None);
        };
        let Some(bytes) = small_files::read_whole(entry, MAX_NOTE)? else { return Ok(None) };
        let note = String::from_utf8_lossy(&bytes);
        let mut lines = note.lines();
        let commit = lines.next().filter(|line| is_commit(line));
        let sha256 = lines.next().and_then(|line| line.parse().ok());
        let (Some(commit), Some(sha256)) = (commit, sha256) else { return Ok(None) };
        let folder = PathBuf::from(folder);
        let found = fs_err::symlink_metadata(folder.join(file));
        let Some(size) = found.ok().filter(std::fs::Metadata::is_file).map(|found| found.len())
        else {
            return Ok(None);
        };
        let notes = folder.join(notes.trim_matches('/'));
        let (file, commit) = (file.to_owned(), commit.to_owned());
        Ok(Some(Self { folder, notes, file, commit, sha256, size }))
    }

    /// The package, with the repositories of `hub` that it may be from; `None` if nothing names one.
    pub(super) fn package(self, hub: &str) -> Option<Package> {
        let mut repositories: Vec<Repository> = Vec::new();
        for text in TEXTS {
            let is_of_hub = small_files::is_file(&self.notes.join(format!("{text}{ENDING}")));
            let bytes = small_files::read_head(&self.folder.join(text), MAX_TEXT).ok().flatten();
            let Some(bytes) = bytes.filter(|_| is_of_hub) else { continue };
            for found in named_in(&String::from_utf8_lossy(&bytes), hub) {
                if !repositories.contains(&found) && repositories.len() < MOST {
                    repositories.push(found);
                }
            }
        }
        let stored = Stored {
            file: self.folder.join(&self.file),
            size: self.size,
            sha256: Some(self.sha256),
        };
        let value = format!("{}/{}", self.commit, self.file);
        let (commit, file) = (self.commit, self.file);
        let is_named = !repositories.is_empty();
        is_named.then_some(Package { value, repositories, commit, file, stored })
    }
}

/// The repositories that a text tells its reader to load, or links to at `hub`.
fn named_in(text: &str, hub: &str) -> Vec<Repository> {
    static LOADED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"(?:(?P<set>load_dataset\()|from_pretrained\(|repo_id\s*=|"_name_or_path"\s*:|"#,
            r#"(?:hf|huggingface-cli) download|model\s*=)"#,
            r#"\s*["']?(?P<name>[\w.-]+/[\w.-]+)"#,
        ))
        .expect("it is a proper expression")
    });
    let loaded = LOADED.captures_iter(text).map(|found| {
        (found.name("set").is_some(), found.name("name").map_or("", |name| name.as_str()))
    });
    let link = format!("{hub}/");
    let linked = text.split(&link).skip(1).map(|rest| {
        let (is_set, rest) =
            rest.strip_prefix("datasets/").map_or((false, rest), |rest| (true, rest));
        let ends = |letter: char| !(letter.is_ascii_alphanumeric() || "-_./".contains(letter));
        let path = &rest[..rest.find(ends).unwrap_or(rest.len())];
        let second = path.match_indices('/').nth(1).map_or(path.len(), |(at, _)| at);
        (is_set, &path[..second])
    });
    let named = loaded.chain(linked).map(|(is_set, name)| (is_set, name.trim_end_matches('.')));
    let is_whole = |name: &str| is_name(name) && name.split('/').count() == 2;
    let kind = |is_set: bool| if is_set { "datasets" } else { "models" };
    named
        .filter(|(_, name)| is_whole(name))
        .map(|(is_set, name)| Repository { kind: kind(is_set).to_owned(), name: name.to_owned() })
        .collect()
}
