//! From a checkpoint to a manifest, and what is remembered of a publisher between two runs.
//!
//! Invariant: an edition is opened only if its manifest is the last entry of a log that has the signed root, and that has
//! everything that was remembered of it as it was.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hashget::model::Digest;
use hashget::monitor::Monitor;
use hashget::pending_file::PendingFile;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint};
use crate::error::PublishedError;
use crate::files::Files;
use crate::key::PublicKey;
use crate::log::{Log, MOST_ENTRIES, bundles};
use crate::manifest::{self, Manifest, Table};

/// Bytes of the longest checkpoint, and of the longest bundle of entries.
const MOST_NOTE: u64 = 64 << 10;

/// For how long bytes that were proven are kept.
const KEPT_FOR: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// What is remembered of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its origin.
    pub origin: String,
    /// The number of its entries.
    pub size: u64,
    /// Their root.
    pub root: Digest,
    /// The digest of the last manifest.
    pub manifest: Digest,
    /// When the checkpoint was signed, in seconds since 1970 UTC.
    pub signed_at: Option<i64>,
    /// When it was last looked at, in seconds since 1970 UTC.
    pub seen_at: i64,
    /// That the publisher said what is not so, if it did: nothing of it is relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lie: Option<String>,
}

/// Keeps what is remembered of one publisher, and the bytes that were proven.
#[derive(Debug, Clone)]
pub struct Memory {
    /// What is remembered, as JSON.
    file: Option<PathBuf>,
    /// Files that are named by their digests.
    cache: Option<PathBuf>,
}

impl Memory {
    /// Remembers in this file, and keeps what was proven in this folder, if there is one.
    pub fn new(file: PathBuf, cache: Option<PathBuf>) -> Self {
        Self { file: Some(file), cache }
    }

    /// Remembers nothing.
    pub fn none() -> Self {
        Self { file: None, cache: None }
    }

    /// What is remembered, if anything is.
    ///
    /// # Errors
    /// The file cannot be read. Without it, a rollback would not be noticed: it is not passed over.
    pub fn read(&self) -> Result<Option<Remembered>, PublishedError> {
        let Some(file) = &self.file else { return Ok(None) };
        let bytes = match fs_err::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let problem = |error: serde_json::Error| {
            let hint = "remove it to begin anew with this publisher";
            PublishedError::damaged(file.display().to_string(), format!("{error}; {hint}"))
        };
        serde_json::from_slice(&bytes).map(Some).map_err(problem)
    }

    /// Remembers.
    ///
    /// # Errors
    /// The disk failed.
    pub fn write(&self, remembered: &Remembered) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let pending = PendingFile::create(file, 0o644)?;
        serde_json::to_writer(pending.file(), remembered).map_err(io::Error::from)?;
        pending.commit(file)
    }

    /// Where it is remembered.
    pub fn location(&self) -> Option<String> {
        self.file.as_ref().map(|file| file.display().to_string())
    }

    /// Bytes with this digest, if they are kept.
    fn kept(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.cache.as_ref()?.join(digest.to_string());
        let bytes = fs_err::read(path).ok()?;
        (Digest::of(&bytes) == *digest).then_some(bytes)
    }

    /// Removes what was kept long ago: it is most probably of editions that are not read any more.
    fn forget_old(&self) {
        let Some(folder) = &self.cache else { return };
        let Ok(entries) = fs_err::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|found| found.modified());
            let age = age.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > KEPT_FOR) {
                _ = fs_err::remove_file(entry.path());
            }
        }
    }

    /// Keeps bytes that were proven. That it fails costs a request the next time.
    fn keep(&self, digest: &Digest, bytes: &[u8]) {
        let Some(folder) = &self.cache else { return };
        let keep = || {
            use std::io::Write as _;
            fs_err::create_dir_all(folder)?;
            let path = folder.join(digest.to_string());
            let pending = PendingFile::create(&path, 0o644)?;
            pending.file().write_all(bytes)?;
            pending.commit(&path)
        };
        _ = keep();
    }
}

/// An edition whose manifest is proven.
pub struct Edition {
    pub(crate) files: Arc<dyn Files>,
    memory: Memory,
    /// Whole tables that were fetched, by their digests.
    whole: Mutex<HashMap<Digest, Bytes>>,
    /// What the publisher signed.
    pub checkpoint: Checkpoint,
    /// The signed note itself.
    pub note: Vec<u8>,
    /// The digest of the manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
}

impl Edition {
    /// Opens the latest edition. `now` is in seconds since 1970 UTC.
    ///
    /// # Errors
    /// See [`PublishedError`]: the publisher does not answer, no key of `keys` has signed, or it took back what it said before.
    pub fn open(
        files: Arc<dyn Files>,
        keys: &[PublicKey],
        memory: Memory,
        now: i64,
        monitor: &dyn Monitor,
    ) -> Result<Self, PublishedError> {
        let note = files.whole(checkpoint::FILE, MOST_NOTE, monitor)?;
        let checkpoint = Checkpoint::open(&note, keys)?;
        // Of another log (the publisher's keys are others now) nothing is remembered.
        let remembered = memory.read()?.filter(|known| known.origin == checkpoint.origin);
        let known = remembered.as_ref();
        let is_known = known
            .is_some_and(|known| known.size == checkpoint.size && known.root == checkpoint.root);
        let digest = match known.filter(|_| is_known) {
            Some(known) => known.manifest,
            None => latest(&*files, &checkpoint, known, monitor)?,
        };
        let file = Manifest::file(&digest);
        let (whole, manifest) = (Mutex::default(), Manifest::new(Vec::new(), Vec::new()));
        let opened = Self { files, memory, whole, checkpoint, note, digest, manifest };
        let bytes = opened.proven(&file, &digest, None, manifest::MOST_BYTES, monitor)?;
        let manifest = Manifest::parse(&bytes, &file)?;
        if !is_known {
            opened.memory.forget_old();
        }
        let opened = Self { manifest, ..opened };
        opened.memory.write(&Remembered {
            origin: opened.checkpoint.origin.clone(),
            size: opened.checkpoint.size,
            root: opened.checkpoint.root,
            manifest: digest,
            signed_at: opened.checkpoint.time,
            seen_at: now,
            lie: remembered.and_then(|known| known.lie),
        })?;
        Ok(opened)
    }

