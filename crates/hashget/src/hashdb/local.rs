//! The HashDB in one SQLite file, shared by any number of processes.
//!
//! Invariant: every change is one transaction. Look-up keys are the first 16 bytes of a digest: two of them
//! are never equal by accident, and a collision made on purpose only adds packages to the answer of a
//! look-up.

mod keys_in_memory;
mod search;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use keys_in_memory::KeysInMemory;
pub use search::Holder;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::finder::Finder;
use super::open::{self, Access};
use super::rows::{
    Problem, RECORD, check_of, complete, each_member, forget, insert_record, look_up_keys,
    record_of, unsigned, update_record,
};
use super::{
    BlockStore, Check, Checks, HashDb, HashDbError, HashDbWriter, Key, PackageId, member_list,
    schema,
};
use crate::model::{Digest, Member, PackageRecord, escaped};

/// The name of the file in the HashDB's folder.
const FILE_NAME: &str = "hashdb.sqlite";

/// Idle connections that are kept open.
const IDLE: usize = 8;

/// Less free room than this in the file is left for the next packages.
const WORTH_IT: u64 = 1 << 20;

/// Size of a local HashDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is: a path.
    pub location: String,
    /// Version of its schema.
    pub schema: u32,
    /// Packages known.
    pub packages: u64,
    /// Number of distinct file digests.
    pub digests: u64,
    /// Size of all packages together, in bytes: what downloading all of them would transfer.
    pub package_bytes: u64,
    /// Size on disk in bytes.
    pub disk_bytes: u64,
}

/// A HashDB in a local folder.
#[derive(Debug)]
pub struct LocalHashDb {
    file: PathBuf,
    location: String,
    access: Access,
    blocks: Option<BlockStore>,
    /// Each thread takes a connection of its own, so that readers do not wait for each other.
    idle: Mutex<Vec<Connection>>,
}

impl LocalHashDb {
    /// The HashDB in the folder `dir`. The folder and the file `hashdb.sqlite` in it are created if missing;
    /// an older schema is upgraded. If it cannot be written to (a read-only or full disk, another user's file), it
    /// is opened for reading: then it [is not writable](HashDbWriter::is_writable).
    ///
    /// # Errors
    /// `Damaged` if the file is not a HashDB, `TooNew` if a newer hashget wrote it, `Failed` if the folder
    /// cannot be used.
    pub fn open(dir: &Path) -> Result<Self, HashDbError> {
        let file = dir.join(FILE_NAME);
        let location = escaped(file.as_os_str().as_encoded_bytes());
        fs_err::create_dir_all(dir).map_err(|error| HashDbError::Failed {
            location: location.clone(),
            problem: error.to_string(),
        })?;
        let (connection, access) = open::open(&file)?;
        let blocks = BlockStore::of(dir);
        Ok(Self { file, location, access, blocks, idle: Mutex::new(vec![connection]) })
    }

