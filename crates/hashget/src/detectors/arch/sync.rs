//! pacman's sync databases: what the repositories say about the files of their packages.
//!
//! Invariant: only installed packages are kept in memory; a database that cannot be read is reported, and the
//! others are still read.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::PathBuf;

use super::super::{DetectError, small_files};
use super::installed::{Installed, fields, first};
use crate::formats::tar::TarReader;
use crate::limits::Limits;
use crate::model::{Digest, RelPath};
use crate::tree::TreeRoot;

const FOLDER: &str = "var/lib/pacman/sync";
/// Size limit of a decompressed database; of a larger one only the start is read.
const MAX_BYTES: u64 = 1 << 30;
/// Size limit of a description; of a larger one only the start is read.
const MAX_DESC: u64 = 1 << 20;

/// A repository's data about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Synced {
    /// The repository's name.
    pub(super) repository: String,
    pub(super) file_name: String,
    pub(super) sha256: Digest,
    pub(super) size: u64,
    /// Build time in seconds since 1970.
    built: u64,
}

/// The data of the repositories about installed packages, by `NAME-VERSION-ARCHITECTURE`.
#[derive(Debug, Default)]
pub(super) struct Databases(HashMap<String, Vec<Synced>>);

impl Databases {
    /// Reads the data about the `installed` packages from the databases of the system at `tree`.
    pub(super) fn read(
        tree: &TreeRoot,
        installed: &[Installed],
        note: &mut dyn FnMut(DetectError),
    ) -> Self {
        let mut found = Self::default();
        let folder = tree.path().join(FOLDER);
        if !small_files::is_folder(&folder) {
            return found;
        }
        let entries = fs_err::read_dir(&folder).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        let wanted: BTreeMap<&[u8], &Installed> =
            installed.iter().map(|package| (package.folder.file_name(), package)).collect();
        for name in names {
            let Some(repository) = name.strip_suffix(".db") else { continue };
            if let Err(problem) = found.add(tree, repository, &wanted) {
                let file: PathBuf = folder.join(&name);
                note(DetectError::new(&file, format!("it cannot be read: {problem}")));
            }
        }
        found
    }

    /// Adds the data of a repository. The database is a compressed tar of `NAME-VERSION/desc`.
    fn add(
        &mut self,
        tree: &TreeRoot,
        repository: &str,
        wanted: &BTreeMap<&[u8], &Installed>,
    ) -> Result<(), String> {
        let path = RelPath::new(format!("{FOLDER}/{repository}.db"));
        let Some(file) = path.ok().and_then(|path| small_files::open_below(tree, &path)) else {
            return Ok(());
        };
        let unpacked = small_files::unpacked(file, MAX_BYTES).map_err(|error| error.to_string())?;
        let mut archive = TarReader::new(unpacked, &Limits::default());
        while let Some(mut entry) = archive.next().map_err(|error| error.to_string())? {
            let path = entry.path.clone();
            let folder = path.strip_suffix(b"/desc");
            let Some(package) = folder.and_then(|folder| wanted.get(folder)) else { continue };
            let mut desc = String::new();
            let read = entry.by_ref().take(MAX_DESC).read_to_string(&mut desc);
            read.map_err(|error| error.to_string())?;
            if let Some(synced) = understand(&desc, repository, package) {
                self.0.entry(package.full_name()).or_default().push(synced);
            }
        }
        Ok(())
    }

    /// The data about one package; `None` if repositories disagree.
    pub(super) fn find(&self, package: &Installed) -> Option<&Synced> {
        let said = self.0.get(&package.full_name())?;
        let first = said.iter().find(|one| one.built == package.built)?;
        let differs = |one: &&Synced| one.built == package.built && one.sha256 != first.sha256;
        said.iter().find(differs).is_none().then_some(first)
    }
}

fn understand(desc: &str, repository: &str, package: &Installed) -> Option<Synced> {
    let fields = fields(desc);
    let field = |name| first(&fields, name);
    if field("ARCH") != Some(&package.architecture) {
        return None;
    }
    let file_name = field("FILENAME")?;
    let of_package = file_name.strip_prefix(&package.full_name())?;
    if !of_package.starts_with(".pkg.tar") || of_package.contains('/') {
        return None;
    }
    Some(Synced {
        repository: repository.to_owned(),
        file_name: file_name.to_owned(),
        sha256: field("SHA256SUM")?.parse().ok()?,
        size: field("CSIZE")?.parse().ok()?,
        built: field("BUILDDATE")?.parse().ok()?,
    })
}
