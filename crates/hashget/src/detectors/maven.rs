//! Maven's local repository, in which every file is a package by itself.
//!
//! Invariant: a candidate comes from the repository that Maven recorded for the file, at the URL that Maven's
//! own settings have for that repository. Files that were built here, snapshots and repositories with a login
//! give no candidates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    Answer, Candidate, DetectError, Detector, Machine, PackageUrl, Question, of_kind, public_url,
    small_files,
};
use crate::model::{Checksum, Keeping, Origin, RelPath, Signature};

pub(super) mod repositories;

use repositories::{Repositories, Repository};

/// Recognises `_remote.repositories`.
pub(super) struct Maven;

/// Size limit of a list and of a digest; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;
/// Requests for smaller files would cost more than archiving them.
pub(super) const LEAST_BYTES: u64 = 4096;
/// Extensions of files beside a package that describe it.
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
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        // The tree may start within the repository; the folders above it are part of the URL, too.
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let Some(folder) = entry.parent() else { return Ok(Vec::new()) };
        let Some(top) = top_of(machine, folder) else { return Ok(Vec::new()) };
        let place = folder.strip_prefix(&top).ok().and_then(Path::to_str);
        let Some(place) = place else { return Ok(Vec::new()) };
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
                None => repositories.insert(Repositories::read(machine, &entry, &top, note)?),
            };
            let url = match repositories.find(id) {
                Some(Repository::Public(url)) => format!("{url}/{place}/{name}"),
                Some(Repository::Private) => continue,
                None => {
                    let problem = format!(
                        "nothing says where the repository \"{id}\" is: expected it in settings.xml"
                    );
                    return Err(DetectError::new(&top, problem));
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

    fn package_url(&self, signature: &Signature, _url: &str) -> Option<PackageUrl> {
        let value = of_kind(signature, "maven").or_else(|| of_kind(signature, "gradle"))?;
        let (place, file) = value.rsplit_once('/')?;
        let (place, version) = place.rsplit_once('/')?;
        let (group, name) = place.rsplit_once('/')?;
        let rest = file.strip_prefix(name)?.strip_prefix('-')?.strip_prefix(version)?;
        // A classifier may have dots in it, an ending of two parts is one of tar's.
        let (classifier, kind) = match rest.rfind(".tar.") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => rest.rsplit_once('.')?,
        };
        let kind = if kind == "jar" { "" } else { kind };
        let group = group.replace('/', ".");
        let url = PackageUrl::new("maven", name).within([&*group]).at(version);
        Some(url.with("classifier", classifier.trim_start_matches('-')).with("type", kind))
    }
}

/// The local repository that contains `folder`, the folder of a version: the one of the settings, the usual one, or one with a
/// name like `.m2repo`, which cannot be part of a group; otherwise a folder called `repository`: the uppermost, since a group
/// may have a part of this name, too.
fn top_of(machine: &Machine, folder: &Path) -> Option<PathBuf> {
    // Below the repository are a group, a name and a version.
    let above = || folder.ancestors().skip(3).filter(|folder| folder.parent().is_some());
    let configured = repositories::local(machine, folder);
    let is_configured = |folder: &&Path| configured.iter().any(|local| folder.ends_with(local));
    let is_of_maven = |folder: &&Path| {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(".m2") || name.starts_with(".maven")
    };
    let found = above()
        .find(is_configured)
        .or_else(|| above().find(|folder| folder.ends_with(".m2/repository")))
        .or_else(|| above().find(is_of_maven))
        .or_else(|| above().filter(|folder| folder.ends_with("repository")).last());
    found.map(Path::to_owned)
}

/// One line: `FILE>REPOSITORY=`. Files that were built here have no repository.
fn file_and_repository(line: &str) -> Option<(&str, &str)> {
    let (name, id) = line.strip_suffix('=')?.split_once('>')?;
    let is_name = !name.starts_with(['#', '.']) && !name.contains('/');
    let is_package = OTHERS.iter().all(|end| !name.ends_with(end));
    (is_name && is_package && !id.is_empty()).then_some((name, id))
}

/// The size of a file that is large enough to be a package.
pub(super) fn size_of(file: &Path) -> Option<u64> {
    let metadata = fs_err::symlink_metadata(file).ok()?;
    (metadata.is_file() && metadata.len() >= LEAST_BYTES).then_some(metadata.len())
}

/// The package at `url`, with the digest that Maven stored beside the file; if there is none, the repository
/// is asked for it.
fn candidate(url: &str, file: &Path, place: &str) -> Result<Candidate, DetectError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = small_files::read_whole(&file.with_file_name(format!("{name}.sha1")), MAX_BYTES)?;
    let signature = Signature { kind: "maven".to_owned(), value: format!("{place}/{name}") };
    let mut candidate = Candidate {
        origin: Origin::Client,
        keeping: Keeping::Withdrawable,
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

/// The digest at the start of a `.sha1` file.
fn sha1_in(text: &[u8]) -> Option<Checksum> {
    let digest = std::str::from_utf8(text.trim_ascii_start().get(..40)?).ok()?;
    format!("sha1:{}", digest.to_ascii_lowercase()).parse().ok()
}

/// Asks repositories for the SHA-1 that they publish beside each file.
#[derive(Debug)]
pub(super) struct Sha1Beside {
    /// URLs of files, with `.sha1`.
    pub(super) pages: Vec<String>,
    /// Accept only a file with this digest, if given.
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
