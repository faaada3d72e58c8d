//! The entries of a tree that interest some detector.
//!
//! Invariant: symbolic links are not followed; a folder that cannot be read is reported and skipped. The file systems
//! of the kernel are never entered.

use std::fs::FileType;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::IndexError;
use crate::detectors::Detector;
use crate::model::{RelPath, escaped};
use crate::monitor::{Monitor, ProblemKind, Step, Total};
use crate::tree::{FileSystems, Globs, TreeRoot, is_searched};

/// Which part of a tree is searched for packages; by default all of it.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// What is not part of the tree.
    pub exclude: Globs,
    /// Which file systems are entered that are mounted in the tree.
    pub file_systems: FileSystems,
}

/// The paths below `root` that interest one of `detectors`, each folder's entries sorted by name.
///
/// # Errors
/// `root` itself cannot be read, or the monitor asked to stop.
pub(super) fn interesting_paths(
    root: &Path,
    options: &SearchOptions,
    detectors: &[&dyn Detector],
    monitor: &dyn Monitor,
) -> Result<Vec<RelPath>, IndexError> {
    let name = escaped(root.as_os_str().as_bytes());
    let progress = monitor.begin(Step::Scan, name, Total::UNKNOWN);
    let tree = TreeRoot::open(root)?;
    let mut interesting = Vec::new();
    let mut folders = vec![(RelPath::root(), fs_err::metadata(root)?.dev())];
    while let Some((folder, device)) = folders.pop() {
        monitor.check_interrupted()?;
        let mut entries = match entries_of(root, &folder) {
            Ok(entries) => entries,
            Err(error) if folder.is_root() => return Err(error.into()),
            Err(error) => {
                monitor.problem(ProblemKind::Incomplete, &folder, error);
                continue;
            }
        };
        entries.retain(|(path, _)| !options.exclude.matches(tree.path(), path));
        // Reversed, since the last one is taken from the stack first.
        for (path, _) in entries.iter().rev().filter(|(_, file_type)| file_type.is_dir()) {
            // One that is gone by now is reported when it is read.
            let own =
                fs_err::symlink_metadata(path.below(root)).map_or(device, |found| found.dev());
            if own == device || is_searched(&tree, path, own, options.file_systems) {
                folders.push((path.clone(), own));
            }
        }
        progress.advance(0, entries.len() as u64);
        for (path, _) in entries {
            if detectors.iter().any(|detector| detector.interested_in(&path)) {
                interesting.push(path);
            }
        }
    }
    Ok(interesting)
}

fn entries_of(root: &Path, folder: &RelPath) -> std::io::Result<Vec<(RelPath, FileType)>> {
    let mut entries = Vec::new();
    for entry in fs_err::read_dir(folder.below(root))? {
        let entry = entry?;
        let path = folder
            .join(entry.file_name().as_bytes())
            .expect("the operating system gives plain names");
        entries.push((path, entry.file_type()?));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(entries)
}
