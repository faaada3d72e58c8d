//! The tables of the local HashDB, and the migrations between their versions.
//!
//! Invariant: a file is changed only if it is a HashDB (`application_id`) and not newer than this program
//! (`user_version`). A migration and the new version number are written in one transaction.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::HashDbError;
use super::sqlite_file::{Identity, identity, set_durable};
use crate::model::escaped;

/// "hget" in ASCII: marks the SQLite file as a HashDB.
const APPLICATION_ID: i32 = 0x6867_6574;

/// How long a call waits for another process that is writing.
const BUSY: Duration = Duration::from_secs(60);

/// A migration from one version of the schema to the next.
type Migration = fn(&Transaction<'_>) -> rusqlite::Result<()>;

/// Step `n` (from 0) migrates version `n` to version `n + 1`. A released step never changes.
const MIGRATIONS: &[Migration] = &[
    first_tables,
    table_of_checks,
    origins_and_places,
    order_of_checks,
    members_passed_over,
    times_of_publication,
    publishers_of_packages,
];

/// The version of the schema that this program reads and writes.
pub(super) fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("there are few migrations")
}

fn first_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // `files` has no foreign key: that would need a second index as large as the table itself. Ids are never
    // reused, so a key without a package is harmless.
    transaction.execute_batch(
        "CREATE TABLE packages (
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             url TEXT NOT NULL UNIQUE,
             sha256 BLOB NOT NULL,
             size INTEGER NOT NULL,
             format TEXT NOT NULL,
             project TEXT,
             expires TEXT,
             indexed_at INTEGER NOT NULL,
             evidence TEXT NOT NULL,
             vouched INTEGER NOT NULL,
             recursive INTEGER NOT NULL
         ) STRICT;
         CREATE INDEX packages_by_sha256 ON packages (sha256);
         CREATE TABLE package_urls (
             url TEXT NOT NULL,
             package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
             position INTEGER NOT NULL,
             PRIMARY KEY (url, package)
         ) STRICT, WITHOUT ROWID;
         CREATE INDEX package_urls_by_package ON package_urls (package);
         CREATE TABLE signatures (
             kind TEXT NOT NULL,
             value TEXT NOT NULL,
             package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
             position INTEGER NOT NULL,
             PRIMARY KEY (kind, value, package)
         ) STRICT, WITHOUT ROWID;
         CREATE INDEX signatures_by_package ON signatures (package);
         CREATE TABLE members (
             package INTEGER PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
             list BLOB NOT NULL
         ) STRICT;
         CREATE TABLE files (
             prefix BLOB NOT NULL,
             package INTEGER NOT NULL,
             PRIMARY KEY (prefix, package)
         ) STRICT, WITHOUT ROWID;",
    )
}

fn table_of_checks(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // No foreign key: checks also exist for packages of archives that this HashDB never indexed.
    transaction.execute_batch(
        "CREATE TABLE checks (
             sha256 BLOB NOT NULL,
             url TEXT NOT NULL,
             deep INTEGER NOT NULL,
             checked_at INTEGER NOT NULL,
             outcome TEXT NOT NULL,
             PRIMARY KEY (sha256, url, deep)
         ) STRICT, WITHOUT ROWID;",
    )
}

fn origins_and_places(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    // What older versions recorded was named by somebody, who is not known; hints were always named by a tree.
    transaction.execute_batch(
        "ALTER TABLE packages ADD COLUMN origin TEXT NOT NULL DEFAULT 'client';
         ALTER TABLE packages ADD COLUMN keeping TEXT NOT NULL DEFAULT 'unknown';
         UPDATE packages SET origin = 'tree' WHERE project = '_hints';
         CREATE TABLE package_trees (
             package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
             tree TEXT NOT NULL,
             PRIMARY KEY (package, tree)
         ) STRICT, WITHOUT ROWID;
         ALTER TABLE checks ADD COLUMN seen_at INTEGER;
         ALTER TABLE checks ADD COLUMN tail TEXT;
         UPDATE checks SET seen_at = checked_at WHERE outcome = 'present';",
    )
}

fn order_of_checks(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .execute_batch("ALTER TABLE checks ADD COLUMN nanoseconds INTEGER NOT NULL DEFAULT 0")
}

fn members_passed_over(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .execute_batch("ALTER TABLE packages ADD COLUMN passed_over INTEGER NOT NULL DEFAULT 0")
}

fn times_of_publication(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("ALTER TABLE checks ADD COLUMN published_at INTEGER")
}

fn publishers_of_packages(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("ALTER TABLE packages ADD COLUMN publisher TEXT")
}

/// Converts an error of SQLite to one of the HashDB at `location`.
pub(super) fn failure(location: &str, error: &rusqlite::Error) -> HashDbError {
    use rusqlite::Error as E;
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let (location, problem) = (location.to_owned(), error.to_string());
    match error {
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..)
        | E::Utf8Error(..) => HashDbError::Damaged { location, problem },
        _ if matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)) => {
            HashDbError::Damaged { location, problem }
        }
        _ => HashDbError::Failed { location, problem },
    }
}

