//! What an archive needs to be restored: its manifest, summed up.
//!
//! Invariant: pure; everything here follows from the manifest alone.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::count;
use crate::fetch::{Reach, Wanted, name_beside};
use crate::model::manifest::{
    AnyManifest, Manifest, ManifestError, ManifestV1, Package, PackageV1,
};
use crate::model::{
    Amount, Digest, Evidence, Kind, RelPath, Timestamp, display_name, escaped, own_name,
};

/// What an archive needs, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
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
    /// What of that recipes make, by their names.
    pub derived: BTreeMap<String, Amount>,
    /// Archived files that are made of pieces, and the bytes of these, which count as left out.
    pub pieces: Amount,
    /// Those of them that programs compress, by the names of the encoders, safe for a terminal.
    pub encoded: BTreeMap<String, Amount>,
    /// The modification times of the oldest and the newest archived file.
    pub archived_times: Option<(Timestamp, Timestamp)>,
    /// The packages, in the manifest's order.
    pub packages: Vec<RequiredPackage>,
}

/// A package that an archive needs. What version 1 does not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequiredPackage {
    /// Its public URL.
    pub url: String,
    /// Other URLs of the same bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The digest of its bytes.
    pub sha256: Digest,
    /// The number of its bytes.
    pub size: Option<u64>,
    /// How it was known that the URL gives the bytes.
    pub evidence: Option<Evidence>,
    /// Nobody had asked its URLs when the archive was made.
    #[serde(default)]
    pub unasked: bool,
    /// The day after which the URL may be gone.
    pub expires: Option<String>,
    /// Its names in ecosystems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
}

impl From<&Package> for Wanted {
    fn from(package: &Package) -> Self {
        Self {
            name: own_name(&package.signatures).map(str::to_owned),
            url: package.url.clone(),
            also: package.also.clone(),
            sha256: Some(package.sha256),
            size: Some(package.size),
            reach: Reach::Anywhere,
        }
    }
}

impl From<&PackageV1> for Wanted {
    fn from(package: &PackageV1) -> Self {
        Self { url: package.url.clone(), sha256: Some(package.hash), ..Self::default() }
    }
}

impl From<&Package> for RequiredPackage {
    fn from(package: &Package) -> Self {
        Self {
            url: package.url.clone(),
            also: package.also.clone(),
            sha256: package.sha256,
            size: Some(package.size),
            evidence: Some(package.evidence),
            unasked: package.unasked,
            expires: package.expires.clone(),
            signatures: package.signatures.clone(),
        }
    }
}

impl From<&PackageV1> for RequiredPackage {
    fn from(package: &PackageV1) -> Self {
        Self {
            url: package.url.clone(),
            also: Vec::new(),
            sha256: package.hash,
            size: None,
            evidence: None,
            unasked: false,
            expires: None,
            signatures: Vec::new(),
        }
    }
}

impl RequiredPackage {
    /// What a person calls it: its name in its ecosystem, or the file name of its URL. Safe for a terminal.
    pub fn shown_name(&self) -> String {
        escaped(display_name(&self.signatures, &self.url).as_bytes())
    }

    /// The request for it.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            name: own_name(&self.signatures).map(str::to_owned),
            url: self.url.clone(),
            also: self.also.clone(),
            sha256: Some(self.sha256),
            size: self.size,
            reach: Reach::Anywhere,
        }
    }

    /// All its URLs, its own first.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.also).map(String::as_str)
    }

    /// The ecosystems that it has names in.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().filter_map(|name| name.split(':').next())
    }
}

/// The host that a URL names; empty if there is none. What lies beside the archive has that in place of a host.
pub fn host_of(url: &str) -> String {
    if name_beside(url).is_some() {
        return "beside the archive".to_owned();
    }
    let parsed = url::Url::parse(url).ok();
    parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default().to_owned()
}

impl Requirements {
    /// Sums up a manifest.
    ///
    /// # Errors
    /// A table of the manifest is not what `docs/format.md` says.
    pub fn from_manifest(manifest: &AnyManifest) -> Result<Self, ManifestError> {
        match manifest {
            AnyManifest::V1(manifest) => Ok(Self::from_v1(manifest)),
            AnyManifest::V2(manifest) => Self::from_v2(manifest),
        }
    }

    fn from_v1(manifest: &ManifestV1) -> Self {
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
            derived: BTreeMap::new(),
            pieces: Amount::default(),
            encoded: BTreeMap::new(),
            archived_times: None,
            packages: manifest.packages.iter().map(RequiredPackage::from).collect(),
        }
    }

    fn from_v2(manifest: &Manifest) -> Result<Self, ManifestError> {
        let (archived, archived_times) = archived(manifest)?;
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
            derived: derived_amounts(&manifest.packages)?,
            pieces: manifest.amount_of_pieces(),
            encoded: encoded_amounts(manifest),
            archived_times,
            packages: manifest.packages.iter().map(RequiredPackage::from).collect(),
        })
    }

    /// The archives that must lie beside this one, by their names.
    pub fn beside(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter_map(|package| name_beside(&package.url))
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

/// What recipes make out of packages, by the names of the recipes.
///
/// # Errors
/// A table of the manifest is not what `docs/format.md` says.
pub fn derived_amounts(packages: &[Package]) -> Result<BTreeMap<String, Amount>, ManifestError> {
    let mut amounts: BTreeMap<String, Amount> = BTreeMap::new();
    for package in packages {
        for (entry, derived) in package.derived_files()? {
            let Kind::File { size } = entry.kind else { continue };
            amounts.entry(escaped(derived.recipe.as_bytes())).or_default().add(1, size);
        }
    }
    Ok(amounts)
}

/// What programs compress, by the names of the encoders.
fn encoded_amounts(manifest: &Manifest) -> BTreeMap<String, Amount> {
    let Some(pieces) = manifest.pieces() else { return BTreeMap::new() };
    let amounts = pieces.encoded_amounts(&|path| manifest.size_of(path)).into_iter();
    amounts.map(|(encoder, amount)| (escaped(encoder.as_bytes()), amount)).collect()
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
    amount.bytes = amount.bytes.saturating_sub(manifest.amount_of_pieces().bytes);
    amount.files += count(manifest.links.iter().filter(|link| files.contains(&link.to)).count());
    Ok((amount, times))
}
