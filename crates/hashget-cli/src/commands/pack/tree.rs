//! What is packed: a folder, or files and folders with their paths as `tar` keeps them.
//!
//! Invariant: a path of the archive is the path that the user gave, without `/` at its start, and never leads up or through
//! a symbolic link.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use hashget::model::RelPath;
use hashget::tree::Selected;

use crate::exit::UsageError;

/// What is packed.
#[derive(Debug)]
pub(super) struct Tree {
    /// The top folder of the tree.
    pub(super) folder: PathBuf,
    /// What in it.
    pub(super) selected: Selected,
    /// For messages.
    pub(super) name: String,
    /// The paths of the archive that were given; none if the folder is packed as a whole.
    paths: Vec<RelPath>,
    /// The folder, if nothing was given: an empty one, which is removed in the end.
    _empty: Option<tempfile::TempDir>,
}

impl Tree {
    /// What [`Self::of_paths`] says; nothing, if no path is given.
    ///
    /// # Errors
    /// Those of [`Self::of_paths`]; or no empty folder can be made.
    pub(super) fn of_paths_or_nothing(given: &[PathBuf]) -> anyhow::Result<Self> {
        if !given.is_empty() {
            return Self::of_paths(given);
        }
        let empty = tempfile::tempdir()?;
        let (folder, name) = (empty.path().to_owned(), "what is not in a folder".to_owned());
        Ok(Self {
            folder,
            selected: Selected::default(),
            name,
            paths: Vec::new(),
            _empty: Some(empty),
        })
    }

    /// One folder is packed as a whole: its contents are at the top of the archive. Anything else keeps its path, below `/`
    /// or below the current folder.
    ///
    /// # Errors
    /// A path does not exist, or cannot be a path of an archive, or not together with the others.
    pub(super) fn of_paths(given: &[PathBuf]) -> anyhow::Result<Self> {
        if let [folder] = given
            && is_folder(folder)?
        {
            let (name, folder) = (folder.display().to_string(), folder.clone());
            let selected = Selected::default();
            return Ok(Self { folder, selected, name, paths: Vec::new(), _empty: None });
        }
        let is_absolute = given.iter().all(|path| path.is_absolute());
        if let Some(path) = given.iter().find(|path| path.is_absolute() != is_absolute) {
            let path = path.display();
            let wrong = format!(
                "{path} is an absolute path and others are not: give all of them as absolute paths, or none"
            );
            return Err(UsageError(wrong).into());
        }
        let folder = PathBuf::from(if is_absolute { "/" } else { "." });
        let paths: Vec<RelPath> =
            given.iter().map(|path| in_archive(&folder, path)).collect::<anyhow::Result<_>>()?;
        let selected = Selected::new(paths.clone())?;
        let first = given.first().map(|path| path.display().to_string()).unwrap_or_default();
        let name = match given.len() {
            0 | 1 => first,
            2 => format!("{first} and 1 more path"),
            count => format!("{first} and {} more paths", count - 1),
        };
        Ok(Self { folder, selected, name, paths, _empty: None })
    }

    /// Is all of the folder packed?
    pub(super) fn is_whole(&self) -> bool {
        self.selected.is_everything()
    }

    /// Was this path, below the top folder, given by itself?
    pub(super) fn has_selected(&self, path: &Path) -> bool {
        let path = RelPath::new(path.as_os_str().as_bytes());
        path.is_ok_and(|path| self.selected.contains(&path))
    }

    /// The paths for a program; none if the folder is packed as a whole.
    pub(super) fn shown(&self) -> Vec<String> {
        self.paths.iter().map(ToString::to_string).collect()
    }
}

/// Is it a folder, or a link to one? What cannot be looked at is an error: it might be one.
fn is_folder(path: &Path) -> std::io::Result<bool> {
    match fs_err::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        // If it is a link that leads nowhere, the link is packed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The path in the archive of a path below `folder`.
fn in_archive(folder: &Path, given: &Path) -> anyhow::Result<RelPath> {
    let shown = given.display();
    let wrong = |problem: String| UsageError(format!("{shown} {problem}"));
    if given.components().any(|component| component == Component::ParentDir) {
        let problem = "has \"..\" in it, which is no path of an archive: give the absolute path, or change the folder";
        return Err(wrong(problem.to_owned()).into());
    }
    fs_err::symlink_metadata(given)?;
    let path = RelPath::normalise(given.as_os_str().as_bytes())?;
    if path.is_root() {
        let problem = "has all of the other paths in it: pack it alone, or give the paths in it";
        return Err(wrong(problem.to_owned()).into());
    }
    // A `/` at the end follows a link, too.
    let is_followed = given.as_os_str().as_bytes().ends_with(b"/");
    let mut next = if is_followed { Some(path.clone()) } else { path.parent() };
    while let Some(above) = next.filter(|above| !above.is_root()) {
        let link = above.below(folder);
        if fs_err::symlink_metadata(&link)?.is_symlink() {
            let (link, real) = (link.display(), fs_err::canonicalize(given)?);
            let problem =
                format!("leads through the symbolic link {link}: give the path {}", real.display());
            return Err(wrong(problem).into());
        }
        next = above.parent();
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(paths: &[&str]) -> String {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        Tree::of_paths(&paths).unwrap_err().to_string()
    }

    #[test]
    fn paths_that_cannot_be_packed_together_are_refused() {
        assert!(wrong(&["src", "../hashget"]).contains("\"..\""));
        assert!(wrong(&["src", "."]).contains("pack it alone"));
        assert!(wrong(&["src", "./src/"]).contains("twice"));
        assert!(wrong(&["src/main.rs", "src"]).contains("only one of them"));
        assert!(wrong(&["src", "/etc"]).contains("absolute"));
        assert!(wrong(&["src", "nothing"]).contains("nothing"));
    }

    #[test]
    fn a_folder_alone_is_packed_as_a_whole() {
        let one = |path: &str| Tree::of_paths(&[PathBuf::from(path)]).unwrap();
        assert!(one("src").is_whole() && one("..").is_whole());
        let file = one("./src/main.rs");
        assert_eq!(
            (file.folder.as_path(), file.shown()),
            (Path::new("."), vec!["src/main.rs".to_owned()])
        );
        assert!(
            file.has_selected(Path::new("src/main.rs")) && !file.has_selected(Path::new("src"))
        );
    }
}