    /// Is there a HashDB in `dir`?
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FILE_NAME).exists()
    }

    /// All damage in the file: found by SQLite's own check, in member lists, and in look-up keys.
    ///
    /// # Errors
    /// The file could not be checked.
    pub fn damages(&self) -> Result<Vec<String>, HashDbError> {
        let mut damages: Vec<String> = self.with(|connection| {
            let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
            let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
            Ok(lines.collect::<rusqlite::Result<_>>()?)
        })?;
        damages.retain(|line| line != "ok");
        for (id, record) in self.list()? {
            let url = escaped(record.url.as_bytes());
            match self.members(id) {
                Ok(members) => {
                    let digests = members.iter().filter_map(|one| one.sha256);
                    let keys: Vec<Key<'_>> =
                        digests.chain([record.sha256]).map(Key::Content).collect();
                    let found = self.find(&keys)?;
                    let lost = found.iter().filter(|packages| !packages.contains(&id)).count();
                    // Another process may have removed or replaced the package meanwhile.
                    if lost > 0 && self.record(id)?.is_some() {
                        damages.push(format!("{url}: {lost} look-up keys are lost"));
                    }
                }
                Err(HashDbError::Damaged { problem, .. }) => {
                    damages.push(format!("{url}: {problem}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(damages)
    }

    /// The member list of a package as one blob, as [`member_list::encode`] makes it; `None` if it is not known.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn stored_members(&self, package: PackageId) -> Result<Option<Vec<u8>>, HashDbError> {
        self.with(|connection| {
            super::rows::stored_members(&connection.transaction()?, package.to_raw())
        })
    }

    /// Every package with its record, by URL.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn list(&self) -> Result<Vec<(PackageId, PackageRecord)>, HashDbError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached(&format!("{RECORD} ORDER BY url"))?;
            let records = statement.query_map([], record_of)?;
            records
                .map(|row| {
                    let (id, record) = row?;
                    Ok((PackageId::from_raw(id), complete(&transaction, id, record)?))
                })
                .collect()
        })
    }

    /// Gives the room of removed packages back to the disk, if it is a good part of the file: a quarter, and
    /// `WORTH_IT` bytes. The file is then written anew, which takes as long, and as much free room, as copying what
    /// is left. Returns the number of bytes by which it became smaller.
    ///
    /// # Errors
    /// See [`HashDbError`]; everything that was known still is.
    pub fn give_back(&self) -> Result<u64, HashDbError> {
        let before = self.disk_bytes();
        self.with(|connection| {
            let number =
                |name: &str| connection.pragma_query_value(None, name, |row| unsigned(row, 0));
            let (free, pages) = (number("freelist_count")?, number("page_count")?);
            let is_worth_it = free >= pages / 4 && free * number("page_size")? >= WORTH_IT;
            if is_worth_it {
                connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
            }
            Ok(())
        })?;
        Ok(before.saturating_sub(self.disk_bytes()))
    }

    /// The size of the file, and of its log, in bytes.
    fn disk_bytes(&self) -> u64 {
        let bytes_of = |ending: &str| {
            let mut name = self.file.clone().into_os_string();
            name.push(ending);
            fs_err::metadata(name).map_or(0, |metadata| metadata.len())
        };
        bytes_of("") + bytes_of("-wal")
    }

    /// Can it be written to at this moment? Waits while another process writes. Nothing is changed.
    ///
    /// # Errors
    /// It cannot; see [`HashDbError`].
    pub fn try_writing(&self) -> Result<(), HashDbError> {
        self.with(|connection| Ok(connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK;")?))
    }

    /// Number and size of what is known.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn status(&self) -> Result<Status, HashDbError> {
        let (packages, package_bytes, digests) = self.with(|connection| {
            let transaction = connection.transaction()?;
            let (packages, bytes) = transaction.query_row(
                "SELECT count(*), coalesce(sum(size), 0) FROM packages",
                [],
                |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)),
            )?;
            // GROUP BY uses the order of the primary key; count(DISTINCT) would build a copy.
            let digests = transaction.query_row(
                "SELECT count(*) FROM (SELECT 1 FROM files GROUP BY prefix)",
                [],
                |row| unsigned(row, 0),
            )?;
            Ok((packages, bytes, digests))
        })?;
        Ok(Status {
            location: self.location.clone(),
            schema: schema::known_version(),
            packages,
            digests,
            package_bytes,
            disk_bytes: self.disk_bytes(),
        })
    }

    /// Runs `work` on a connection of its own.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Problem>,
    ) -> Result<T, HashDbError> {
        let idle = self.idle.lock().expect("nothing panics while it holds the list").pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::open_as(&self.file, self.access)?,
        };
        let result = work(&mut connection);
        if !self.access.still_holds(&self.file) {
            return Err(HashDbError::Replaced);
        }
        let mut idle = self.idle.lock().expect("nothing panics while it holds the list");
        if idle.len() < IDLE {
            idle.push(connection);
        }
        drop(idle);
        result.map_err(|problem| self.failure(problem))
    }

    /// The error for a problem with the file.
    fn failure(&self, problem: Problem) -> HashDbError {
        match problem {
            Problem::Sqlite(error) => schema::failure(&self.location, &error),
            Problem::Damaged(problem) => {
                HashDbError::Damaged { location: self.location.clone(), problem }
            }
            Problem::Impossible(problem) => {
                HashDbError::Failed { location: self.location.clone(), problem }
            }
        }
    }
}

