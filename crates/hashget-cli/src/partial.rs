//! A file that gets its name when it is complete.
//!
//! Invariant: given up, it leaves nothing behind; an existing file of the name is replaced only when that is
//! asked for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};

/// A file under a temporary name.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    temporary: PathBuf,
    name: PathBuf,
}

impl Partial {
    /// A new file that will be called `name`.
    pub(crate) fn create(name: &Path) -> io::Result<Self> {
        let folder = name.parent().unwrap_or(Path::new(""));
        let temporary = folder.join(format!(".hashget-{}.part", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        Ok(Self { file, temporary, name: name.to_path_buf() })
    }

    /// Gives it its name, once it is on the disk. Fails where there is a file of that name already.
    pub(crate) fn complete(self) -> io::Result<()> {
        self.file.sync_all()?;
        // A second name, unlike a rename, fails where there is a file already; the first one goes
        // when `self` is dropped.
        fs_err::hard_link(&self.temporary, &self.name)
    }

    /// Gives it its name, once it is on the disk; a file of that name goes.
    pub(crate) fn replace(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs_err::rename(&self.temporary, &self.name)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // What cannot be removed now has a name that says what it is.
        let _ = fs_err::remove_file(&self.temporary);
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn complete_it_has_its_name_and_given_up_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("a");
        let mut partial = Partial::create(&name).unwrap();
        partial.write_all(b"half").unwrap();
        drop(partial);
        assert!(names(folder.path()).is_empty());
        let mut partial = Partial::create(&name).unwrap();
        partial.write_all(b"whole").unwrap();
        partial.complete().unwrap();
        assert_eq!(names(folder.path()), ["a"]);
        assert_eq!(fs_err::read(&name).unwrap(), b"whole");
    }

    #[test]
    fn a_file_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("a");
        fs_err::write(&name, "mine").unwrap();
        let error = Partial::create(&name).unwrap().complete().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs_err::read(&name).unwrap(), b"mine");
        assert_eq!(names(folder.path()), ["a"]);
        let mut partial = Partial::create(&name).unwrap();
        partial.write_all(b"new").unwrap();
        partial.replace().unwrap();
        assert_eq!(fs_err::read(&name).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a"]);
    }
}
