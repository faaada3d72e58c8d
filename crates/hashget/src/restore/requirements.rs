//! What an archive needs to be restored: its manifest, read and summed up.
//!
//! Invariant: nothing is written, and no more of an archive is read than up to its first manifest.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;

use super::{RestoreError, count, extract, manifest_path, parse};
use crate::fetch::Wanted;
use crate::formats::tar::RawKind;
use crate::limits::Limits;
use crate::model::manifest::{
    AnyManifest, MANIFEST_NAME, Manifest, ManifestError, ManifestV1, Package,
};
use crate::model::{Amount, Digest, Evidence, Kind, RelPath, Timestamp, escaped};
use crate::monitor::{Monitor, Running, Step, Total};
use crate::tree::TreeRoot;

/// What an archive needs, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The manifest's version.
    pub version: u32,
    /// Who wrote it, if it says so.
    pub tool: Option<String>,
    /// The day after which the archive may not be restorable any more, `YYYY-MM-DD`.
    pub expires: Option<String>,
    /// What was packed; unknown of version 1.
    pub tree: Option<Amount>,
    /// What the archive holds itself; unknown of version 1.
    pub archived: Option<Amount>,
    /// What packages give back.
    pub left_out: Amount,
    /// The modification times of the oldest and the newest archived file.
    pub archived_times: Option<(Timestamp, Timestamp)>,
    /// The packages, in the manifest's order.
    pub packages: Vec<NeededPackage>,
}

/// A package that an archive needs. What version 1 does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededPackage {
    /// Its public URL.
    pub url: String,
    /// Other URLs of the same bytes.
    pub also: Vec<String>,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The number of its bytes.
    pub size: Option<u64>,
    /// How it was known that the URL gives the bytes.
    pub evidence: Option<Evidence>,
    /// The day after which the URL may be gone.
    pub expires: Option<String>,
    /// Its names in ecosystems.
    pub signatures: Vec<String>,
}

impl NeededPackage {
    /// As a source is asked for it.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            url: self.url.clone(),
            also: self.also.clone(),
            sha256: Some(self.sha256),
            size: self.size,
        }
    }

    /// Its URL and the others.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.also).map(String::as_str)
    }
}

/// The host that a URL names; empty if there is none.
pub fn host_of(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default().to_owned()
}

impl Needs {
    /// Sums up a manifest.
    ///
    /// # Errors
    /// A table of the manifest is not what `docs/format.md` says.
    pub fn of(manifest: &AnyManifest) -> Result<Self, ManifestError> {
        match manifest {
            AnyManifest::V1(manifest) => Ok(Self::of_v1(manifest)),
            AnyManifest::V2(manifest) => Self::of_v2(manifest),
        }
    }

    fn of_v1(manifest: &ManifestV1) -> Self {
        let package = |package: &crate::model::manifest::PackageV1| NeededPackage {
            url: package.url.clone(),
            also: Vec::new(),
            sha256: package.hash,
            size: None,
            evidence: None,
            expires: None,
            signatures: Vec::new(),
        };
        Self {
            version: 1,
            tool: None,
            expires: manifest.expires.clone(),
            tree: None,
            archived: None,
            left_out: Amount {
                files: count(manifest.files.len()),
                bytes: manifest.files.iter().fold(0, |sum, file| sum.saturating_add(file.size)),
            },
            archived_times: None,
            packages: manifest.packages.iter().map(package).collect(),
        }
    }

    fn of_v2(manifest: &Manifest) -> Result<Self, ManifestError> {
        let (archived, archived_times) = archived(manifest)?;
        let package = |package: &Package| NeededPackage {
            url: package.url.clone(),
            also: package.also.clone(),
            sha256: package.sha256,
            size: Some(package.size),
            evidence: Some(package.evidence),
            expires: package.expires.clone(),
            signatures: package.signatures.clone(),
        };
        let tree = Amount { files: manifest.tree.files, bytes: manifest.tree.bytes };
        Ok(Self {
            version: manifest.version,
            tool: Some(manifest.tool.clone()),
            expires: manifest.expires.clone(),
            tree: Some(tree),
            archived: Some(archived),
            left_out: Amount {
                files: tree.files.saturating_sub(archived.files),
                bytes: tree.bytes.saturating_sub(archived.bytes),
            },
            archived_times,
            packages: manifest.packages.iter().map(package).collect(),
        })
    }

    /// Bytes to download, as far as the manifest says.
    pub fn package_bytes(&self) -> u64 {
        self.packages.iter().filter_map(|package| package.size).fold(0, u64::saturating_add)
    }

