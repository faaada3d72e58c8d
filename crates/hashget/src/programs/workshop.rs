//! A private folder in which a program works: what it reads is put there first, and what it made is taken out.
//!
//! Invariant: the program has ended before anything is taken, and nothing that it made is followed anywhere.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::program_package::{Unpacked, place};
use super::{Call, ProgramCall, ProgramError, ProgramInput, RunProgram};
use crate::model::{RelPath, Timestamp};
use crate::monitor::Monitor;
use crate::tree::TreeRoot;

/// What a program reads, in bytes.
pub(crate) const MOST_READ_BYTES: u64 = 2 << 30;

/// The folder of the packages in a workshop that is the root of what its program sees: no path of a tree that a recipe reads.
const PACKAGES: &str = ".hashget-program";

/// See the top.
pub(crate) struct Workshop<'t> {
    unpacked: &'t Unpacked,
    folder: TempDir,
    /// Bytes that may still be put there.
    room: Cell<u64>,
}

impl<'t> Workshop<'t> {
    /// An empty one for a program of these packages.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(unpacked: &'t Unpacked) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hashget-work-").tempdir()?;
        Ok(Self { unpacked, folder, room: Cell::new(MOST_READ_BYTES) })
    }

    /// Puts a file there that the program reads.
    ///
    /// # Errors
    /// It cannot be read or written, or is more than a program may read with all before it.
    pub(crate) fn add(
        &self,
        path: &RelPath,
        mtime: Timestamp,
        content: &mut dyn Read,
    ) -> Result<(), ProgramError> {
        self.make_folders(path)?;
        let mut file = fs_err::File::create_new(place(self.folder.path(), path))?;
        self.copy(content, &mut file)?;
        let seconds = Duration::from_secs(mtime.seconds.unsigned_abs());
        let time = match mtime.seconds {
            0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
            _ => SystemTime::UNIX_EPOCH.checked_sub(seconds),
        };
        let times = time.map(|time| FileTimes::new().set_modified(time));
        Ok(times.map_or(Ok(()), |times| file.set_times(times))?)
    }

    /// There are all folders for what is to be made at `path`.
    ///
    /// # Errors
    /// They cannot be made.
    pub(crate) fn make_folders(&self, path: &RelPath) -> io::Result<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else { return Ok(()) };
        fs_err::create_dir_all(place(self.folder.path(), &parent))
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// The packages do not have it; and as those of [`RunProgram::run`].
    pub(crate) fn run(
        &self,
        call: &Call,
        runner: &dyn RunProgram,
        monitor: &dyn Monitor,
    ) -> Result<(), ProgramError> {
        let missing = || ProgramError::NoProgram(call.program.clone());
        let work = self.folder.path();
        let (packages, seen) = if call.own_root {
            link_all(self.unpacked.path(), &work.join(PACKAGES))?;
            (work.join(PACKAGES), Path::new("/").join(PACKAGES))
        } else {
            (self.unpacked.path().to_path_buf(), self.unpacked.path().to_path_buf())
        };
        let program = [PathBuf::from(&call.program), Path::new("usr").join(&call.program)]
            .into_iter()
            .find(|path| packages.join(path).is_file())
            .ok_or_else(missing)?;
        let loader = loader(&packages).ok_or_else(missing)?;
        for (link, target) in call.links {
            symlink(target, work.join(link))?;
        }
        for path in &call.unpack {
            self.gunzip(path)?;
        }
        let of_work = |name| work.join(name);
        let input = call.input_file.map(|name| ProgramInput::File(of_work(name)));
        for words in [&call.arguments].into_iter().chain(&call.further) {
            let mut arguments: Vec<OsString> =
                vec!["--library-path".into(), libraries(&seen).into()];
            if let Some(name) = call.called {
                arguments.extend(["--argv0".into(), name.into()]);
            }
            arguments.push(seen.join(&program).into());
            arguments.extend(words.iter().map(OsString::from));
            let program = ProgramCall {
                packages: packages.clone(),
                work: work.to_path_buf(),
                own_root: call.own_root,
                program: seen.join(&loader),
                arguments,
                input: input.clone().unwrap_or(ProgramInput::Bytes(&call.input)),
                output: call.output_file.map(of_work),
                variable: call.home.map(|(name, below)| (name, seen.join(below))),
            };
            runner.run(&program, monitor)?;
        }
        Ok(())
    }

    /// Puts what is in a file of gzip beside it. What is not there, or damaged, is left to the program.
    fn gunzip(&self, path: &str) -> Result<(), ProgramError> {
        let packed = self.folder.path().join(path);
        let Ok(file) = File::open(&packed) else { return Ok(()) };
        let mut unpacked = fs_err::File::create(packed.with_extension(""))?;
        match self.copy(&mut flate2::read::MultiGzDecoder::new(file), &mut unpacked) {
            Err(ProgramError::Disk(error)) if error.kind() != io::ErrorKind::StorageFull => Ok(()),
            copied => copied,
        }
    }

    /// Copies what a program reads, as far as there is room for it.
    fn copy(&self, content: &mut dyn Read, file: &mut fs_err::File) -> Result<(), ProgramError> {
        let room = self.room.get();
        let written = io::copy(&mut content.take(room + 1), file)?;
        let left = room.checked_sub(written).ok_or(ProgramError::ReadsMuch(MOST_READ_BYTES))?;
        self.room.set(left);
        Ok(())
    }

    /// What the program made at `path`: a regular file, from its start, and its size in bytes. `None` if there is none, or something else.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub(crate) fn made(&self, path: &RelPath) -> io::Result<Option<(File, u64)>> {
        let root = TreeRoot::open(self.folder.path())?;
        let found = root.open_file(path).and_then(|file| Ok((file.metadata()?, file))).ok();
        let file = found.filter(|(metadata, _)| metadata.is_file());
        Ok(file.map(|(metadata, file)| (file, metadata.len())))
    }
}

