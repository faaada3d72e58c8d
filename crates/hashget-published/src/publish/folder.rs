//! The published folder while it is written: its log, and what is signed last.
//!
//! Invariant: one publisher at a time; what is signed is on the disk before its signature.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hashget::model::Digest;
use hashget::pending_file::PendingFile;

use crate::checkpoint::{self, Checkpoint};
use crate::error::PublishedError;
use crate::key::{PublicKey, SigningKey};
use crate::log::{Log, bundles};
use crate::manifest::Manifest;

/// How the names of folders begin that are there while one publishes.
pub(super) const SCRATCH: &str = ".publish-";

/// A published folder that is written to.
pub(super) struct OutputFolder {
    path: PathBuf,
    log: Log,
    origin: String,
    /// Locked while this lives.
    _lock: File,
}

impl OutputFolder {
    /// Opens or makes the folder. What it has must have been signed by one of the keys.
    pub(super) fn open(path: &Path, keys: &[SigningKey]) -> Result<Self, PublishedError> {
        let publics: Vec<PublicKey> = keys.iter().map(|key| key.public().clone()).collect();
        let Some(first) = publics.first() else {
            let problem = "a key is needed that signs; `hashget publish keygen` makes one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem).into());
        };
        if publics.iter().any(|key| key.name() != first.name()) {
            let problem = "all keys that sign must have the same name: that of the log";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem).into());
        }
        for folder in ["tables", "manifests", "tile"] {
            fs_err::create_dir_all(path.join(folder))?;
        }
        let lock = fs_err::File::create(path.join(".lock"))?.into_file();
        lock.try_lock().map_err(|_| {
            let problem = format!("another process is publishing to {}", path.display());
            io::Error::new(io::ErrorKind::ResourceBusy, problem)
        })?;
        remove_scratch(path)?;
        let (path, origin) = (path.to_owned(), first.name().to_owned());
        let mut folder = Self { path, log: Log::default(), origin, _lock: lock };
        match fs_err::read(folder.path.join(checkpoint::FILE)) {
            Ok(note) => folder.read_log(&Checkpoint::open(&note, &publics)?)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(folder)
    }

    fn read_log(&mut self, checkpoint: &Checkpoint) -> Result<(), PublishedError> {
        for (name, entries) in bundles(checkpoint.size) {
            let bundle = fs_err::read(self.path.join(&name))?;
            let damaged = |problem| PublishedError::damaged(&name, problem);
            self.log.push_bundle(&bundle, entries).map_err(damaged)?;
        }
        if self.log.root_of(checkpoint.size) != Some(checkpoint.root) {
            let problem = "the entries of the log do not have the root that was signed";
            return Err(PublishedError::damaged("tile/entries", problem));
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tables(&self) -> PathBuf {
        self.path.join("tables")
    }

    /// The number of editions.
    pub(super) fn editions(&self) -> u64 {
        self.log.size()
    }

    /// The manifest of the last edition.
    pub(super) fn last_manifest(&self) -> Result<Option<Manifest>, PublishedError> {
        let Some(digest) = self.log.entries().last() else { return Ok(None) };
        let file = Manifest::file(digest);
        let bytes = fs_err::read(self.path.join(&file))?;
        if Digest::of(&bytes) != *digest {
            return Err(PublishedError::damaged(file, "its bytes are not those that were signed"));
        }
        Manifest::parse(&bytes, &file).map(Some)
    }

    /// The digests of all manifests.
    pub(super) fn manifests(&self) -> &[Digest] {
        self.log.entries()
    }

    /// Adds an edition to the log.
    pub(super) fn add(&mut self, manifest: &Manifest) -> Result<(), PublishedError> {
        let bytes = manifest.to_bytes();
        let digest = Digest::of(&bytes);
        self.write(&Manifest::file(&digest), &bytes)?;
        self.log.push(digest);
        for (name, bytes) in self.log.files() {
            // A full tile never changes; of one that is not full, a run that was killed may have left another one.
            if fs_err::read(self.path.join(&name)).ok().as_ref() != Some(&bytes) {
                self.write(&name, &bytes)?;
            }
        }
        Ok(())
    }

    /// Signs the log as it is now.
    pub(super) fn sign(&self, keys: &[SigningKey], now: i64) -> Result<(), PublishedError> {
        let size = self.log.size();
        let root = self.log.root_of(size).expect("it has so many entries");
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root, time: Some(now) };
        // Names of tables must be on the disk before anybody is led to them.
        File::open(self.tables())?.sync_all()?;
        self.write(checkpoint::FILE, checkpoint.sign(keys).as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PublishedError> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let pending = PendingFile::create(&path, 0o644)?;
        pending.file().write_all(bytes)?;
        pending.commit(&path)?;
        Ok(())
    }
}

/// Removes what runs that were killed have left.
fn remove_scratch(folder: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(SCRATCH.as_bytes()) {
            fs_err::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
