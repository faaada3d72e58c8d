//! Where archives are kept: folders, object stores, folders of other machines, commands.
//!
//! Invariant: a name in a store means a whole file. Nothing is replaced, and nothing but what was named is removed.

mod address;
mod command;
mod error;
mod folder;
mod name;
mod outgoing;
mod patience;
mod ranged;
mod s3;
mod sftp;
mod sink;

use std::fs::File;

use hashget::monitor::Monitor;
use hashget::storage::SharedSource;

pub use address::{Address, BadAddress, S3Settings, StoreSettings, open_bucket, open_store};
pub use command::{CommandStore, Commands};
pub use error::StoreError;
pub use folder::FolderStore;
pub use patience::Patience;
pub use s3::{CredentialsFrom, S3Options, S3Pool, S3Store};
pub use sftp::{SftpPlace, SftpStore};
pub use sink::StoreSink;

pub use outgoing::digest_of;

/// A file that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name, without any folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits, if the store computed it from what it holds.
    pub sha256: Option<String>,
    /// The time until which it cannot be removed, in seconds since 1970.
    pub locked_until: Option<i64>,
}

impl Stored {
    /// A file of which the store tells no more than its size.
    fn of_size(name: String, bytes: u64) -> Self {
        Self { name, bytes, sha256: None, locked_until: None }
    }
}

/// A file on this machine that is to be sent.
pub struct Sending<'a> {
    /// The file. It is read from its start, several times if a try fails.
    pub file: &'a File,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: &'a str,
    /// The time until which nobody is to be able to remove it, in seconds since 1970, where the store can do that.
    pub lock_until: Option<i64>,
    /// The most bytes to send in a second; `None` is no limit.
    pub bytes_per_second: Option<u64>,
}

/// How a file that was sent was compared with what the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// By a checksum that the store computed, or by reading it again.
    Checksum,
    /// By its size alone.
    Size,
    /// Not at all: the store tells nothing.
    Nothing,
}

/// Keeps files by name. Every implementation passes the same conformance suite.
///
/// All methods may block for as long as the network does; each gives up after its own time limits, and asks the monitor
/// whether it should stop.
pub trait Store: Send + Sync {
    /// What it is called in messages: as it was written in the configuration, without passwords.
    fn shown(&self) -> &str;

    /// Everything that it has, by name: all of it, or an error. What is not complete is not listed.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn list(&self, monitor: &dyn Monitor) -> Result<Vec<Stored>, StoreError>;

    /// Adds what the store tells of each of these files besides its size, if its list does not say that: its checksum, and until
    /// when it is locked. What it does not tell stays `None`.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn examine(&self, files: &mut [Stored], monitor: &dyn Monitor) -> Result<(), StoreError> {
        let _ = (files, monitor);
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::NotThere`] if there is no such file.
    fn open<'a>(
        &'a self,
        name: &str,
        monitor: &'a dyn Monitor,
    ) -> Result<Box<dyn SharedSource + 'a>, StoreError>;

    /// Can files be read at any place, not only from their beginning on?
    fn reads_at_random(&self) -> bool {
        true
    }

    /// Sends a file. When this returns, the file is complete and durable under its name, and was compared with what was sent.
    /// What broke off is tried again, and goes on from where it was if the store can do that.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::Taken`] if the name is. Nothing is under the name then that was not there before.
    fn send(
        &self,
        name: &str,
        sending: &Sending<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Compared, StoreError>;

    /// Removes a file. One that is not there is no error.
    ///
    /// # Errors
    /// See [`StoreError`]; [`StoreError::Locked`] if it cannot be removed yet.
    fn remove(&self, name: &str, monitor: &dyn Monitor) -> Result<(), StoreError>;

    /// Removes what sends have left that broke off more than a day ago, or whose file has come by another send since, and
    /// nothing else. Returns what was removed.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn clean(&self, monitor: &dyn Monitor) -> Result<Vec<String>, StoreError>;
}
