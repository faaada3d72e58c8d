//! Single files that were got together and wait to be asked for: in a temporary folder, by their digest.
//!
//! Invariant: a file has its digest as its name only once it is whole and has that digest. The folder goes with its owner.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use tempfile::{NamedTempFile, TempDir};

use super::WantedFile;
use crate::model::{Digest, HashingReader};

/// The folder, which is made when something is kept.
#[derive(Debug, Default)]
pub struct KeptFiles {
    folder: OnceLock<TempDir>,
    has: Mutex<BTreeSet<Digest>>,
}

impl KeptFiles {
    /// Is this file here?
    pub fn has(&self, sha256: &Digest) -> bool {
        self.has.lock().expect("nothing panics while it looks").contains(sha256)
    }

    /// The file with this digest, open at its start; `None` if it is not here.
    ///
    /// # Errors
    /// It is here and cannot be opened.
    pub fn open(&self, sha256: &Digest) -> io::Result<Option<File>> {
        let path = self.path(sha256).filter(|_| self.has(sha256));
        path.map(File::open).transpose()
    }

    /// Keeps what `content` gives, if `is_wanted` says so of its digest and size, which are returned then.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub fn keep(
        &self,
        content: &mut dyn Read,
        is_wanted: &dyn Fn(WantedFile) -> bool,
    ) -> io::Result<Option<WantedFile>> {
        let mut copy = NamedTempFile::new_in(self.folder()?)?;
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut copy)?;
        let (sha256, size) = content.finish();
        if !is_wanted((sha256, size)) {
            return Ok(None);
        }
        copy.flush()?;
        copy.persist(self.folder()?.join(sha256.to_string())).map_err(|error| error.error)?;
        self.has.lock().expect("nothing panics while it looks").insert(sha256);
        Ok(Some((sha256, size)))
    }

    fn path(&self, sha256: &Digest) -> Option<PathBuf> {
        Some(self.folder.get()?.path().join(sha256.to_string()))
    }

    fn folder(&self) -> io::Result<PathBuf> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder.path().to_owned());
        }
        let made = tempfile::Builder::new().prefix("hashget-").tempdir()?;
        Ok(self.folder.get_or_init(|| made).path().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_kept() {
        let kept = KeptFiles::default();
        let wanted = (Digest::of(b"a file"), 6);
        assert!(kept.open(&wanted.0).unwrap().is_none());
        for (content, is_kept) in [(&b"another"[..], false), (b"a file", true), (b"a file", true)] {
            let found = kept.keep(&mut &content[..], &|found| found == wanted).unwrap();
            assert_eq!(found.is_some(), is_kept);
        }
        let mut text = String::new();
        kept.open(&wanted.0).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a file");
        let folder = kept.folder().unwrap();
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 1);
        drop(kept);
        assert!(!folder.exists());
    }
}