    /// The tail of a table.
    pub(crate) fn tail(
        &self,
        table: &Table,
        monitor: &dyn Monitor,
    ) -> Result<Bytes, PublishedError> {
        let (first, count) = (table.size - table.tail.size, table.tail.size);
        let place = Some((first, count));
        self.proven(&table.file(), &table.tail.sha256, place, count, monitor)
    }

    /// A whole table.
    pub(crate) fn whole(
        &self,
        table: &Table,
        monitor: &dyn Monitor,
    ) -> Result<Bytes, PublishedError> {
        if let Some(bytes) = self.whole_tables().get(&table.sha256) {
            return Ok(bytes.clone());
        }
        let bytes = self.whole_once(table, monitor)?;
        self.whole_tables().insert(table.sha256, bytes.clone());
        Ok(bytes)
    }

    /// The same for whoever reads it once: it is not kept in memory.
    pub(crate) fn whole_once(
        &self,
        table: &Table,
        monitor: &dyn Monitor,
    ) -> Result<Bytes, PublishedError> {
        let place = Some((0, table.size));
        self.proven(&table.file(), &table.sha256, place, table.size, monitor)
    }

    /// Was the whole table fetched in this run?
    pub(crate) fn has_whole(&self, table: &Table) -> bool {
        self.whole_tables().contains_key(&table.sha256)
    }

    fn whole_tables(&self) -> MutexGuard<'_, HashMap<Digest, Bytes>> {
        self.whole.lock().expect("nothing panics while it looks")
    }

    /// Bytes with this digest: those at `place` of the file, or all of it, at most `most`. They are asked for again once if they
    /// are others, as a mirror may be changing at this moment.
    fn proven(
        &self,
        file: &str,
        digest: &Digest,
        place: Option<(u64, u64)>,
        most: u64,
        monitor: &dyn Monitor,
    ) -> Result<Bytes, PublishedError> {
        // What is kept has the digest; the manifest may still speak of another number of bytes.
        let has_length =
            |bytes: &Vec<u8>| place.is_none_or(|(_, count)| bytes.len() as u64 == count);
        if let Some(bytes) = self.memory.kept(digest).filter(has_length) {
            return Ok(bytes.into());
        }
        for _ in 0..2 {
            let bytes = match place {
                Some((first, count)) => self.files.part(file, first, count, monitor)?,
                None => self.files.whole(file, most, monitor)?,
            };
            if Digest::of(&bytes) == *digest {
                self.memory.keep(digest, &bytes);
                return Ok(bytes.into());
            }
        }
        Err(PublishedError::damaged(file, "its bytes are not those that were signed"))
    }
}

/// The digest of the latest manifest, by the log.
fn latest(
    files: &dyn Files,
    checkpoint: &Checkpoint,
    remembered: Option<&Remembered>,
    monitor: &dyn Monitor,
) -> Result<Digest, PublishedError> {
    let location = files.location();
    if let Some(known) = remembered {
        if checkpoint.size < known.size {
            return Err(PublishedError::Rollback(format!(
                "{location} has {} editions, and had {} before: an earlier state is served",
                checkpoint.size, known.size
            )));
        }
        if checkpoint.size == known.size {
            return Err(PublishedError::Rollback(format!(
                "{location} has signed two states of {} editions, with the roots {} and {}: it says different things to \
                 different people",
                known.size, known.root, checkpoint.root
            )));
        }
    }
    if checkpoint.size > MOST_ENTRIES {
        let problem = format!("it has more than {MOST_ENTRIES} editions");
        return Err(PublishedError::damaged(checkpoint::FILE, problem));
    }
    let mut log = Log::default();
    for (name, entries) in bundles(checkpoint.size) {
        let bundle = files.whole(&name, MOST_NOTE, monitor)?;
        log.push_bundle(&bundle, entries)
            .map_err(|problem| PublishedError::damaged(&name, problem))?;
    }
    if log.root_of(checkpoint.size) != Some(checkpoint.root) {
        let problem = "the entries of the log do not have the root that was signed";
        return Err(PublishedError::damaged("tile/entries", problem));
    }
    if let Some(known) = remembered
        && log.root_of(known.size) != Some(known.root)
    {
        return Err(PublishedError::Rollback(format!(
            "{location} has changed the first {} editions, which it had signed before",
            known.size
        )));
    }
    let last = log.entries().last().copied();
    last.ok_or_else(|| PublishedError::damaged(checkpoint::FILE, "nothing is published yet"))
}