/// Opens a connection to the file, which need not exist yet, and upgrades its schema.
pub(super) fn connect(file: &Path) -> Result<Connection, HashDbError> {
    let location = escaped(file.as_os_str().as_encoded_bytes());
    if file.is_dir() {
        let problem = "it is a folder, not a file".to_owned();
        return Err(HashDbError::Damaged { location, problem });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error: rusqlite::Error| failure(&location, &error);
    let mut connection = opened(file, flags).map_err(failed)?;
    let version = check_identity(&connection, file, known_version())?;
    set_modes(&connection).map_err(failed)?;
    if version < known_version() {
        migrate(&mut connection, MIGRATIONS).map_err(failed)?;
    }
    Ok(connection)
}

/// Opens a connection that only reads, with `more` flags. An older schema cannot be upgraded then.
pub(super) fn connect_for_reading(file: &Path, more: OpenFlags) -> Result<Connection, HashDbError> {
    let location = escaped(file.as_os_str().as_encoded_bytes());
    let failed = |error: rusqlite::Error| failure(&location, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = opened(file, flags).map_err(failed)?;
    let version = check_identity(&connection, file, known_version())?;
    if version < known_version() {
        let problem = format!("it has the older schema version {version}, and is read-only");
        return Err(HashDbError::Failed { location, problem });
    }
    set_memory(&connection).map_err(failed)?;
    Ok(connection)
}

/// A connection to the file, with what all of them have.
fn opened(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    // The plan of a statement does not depend on its values: otherwise SQLite makes it anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// The schema version, 0 for a file without tables. An error if it is not a HashDB, or too new.
fn check_identity(connection: &Connection, file: &Path, known: u32) -> Result<u32, HashDbError> {
    let location = escaped(file.as_os_str().as_encoded_bytes());
    let identity = identity(connection, file, APPLICATION_ID);
    match identity.map_err(|error| failure(&location, &error))? {
        Identity::Empty => Ok(0),
        Identity::Own(found) if found > known => {
            Err(HashDbError::TooNew { location, found, known })
        }
        Identity::Own(found) => Ok(found),
        Identity::Foreign(problem) => Err(HashDbError::Damaged { location, problem }),
    }
}

/// Settings of a connection.
fn set_modes(connection: &Connection) -> rusqlite::Result<()> {
    set_durable(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Size in bytes to which the log is truncated after a large package.
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    set_memory(connection)
}

/// How much memory a connection uses, and for what.
fn set_memory(connection: &Connection) -> rusqlite::Result<()> {
    // A negative value is in KiB.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Runs the missing steps, all of them in one transaction.
fn migrate(connection: &mut Connection, steps: &[Migration]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated it while this one waited for the lock.
    let version: usize = transaction
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
        .map(|version| usize::try_from(version).unwrap_or(0))?;
    for step in steps.iter().skip(version) {
        step(&transaction)?;
    }
    if version < steps.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(0))?;
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add_a_column(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("ALTER TABLE packages ADD COLUMN seen INTEGER NOT NULL DEFAULT 7")
    }

    fn fails(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute_batch("DROP TABLE files; SELECT no_such_function()")
    }

    fn version_one(dir: &tempfile::TempDir) -> (std::path::PathBuf, Connection) {
        let file = dir.path().join("hashdb.sqlite");
        let mut connection = Connection::open(&file).unwrap();
        migrate(&mut connection, &[first_tables]).unwrap();
        connection
            .execute(
                "INSERT INTO packages VALUES (1, 'u', x'00', 1, 'tar', NULL, NULL, 0, 'local', 0, 0)",
                [],
            )
            .unwrap();
        (file, connection)
    }

    #[test]
    fn a_step_is_run_once_and_keeps_what_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let (_, mut connection) = version_one(&dir);
        for _ in 0..2 {
            migrate(&mut connection, &[first_tables, add_a_column]).unwrap();
        }
        let seen: i64 =
            connection.query_row("SELECT seen FROM packages", [], |row| row.get(0)).unwrap();
        assert_eq!(seen, 7);
        assert_eq!(check_identity(&connection, Path::new("here"), 2).unwrap(), 2);
    }

    #[test]
    fn a_step_that_fails_leaves_the_older_version_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (file, mut connection) = version_one(&dir);
        migrate(&mut connection, &[first_tables, add_a_column, fails]).unwrap_err();
        drop(connection);
        let version = |connection: &Connection| {
            check_identity(connection, Path::new("here"), known_version()).unwrap()
        };
        assert_eq!(version(&Connection::open(&file).unwrap()), 1);
        let connection = connect(&file).unwrap();
        assert_eq!(version(&connection), known_version());
        connection.query_row("SELECT count(*) FROM files", [], |row| row.get::<_, i64>(0)).unwrap();
        connection.query_row("SELECT seen FROM packages", [], |_| Ok(())).unwrap_err();
    }
}
