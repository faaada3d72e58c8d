//! What the server must not forget: tokens and submissions, in `server.sqlite`.
//!
//! Invariant: every change is one transaction, and is on the disk when the call returns.

mod submissions;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashget::hashdb::{Identity, identity, set_durable};
use rusqlite::Connection;

pub(crate) use submissions::{Accepted, Counts, Submission, Verdict};
pub use tokens::Token;
pub(crate) use tokens::TokenId;

/// "hgsv" in ASCII: marks the file as a server's.
const APPLICATION_ID: i32 = 0x6867_7376;
/// The version of the schema.
const VERSION: u32 = 1;
/// How long a call waits for another process that is writing.
const BUSY: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
    CREATE TABLE tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        sha256 BLOB NOT NULL UNIQUE,
        scope TEXT NOT NULL,
        added_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE submissions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        url TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        submitted_at INTEGER NOT NULL,
        due_at INTEGER,
        tries INTEGER NOT NULL DEFAULT 0,
        sha256 BLOB,
        seen_at INTEGER,
        published_at INTEGER,
        settled_at INTEGER,
        problem TEXT
    ) STRICT;
    CREATE INDEX submissions_due ON submissions (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX submissions_settled ON submissions (settled_at) WHERE settled_at IS NOT NULL;
";

/// Tokens and submissions.
#[derive(Debug)]
pub struct ServerDb {
    file: PathBuf,
    connection: Mutex<Connection>,
}

/// Why tokens or submissions could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum ServerDbError {
    /// SQLite failed.
    #[error("cannot use {}", file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: rusqlite::Error,
    },
    /// The file is something else, or of a newer server.
    #[error("{} {problem}", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it is, and what to do.
        problem: String,
    },
    /// A request of the caller that cannot be met.
    #[error("{0}")]
    Refused(String),
}

impl ServerDbError {
    /// Is there no room on the disk?
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sqlite { error, .. } => {
                error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::Foreign { .. } | Self::Refused(_) => false,
        }
    }
}

impl ServerDb {
    /// Opens `server.sqlite` in the folder; the file is made if it is missing.
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub fn open(folder: &Path) -> Result<Self, ServerDbError> {
        let file = folder.join("server.sqlite");
        let failed = |error| ServerDbError::Sqlite { file: file.clone(), error };
        let mut connection = Connection::open(&file).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let found = identity(&connection, &file, APPLICATION_ID).map_err(failed)?;
        match found {
            Identity::Empty | Identity::Own(VERSION) => {}
            Identity::Own(newer) => {
                let problem =
                    format!("is of a newer hashget-server (version {newer}): install that");
                return Err(ServerDbError::Foreign { file, problem });
            }
            Identity::Foreign(reason) => {
                let problem =
                    format!("is not a file of hashget-server ({reason}): give another folder");
                return Err(ServerDbError::Foreign { file, problem });
            }
        }
        set_durable(&connection).map_err(failed)?;
        if found == Identity::Empty {
            create(&mut connection).map_err(failed)?;
        }
        Ok(Self { file, connection: Mutex::new(connection) })
    }

    /// Does it answer, and can it be written to?
    ///
    /// # Errors
    /// See [`ServerDbError`].
    pub fn check(&self) -> Result<(), ServerDbError> {
        // Written anew, so that a full disk shows.
        let write = format!("BEGIN IMMEDIATE; PRAGMA user_version = {VERSION}; COMMIT;");
        self.with(|connection| connection.execute_batch(&write))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ServerDbError> {
        work(&mut self.lock())
            .map_err(|error| ServerDbError::Sqlite { file: self.file.clone(), error })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction of a thread that panicked was rolled back when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been first.
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
