//! An archive on its way into a store: kept in a file of this machine until it is whole, then sent.
//!
//! Invariant: nothing is sent of an archive that is not whole.

use std::fs::File;
use std::io::{self, Write};

use hashget::monitor::Monitor;
use hashget::storage::ArchiveSink;
use sha2::{Digest as _, Sha256};

use super::{Sending, Store};

/// Sends an archive when it is committed.
pub struct StoreSink<'a> {
    store: &'a dyn Store,
    name: String,
    spool: File,
    digest: Sha256,
    bytes: u64,
    failed: bool,
    monitor: &'a dyn Monitor,
}

impl<'a> StoreSink<'a> {
    /// The sink for the file `name` of `store`. `spool` is an empty file that keeps the bytes until then.
    pub fn new(store: &'a dyn Store, name: &str, spool: File, monitor: &'a dyn Monitor) -> Self {
        let (name, digest, bytes) = (name.to_owned(), Sha256::new(), 0);
        Self { store, name, spool, digest, bytes, failed: false, monitor }
    }
}

impl Write for StoreSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.spool.write(bytes);
        let fails = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        self.failed |= result.as_ref().err().is_some_and(fails);
        let count = result?;
        self.digest.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}

impl ArchiveSink for StoreSink<'_> {
    fn commit(self: Box<Self>) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("it is incomplete: writing it failed"));
        }
        let sha256 = hex::encode(self.digest.finalize());
        let (file, bytes, sha256) = (&self.spool, self.bytes, sha256.as_str());
        let sending = Sending { file, bytes, sha256, lock_until: None, bytes_per_second: None };
        self.store.send(&self.name, &sending, self.monitor)?;
        Ok(())
    }
}
