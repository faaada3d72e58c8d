//! Some files and folders of a tree instead of all of it.
//!
//! Invariant: no selected path is in another one. A folder above selected paths is an entry of the tree, and of what is in
//! it only what leads to them.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;

use super::TreeRoot;
use crate::error::ErrorClass;
use crate::model::RelPath;

/// The paths that are part of a tree, each with everything below it, and the folders above them; by default the whole tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    paths: BTreeSet<RelPath>,
}

/// Paths that cannot be selected together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSelection {
    /// One path was given twice.
    #[error("{0} would be in the archive twice: give it once")]
    Twice(RelPath),
    /// One path is in another one.
    #[error("{path} is in {folder}, which is packed with everything in it: give only one of them")]
    Within {
        /// The path.
        path: RelPath,
        /// What it is in.
        folder: RelPath,
    },
}

impl BadSelection {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::BadInput
    }
}

impl Selected {
    /// Only these paths; all of the tree if there are none.
    ///
    /// # Errors
    /// A path is there twice, or is in another one.
    pub fn new(paths: impl IntoIterator<Item = RelPath>) -> Result<Self, BadSelection> {
        let mut selected = BTreeSet::new();
        for path in paths {
            if let Some(path) = selected.replace(path) {
                return Err(BadSelection::Twice(path));
            }
        }
        for path in &selected {
            let mut above = path.parent();
            while let Some(folder) = above {
                if selected.contains(&folder) {
                    return Err(BadSelection::Within { path: path.clone(), folder });
                }
                above = folder.parent();
            }
        }
        Ok(Self { paths: selected })
    }

    /// Is the whole tree selected?
    pub fn is_everything(&self) -> bool {
        self.paths.is_empty()
    }

    /// Was this path selected by itself?
    pub fn contains(&self, path: &RelPath) -> bool {
        self.paths.contains(path)
    }

    /// Is this a folder of which only what leads to selected paths is part of the tree?
    pub fn is_above(&self, folder: &RelPath) -> bool {
        !self.is_everything() && self.below(folder).next().is_some()
    }

    /// The names in `folder` that lead to selected paths, sorted; `None` if all that is in it is part of the tree.
    pub(super) fn names_in(&self, folder: &RelPath) -> Option<Vec<CString>> {
        if !self.is_above(folder) {
            return None;
        }
        let depth = folder.components().count();
        let names = self.below(folder).filter_map(|path| path.components().nth(depth));
        // A path has no NUL bytes.
        let mut names: Vec<CString> = names.filter_map(|name| CString::new(name).ok()).collect();
        names.sort_unstable();
        names.dedup();
        Some(names)
    }

    /// The devices of the file systems on which the selected paths are.
    pub(super) fn devices(&self, root: &TreeRoot) -> Vec<u64> {
        let device = |path| Some(rustix::fs::fstat(root.at(path).ok()?).ok()?.st_dev);
        self.paths.iter().filter_map(device).collect()
    }

    /// What distinguishes the selected tree at `root` from others.
    pub(super) fn name_at(&self, root: &Path) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut name = root.as_os_str().as_bytes().to_vec();
        for path in &self.paths {
            name.push(0);
            name.extend_from_slice(path.as_bytes());
        }
        name
    }

    /// The selected paths below `folder`.
    fn below(&self, folder: &RelPath) -> impl Iterator<Item = &RelPath> {
        let mut start = folder.as_bytes().to_vec();
        if !folder.is_root() {
            start.push(b'/');
        }
        // All paths that begin in the same way follow one another.
        let after = self.paths.range(folder.clone()..);
        let after = after.skip_while({
            let start = start.clone();
            move |path| path.as_bytes() < &*start
        });
        after.take_while(move |path| path.as_bytes().starts_with(&start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn names(selected: &Selected, folder: &str) -> Option<Vec<String>> {
        let names = selected.names_in(&path(folder))?;
        Some(names.into_iter().map(|name| name.into_string().unwrap()).collect())
    }

    #[test]
    fn of_a_folder_above_only_what_leads_to_selected_paths_counts() {
        let selected = Selected::new(["a/b/c", "a/b-d", "a/e", "f"].map(path)).unwrap();
        assert_eq!(names(&selected, "").unwrap(), ["a", "f"]);
        assert_eq!(names(&selected, "a").unwrap(), ["b", "b-d", "e"]);
        assert_eq!(names(&selected, "a/b").unwrap(), ["c"]);
        for whole in ["a/b/c", "a/e", "a/e/x", "f", "f/g/h"] {
            assert_eq!(names(&selected, whole), None, "{whole}");
        }
        assert_eq!(names(&Selected::default(), ""), None);
        assert_eq!(names(&Selected::default(), "a"), None);
    }

    #[test]
    fn nothing_is_selected_twice() {
        let twice = Selected::new(["a", "b", "a"].map(path)).unwrap_err();
        assert_eq!(twice, BadSelection::Twice(path("a")));
        let within = Selected::new(["a/b/c", "a-b", "a"].map(path)).unwrap_err();
        assert_eq!(within, BadSelection::Within { path: path("a/b/c"), folder: path("a") });
        assert!(Selected::new(["a", "ab", "a-b", "b/a"].map(path)).is_ok());
        assert!(Selected::new([path(""), path("a")]).is_err());
    }
}
