//! A store in memory, which fails as a test wants.
//!
//! Invariant: what is on it has its name and is whole.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use hashget::monitor::Monitor;
use hashget::storage::SharedSource;
use hashget_backup::store::{Compared, Sending, Store, StoreError, Stored};

/// What a shelf does to the next files that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot be reached.
    Unreachable,
    /// It takes the file, and then the answer is lost.
    AnswerLost,
}

/// A store in memory, which keeps its things when it is opened again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shelf(pub(crate) Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The times until which files were to be locked.
    pub(crate) locks: Vec<Option<i64>>,
    /// A fault for each of the next files; `None` is none.
    pub(crate) faults: Vec<Option<Fault>>,
    pub(crate) cannot_list: bool,
    /// Does it take no parity?
    pub(crate) takes_no_parity: bool,
    /// The names of all files that came.
    pub(crate) came: Vec<String>,
}

impl Shelf {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().files.keys().cloned().collect()
    }

    pub(crate) fn fail(&self, faults: &[Option<Fault>]) {
        self.0.lock().unwrap().faults = faults.to_vec();
    }

    fn unreachable(&self) -> StoreError {
        StoreError::Unreachable { store: self.shown().into(), problem: "no route".into() }
    }
}

impl Store for Shelf {
    fn shown(&self) -> &str {
        "shelf"
    }

    fn list(&self, _monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError> {
        let kept = self.0.lock().unwrap();
        if kept.cannot_list {
            return Err(self.unreachable());
        }
        let stored = |(name, bytes): (&String, &Vec<u8>)| Stored {
            name: name.clone(),
            bytes: bytes.len() as u64,
            sha256: None,
            locked_until: None,
        };
        Ok(kept.files.iter().map(stored).collect())
    }

    fn open<'a>(
        &'a self,
        name: &str,
        _monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError> {
        let bytes = self.0.lock().unwrap().files.get(name).cloned();
        let not_there = StoreError::NotThere { store: "shelf".into(), name: name.into() };
        let file = tempfile::tempfile()?;
        file.write_all_at(&bytes.ok_or(not_there)?, 0)?;
        Ok(Box::new(file))
    }

    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        _monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError> {
        let mut kept = self.0.lock().unwrap();
        if kept.takes_no_parity && name.ends_with(".par2") {
            return Err(self.unreachable());
        }
        let fault = if kept.faults.is_empty() { None } else { kept.faults.remove(0) };
        if fault == Some(Fault::Unreachable) {
            return Err(self.unreachable());
        }
        if kept.files.contains_key(name) {
            return Err(StoreError::Taken { store: "shelf".into(), name: name.into() });
        }
        let mut bytes = vec![0; usize::try_from(sending.bytes).unwrap()];
        sending.file.read_exact_at(&mut bytes, 0)?;
        kept.files.insert(name.to_owned(), bytes);
        kept.came.push(name.to_owned());
        kept.locks.push(sending.lock_until);
        match fault {
            Some(Fault::AnswerLost) => Err(self.unreachable()),
            _ => Ok(Compared::Checksum),
        }
    }

    fn remove(&self, name: &str, _monitor: &dyn Monitor) -> Result<(), StoreError> {
        self.0.lock().unwrap().files.remove(name);
        Ok(())
    }

    fn clean(&self, _monitor: &dyn Monitor) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
