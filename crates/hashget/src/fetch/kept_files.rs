//! Single files that were got together, kept for as long as they may be asked for.
//!
//! Invariant: a file is kept under the digest of the bytes that were written; the folder goes when this goes.

use std::fs::File;
use std::io::{self, Read};

use tempfile::TempDir;

use crate::model::{Digest, HashingReader};

/// A temporary folder of files by their digests.
#[derive(Debug)]
pub struct KeptFiles(TempDir);

impl KeptFiles {
    /// An empty one, in the folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new() -> io::Result<Self> {
        tempfile::Builder::new().prefix(".hashget-files-").tempdir().map(Self)
    }

    /// Keeps `content` if `is_wanted` says so of its digest, which is returned then.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn keep(
        &self,
        content: &mut dyn Read,
        is_wanted: &dyn Fn(&Digest) -> bool,
    ) -> io::Result<Option<Digest>> {
        let mut file = tempfile::NamedTempFile::new_in(self.0.path())?;
        let mut reader = HashingReader::new(content);
        io::copy(&mut reader, &mut file)?;
        let (sha256, _) = reader.finish();
        if !is_wanted(&sha256) {
            return Ok(None);
        }
        file.persist(self.0.path().join(sha256.to_string()))?;
        Ok(Some(sha256))
    }

    /// The file with this digest, open at its start.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub fn open(&self, sha256: &Digest) -> io::Result<Option<File>> {
        match File::open(self.0.path().join(sha256.to_string())) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Is a file with this digest kept?
    pub fn has(&self, sha256: &Digest) -> bool {
        self.0.path().join(sha256.to_string()).is_file()
    }
}
