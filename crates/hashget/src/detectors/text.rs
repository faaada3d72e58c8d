//! Small files that a detector reads from the disk.
//!
//! Invariant: only regular files are read, never more than the caller's limit, and nothing that lies
//! in a tree (a fifo, a device, a link to one) makes a detector wait.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
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
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        // One more than there are, so that the end is seen by the first read.
        let expected = usize::try_from(metadata.len().min(count)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(expected.saturating_add(1));
        file.take(count).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    read().map_err(|error: std::io::Error| DetectError::new(path, error))
}

/// First and last bytes of a file.
pub(super) type Ends = (Vec<u8>, Vec<u8>);

/// Up to `count` last bytes of the regular file at `path`, and its first `head` ones, if it has more than these two
/// together; else `None`, as when there is no regular file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_ends(
    path: &Path,
    head: usize,
    count: usize,
) -> Result<Option<Ends>, DetectError> {
    if !is_file(path) {
        return Ok(None);
    }
    let read = || {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = fs_err::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let metadata = file.metadata()?;
        let rest = metadata.len().checked_sub((head + count) as u64);
        let Some(rest) = rest.filter(|rest| *rest > 0 && metadata.is_file()) else {
            return Ok(None);
        };
        let (mut first, mut last) = (vec![0; head], vec![0; count]);
        file.file().read_exact_at(&mut first, 0)?;
        file.file().read_exact_at(&mut last, rest + head as u64)?;
        Ok(Some((first, last)))
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
