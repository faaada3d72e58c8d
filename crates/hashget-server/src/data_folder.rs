//! The server's folder, and the one server that works in it.
//!
//! Invariant: while a [`DataFolder`] exists, no other server has the same folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A folder that nobody else serves.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// It cannot be made or locked.
    #[error("cannot use the folder {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Another server works in it.
    #[error("another hashget-server works in {}: stop it first, or give another folder with --data", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

impl DataFolder {
    /// Locks the folder, which is made if it is missing, with `published` in it.
    ///
    /// # Errors
    /// See [`DataFolderError`].
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let failed = |error| DataFolderError::Io { path: path.to_owned(), error };
        fs_err::create_dir_all(path.join("published")).map_err(failed)?;
        fs_err::create_dir_all(path.join("pool")).map_err(failed)?;
        let lock = fs_err::File::create(path.join("server.lock")).map_err(failed)?.into_file();
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataFolderError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The folder of published HashDBs.
    pub fn published(&self) -> PathBuf {
        self.path.join("published")
    }

    /// The folder of the pool.
    pub fn pool(&self) -> PathBuf {
        self.path.join("pool")
    }
}
