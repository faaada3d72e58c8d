//! A file that gets its name once it is complete.
//!
//! Invariant: a name refers to the old file or to the whole new one, never to part of it. A pending file has no
//! name at all where the file system supports that, so that even a killed run leaves nothing behind.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, syncfs};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempPath};

mod name;
mod takeover;

use name::check_name;
pub use name::{behind_links, folder_of};

/// Ends the name of a file that is not complete.
const SUFFIX: &str = ".part";

/// Bytes of a file's name that its temporary name repeats: with the rest, that name is short enough.
const STEM_BYTES: usize = 200;

/// A file that is being written. Dropping it discards it.
#[derive(Debug)]
pub struct PendingFile {
    file: File,
    /// Its name until it is complete; `None` if it has none.
    temporary: Option<TempPath>,
    /// What its temporary names begin with.
    prefix: OsString,
    /// Does it take over the owner and the mode of the file that it replaces?
    takes_over: bool,
}

impl PendingFile {
    /// A new file in the folder of `path`, with `mode` less the process's umask. Leftovers of killed
    /// runs that wrote a file of that name are removed.
    ///
    /// # Errors
    /// No file can be created there, or none can get the name `path`: it is that of a folder or a device, too long, or
    /// that of another user's file in a folder where only the owner may replace it.
    pub fn create(path: &Path, mode: u32) -> io::Result<Self> {
        let is_folder = path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/");
        let Some(name) = path.file_name().filter(|_| !is_folder) else {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        };
        check_name(path)?;
        let start = temporary_start(name);
        remove_leftovers(folder_of(path), &start);
        Self::open(folder_of(path), &start, mode)
    }

    /// The same; and if it replaces a file, it gets that file's owner, group, access control list and mode. Until then,
    /// only its user can open it. What cannot be set never gives anybody more rights than the old file did.
    ///
    /// # Errors
    /// As of [`Self::create`].
    pub fn replacing(path: &Path, mode: u32) -> io::Result<Self> {
        let mode = if path.is_file() { 0o600 } else { mode };
        Ok(Self { takes_over: true, ..Self::create(path, mode)? })
    }

    /// A new file in `folder` whose final name is not known yet; it must be on the same file system.
    ///
    /// # Errors
    /// No file can be created there.
    pub fn create_in(folder: &Path, mode: u32) -> io::Result<Self> {
        Self::open(folder, &temporary_start(OsStr::new("hashget")), mode)
    }

    fn open(folder: &Path, start: &[u8], mode: u32) -> io::Result<Self> {
        let mut prefix = OsStr::from_bytes(start).to_owned();
        prefix.push(format!("{}.", std::process::id()));
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match openat(CWD, folder, flags, Mode::from_raw_mode(mode)).map(File::from) {
            // Without /proc it could not be given a name.
            Ok(file) if proc_path(&file).exists() => {
                Ok(Self { file, temporary: None, prefix, takes_over: false })
            }
            Ok(_) => Self::named(folder, prefix, mode),
            // Errors of a file with a name would show its temporary one: only their kind is kept.
            Err(Errno::NOTSUP | Errno::ISDIR | Errno::INVAL) => {
                Self::named(folder, prefix, mode).map_err(|error| error.kind().into())
            }
            Err(error) => Self::named(folder, prefix, mode).map_err(|_| error.into()),
        }
    }

