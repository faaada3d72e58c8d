//! A tree that a command looks into: a folder, or what an archive was made of.
//!
//! Invariant: nothing is written. Records of an archive's tree come from the archive itself, from the cache and pools, and only
//! if that is asked for from the network.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use hashget::archive::{
    Contents, ContentsAccess, Holder, PackageMembers, manifest_path, open_archive,
};
use hashget::detectors::{InstalledSystem, TreeFiles, systems};
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use hashget::model::{Digest, Entry, Evidence, Kind, RelPath};
use hashget::monitor::{Monitor, Quiet};
use hashget::pack::{PackOptions, SYSTEM_EXCLUDES};
use hashget::tree::{Entries, Globs, ScanOptions, TreeRoot, scan};

use crate::archive::{self, Knowledge};
use crate::environment::{Environment, no_sources};
use crate::exit::UsageError;
use crate::packing::with_packer;

/// Size limit of a record of an archive's tree; a larger one counts as missing.
const MAX_RECORD: usize = 256 << 20;

/// What is unpacked for reading records is kept up to so many bytes.
const KEPT_BYTES: u64 = 1 << 30;

/// The tree.
pub(crate) struct LookedInto {
    /// Its entries, sorted by path. Hard links have the metadata and the digest of their file.
    pub(crate) entries: Vec<Entry>,
    /// The systems in it.
    pub(crate) systems: Vec<InstalledSystem>,
    /// If it is that of an archive.
    pub(crate) archive: Option<OfArchive>,
}

/// What an archive says of its tree.
pub(crate) struct OfArchive {
    pub(crate) manifest: AnyManifest,
    /// Who has each of the entries.
    pub(crate) holders: Vec<Holder>,
    /// The numbers of those packages whose files are not known by name.
    pub(crate) unnamed: Vec<usize>,
}

/// Is it a folder into which no archive was unpacked?
pub(crate) fn is_live(path: &Path) -> bool {
    let is_folder = path != Path::new("-") && path.is_dir();
    is_folder && fs_err::symlink_metadata(path.join(MANIFEST_NAME)).is_err()
}

