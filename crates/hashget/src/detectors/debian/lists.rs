//! apt's package lists on disk: an archive's data about the files of packages.
//!
//! Invariant: a [`Listed`] comes from a list whose bytes have the SHA-256 in the Release file beside it. It is
//! vouched for only if the signature of that file is one of an archive key.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::archives::Permanent;
use super::bulk::ReleaseFile;
use super::release::Release;
use super::signers::Signers;
use super::sources::Sources;
use super::status::Installed;
use crate::codec::{self, Codec};
use crate::detectors::{DetectError, quoted};
use crate::formats::{Paragraph, Paragraphs};
use crate::limits::Limits;
use crate::model::{Digest, HashingReader, RelPath};

/// A list's data about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path relative to the archive's URL.
    pub(super) filename: String,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    /// The archive, if it keeps packages permanently.
    pub(super) permanent: Option<Permanent>,
    /// The origin of the archive, according to its Release file.
    pub(super) origin: String,
    /// Who vouches that the archive has it: the owner of the key that signed the list.
    pub(super) vouched: Option<String>,
    /// The Release file that names the list.
    pub(super) file: Arc<ReleaseFile>,
    /// A time at which the archive had the package, `YYYYMMDDTHHMMSSZ`.
    pub(super) stamp: Option<String>,
    /// Current URLs of the file, according to the sources.
    pub(super) mirrors: Vec<String>,
}

/// A package's name, version and architecture.
type Key = (String, String, String);

/// The data of the lists about the requested packages.
#[derive(Debug, Default)]
pub(super) struct Lists {
    found: HashMap<Key, Vec<Listed>>,
    /// Lists that are not trusted, and files that cannot be read.
    pub(super) notes: Vec<DetectError>,
}

impl Lists {
    /// Reads the data about `packages` from the lists of the system at `root`. Signatures are verified by
    /// `signers`.
    pub(super) fn read(root: &Path, packages: &[&Installed], signers: Option<&Signers>) -> Self {
        let mut lists = Self::default();
        let folder = root.join("var/lib/apt/lists");
        let Ok(entries) = fs_err::read_dir(&folder) else { return lists };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let wanted = Wanted::new(packages);
        let sources = Sources::read(root, &mut |error| lists.notes.push(error));
        for release in names.iter().filter(|name| is_signed_release(name, &names)) {
            let prefix = release.trim_end_matches("InRelease").trim_end_matches("Release");
            let lists_of_it: Vec<&String> =
                names.iter().filter(|name| is_list_of(name, prefix)).collect();
            if lists_of_it.is_empty() {
                continue;
            }
            let note = &mut |error| lists.notes.push(error);
            let release = Release::read(&folder.join(release), prefix, signers, note);
            let Some(release) = release else { continue };
            for name in lists_of_it {
                let path = folder.join(name);
                match release.entries(&path, &name[prefix.len()..], &wanted) {
                    Ok(entries) => {
                        let servers = sources.servers(prefix);
                        entries.iter().for_each(|entry| lists.add(entry, &release, servers));
                    }
                    Err(problem) => lists.notes.push(DetectError::new(&path, problem)),
                }
            }
        }
        lists
    }

    fn add(&mut self, entry: &Paragraph, release: &Release, servers: &[String]) {
        let Some((key, mut listed)) = listed(release, entry, servers) else { return };
        let known = self.found.entry(key).or_default();
        match known.iter_mut().find(|other| other.sha256 == listed.sha256) {
            Some(other) => {
                let rank = |listed: &Listed| (listed.vouched.is_some(), listed.permanent.is_some());
                other.mirrors.append(&mut listed.mirrors);
                if rank(other) < rank(&listed) {
                    listed.mirrors.append(&mut other.mirrors);
                    *other = listed;
                }
            }
            None => known.push(listed),
        }
    }

    /// Does somebody vouch for what the lists say about this package?
    pub(super) fn vouches_for(&self, package: &Installed) -> bool {
        self.entries(package).iter().any(|entry| entry.vouched.is_some())
    }

