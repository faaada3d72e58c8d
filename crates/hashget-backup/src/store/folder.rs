//! A folder of this machine, or one that is mounted on it.
//!
//! Invariant: a file gets its name by a link, after it was read back from the disk and compared: whatever has a name is
//! whole, and stays what it is.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;
use hashget::monitor::Monitor;
use hashget::pending_file::PendingFile;
use hashget::storage::SharedSource;
use rustix::fs::{Advice, copy_file_range, fadvise};

use super::name::{UNFINISHED, check_name, is_listed};
use super::outgoing::{Outgoing, PIECE, digest_of};
use super::{Compared, Sending, Store, StoreError, Stored};

/// The mode of new files, less the process's umask: backups are for whom they belong to.
const MODE: u32 = 0o600;

/// Bytes that are copied by one call, between two looks at the monitor.
const STRETCH: usize = 16 << 20;

/// What broke off so long ago is not being written any more.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps files in a folder.
#[derive(Debug)]
pub struct FolderStore {
    shown: String,
    folder: PathBuf,
}

impl FolderStore {
    /// The store in `folder`, which need not exist before something is done with it.
    pub fn new(folder: &Path) -> Self {
        Self { shown: folder.display().to_string(), folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        check_name(name)?;
        Ok(self.folder.join(name))
    }

    /// The error for a call that failed in the folder itself.
    fn failed(&self, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::NotFound && !self.folder.exists() {
            let problem = "mount it, or make the folder".to_owned();
            return StoreError::Missing { store: self.shown.clone(), problem };
        }
        StoreError::Local(error)
    }

    fn entries(&self) -> Result<Vec<fs_err::DirEntry>, StoreError> {
        let entries = fs_err::read_dir(&self.folder).map_err(|error| self.failed(error))?;
        entries.collect::<io::Result<_>>().map_err(StoreError::Local)
    }

    /// Makes the folder's names durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl Store for FolderStore {
    fn shown(&self) -> &str {
        &self.shown
    }

    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        for entry in self.entries()? {
            monitor.check_interrupted()?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // One that was removed meanwhile is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && is_listed(&name) {
                found.push(Stored::of_size(name, metadata.len()));
            }
        }
        found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    fn open<'a>(
        &'a self,
        name: &str,
        _monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError> {
        let path = self.path(name)?;
        let not_there = || StoreError::not_there(&self.shown, name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.exists() => {
                return Err(not_there());
            }
            opened => opened.map_err(|error| self.failed(error))?,
        };
        if file.metadata()?.is_file() { Ok(Box::new(file)) } else { Err(not_there()) }
    }

    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        let path = self.path(name)?;
        if fs_err::symlink_metadata(&path).is_ok() {
            return Err(StoreError::taken(&self.shown, name));
        }
        let pending = PendingFile::create(&path, MODE).map_err(|error| self.failed(error))?;
        copy(pending.file(), &Outgoing::new(name, sending, monitor), sending)?;
        pending.file().sync_all()?;
        let found = read_back(pending.file(), monitor)?;
        if found != (sending.sha256.to_owned(), sending.bytes) {
            let told = |digest: &str, bytes| format!("{bytes} bytes of SHA-256 {digest}");
            return Err(StoreError::Different {
                store: self.shown.clone(),
                name: name.to_owned(),
                expected: told(sending.sha256, sending.bytes),
                found: told(&found.0, found.1),
            });
        }
        let written = pending.file().metadata()?;
        if let Err(error) = pending.commit_new(&path) {
            let named = fs_err::symlink_metadata(&path);
            return match named {
                // It has its name already, if not durably.
                Ok(named) if (named.ino(), named.dev()) == (written.ino(), written.dev()) => {
                    fs_err::remove_file(&path)?;
                    Err(error.into())
                }
                Ok(_) => Err(StoreError::taken(&self.shown, name)),
                Err(_) => Err(error.into()),
            };
        }
        Ok(Compared::Checksum)
    }

    fn remove(&self, name: &str, _monitor: &dyn Monitor) -> Result<(), StoreError> {
        match fs_err::remove_file(self.path(name)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.exists() => Ok(()),
            Err(error) => Err(self.failed(error)),
            Ok(()) => Ok(self.sync()?),
        }
    }

    fn clean(&self, monitor: &dyn Monitor) -> Result<Vec<String>, StoreError> {
        let mut removed = Vec::new();
        for entry in self.entries()? {
            monitor.check_interrupted()?;
            let name = entry.file_name();
            let Some(stem) = stem_of(&name) else { continue };
            let is_named = fs_err::symlink_metadata(self.folder.join(stem)).is_ok();
            let is_left = |metadata: &std::fs::Metadata| {
                let written = metadata.modified().unwrap_or(SystemTime::now());
                let is_old = written.elapsed().is_ok_and(|age| age > ABANDONED);
                metadata.is_file() && (is_old || is_named)
            };
            if entry.metadata().is_ok_and(|metadata| is_left(&metadata)) {
                fs_err::remove_file(entry.path())?;
                removed.push(name.to_string_lossy().into_owned());
            }
        }
        removed.sort_unstable();
        Ok(removed)
    }
}

