//! Files that were gathered and wait to be asked for: in a temporary folder, by their digest.
//!
//! Invariant: a file has its digest as its name only once it is whole and has that digest. The folder goes with its owner.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use tempfile::{NamedTempFile, TempDir};

use super::super::WantedFile;
use crate::model::{Digest, HashingReader};

/// The folder, which is made when something is kept.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    folder: OnceLock<TempDir>,
    has: Mutex<BTreeSet<Digest>>,
}

impl Gathered {
    /// Is this file here?
    pub(super) fn has(&self, sha256: &Digest) -> bool {
        self.has.lock().expect("nothing panics while it looks").contains(sha256)
    }

    /// The file with this digest, open at its start.
    pub(super) fn open(&self, sha256: &Digest) -> Option<File> {
        let path = self.path(sha256).filter(|_| self.has(sha256))?;
        File::open(path).ok()
    }

    /// Keeps what `content` gives, if it is one of `wanted`. Says whether it was.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub(super) fn keep(
        &self,
        content: &mut dyn Read,
        is_wanted: impl Fn(WantedFile) -> bool,
    ) -> io::Result<bool> {
        let mut copy = NamedTempFile::new_in(self.folder()?)?;
        let mut content = HashingReader::new(content);
        io::copy(&mut content, &mut copy)?;
        let (sha256, size) = content.finish();
        if !is_wanted((sha256, size)) {
            return Ok(false);
        }
        copy.flush()?;
        copy.persist(self.folder()?.join(sha256.to_string())).map_err(|error| error.error)?;
        self.has.lock().expect("nothing panics while it looks").insert(sha256);
        Ok(true)
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
        let gathered = Gathered::default();
        let wanted = (Digest::of(b"a file"), 6);
        assert!(gathered.open(&wanted.0).is_none());
        for (content, is_kept) in [(&b"another"[..], false), (b"a file", true), (b"a file", true)] {
            let kept = gathered.keep(&mut &content[..], |found| found == wanted).unwrap();
            assert_eq!(kept, is_kept);
        }
        let mut text = String::new();
        gathered.open(&wanted.0).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a file");
        let folder = gathered.folder().unwrap();
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 1);
        drop(gathered);
        assert!(!folder.exists());
    }
}
