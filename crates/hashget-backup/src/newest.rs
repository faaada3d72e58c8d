//! The newest archive of a series on this machine, from which a new one copies what has not changed.
//!
//! Invariant: only an archive that nobody else could have written is chosen.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::series::{ArchiveName, Series};

/// The newest archive of `series` in these folders that is not encrypted, or, if one is given, `only` this one. What cannot be read is passed over.
pub(crate) fn newest_own_archive<'f>(
    folders: impl Iterator<Item = &'f Path>,
    series: &Series,
    only: Option<&ArchiveName>,
) -> Option<PathBuf> {
    let entries = folders.filter_map(|folder| fs_err::read_dir(folder).ok()).flatten().flatten();
    let archives = entries.filter_map(|entry| {
        let name = ArchiveName::parse(entry.file_name().to_str()?)?;
        let is_chosen = name.series() == series
            && !name.is_encrypted()
            && only.is_none_or(|only| *only == name)
            && is_own(&entry.path());
        is_chosen.then(|| (name, entry.path()))
    });
    archives.max().map(|(_, path)| path)
}

/// Is it a regular file of the user's own, or of root's, that not everybody may write to?
fn is_own(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| {
        let uid = metadata.uid();
        let is_own = uid == 0 || uid == rustix::process::geteuid().as_raw();
        metadata.is_file() && is_own && metadata.mode() & 0o022 == 0
    })
}
