//! A file of SQLite that a program keeps its data in: what it is, and how it is written.
//!
//! Invariant: a file is only looked at until it is known to be the program's own. What [`set_durable`] sets changes the file.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Size of the first page of a complete file, in bytes.
const FIRST_PAGE: u64 = 4096;

/// What a file of SQLite is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It has nothing in it yet.
    Empty,
    /// The program's own, of this version of the schema: 1 or higher.
    Own(u32),
    /// Something else, or damaged: why.
    Foreign(String),
}

/// What the `file` that the connection has open is to the program whose files have this `application_id`. Nothing is written.
///
/// # Errors
/// The file cannot be read as one of SQLite.
pub fn identity(
    connection: &Connection,
    file: &Path,
    application: i32,
) -> rusqlite::Result<Identity> {
    // One transaction for a consistent view: another process may be creating the tables.
    let moment = connection.unchecked_transaction()?;
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        moment.pragma_query_value(None, name, |row| row.get(0))
    };
    let (found, version) = (pragma("application_id")?, pragma("user_version")?);
    let pages = pragma("page_count")?;
    let objects: i64 =
        moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    drop(moment);
    // SQLite takes an incomplete first page for an empty database, and would overwrite it. A complete first
    // page without further pages is valid: the writes of a killed process were rolled back, or the file is
    // just being created.
    let bytes = fs_err::metadata(file).map_or(0, |metadata| metadata.len());
    if pages == 0 && (1..FIRST_PAGE).contains(&bytes) {
        return Ok(Identity::Foreign(format!("it has only {bytes} bytes")));
    }
    if objects == 0 && found == 0 && version == 0 {
        return Ok(Identity::Empty);
    }
    if found != i64::from(application) {
        return Ok(Identity::Foreign("it is an SQLite database of another program".to_owned()));
    }
    Ok(match u32::try_from(version) {
        Ok(version) if version > 0 => Identity::Own(version),
        _ => Identity::Foreign(format!("its schema version is {version}")),
    })
}

/// Lets others read during a write (WAL), and makes a commit durable, also if the power fails (FULL).
///
/// # Errors
/// The file cannot be written to.
pub fn set_durable(connection: &Connection) -> rusqlite::Result<()> {
    // SQLite does not apply the busy time-out when two processes switch to WAL at once.
    let mut tries = 0;
    loop {
        let result = connection.pragma_update(None, "journal_mode", "WAL");
        match result {
            Err(error)
                if tries < 200
                    && error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) =>
            {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            other => break other?,
        }
    }
    connection.pragma_update(None, "synchronous", "FULL")
}