/// What of a folder is not looked at: by the option, by the configuration, and of `/` what a backup leaves out by default.
pub(crate) fn excludes(
    folder: &Path,
    exclude: &[String],
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<String>> {
    let is_system = fs_err::canonicalize(folder)? == Path::new("/");
    let by_default = SYSTEM_EXCLUDES.iter().filter(|_| is_system).map(|&glob| glob.to_owned());
    Ok(exclude.iter().chain(&environment.config.exclude).cloned().chain(by_default).collect())
}

/// The folder, read to the last byte: what the scan cache remembers counts only with `trusts_times`.
pub(crate) fn folder(
    path: &Path,
    excludes: &[String],
    trusts_times: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<(LookedInto, TreeRoot)> {
    let exclude = Globs::for_tree(excludes.iter().map(String::as_str), path)
        .map_err(|error| UsageError(error.to_string()))?;
    let options = ScanOptions {
        exclude,
        cache: environment.scan_cache().filter(|_| trusts_times),
        jobs: environment.jobs,
        ..ScanOptions::default()
    };
    let context = || format!("cannot read {}", path.display());
    let scanned = scan(path, &options, environment.console).with_context(context)?;
    let entries = resolved(&scanned.entries);
    let root = TreeRoot::open(path).with_context(context)?;
    let systems = systems(&root, entries.iter().map(|entry| &entry.path));
    Ok((LookedInto { entries, systems, archive: None }, root))
}

/// The manifest that a backup of the folder would have, if it relied on every package that the HashDB knows, wherever it is.
pub(crate) fn draft(
    folder: &Path,
    excludes: Vec<String>,
    trusts_times: bool,
    environment: &Environment<'_>,
) -> anyhow::Result<AnyManifest> {
    let options = PackOptions {
        exclude_by_default: excludes,
        evidence: Evidence::Local,
        unasked: true,
        max_fetch_ratio: f64::INFINITY,
        scan_cache: environment.scan_cache().filter(|_| trusts_times),
        index: false,
        ask: false,
        ..PackOptions::default()
    };
    let draft = with_packer(environment, no_sources(), |packer| {
        Ok(packer.draft(folder, options, environment.console)?)
    })?;
    Ok(AnyManifest::parse(&draft)?)
}

/// The entries, hard links with the metadata of their files.
fn resolved(entries: &Entries) -> Vec<Entry> {
    let own = manifest_path();
    let with_metadata = |(index, entry): (usize, &Entry)| match &entry.kind {
        Kind::HardLink { target } => {
            let kind = Kind::HardLink { target: target.clone() };
            Entry { path: entry.path.clone(), kind, ..entries.file(index).clone() }
        }
        _ => entry.clone(),
    };
    let all = entries.iter().enumerate().map(with_metadata);
    all.filter(|entry| entry.path != own).collect()
}

/// Calls `work` with the tree of an archive and its files. What packages give is known from `knowledge`.
pub(crate) fn archive<R>(
    path: &Path,
    knowledge: &Knowledge,
    environment: &Environment<'_>,
    work: impl FnOnce(&LookedInto, &dyn TreeFiles) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    if path == Path::new("-") {
        let wrong = "an archive on standard input is read only once: give a file or a URL";
        return Err(UsageError(wrong.to_owned()).into());
    }
    let (manifest, stored) = archive::contents(path, environment)?;
    let listing = knowledge.list(&manifest, stored, &|_| true, environment)?;
    let (mut entries, mut holders) = (Vec::new(), Vec::new());
    for listed in listing.entries() {
        (environment.console as &dyn Monitor).check_interrupted()?;
        let listed = listed?;
        entries.push(listed.entry);
        holders.push(listed.holder);
    }
    let unnamed = listing.unnamed().iter().map(|one| one.package).collect();
    drop(listing);
    let members = knowledge.members(environment);
    if members.digests {
        add_digests(&mut entries, &manifest, &members, environment)?;
    }
    let of_archive = OfArchive { manifest, holders, unnamed };
    let mut looked = LookedInto { entries, systems: Vec::new(), archive: Some(of_archive) };
    if path.is_dir() {
        let root = TreeRoot::open(path)?;
        return with_systems(&mut looked, &root, work);
    }
    // The cache is where there is room for what is unpacked.
    let cache = environment.cache_folder().filter(|cache| fs_err::create_dir_all(cache).is_ok());
    let quiet = Quiet(environment.console);
    let access = ContentsAccess {
        source: members.source,
        folder: &cache.unwrap_or_else(std::env::temp_dir),
        kept_bytes: KEPT_BYTES,
        limits: &environment.limits,
        monitor: &quiet,
    };
    let opened = archive::open(path, "", environment)?;
    let files = open_archive(opened, &path.display().to_string(), &members, access)?;
    with_systems(&mut looked, &ArchiveFiles(files), work)
}

/// Adds the digests of single files of packages: a manifest need not have them, but the package does.
fn add_digests(
    entries: &mut [Entry],
    manifest: &AnyManifest,
    members: &PackageMembers<'_>,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let AnyManifest::V2(manifest) = manifest else { return Ok(()) };
    for package in manifest.packages.iter().filter(|package| !package.files.is_empty()) {
        let known = members.of(package, environment.console)?.unwrap_or_default();
        let digests: HashMap<RelPath, Digest> =
            known.into_iter().filter_map(|one| Some((one.path, one.sha256?))).collect();
        for file in package.files.entries() {
            let (file, from) = file?;
            let at = entries.binary_search_by(|entry| entry.path.cmp(&file.path));
            if let (Ok(at), Some(from)) = (at, from) {
                let entry = &mut entries[at];
                entry.sha256 = entry.sha256.or_else(|| digests.get(&from).copied());
            }
        }
    }
    Ok(())
}

fn with_systems<R>(
    looked: &mut LookedInto,
    files: &dyn TreeFiles,
    work: impl FnOnce(&LookedInto, &dyn TreeFiles) -> anyhow::Result<R>,
) -> anyhow::Result<R> {
    looked.systems = systems(files, looked.entries.iter().map(|entry| &entry.path));
    work(looked, files)
}

/// The files of an archive's tree.
struct ArchiveFiles<'a>(Contents<'a>);

impl TreeFiles for ArchiveFiles<'_> {
    fn read(&self, path: &RelPath) -> Option<Vec<u8>> {
        let file = self.0.tree().find(path)?;
        let Kind::File { size } = self.0.tree().node(file)?.kind else { return None };
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_RECORD)?;
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let first = u64::try_from(bytes.len()).ok()?;
            let more = self.0.read(file, first, size - bytes.len()).ok()?;
            if more.is_empty() {
                return None;
            }
            bytes.extend(more);
        }
        Some(bytes)
    }

    fn names(&self, folder: &RelPath) -> Vec<Vec<u8>> {
        let tree = self.0.tree();
        let Some(folder) = tree.find(folder) else { return Vec::new() };
        tree.children(folder, 0).map(|(_, name, _)| name.to_vec()).collect()
    }
}
