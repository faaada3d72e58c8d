//! Which installed packages own files, according to the systems that contain them.
//!
//! Invariant: only records on this machine are read; their contents are used only for messages.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::DETECTORS;
use crate::model::Signature;

/// The package that a file belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its name in its ecosystem.
    pub signature: Signature,
    /// The root folder of the system in which it is installed.
    pub root: PathBuf,
}

/// The owners of those `files` (canonical absolute paths) that belong to an installed package.
pub fn owners(files: &[PathBuf]) -> HashMap<PathBuf, Owner> {
    let wanted: HashSet<&Path> = files.iter().map(PathBuf::as_path).collect();
    let roots: BTreeSet<&Path> = files.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    let mut owners = HashMap::new();
    for root in roots {
        for detector in DETECTORS {
            detector.installed_files(root, &mut |path, signature| {
                let file = root.join(path);
                if wanted.contains(&*file) {
                    let owner = Owner { signature: signature.clone(), root: root.to_path_buf() };
                    owners.insert(file, owner);
                }
            });
        }
    }
    owners
}
