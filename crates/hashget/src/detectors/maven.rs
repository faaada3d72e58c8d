//! Maven's local repository: every file in it is a package by itself.
//!
//! Invariant: a candidate comes from the repository of which Maven wrote down that it has the file, at the
//! address that Maven's own settings give to that name; what was built here, snapshots and repositories with a
//! login give none.

use std::path::Path;
use std::sync::Arc;

use super::{Answer, Candidate, DetectError, Detector, Machine, Question, public_url, small_files};
use crate::model::{Checksum, RelPath, Signature};

pub(super) mod repositories;

use repositories::{Repositories, Repository};

/// Recognises `_remote.repositories`.
pub(super) struct Maven;

/// Size limit of a list and of a digest; larger files are ignored.
const MAX_BYTES: u64 = 1 << 20;
/// Smaller files cost more to ask for than to archive.
pub(super) const LEAST_BYTES: u64 = 4096;
/// Files beside a package that tell of it.
const OTHERS: [&str; 8] =
    [".pom", ".sha1", ".sha256", ".sha512", ".md5", ".asc", ".lastUpdated", ".properties"];

impl Detector for Maven {
    fn name(&self) -> &str {
        "maven"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        path.file_name() == b"_remote.repositories"
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        _note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        // The tree may begin within the repository: the folders above it are part of the URL, too.
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let Some(folder) = entry.parent() else { return Ok(Vec::new()) };
        let top = folder.ancestors().find(|folder| folder.ends_with("repository"));
        let place = top.and_then(|top| folder.strip_prefix(top).ok()?.to_str());
        let (Some(top), Some(place)) = (top, place) else { return Ok(Vec::new()) };
        if place.ends_with("-SNAPSHOT") || place.split('/').count() < 3 {
            return Ok(Vec::new());
        }
        let Some(list) = small_files::read_whole(&entry, MAX_BYTES)? else { return Ok(Vec::new()) };
        let mut repositories = None;
        let mut found = Vec::new();
        for (name, id) in String::from_utf8_lossy(&list).lines().filter_map(file_and_repository) {
            let file = folder.join(name);
            let Some(size) = size_of(&file) else { continue };
            let repositories = match &repositories {
                Some(repositories) => repositories,
                None => repositories.insert(Repositories::read(machine, &entry, top)?),
            };
            let url = match repositories.find(id) {
                Some(Repository::Public(url)) => format!("{url}/{place}/{name}"),
                Some(Repository::Private) => continue,
                None => {
                    let problem = format!(
                        "nothing says where the repository \"{id}\" is: expected it in settings.xml"
                    );
                    return Err(DetectError::new(top, problem));
                }
            };
            let wrong = |error| DetectError::new(&file, error);
            found.push(Candidate {
                found_at: path.clone(),
                size: Some(size),
                ..candidate(&public_url(&url).map_err(wrong)?, &file, place)?
            });
        }
        Ok(found)
    }
}

/// One line: `FILE>REPOSITORY=`. Files that were built here have no repository.
fn file_and_repository(line: &str) -> Option<(&str, &str)> {
    let (name, id) = line.strip_suffix('=')?.split_once('>')?;
    let is_name = !name.starts_with(['#', '.']) && !name.contains('/');
    let is_package = OTHERS.iter().all(|end| !name.ends_with(end));
    (is_name && is_package && !id.is_empty()).then_some((name, id))
}

/// The size of a file that is worth it.
pub(super) fn size_of(file: &Path) -> Option<u64> {
    let metadata = fs_err::symlink_metadata(file).ok()?;
    (metadata.is_file() && metadata.len() >= LEAST_BYTES).then_some(metadata.len())
}

/// The package at `url`, by the digest that Maven kept beside the file; without one, the repository is
/// asked for it.
fn candidate(url: &str, file: &Path, place: &str) -> Result<Candidate, DetectError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = small_files::read_whole(&file.with_file_name(format!("{name}.sha1")), MAX_BYTES)?;
    let signature = Signature { kind: "maven".to_owned(), value: format!("{place}/{name}") };
    let mut candidate = Candidate {
        url: url.to_owned(),
        checksum: beside.as_deref().and_then(sha1_in),
        signature: Some(signature),
        local_file: Some(file.to_owned()),
        ..Candidate::default()
    };
    if candidate.checksum.is_none() {
        candidate.url = format!("{url}.sha1");
        candidate.question =
            Some(Arc::new(Sha1Beside { pages: vec![format!("{url}.sha1")], expected: None }));
    }
    Ok(candidate)
}

/// The digest that a `.sha1` file begins with.
fn sha1_in(text: &[u8]) -> Option<Checksum> {
    let digest = std::str::from_utf8(text.trim_ascii_start().get(..40)?).ok()?;
    format!("sha1:{}", digest.to_ascii_lowercase()).parse().ok()
}

/// Asks repositories for the SHA-1 that they keep beside each file.
#[derive(Debug)]
pub(super) struct Sha1Beside {
    /// URLs of files, with `.sha1`.
    pub(super) pages: Vec<String>,
    /// Only a file of this digest is meant.
    pub(super) expected: Option<Checksum>,
}

impl Question for Sha1Beside {
    fn pages(&self) -> &[String] {
        &self.pages
    }

    fn answer(&self, url: &str, page: &[u8]) -> Result<Option<Answer>, String> {
        let checksum = sha1_in(page).ok_or("it is no SHA-1")?;
        let is_meant = self.expected.as_ref().is_none_or(|expected| *expected == checksum);
        let url = url.strip_suffix(".sha1").filter(|_| is_meant);
        Ok(url.map(|url| Answer {
            url: url.to_owned(),
            checksum: Some(checksum),
            ..Answer::default()
        }))
    }
}
