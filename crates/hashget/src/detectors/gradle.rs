//! Gradle's package cache, whose folders are named by the files' SHA-1.
//!
//! Invariant: a candidate is a file that a repository known to this machine has under this name with this
//! SHA-1. The repositories are asked, since Gradle does not record where a file came from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::maven::repositories::Repositories;
use super::maven::{Sha1Beside, size_of};
use super::{Candidate, DetectError, Detector, Machine, PrivateHosts, public_url, small_files};
use crate::model::{Checksum, Keeping, Origin, RelPath, Signature};

/// Recognises `files-2.1/GROUP/NAME/VERSION/SHA1/FILE`.
pub(super) struct Gradle;

const CACHE: &[u8] = b"files-2.1";
/// Initialisation scripts, which apply to all builds of a user.
const SCRIPTS: [&str; 4] =
    [".gradle/init.gradle", ".gradle/init.gradle.kts", "init.gradle", "init.gradle.kts"];
/// Size limit of a script; a larger file is an error.
const MAX_BYTES: u64 = 1 << 20;

impl Detector for Gradle {
    fn name(&self) -> &str {
        "gradle"
    }

    fn interested_in(&self, path: &RelPath) -> bool {
        let name = path.file_name();
        let mut names = path.as_bytes().rsplit(|&byte| byte == b'/').skip(1);
        let is_sha1 = names.next().is_some_and(|folder| sha1(folder).is_some());
        is_sha1 && !name.ends_with(b".pom") && names.nth(3).is_none_or(|folder| folder == CACHE)
    }

    fn detect(
        &self,
        machine: &Machine,
        root: &Path,
        path: &RelPath,
        note: &mut dyn FnMut(DetectError),
    ) -> Result<Vec<Candidate>, DetectError> {
        let root = machine.real_path(root)?;
        let entry = path.below(&root);
        let names: Vec<&str> = entry.to_str().unwrap_or_default().rsplit('/').take(6).collect();
        let [file, folder, version, name, group, cache] = names[..] else { return Ok(Vec::new()) };
        let checksum = sha1(folder.as_bytes()).filter(|_| cache.as_bytes() == CACHE);
        let (Some(checksum), Some(size)) = (checksum, size_of(&entry)) else {
            return Ok(Vec::new());
        };
        if version.ends_with("-SNAPSHOT") {
            return Ok(Vec::new());
        }
        let place = format!("{}/{name}/{version}/{file}", group.replace('.', "/"));
        let home = entry.ancestors().nth(8).unwrap_or(&root);
        // Each of the repositories may have the package; it is recognised by its digest.
        let hosts = PrivateHosts::near(machine, &entry);
        let pages = repositories(machine, &entry, home, note)?
            .iter()
            .filter_map(|base| public_url(&format!("{base}/{place}.sha1")).ok())
            .filter(|page| hosts.reason(page).is_none())
            .collect::<Vec<_>>();
        let Some(first) = pages.first() else {
            let problem = "nothing says which repositories these packages are from: expected one in \
                           init.gradle, init.d or Maven's settings.xml";
            return Err(DetectError::new(home, problem));
        };
        Ok(vec![Candidate {
            url: first.clone(),
            origin: Origin::Client,
            keeping: Keeping::Withdrawable,
            checksum: Some(checksum.clone()),
            size: Some(size),
            signature: Some(Signature { kind: "gradle".to_owned(), value: place }),
            local_file: Some(entry.clone()),
            found_at: path.clone(),
            question: Some(Arc::new(Sha1Beside { pages, expected: Some(checksum) })),
            ..Candidate::default()
        }])
    }
}

/// A folder's name as a SHA-1; Gradle omits leading zeros.
fn sha1(folder: &[u8]) -> Option<Checksum> {
    let text = std::str::from_utf8(folder).ok()?;
    let is_hex =
        (30..=40).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| format!("sha1:{text:0>40}").parse().ok())?
}

/// The URLs in the scripts of Gradle's `home`, followed by those that Maven knows.
fn repositories(
    machine: &Machine,
    entry: &Path,
    home: &Path,
    note: &mut dyn FnMut(DetectError),
) -> Result<Vec<String>, DetectError> {
    let mut scripts = machine.files_for(entry, &SCRIPTS);
    if let Ok(entries) = fs_err::read_dir(home.join("init.d")) {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        scripts.extend(more);
    }
    let mut found = Vec::new();
    for script in scripts {
        let bytes = small_files::read_whole(&script, MAX_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // If a script contains a login, the URLs in it are treated as private.
        if text.contains("credentials") {
            continue;
        }
        let urls = text.split(['"', '\'']).filter(|part| part.starts_with("http"));
        found.extend(urls.filter_map(|url| public_url(url).ok()));
    }
    let maven = home.parent().unwrap_or(home).join(".m2/repository");
    found.extend(Repositories::read(machine, entry, &maven, note)?.public().cloned());
    let mut bases: Vec<String> = Vec::new();
    for base in found.iter().map(|base| base.trim_end_matches('/').to_owned()) {
        if !bases.contains(&base) {
            bases.push(base);
        }
    }
    Ok(bases)
}
