//! Small files that a detector reads from the disk.
//!
//! Invariant: only regular files are read, never more than the caller's limit, and nothing that lies
//! in a tree (a fifo, a device, a link to one) makes a detector wait.

use std::io::Read as _;
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::DetectError;

/// All bytes of the regular file at `path`; `None` when there is no regular file (symbolic links are
/// not followed).
///
/// # Errors
/// When it cannot be read, or holds more than `limit` bytes.
pub(super) fn read_whole(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, DetectError> {
    match read_head(path, limit.saturating_add(1))? {
        Some(bytes) if bytes.len() as u64 > limit => Err(DetectError::new(
            path,
            format!("it has more than {limit} bytes: too many to be one"),
        )),
        other => Ok(other),
    }
}

/// Up to `count` first bytes of the regular file at `path`; `None` when there is no regular file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_head(path: &Path, count: u64) -> Result<Option<Vec<u8>>, DetectError> {
    if !is_file(path) {
        return Ok(None);
    }
    let read = || {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(count).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    read().map_err(|error: std::io::Error| DetectError::new(path, error))
}

/// Is `path` a regular file itself (not a link to one)?
pub(super) fn is_file(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Is `path` a folder itself (not a link to one)?
pub(super) fn is_folder(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