    /// A file with a temporary name, for file systems that know no unnamed ones.
    fn named(folder: &Path, prefix: OsString, mode: u32) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX).permissions(Permissions::from_mode(mode));
        let (file, temporary) = builder.tempfile_in(folder)?.into_parts();
        Ok(Self { file, temporary: Some(temporary), prefix, takes_over: false })
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Makes its contents durable and names it `path`, durably too. A file of that name is replaced.
    ///
    /// # Errors
    /// The disk fails or is full: the name still refers to the old file, if there was one. (If the folder itself
    /// cannot be synced the new file is there, but may be gone after a crash.)
    pub fn commit(self, path: &Path) -> io::Result<()> {
        if self.takes_over {
            takeover::take_over(&self.file, path)?;
        }
        self.file.sync_all()?;
        let file = self.named_finally(path)?;
        sync_folder_of(path, &file)
    }

    /// The same; and it gets the owner, group, access control list and mode of the file at `like`. What cannot be set never
    /// gives anybody more rights than that file does.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub fn commit_as(self, path: &Path, like: &Path) -> io::Result<()> {
        takeover::take_over(&self.file, like)?;
        Self { takes_over: false, ..self }.commit(path)
    }

    /// The same, but fails with [`io::ErrorKind::AlreadyExists`] if there is something of that name.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub fn commit_new(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        match self.temporary {
            None => linkat(CWD, proc_path(&self.file), CWD, path, AtFlags::SYMLINK_FOLLOW)?,
            Some(temporary) => temporary.persist_noclobber(path).map_err(|error| error.error)?,
        }
        sync_folder_of(path, &self.file)
    }

    /// Names it `path`, replacing a file of that name, without waiting for the disk: after a crash it may hold anything.
    /// For caches whose readers check what they read.
    ///
    /// # Errors
    /// It cannot be named.
    pub fn publish(self, path: &Path) -> io::Result<()> {
        self.named_finally(path).map(drop)
    }

    /// Gives it its name.
    fn named_finally(self, path: &Path) -> io::Result<File> {
        let temporary = match self.temporary {
            Some(temporary) => temporary,
            None => {
                let source = proc_path(&self.file);
                let link = |to: &Path| linkat(CWD, &source, CWD, to, AtFlags::SYMLINK_FOLLOW);
                match link(path) {
                    // A link never replaces a file, a rename does.
                    Err(Errno::EXIST) => {}
                    linked => return Ok(linked.map(|()| self.file)?),
                }
                let mut builder = tempfile::Builder::new();
                builder.prefix(&self.prefix).suffix(SUFFIX);
                let linked: NamedTempFile<()> =
                    builder.make_in(folder_of(path), |temporary| Ok(link(temporary)?))?;
                linked.into_temp_path()
            }
        };
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(self.file)
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Read for PendingFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Seek for PendingFile {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}

/// What the temporary names of a file of this name begin with.
fn temporary_start(name: &OsStr) -> Vec<u8> {
    let stem = &name.as_bytes()[..name.len().min(STEM_BYTES)];
    [b".", stem, b"."].concat()
}

/// Makes the name of a file durable.
fn sync_folder_of(path: &Path, file: &File) -> io::Result<()> {
    match File::open(folder_of(path)) {
        Ok(folder) => folder.sync_all(),
        // A folder in which files may be put, but that may not be read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(syncfs(file)?),
        Err(error) => Err(error),
    }
}

/// A path that leads to an open file, whether it has a name or not.
fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Removes files whose names begin with `start` and the number of a process that is no more.
fn remove_leftovers(folder: &Path, start: &[u8]) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if let Some(process) = writer_of(&entry.file_name(), start)
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(process).exists()
        {
            // One that cannot be removed does no harm.
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// The number of the process that gave a file this temporary name.
fn writer_of<'n>(name: &'n OsStr, start: &[u8]) -> Option<&'n str> {
    let rest = name.as_bytes().strip_prefix(start)?.strip_suffix(SUFFIX.as_bytes())?;
    let process = str::from_utf8(rest).ok()?.split('.').next()?;
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(process)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const MODE: u32 = 0o640;

    /// A pending file without a name, and one with a temporary name.
    fn both(folder: &Path) -> [PendingFile; 2] {
        let unnamed = PendingFile::create_in(folder, MODE).unwrap();
        let named = PendingFile::named(folder, ".named.".into(), MODE).unwrap();
        [unnamed, named]
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn discarded_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for mut pending in both(folder.path()) {
            pending.write_all(b"half").unwrap();
        }
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_committed_file_has_its_contents_and_its_mode_and_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (number, mut pending) in both(folder.path()).into_iter().enumerate() {
            for contents in ["first", "second"] {
                let mut pending = PendingFile::create(&path, MODE).unwrap();
                pending.write_all(contents.as_bytes()).unwrap();
                pending.commit(&path).unwrap();
                assert_eq!(fs_err::read_to_string(&path).unwrap(), contents);
            }
            pending.write_all(&[b'0' + u8::try_from(number).unwrap()]).unwrap();
            pending.commit(&path).unwrap();
            assert_eq!(fs_err::read_to_string(&path).unwrap(), number.to_string());
            let mode = fs_err::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777 & !0o022, MODE & !0o022);
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_file_that_is_there_stays_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs_err::write(&old, "mine").unwrap();
        for pending in both(folder.path()) {
            let error = pending.commit_new(&old).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        for mut pending in both(folder.path()) {
            pending.write_all(b"whole").unwrap();
            pending.commit_new(&new).unwrap();
            assert_eq!(fs_err::read(&new).unwrap(), b"whole");
            fs_err::remove_file(&new).unwrap();
        }
        assert_eq!(fs_err::read(&old).unwrap(), b"mine");
        assert_eq!(names(folder.path()), ["old"]);
    }

    #[test]
    fn a_folder_is_no_file_and_a_long_name_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = PendingFile::create(folder.path(), MODE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        let path = folder.path().join("n".repeat(255));
        for _ in 0..2 {
            PendingFile::create(&path, MODE).unwrap().commit(&path).unwrap();
        }
        assert_eq!(names(folder.path()), ["n".repeat(255)]);
    }

    #[test]
    fn a_name_that_no_file_can_get_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = |name: &str| PendingFile::create(&folder.path().join(name), MODE).unwrap_err();
        assert_eq!(error("new/").kind(), io::ErrorKind::IsADirectory);
        assert_eq!(error(&"n".repeat(256)).kind(), io::ErrorKind::InvalidFilename);
        let device = folder.path().join("device");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        assert_eq!(error("device").kind(), io::ErrorKind::InvalidInput);
        assert!(names(folder.path()) == ["device"]);
    }

    #[test]
    fn a_file_that_replaces_another_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mode = || fs_err::metadata(&path).unwrap().permissions().mode() & 0o7777;
        for kept in [0o600, 0o640, 0o606, 0o400, 0o4755] {
            fs_err::write(&path, "old").unwrap();
            fs_err::set_permissions(&path, Permissions::from_mode(kept)).unwrap();
            let pending = PendingFile::replacing(&path, 0o666).unwrap();
            assert_eq!(pending.file().metadata().unwrap().mode() & 0o7777, 0o600);
            pending.commit(&path).unwrap();
            assert_eq!(mode(), kept & 0o777);
            fs_err::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn leftovers_of_dead_processes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!(".a.{}.x.part", std::process::id());
        let stay = [&*own, ".a.part", ".a.x.part", ".a.x.y.part", ".b.999999999.x.part"];
        for name in stay.iter().chain(&[".a.999999999.x.part", ".a.999999999.part"]) {
            fs_err::write(folder.path().join(name), "").unwrap();
        }
        drop(PendingFile::create(&folder.path().join("a"), MODE).unwrap());
        let mut expected = stay.map(str::to_owned);
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }
}
