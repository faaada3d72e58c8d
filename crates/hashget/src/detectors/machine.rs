//! The machine besides the tree: where clients of registries keep their configuration.
//!
//! Invariant: a detector knows about the machine only what the program passes here, and what is on disk in
//! the folders above the entry it looks at.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::{DetectError, small_files};

/// The machine on which a tree lies. By default nothing is known about it.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The root of its file system, with its own packages and `etc`. Without a root they are not used.
    pub root: Option<PathBuf>,
    /// Home folders of the users whose configuration is used, in order of precedence.
    pub homes: Vec<PathBuf>,
    /// Environment variables, which also configure clients.
    pub variables: BTreeMap<OsString, OsString>,
    /// Archives that keep the packages of distributions permanently, from the user's configuration.
    pub archives: Vec<Archive>,
    /// Keys that sign archives, besides those of distributions that are known.
    pub archive_keys: Vec<ArchiveKey>,
    /// Hosts (`HOST` or `HOST:PORT`, in lower case) that the user's configuration declares public although a client has
    /// credentials for them.
    pub public_hosts: BTreeSet<String>,
    /// Cache of what detectors have read.
    pub kept: Kept,
}

/// Where a distribution's packages are kept permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The distribution, by the `ID` in its `os-release`.
    pub system: String,
    /// A URL, ending with `/`, below which every package lies by name and version.
    pub packages: Option<String>,
    /// A URL prefix, ending with `/`: repositories below it never remove a package.
    pub repositories: Option<String>,
}

/// A key that signs an archive of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveKey {
    /// The distribution, by the `ID` in its `os-release`.
    pub system: String,
    /// The fingerprint of the primary key, in hexadecimal digits without spaces.
    pub fingerprint: String,
}

/// Data read from files, shared by all entries that need it.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<HashMap<(TypeId, PathBuf), Value>>>);

/// The data of a file, once it has been read.
type Value = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Machine {
    /// The variable `name`, if it is set, not empty and valid UTF-8.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(Path::new(name).as_os_str())?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// The result of `read` for `path`, computed once and shared by all callers. Other threads that ask in
    /// the meantime wait; `read` itself must not ask for the same.
    pub fn once<T: Any + Send + Sync>(&self, path: &Path, read: impl FnOnce() -> T) -> Arc<T> {
        let key = (TypeId::of::<T>(), path.to_owned());
        let value = {
            let mut kept = self.kept.0.lock().expect("nothing panics while it looks");
            Arc::clone(kept.entry(key).or_default())
        };
        let value = value.get_or_init(|| Arc::new(read()));
        Arc::clone(value).downcast().expect("the type is part of the key")
    }

    /// The canonical path of a tree's folder, since the folders above it are used, too.
    pub(super) fn real_path(&self, root: &Path) -> Result<PathBuf, DetectError> {
        struct Real(io::Result<PathBuf>);
        match &self.once(root, || Real(fs_err::canonicalize(root))).0 {
            Ok(path) => Ok(path.clone()),
            Err(error) => Err(DetectError::new(root, error)),
        }
    }

    /// Regular files with one of these names (relative paths, in order of precedence) that configure a client
    /// for `entry`, an absolute path: in each folder above it, nearest first, then in the home folders, then
    /// below the root.
    ///
    /// A tree that is or contains home folders, or is a whole system, therefore uses its own configuration; a
    /// tree in a home folder uses that of its user.
    pub fn files_for(&self, entry: &Path, names: &[&str]) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        // Files in the top folder belong to the machine itself.
        let above = entry.ancestors().skip(1).filter(|folder| folder.parent().is_some());
        let homes = self.homes.iter().chain(&self.root).map(PathBuf::as_path);
        for file in above.chain(homes).flat_map(|folder| names.iter().map(|name| folder.join(name)))
        {
            if small_files::is_file(&file) && !found.contains(&file) {
                found.push(file);
            }
        }
        found
    }

    /// Folders that may be a home folder for `entry`, so that their caches may have its packages: those above it, nearest
    /// first, then the home folders. Whoever packs the homes of others uses their caches, too.
    pub fn homes_for(&self, entry: &Path) -> Vec<PathBuf> {
        let mut found = self.systems_for(entry);
        found.retain(|folder| self.root.as_ref() != Some(folder) || self.homes.contains(folder));
        found
    }

    /// Folders that may be a system's root or a home folder for `entry`: those above it, nearest first, then
    /// the home folders and the machine's root. The root of the machine that runs hashget is included only if
    /// it is `root`.
    pub fn systems_for(&self, entry: &Path) -> Vec<PathBuf> {
        let above = entry.ancestors().skip(1).filter(|folder| folder.parent().is_some());
        let others = self.homes.iter().chain(&self.root).map(PathBuf::as_path);
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in above.chain(others) {
            if !found.iter().any(|known| known == folder) {
                found.push(folder.to_owned());
            }
        }
        found
    }
}
