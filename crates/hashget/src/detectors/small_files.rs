//! Reads small files from disk for detectors.
//!
//! Invariant: only regular files are read, never beyond the caller's limit; a detector never blocks on an
//! entry of a tree (a fifo, a device, a link to one). A file that is too large, or cannot be read, is always reported: as
//! the error of its entry, or, if the detector can do without the file, as a note.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::{DetectError, Machine};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::RelPath;
use crate::tree::{TreeRoot, is_of_kernel};

/// The contents of the regular file at `path`; `None` if there is no regular file (symbolic links are not
/// followed).
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub(super) fn read_whole(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, DetectError> {
    match read_head(path, limit.saturating_add(1))? {
        Some(bytes) if bytes.len() as u64 > limit => Err(too_large(path, limit)),
        other => Ok(other),
    }
}

/// Like [`read_whole`], for a file that the detector can do without: an error is passed to `note`, and the file is ignored.
pub(super) fn read_optional(
    path: &Path,
    limit: u64,
    note: &mut dyn FnMut(DetectError),
) -> Option<Vec<u8>> {
    read_whole(path, limit).unwrap_or_else(|error| {
        note(error);
        None
    })
}

/// The first bytes, at most `count`, of the regular file at `path`; `None` if there is no regular file.
///
/// # Errors
/// It cannot be read.
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
        // One byte more than the file has, so that the first read reaches the end.
        let expected = usize::try_from(metadata.len().min(count)).unwrap_or(0);
        let mut bytes = Vec::with_capacity(expected.saturating_add(1));
        file.take(count).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    read().map_err(|error: io::Error| DetectError::new(path, error))
}

/// Like [`read_whole`], for a file below `tree`: links among its parent folders are followed as if `tree`
/// were the root of the file system, so that none leads out of it.
///
/// # Errors
/// As for [`read_whole`].
pub(super) fn read_below(
    tree: &TreeRoot,
    path: &RelPath,
    limit: u64,
) -> Result<Option<Vec<u8>>, DetectError> {
    let wrong = |problem: String| DetectError::new(&path.below(tree.path()), problem);
    let Some(file) = open_below(tree, path) else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(&path.below(tree.path()), limit));
    }
    Ok(Some(bytes))
}

/// Like [`read_optional`], for a file below `tree`.
pub(super) fn read_optional_below(
    tree: &TreeRoot,
    path: &RelPath,
    limit: u64,
    note: &mut dyn FnMut(DetectError),
) -> Option<Vec<u8>> {
    read_below(tree, path, limit).unwrap_or_else(|error| {
        note(error);
        None
    })
}

fn too_large(path: &Path, limit: u64) -> DetectError {
    DetectError::new(path, format!("it has more than {limit} bytes: too many to be one"))
}

/// Opens the regular file at `path` below `tree`; `None` if there is none that can be read. No link is
/// followed out of the tree.
pub(super) fn open_below(tree: &TreeRoot, path: &RelPath) -> Option<std::fs::File> {
    let file = tree.open_file_as_root(path).ok()?;
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

/// Decompresses `packed`, whatever its compression; more than `limit` bytes are an error.
///
/// # Errors
/// Those of the file, and damaged data.
pub(super) fn unpacked<'a>(
    mut packed: impl Read + 'a,
    limit: u64,
) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::new();
    packed.by_ref().take(16).read_to_end(&mut head)?;
    let codec = Codec::recognise(&head);
    let limits = Limits { unpacked_bytes: limit, ..Limits::default() };
    codec::decoder(codec, Box::new(io::Cursor::new(head).chain(packed)), &limits, 1)
}

/// First and last bytes of a file.
pub(super) type Ends = (Vec<u8>, Vec<u8>);

/// The last bytes (`count`) of the regular file at `path`, and its first ones (`head`), if it has more bytes
/// than these; otherwise, or if there is no regular file, `None`.
///
/// # Errors
/// It cannot be read.
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
    read().map_err(|error: io::Error| DetectError::new(path, error))
}

/// Is `path` a regular file itself (not a link to one)?
pub(super) fn is_file(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Is `path` a regular file itself, on a disk? The kernel's own files, which have no end or are never ready, count as
/// regular, too, and a link among the parent folders may lead to them.
pub(crate) fn is_on_disk(path: &Path) -> bool {
    use rustix::fs::{FileType, Mode, OFlags};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    let kind = rustix::fs::fstat(&file).map(|found| FileType::from_raw_mode(found.st_mode));
    kind == Ok(FileType::RegularFile) && !is_of_kernel(&file)
}

/// The file of a package that a file of the tree at `root` names by its whole path, if it may be read: only below the tree
/// itself, a home folder or the caches of the machine. Anybody can write any path into a tree.
pub(super) fn named_file(machine: &Machine, root: &Path, named: &Path) -> Option<PathBuf> {
    let file = fs_err::canonicalize(named).ok().filter(|file| is_on_disk(file))?;
    let caches = machine.root.iter().map(|root| root.join("var/cache"));
    let folders = machine.homes.iter().cloned().chain([root.to_owned()]).chain(caches);
    let is_below = |folder: PathBuf| {
        fs_err::canonicalize(folder)
            .is_ok_and(|folder| folder.parent().is_some() && file.starts_with(folder))
    };
    folders.into_iter().any(is_below).then_some(file)
}

/// Is `path` a folder itself (not a link to one)?
pub(super) fn is_folder(path: &Path) -> bool {
    fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}
