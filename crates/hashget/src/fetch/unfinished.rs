//! Unfinished downloads: a `.part` file named after the digest of its URL, and a note beside it with what the
//! server said.
//!
//! Invariant: an [`Unfinished`] holds the lock of its file, and the file is the one that its name refers to. Two
//! downloads of one URL never interleave, in any number of processes. Names in the folder can be guessed: what somebody
//! else put there (a link, another user's file) is neither written to nor read.

use std::fs::{File, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::clock::ATTENTION;
use super::file_digest::Unproven;
use crate::error::ErrorClass;
use crate::model::Digest;
use crate::monitor::Monitor;

/// What the server said about the content that is being downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// The URL.
    pub(super) url: String,
    /// Its `ETag`.
    pub(super) etag: Option<String>,
    /// Its `Last-Modified`.
    pub(super) last_modified: Option<String>,
    /// Total size in bytes, if the server reported it.
    pub(super) total: Option<u64>,
}

impl Note {
    /// The value for `If-Range`: a strong tag, otherwise the date.
    pub(super) fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| tag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }
}

/// Prefix of the names of unfinished copies that earlier versions left in the cache.
const COPY_PREFIX: &str = "copy-";

/// An unfinished download that no other process works on.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: File,
    /// Its path; `None` for a file without a name, which ends with this process.
    path: Option<PathBuf>,
    note: Option<Note>,
}

/// The path of the unfinished download of `url` in the folder `dir`.
pub(super) fn path_of(dir: &Path, url: &str) -> PathBuf {
    dir.join(format!("{}.part", Digest::of(url.as_bytes())))
}

fn note_path(path: &Path) -> PathBuf {
    path.with_extension("part.json")
}

impl Unfinished {
    /// Opens or creates the unfinished download of `url` in `dir`; waits while another process works on it. Without a
    /// folder, or if the folder is not writable, it is a file without a name.
    pub(super) fn open(
        dir: Option<&Path>,
        url: &str,
        monitor: &dyn Monitor,
    ) -> Result<Self, Unproven> {
        let Some(dir) = dir else { return Ok(Self::nameless()?) };
        let path = path_of(dir, url);
        let opened = fs_err::create_dir_all(dir).map_err(Into::into);
        match opened.and_then(|()| open_locked(&path, monitor)) {
            Ok(file) => {
                let note = read_note(&path).filter(|note| note.url == url);
                Ok(Self { file, path: Some(path), note })
            }
            Err(Unproven::Io(error)) if is_unwritable(&error) => Ok(Self::nameless()?),
            Err(error) => Err(error),
        }
    }

    fn nameless() -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile()?, path: None, note: None })
    }

    /// The file, to be read.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// What the server said about its content, if that is known.
    pub(super) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Bytes that are kept for the next attempt: none if the file ends with this process.
    pub(super) fn kept(&self) -> u64 {
        if self.path.is_some() { self.length().unwrap_or(0) } else { 0 }
    }

    /// Starts from the beginning, with content that the server describes by `note`.
    pub(super) fn begin(&mut self, note: Note) -> io::Result<()> {
        // A file without a note is never resumed. So the note is removed first and written last.
        if let Some(path) = &self.path {
            remove(&note_path(path))?;
        }
        self.file.set_len(0)?;
        self.file.rewind()?;
        if let Some(path) = &self.path {
            let text = serde_json::to_vec(&note).map_err(io::Error::other)?;
            write_new(&note_path(path), &text)?;
        }
        self.note = Some(note);
        Ok(())
    }

    /// Starts from the beginning, with content that nothing is known about.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            remove(&note_path(path))?;
        }
        self.note = None;
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Writes at the file's current position.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|error| match self.path {
            Some(_) => error,
            None => {
                let what = match ErrorClass::of_io(&error) {
                    ErrorClass::DiskFull => "no room",
                    _ => "cannot write",
                };
                io::Error::new(error.kind(), format!("{what} in the temporary folder: {error}"))
            }
        })
    }

    /// The file, positioned at its start. Its name is removed, unless `keep_name` is set: then the cache takes it over.
    /// Without a note it is never resumed; the lock is kept as long as the name.
    pub(super) fn finish(mut self, keep_name: bool) -> io::Result<File> {
        if let Some(path) = &self.path {
            remove(&note_path(path))?;
            if !keep_name {
                remove(path)?;
            }
        }
        if !keep_name {
            self.file.unlock()?;
        }
        self.file.rewind()?;
        Ok(self.file)
    }
}

/// Downloads that were not continued for this long are deleted without being asked for.
pub(super) const ABANDONED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Removes downloads in `dir` that were not continued for longer than `limit`. Files that cannot be removed are left there.
pub(super) fn sweep(dir: &Path, limit: Duration) {
    let Ok(entries) = fs_err::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let abandoned = entry.metadata().is_ok_and(|found| {
            let age = found.modified().ok().and_then(|time| time.elapsed().ok());
            found.is_file() && age.is_some_and(|age| age > limit)
        });
        if abandoned {
            drop(remove_abandoned(&entry.path(), entry.file_name().as_encoded_bytes()));
        }
    }
}

fn remove_abandoned(path: &Path, name: &[u8]) -> io::Result<()> {
    if name.ends_with(b".part.json") {
        // It is removed together with its download, if there is one.
        return if path.with_extension("").exists() { Ok(()) } else { remove(path) };
    }
    let download = name.ends_with(b".part");
    if !download && !name.ends_with(b".lock") && !name.starts_with(COPY_PREFIX.as_bytes()) {
        return Ok(());
    }
    let file = fs_err::File::open(path)?.into_parts().0;
    if file.try_lock().is_err() || !is_named(&file, path) {
        return Ok(());
    }
    if download {
        remove(&note_path(path))?;
    }
    remove(path)
}

/// Does `path` refer to `file`?
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs_err::symlink_metadata(path)) {
        (Ok(file), Ok(named)) => file.dev() == named.dev() && file.ino() == named.ino(),
        _ => false,
    }
}

/// Opens (or creates) a file of this user and locks it, waiting for the current holder. The name refers to the locked
/// file, even if the previous holder removed it.
pub(super) fn open_locked(path: &Path, monitor: &dyn Monitor) -> Result<File, Unproven> {
    loop {
        if path.is_symlink() {
            return Err(not_own().into());
        }
        let file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?
            .into_parts()
            .0;
        check_own(&file)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            monitor.check_interrupted().map_err(Unproven::Interrupted)?;
            std::thread::sleep(ATTENTION / 4);
        }
        if is_named(&file, path) {
            return Ok(file);
        }
    }
}

fn not_own() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "somebody else made this file")
}

/// Is the file one that this user has made, under one name?
fn check_own(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw() && found.nlink() <= 1;
    if is_own && found.is_file() { Ok(()) } else { Err(not_own()) }
}

/// Writes a new file, whatever has its name.
fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    remove(path)?;
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(contents)
}

/// Does the error mean that the folder is not writable at all?
pub(super) fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | NotADirectory | NotFound)
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&fs_err::read(note_path(path)).ok()?).ok()
}