    /// The data about one package; several entries if archives have different files with this name and
    /// version.
    pub(super) fn entries(&self, package: &Installed) -> &[Listed] {
        let key = (package.name.clone(), package.version.clone(), package.architecture.clone());
        self.found.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The names and versions to look for.
pub(super) struct Wanted<'a> {
    names: HashSet<&'a [u8]>,
    versions: HashSet<(&'a str, &'a str)>,
}

impl<'a> Wanted<'a> {
    fn new(packages: &[&'a Installed]) -> Self {
        Self {
            names: packages.iter().map(|package| package.name.as_bytes()).collect(),
            versions: packages.iter().map(|package| (&*package.name, &*package.version)).collect(),
        }
    }

    /// Can `line` be the first one of a wanted package? In lists, each package begins with its name.
    fn may_be(&self, line: &[u8]) -> bool {
        line.strip_prefix(b"Package:").is_none_or(|name| self.names.contains(name.trim_ascii()))
    }
}

/// apt stores `InRelease`, or `Release` with `Release.gpg` beside it. A `Release` alone was not verified.
fn is_signed_release(name: &str, names: &[String]) -> bool {
    let has = |other: String| names.binary_search(&other).is_ok();
    name.ends_with("_InRelease")
        || (name.ends_with("_Release")
            && has(format!("{name}.gpg"))
            && !has(name.replace("_Release", "_InRelease")))
}

fn is_list_of(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .and_then(|rest| rest.split('.').next())
        .is_some_and(|rest| rest == "Packages" || rest.ends_with("_Packages"))
}

/// What a paragraph of a list says about a package.
fn listed(release: &Release, entry: &Paragraph, servers: &[String]) -> Option<(Key, Listed)> {
    let field = |name| entry.get(name).map(str::to_owned);
    let key = (field("Package")?, field("Version")?, field("Architecture")?);
    let filename = field("Filename")?;
    let filename = filename.strip_prefix("./").unwrap_or(&filename);
    RelPath::try_from(filename).ok()?;
    let mirrors = servers.iter().map(|server| format!("{server}{}", quoted(filename)));
    let listed = Listed {
        size: entry.get("Size")?.parse().ok()?,
        sha256: entry.get("SHA256")?.parse().ok()?,
        permanent: release.permanent,
        origin: release.origin.clone(),
        vouched: release.vouched.clone(),
        file: Arc::clone(&release.file),
        stamp: release.stamp.clone(),
        mirrors: mirrors.collect(),
        filename: filename.to_owned(),
    };
    Some((key, listed))
}

/// The wanted paragraphs, and the digest of the decompressed list.
pub(super) fn read_list(
    packed: &mut (dyn Read + Send),
    wanted: &Wanted<'_>,
) -> io::Result<(Vec<Paragraph>, Digest)> {
    let mut head = Vec::new();
    packed.take(16).read_to_end(&mut head)?;
    let codec = Codec::recognise(&head);
    let whole = io::Cursor::new(head).chain(packed);
    let decoder = codec::decoder(codec, Box::new(whole), &Limits::default(), 1)?;
    let mut paragraphs =
        Paragraphs::new(BufReader::with_capacity(1 << 16, HashingReader::new(decoder)));
    let mut entries = Vec::new();
    while let Some(entry) = paragraphs.next_if(|line| wanted.may_be(line))? {
        let version = entry.get("Package").zip(entry.get("Version"));
        if version.is_some_and(|version| wanted.versions.contains(&version)) {
            entries.push(entry);
        }
    }
    Ok((entries, paragraphs.into_inner().into_inner().finish().0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_apt_has_verified_counts() {
        let names: Vec<String> =
            ["a_InRelease", "b_Release", "b_Release.gpg", "c_Release"].map(str::to_owned).into();
        let signed: Vec<&String> =
            names.iter().filter(|name| is_signed_release(name, &names)).collect();
        assert_eq!(signed, ["a_InRelease", "b_Release"]);
    }
}