/// Copies the file, such that both share the blocks of the disk if the file system can do that.
fn copy(
    to: &std::fs::File,
    outgoing: &Outgoing<'_>,
    sending: &Sending<'_>,
) -> Result<(), StoreError> {
    use std::os::unix::fs::FileExt as _;
    let (mut done, mut buffer) = (0_u64, vec![0; PIECE]);
    // The file system would copy faster than a limit allows.
    let mut shares = sending.bytes_per_second.is_none();
    while done < sending.bytes {
        if shares {
            outgoing.piece(&mut [], done)?;
            let count = usize::try_from(sending.bytes - done).unwrap_or(STRETCH).min(STRETCH);
            let mut places = (done, done);
            let copied =
                copy_file_range(sending.file, Some(&mut places.0), to, Some(&mut places.1), count);
            // Whatever is wrong with the disk, reading and writing say it.
            match copied.unwrap_or(0) as u64 {
                0 => shares = false,
                copied => {
                    done += copied;
                    outgoing.reached(done);
                }
            }
            continue;
        }
        let piece = outgoing.piece(&mut buffer, done)?;
        to.write_all_at(piece, done)?;
        done += piece.len() as u64;
        outgoing.reached(done);
    }
    Ok(())
}

/// The digest and the size of what the disk has.
fn read_back(file: &std::fs::File, monitor: &dyn Monitor) -> Result<(String, u64), StoreError> {
    use std::os::unix::fs::FileExt as _;
    // From the disk rather than from memory. Where that cannot be, memory has what was written.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    let mut position = 0;
    digest_of(|buffer| {
        monitor.check_interrupted()?;
        let count = file.read_at(buffer, position)?;
        position += count as u64;
        Ok::<_, StoreError>(count)
    })
}

/// What the file will be called that has this name while it is written, that of a [`PendingFile`], `.NAME.PROCESS.RANDOM.part`;
/// `None` if it is another name.
fn stem_of(name: &OsStr) -> Option<&str> {
    let parts = name.to_str()?.strip_prefix('.')?.strip_suffix(UNFINISHED)?;
    let (start, random) = parts.rsplit_once('.')?;
    let (stem, process) = start.rsplit_once('.')?;
    let is_process = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_process && is_random && !stem.is_empty()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_names_of_this_program_are_temporary() {
        let own = tempfile::Builder::new().prefix(".a.tar.12.").suffix(UNFINISHED).tempdir();
        assert_eq!(stem_of(own.unwrap().path().file_name().unwrap()), Some("a.tar"));
        for name in [".a.part", ".a.12.part", "a.12.Abc123.part", ".a.x.Abc123.part", ".12.Abc123"]
        {
            assert_eq!(stem_of(OsStr::new(name)), None, "{name}");
        }
    }
}
