//! What the machine has besides the tree: where clients of registries keep their configuration.
//!
//! Invariant: a detector knows of the machine only what the program says here, and what lies on the disk
//! above the entry that it looks at.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use super::{DetectError, small_files};

/// The machine on which a tree lies. The default is one of which nothing is known.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The root of its file system, where its own packages and `etc` are. Without one they are not looked
    /// at.
    pub root: Option<PathBuf>,
    /// Home folders of the users whose configuration counts, the first one first.
    pub homes: Vec<PathBuf>,
    /// Variables of the environment: clients are configured by them, too.
    pub variables: BTreeMap<OsString, OsString>,
    /// Archives that keep the packages of distributions for ever, as the user's configuration names them.
    pub archives: Vec<Archive>,
    /// What detectors have read already.
    pub kept: Kept,
}

/// Where a distribution's packages are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The distribution, by the `ID` in its `os-release`.
    pub system: String,
    /// Below this URL, which ends with `/`, every package lies by its name and version.
    pub packages: Option<String>,
    /// Repositories whose addresses begin with this, which ends with `/`, never lose a package.
    pub repositories: Option<String>,
}

/// What was read of files, so that it is read once for all entries that need it.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<HashMap<(TypeId, PathBuf), Value>>>);

/// What was made of a file, once that is done.
type Value = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Machine {
    /// The variable `name`, if it is set to some text.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(Path::new(name).as_os_str())?.to_str()?;
        (!value.is_empty()).then_some(value)
    }

    /// What `read` makes of `path`: once, and the same for who asks again. Who asks meanwhile, in another
    /// thread, waits; `read` itself must not ask for the same.
    pub fn once<T: Any + Send + Sync>(&self, path: &Path, read: impl FnOnce() -> T) -> Arc<T> {
        let key = (TypeId::of::<T>(), path.to_owned());
        let value = {
            let mut kept = self.kept.0.lock().expect("nothing panics while it looks");
            Arc::clone(kept.entry(key).or_default())
        };
        let value = value.get_or_init(|| Arc::new(read()));
        Arc::clone(value).downcast().expect("the type is part of the key")
    }

    /// The folder of a tree without links and relative parts: what lies above it matters, too.
    pub(super) fn real_path(&self, root: &Path) -> Result<PathBuf, DetectError> {
        struct Real(io::Result<PathBuf>);
        match &self.once(root, || Real(fs_err::canonicalize(root))).0 {
            Ok(path) => Ok(path.clone()),
            Err(error) => Err(DetectError::new(root, error)),
        }
    }

    /// Regular files with one of these names (paths, in the order of their rank), for who works at `entry`, an
    /// absolute path: in each folder above it, the nearest first, then in the home folders, then below the root.
    ///
    /// So a tree that is somebody's home folder, holds homes or is a whole system brings its own configuration,
    /// and one that lies in a home folder has that of its user.
    pub fn files_for(&self, entry: &Path, names: &[&str]) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        // What is at the very top is the machine's own.
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

    /// Folders that may be the root of a system, or somebody's home, for who works at `entry`: those above it, the
    /// nearest first, then the home folders and the machine's root. The root of the machine that runs us is
    /// one of them only if it is `root`.
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
