//! A damaged archive makes room for the healed one.
//!
//! Invariant: the name refers to the old file or to the healed one, and the damaged archive is kept.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{RepairError, parity_of, with_ending};
use crate::pending_file::{PendingFile, behind_links};

/// Where a damaged archive is kept.
fn kept(archive: &Path) -> PathBuf {
    with_ending(archive, ".damaged")
}

/// Can what is healed be written: to `output`, or in the place of the archive?
///
/// # Errors
/// Something else is there.
pub(super) fn expect_place(archive: &Path, output: Option<&Path>) -> Result<(), RepairError> {
    match output {
        Some(output) => expect_other(output, archive),
        None => expect_room(archive),
    }
}

/// Can the damaged archive be kept?
///
/// # Errors
/// The name is taken, by another file than the archive itself.
fn expect_room(archive: &Path) -> Result<(), RepairError> {
    let kept = kept(archive);
    // A repair that was killed has left the damaged archive under both names.
    if is_same_file(&kept, archive) {
        fs_err::remove_file(&kept)
            .map_err(|error| RepairError::Write { path: kept.clone(), error })?;
    }
    match kept.symlink_metadata() {
        Ok(_) => Err(RepairError::KeptBefore { path: kept }),
        Err(_) => Ok(()),
    }
}

/// Is what is to be written neither the archive nor its parity?
///
/// # Errors
/// It is one of them.
fn expect_other(output: &Path, archive: &Path) -> Result<(), RepairError> {
    let place = |path: &Path| {
        let path = behind_links(path);
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = fs_err::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let place_of_output = place(output);
    let is_it = |other: &Path| place_of_output.is_some() && place(other) == place_of_output;
    if !is_it(archive) && !is_it(&parity_of(archive)) {
        return Ok(());
    }
    let problem = "it is the archive itself, or its parity";
    let error = io::Error::new(io::ErrorKind::InvalidInput, problem);
    Err(RepairError::Write { path: output.to_owned(), error })
}

/// Gives the healed archive the name of the damaged one; where that is kept.
///
/// # Errors
/// The disk failed: the damaged archive has its name, as far as the disk allows.
pub(super) fn replace(archive: &Path, healed: PendingFile) -> Result<PathBuf, RepairError> {
    let write = |error| RepairError::Write { path: archive.to_owned(), error };
    let kept = kept(archive);
    let is_renamed = match fs_err::hard_link(archive, &kept) {
        Ok(()) => false,
        // Some file systems have no further names.
        Err(_) => fs_err::rename(archive, &kept).map(|()| true).map_err(write)?,
    };
    if let Err(error) = healed.commit_as(archive, &kept) {
        let _ = match is_renamed {
            true => fs_err::rename(&kept, archive),
            false => fs_err::remove_file(&kept),
        };
        return Err(write(error));
    }
    Ok(kept)
}

/// Are both names of one file? Links are not followed.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.symlink_metadata().map(|found| (found.dev(), found.ino()));
    identity(one).is_ok_and(|one| identity(other).is_ok_and(|other| one == other))
}