    /// The hosts of the packages' own URLs, each with the number of packages and their bytes; the one
    /// with most bytes first.
    pub fn hosts(&self) -> Vec<(String, u64, u64)> {
        let mut hosts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for package in &self.packages {
            let (packages, bytes) = hosts.entry(host_of(&package.url)).or_default();
            *packages += 1;
            *bytes = bytes.saturating_add(package.size.unwrap_or(0));
        }
        let mut hosts: Vec<_> =
            hosts.into_iter().map(|(host, (packages, bytes))| (host, packages, bytes)).collect();
        hosts.sort_by_key(|(_, packages, bytes)| std::cmp::Reverse((*bytes, *packages)));
        hosts
    }
}

/// The files that the archive holds, and the times of the oldest and the newest.
fn archived(
    manifest: &Manifest,
) -> Result<(Amount, Option<(Timestamp, Timestamp)>), ManifestError> {
    let mut amount = Amount::default();
    let mut times: Option<(Timestamp, Timestamp)> = None;
    let mut files: HashSet<RelPath> = HashSet::new();
    for entry in manifest.archived.entries() {
        let (entry, _) = entry?;
        let Kind::File { size } = entry.kind else { continue };
        amount.files += 1;
        amount.bytes = amount.bytes.saturating_add(size);
        let mtime = entry.metadata.mtime;
        times = Some(times.map_or((mtime, mtime), |(old, new)| (old.min(mtime), new.max(mtime))));
        if !manifest.links.is_empty() {
            files.insert(entry.path);
        }
    }
    amount.files += count(manifest.links.iter().filter(|link| files.contains(&link.to)).count());
    Ok((amount, times))
}

/// Reads the first manifest of an archive (of any compression), or what is a manifest itself.
///
/// # Errors
/// See [`RestoreError`].
pub fn archive_manifest(
    archive: &mut (dyn Read + Send),
    name: &str,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<AnyManifest, RestoreError> {
    let progress = monitor.begin(Step::Read, escaped(name.as_bytes()), Total::UNKNOWN);
    let json = find_manifest(archive, limits, &progress, monitor);
    drop(progress);
    Ok(AnyManifest::parse(&json?)?)
}

fn find_manifest(
    archive: &mut (dyn Read + Send),
    limits: &Limits,
    progress: &Running<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<u8>, RestoreError> {
    let head = extract::head(archive)?;
    if head.first() == Some(&b'{') {
        let whole = (&head[..]).chain(archive);
        return read_limited(whole, limits, |error| RestoreError::Archive { error });
    }
    let mut tar = extract::open(head, archive, limits)?;
    let mut first = true;
    loop {
        monitor.check_interrupted()?;
        let error = match tar.next() {
            Ok(Some(mut entry)) => {
                first = false;
                let path = RelPath::normalise(&entry.path).ok();
                let bytes = match entry.kind {
                    RawKind::File { size } => size,
                    _ => 0,
                };
                if path.is_none_or(|path| path.as_bytes() != MANIFEST_NAME.as_bytes()) {
                    progress.advance(bytes, 1);
                    continue;
                }
                let failed = |error| RestoreError::Archive { error };
                return read_limited(&mut entry, limits, failed);
            }
            Ok(None) => return Err(RestoreError::NoManifestInArchive),
            Err(error) => error,
        };
        return Err(match error {
            error if first => RestoreError::NotAnArchive { error },
            error => RestoreError::Archive { error: std::io::Error::other(error) },
        });
    }
}

/// Reads the manifest that lies in a folder.
///
/// # Errors
/// See [`RestoreError`].
pub fn folder_manifest(folder: &Path, limits: &Limits) -> Result<AnyManifest, RestoreError> {
    let target = || folder.to_path_buf();
    let failed = |error| RestoreError::Target { target: target(), error };
    let root = TreeRoot::open(folder).map_err(failed)?;
    let file = match root.open_file(&manifest_path()) {
        Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => file,
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => return Err(RestoreError::NoManifest { target: target() }),
    };
    parse(&file, limits, failed)
}

/// Reads a manifest, no more of it than the limit lets in.
fn read_limited(
    reader: impl Read,
    limits: &Limits,
    failed: impl FnOnce(std::io::Error) -> RestoreError,
) -> Result<Vec<u8>, RestoreError> {
    let limit = limits.manifest_bytes;
    let mut json = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut json).map_err(failed)?;
    if count(json.len()) > limit {
        return Err(RestoreError::ManifestSize { limit });
    }
    Ok(json)
}
