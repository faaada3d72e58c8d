//! Where an archive goes.
//!
//! Invariant: a file has its name only once it is complete and on the disk; until then it has none at
//! all where the file system can do that, so that even a killed run leaves nothing behind.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};

use super::PackError;

/// Where an archive goes.
pub enum Output<'a> {
    /// Into a file, under its name only when complete. An existing one is replaced then.
    File(PathBuf),
    /// Into a pipe.
    Stream(Box<dyn Write + Send + 'a>),
    /// Nowhere: a dry run.
    Nothing,
}

/// An archive that is being written.
pub(super) struct OutputFile<'a> {
    target: Target<'a>,
    bytes: u64,
}

enum Target<'a> {
    File { path: PathBuf, file: File, temporary: Option<PathBuf> },
    Stream(Box<dyn Write + Send + 'a>),
}

impl<'a> Output<'a> {
    /// Device and inode of the file that will be replaced: it is not part of the tree.
    pub(super) fn existing_file(&self) -> Option<(u64, u64)> {
        let Self::File(path) = self else { return None };
        let metadata = fs_err::metadata(path).ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    }

    /// Opens it; `None` for a dry run.
    pub(super) fn create(self) -> Result<Option<OutputFile<'a>>, PackError> {
        let target = match self {
            Self::Nothing => return Ok(None),
            Self::Stream(stream) => Target::Stream(stream),
            Self::File(path) => {
                let (file, temporary) = open_unnamed(&path)
                    .map_err(|error| PackError::Output { path: path.clone(), error })?;
                Target::File { path, file, temporary }
            }
        };
        Ok(Some(OutputFile { target, bytes: 0 }))
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The name under which an unfinished archive is linked, just before it gets its own.
fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    folder_of(path).join(name)
}

/// Removes what runs that were killed just before the end left beside `path`: unfinished archives of
/// processes that are no more.
fn remove_leftovers(path: &Path) {
    let prefix = [b".", path.file_name().unwrap_or_default().as_bytes(), b"."].concat();
    let Ok(names) = fs_err::read_dir(folder_of(path)) else { return };
    for entry in names.flatten() {
        let name = entry.file_name();
        let process = name.as_bytes().strip_prefix(&*prefix);
        let process = process.and_then(|rest| rest.strip_suffix(b".part"));
        let Some(process) = process.and_then(|digits| str::from_utf8(digits).ok()) else {
            continue;
        };
        let is_number = process.bytes().all(|byte| byte.is_ascii_digit()) && !process.is_empty();
        if is_number
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(process).exists()
        {
            // One that cannot be removed is in nobody's way.
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// A file without a name, or with a temporary one where the file system has no unnamed files.
fn open_unnamed(path: &Path) -> io::Result<(File, Option<PathBuf>)> {
    if path.file_name().is_none() || path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    remove_leftovers(path);
    let mode = Mode::from_raw_mode(0o666);
    let unnamed = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(fd) = openat(CWD, folder_of(path), unnamed, mode) {
        return Ok((fd.into(), None));
    }
    let temporary = temporary_name(path);
    let named = OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = openat(CWD, &temporary, named, mode)?;
    Ok((fd.into(), Some(temporary)))
}

/// Puts a complete file under its name, and makes that durable.
fn give_name(path: &Path, file: &File, temporary: &mut Option<PathBuf>) -> io::Result<()> {
    let linked = if let Some(temporary) = temporary.take() {
        temporary
    } else {
        // An unnamed file can get a new name only, so it takes the place of an old one in two steps.
        let linked = temporary_name(path);
        let _ = unlinkat(CWD, &linked, AtFlags::empty());
        let procfs = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(CWD, procfs, CWD, &linked, AtFlags::SYMLINK_FOLLOW)?;
        linked
    };
    renameat(CWD, &linked, CWD, path)?;
    File::open(folder_of(path))?.sync_all()
}

impl OutputFile<'_> {
    /// What the encoder writes to.
    pub(super) fn writer(&mut self) -> impl Write + '_ {
        self
    }

    /// Makes a file durable and gives it its name; returns how many bytes were written.
    pub(super) fn finish(mut self) -> Result<u64, PackError> {
        match &mut self.target {
            Target::Stream(stream) => stream.flush().map_err(PackError::Write)?,
            Target::File { path, file, temporary } => {
                file.sync_all().map_err(PackError::Write)?;
                give_name(path, file, temporary)
                    .map_err(|error| PackError::Output { path: path.clone(), error })?;
            }
        }
        Ok(self.bytes)
    }
}

impl Write for OutputFile<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = match &mut self.target {
            Target::File { file, .. } => file.write(buffer)?,
            Target::Stream(stream) => stream.write(buffer)?,
        };
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::File { file, .. } => file.flush(),
            Target::Stream(stream) => stream.flush(),
        }
    }
}

impl Drop for OutputFile<'_> {
    fn drop(&mut self) {
        if let Target::File { temporary: Some(temporary), .. } = &self.target {
            // Nothing is left to be told: an error is on its way already.
            let _ = unlinkat(CWD, temporary, AtFlags::empty());
        }
    }
}