impl HashDb for LocalHashDb {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.with(|connection| {
            // One transaction gives a consistent view of the database, and avoids locking for each key.
            let transaction = connection.transaction()?;
            let mut finder = Finder::new(&transaction)?;
            let found = keys.iter().map(|key| finder.find(key));
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached(&format!("{RECORD} WHERE id = ?1"))?;
            let mut records = Vec::with_capacity(packages.len());
            for package in packages {
                let record = statement.query_row([package.to_raw()], record_of).optional()?;
                let complete = |(id, record)| complete(&transaction, id, record);
                records.push(record.map(complete).transpose()?);
            }
            Ok(records)
        })
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        self.with(|connection| each_member(&connection.transaction()?, package.to_raw(), visit))
    }

    fn named(&self, kind: &str, beginning: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        self.with(|connection| Ok(search::named(connection, kind, beginning, most)?))
    }
}

impl HashDbWriter for LocalHashDb {
    fn is_writable(&self) -> bool {
        self.access == Access::Write
    }

    fn blocks(&self) -> Option<&BlockStore> {
        self.blocks.as_ref()
    }

    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        // Outside the transaction, so that others can write in the meantime.
        let list = member_list::encode(members);
        let keys = look_up_keys(record, members);
        self.with(|connection| {
            let list = list.map_err(Problem::Impossible)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut merged = record.clone();
            let old: Option<i64> = transaction
                .prepare_cached("SELECT id FROM packages WHERE url = ?1")?
                .query_row([&record.url], |row| row.get(0))
                .optional()?;
            if let Some(old) = old {
                let known = transaction
                    .prepare_cached(&format!("{RECORD} WHERE id = ?1"))?
                    .query_row([old], record_of);
                // A damaged record is not better than a new one.
                if let Ok((_, known)) = known {
                    if known.stays_before(record) {
                        return Ok(PackageId::from_raw(old));
                    }
                    if known.sha256 == merged.sha256 {
                        merged.take_merits_of(&complete(&transaction, old, known)?);
                    }
                }
                forget(&transaction, old)?;
            }
            let id = insert_record(&transaction, &merged)?;
            transaction
                .prepare_cached("INSERT INTO members (package, list) VALUES (?1, ?2)")?
                .execute(params![id, list])?;
            let mut insert = transaction
                .prepare_cached("INSERT INTO files (prefix, package) VALUES (?1, ?2)")?;
            for key in &keys {
                insert.execute(params![key, id])?;
            }
            drop(insert);
            transaction.commit()?;
            Ok(PackageId::from_raw(id))
        })
    }

    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let record = transaction
                .prepare_cached(&format!("{RECORD} WHERE id = ?1"))?
                .query_row([package.to_raw()], record_of)
                .optional()?;
            let Some((id, record)) = record else { return Ok(None) };
            let record = complete(&transaction, id, record)?;
            let amended = record.amended(change);
            if amended != record {
                update_record(&transaction, id, &amended)?;
                transaction.commit()?;
            }
            Ok(Some(amended))
        })
    }

    fn remove(&self, package: PackageId) -> Result<bool, HashDbError> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let known = forget(&transaction, package.to_raw())?;
            transaction.commit()?;
            Ok(known)
        })
    }
}

impl Checks for LocalHashDb {
    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO checks (sha256, url, deep, checked_at, outcome, seen_at, tail, \
                     nanoseconds, published_at) VALUES (?1, ?2, ?3, ?4, ?5, iif(?5 = 'present', ?4, NULL), ?6, ?7, ?8) \
                     ON CONFLICT DO UPDATE SET checked_at = excluded.checked_at, \
                     nanoseconds = excluded.nanoseconds, outcome = excluded.outcome, seen_at = coalesce(excluded.seen_at, seen_at), \
                     tail = coalesce(excluded.tail, tail), \
                     published_at = coalesce(excluded.published_at, published_at) WHERE outcome <> 'moves' \
                     AND (excluded.outcome <> 'unreachable' OR outcome = 'unreachable')",
                )?
                .execute(params![
                    check.sha256.as_bytes(),
                    check.url,
                    check.deep,
                    check.checked_at,
                    check.outcome.to_string(),
                    check.tail,
                    check.nanoseconds,
                    check.published_at,
                ])?;
            Ok(())
        })
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached(
                "SELECT url, deep, checked_at, outcome, seen_at, tail, nanoseconds, published_at FROM checks WHERE sha256 = ?1 \
                 ORDER BY url, deep",
            )?;
            let mut checks = Vec::with_capacity(packages.len());
            for sha256 in packages {
                let rows =
                    statement.query_map([sha256.as_bytes()], |row| check_of(*sha256, row))?;
                checks.push(rows.collect::<rusqlite::Result<_>>()?);
            }
            Ok(checks)
        })
    }
}