/// Name of the libraries' folder for this processor, and of the program there that loads others.
const LOADER: Option<(&str, &str)> = if cfg!(target_arch = "x86_64") {
    Some(("x86_64-linux-gnu", "ld-linux-x86-64.so.2"))
} else if cfg!(target_arch = "aarch64") {
    Some(("aarch64-linux-gnu", "ld-linux-aarch64.so.1"))
} else {
    None
};

/// Name of the folder in which packages have libraries for this processor.
pub(super) fn triplet() -> &'static str {
    LOADER.map_or("", |(triplet, _)| triplet)
}

/// The folders in which packages have libraries.
const LIBRARIES: [&str; 2] = ["lib", "usr/lib"];

/// The path in `packages` of the program that loads others, for this processor.
fn loader(packages: &Path) -> Option<PathBuf> {
    let (triplet, name) = LOADER?;
    let mut paths = LIBRARIES.iter().map(|folder| Path::new(folder).join(triplet).join(name));
    paths.find(|path| packages.join(path).is_file())
}

/// Where programs find libraries, if `packages` is the folder of the packages.
fn libraries(packages: &Path) -> String {
    let folders = LIBRARIES.iter().map(|folder| packages.join(folder).join(triplet()));
    // Where systemd has what its programs share.
    let all = folders.flat_map(|folder| [folder.clone(), folder.join("systemd")]);
    let all: Vec<String> = all.map(|folder| folder.display().to_string()).collect();
    all.join(":")
}

/// Makes a folder with hard links to all that is in another one: the bytes are there once.
fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::create_dir(to)?;
    // Whoever runs the program may look into it.
    fs_err::set_permissions(to, Permissions::from_mode(0o755))?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let (path, link) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()?.is_dir() {
            true => link_all(&path, &link)?,
            false => fs_err::hard_link(path, link)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_put_there_than_a_program_may_read() {
        let limits = crate::limits::Limits::default();
        let (unpacked, _) = super::super::unpack(&[], &limits).unwrap();
        let workshop = Workshop::new(&unpacked).unwrap();
        workshop.room.set(10);
        let path = |name: &str| RelPath::new(name).unwrap();
        workshop.add(&path("a/one"), Timestamp::default(), &mut &b"12345"[..]).unwrap();
        workshop.add(&path("a/two"), Timestamp::default(), &mut &b"12345"[..]).unwrap();
        let endless = &mut io::repeat(0);
        let error = workshop.add(&path("a/three"), Timestamp::default(), endless).unwrap_err();
        assert!(matches!(error, ProgramError::ReadsMuch(_)), "{error}");
        assert_eq!(fs_err::metadata(workshop.folder.path().join("a/three")).unwrap().len(), 1);
    }
}
