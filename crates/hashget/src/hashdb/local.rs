//! The HashDB in one SQLite file, for any number of processes at once.
//!
//! Invariant: every change is one transaction. Look-up keys are the first 16 bytes of a digest: an
//! accident never makes two of them equal, an attacker's collision only makes a look-up over-report.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::rows::{
    Problem, RECORD, complete, each_member, forget, insert_record, look_up_keys, prefix, record_of,
    unsigned,
};
use super::{Check, HashDb, HashDbError, PackageId, Status, member_list, schema};
use crate::model::{Digest, Evidence, Member, PackageRecord, Signature, escaped};

/// The name of the file in the HashDB's folder.
const FILE_NAME: &str = "hashdb.sqlite";

/// Connections kept open when nobody uses them.
const IDLE: usize = 8;

/// A HashDB in a folder of this machine.
#[derive(Debug)]
pub struct LocalHashDb {
    file: PathBuf,
    location: String,
    /// Each thread that works takes one out, so that readers do not wait for each other.
    idle: Mutex<Vec<Connection>>,
}

impl LocalHashDb {
    /// The HashDB in the folder `dir`. The folder and the file `hashdb.sqlite` in it are created when
    /// they are missing; an older schema is brought up to date.
    ///
    /// # Errors
    /// `Damaged` for a file that is no HashDB, `TooNew` for one of a newer hashget, `Failed` when the
    /// folder cannot be used.
    pub fn open(dir: &Path) -> Result<Self, HashDbError> {
        let file = dir.join(FILE_NAME);
        let location = escaped(file.as_os_str().as_encoded_bytes());
        fs_err::create_dir_all(dir).map_err(|error| HashDbError::Failed {
            location: location.clone(),
            problem: error.to_string(),
        })?;
        let connection = schema::connect(&file)?;
        Ok(Self { file, location, idle: Mutex::new(vec![connection]) })
    }

    /// Everything that is wrong with the file: SQLite's own check, every member list, every look-up key.
    ///
    /// # Errors
    /// It could not even be looked at.
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
                    let digests: Vec<Digest> = members
                        .iter()
                        .filter_map(|one| one.sha256)
                        .chain([record.sha256])
                        .collect();
                    let found = self.packages_with(&digests)?;
                    let lost = found.iter().filter(|packages| !packages.contains(&id)).count();
                    if lost > 0 {
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

    /// Runs `work` on a connection of its own.
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Problem>,
    ) -> Result<T, HashDbError> {
        let idle = self.idle.lock().expect("nothing panics while it holds the list").pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::connect(&self.file)?,
        };
        let result = work(&mut connection);
        let mut idle = self.idle.lock().expect("nothing panics while it holds the list");
        if idle.len() < IDLE {
            idle.push(connection);
        }
        drop(idle);
        result.map_err(|problem| match problem {
            Problem::Sqlite(error) => schema::failure(&self.location, &error),
            Problem::Damaged(problem) => {
                HashDbError::Damaged { location: self.location.clone(), problem }
            }
            Problem::Impossible(problem) => {
                HashDbError::Failed { location: self.location.clone(), problem }
            }
        })
    }

    /// Ids that a query of one parameter gives, ascending.
    fn ids(&self, query: &str, key: impl rusqlite::Params) -> Result<Vec<PackageId>, HashDbError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let ids = statement.query_map(key, |row| row.get(0).map(PackageId))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }
}

impl HashDb for LocalHashDb {
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        // Outside the transaction: others may write meanwhile.
        let list = member_list::encode(members);
        let keys = look_up_keys(record, members);
        self.with(|connection| {
            let list = list.map_err(Problem::Impossible)?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let old: Option<(i64, String)> = transaction
                .prepare_cached("SELECT id, evidence FROM packages WHERE url = ?1")?
                .query_row([&record.url], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((old, evidence)) = old {
                if evidence.parse::<Evidence>().is_ok_and(|known| known > record.evidence) {
                    return Ok(PackageId(old));
                }
                forget(&transaction, old)?;
            }
            let id = insert_record(&transaction, record)?;
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
            Ok(PackageId(id))
        })
    }

    fn packages_with(&self, digests: &[Digest]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        self.with(|connection| {
            // One transaction: one view of the database, and no locking for each digest.
            let transaction = connection.transaction()?;
            let mut statement = transaction
                .prepare_cached("SELECT package FROM files WHERE prefix = ?1 ORDER BY package")?;
            let mut found = Vec::with_capacity(digests.len());
            for digest in digests {
                let mut rows = statement.query([prefix(digest)])?;
                let mut ids = Vec::new();
                while let Some(row) = rows.next()? {
                    ids.push(PackageId(row.get(0)?));
                }
                found.push(ids);
            }
            Ok(found)
        })
    }

    fn package(&self, id: PackageId) -> Result<Option<PackageRecord>, HashDbError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let record = transaction
                .prepare_cached(&format!("{RECORD} WHERE id = ?1"))?
                .query_row([id.0], record_of)
                .optional()?;
            record.map(|(id, record)| complete(&transaction, id, record)).transpose()
        })
    }

    fn each_member(&self, id: PackageId, visit: &mut dyn FnMut(Member)) -> Result<(), HashDbError> {
        self.with(|connection| each_member(&connection.transaction()?, id.0, visit))
    }

    fn by_url(&self, url: &str) -> Result<Option<PackageId>, HashDbError> {
        let own = self.ids("SELECT id FROM packages WHERE url = ?1", [url])?;
        if let Some(id) = own.first() {
            return Ok(Some(*id));
        }
        let query = "SELECT package FROM package_urls WHERE url = ?1 ORDER BY package";
        Ok(self.ids(query, [url])?.first().copied())
    }

    fn by_sha256(&self, sha256: &Digest) -> Result<Vec<PackageId>, HashDbError> {
        self.ids("SELECT id FROM packages WHERE sha256 = ?1 ORDER BY id", [sha256.as_bytes()])
    }

    fn by_signature(&self, signature: &Signature) -> Result<Vec<PackageId>, HashDbError> {
        self.ids(
            "SELECT package FROM signatures WHERE kind = ?1 AND value = ?2 ORDER BY package",
            [&signature.kind, &signature.value],
        )
    }

    fn list(&self) -> Result<Vec<(PackageId, PackageRecord)>, HashDbError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached(&format!("{RECORD} ORDER BY url"))?;
            let records = statement.query_map([], record_of)?;
            records
                .map(|row| {
                    let (id, record) = row?;
                    Ok((PackageId(id), complete(&transaction, id, record)?))
                })
                .collect()
        })
    }

    fn remove(&self, id: PackageId) -> Result<bool, HashDbError> {
        self.with(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let known = forget(&transaction, id.0)?;
            transaction.commit()?;
            Ok(known)
        })
    }

    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO checks (sha256, url, deep, checked_at, outcome) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    check.sha256.as_bytes(),
                    check.url,
                    check.deep,
                    check.checked_at,
                    check.outcome.to_string(),
                ])?;
            Ok(())
        })
    }

    fn checks(&self, sha256: &Digest) -> Result<Vec<Check>, HashDbError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT url, deep, checked_at, outcome FROM checks WHERE sha256 = ?1 \
                 ORDER BY url, deep",
            )?;
            let rows = statement.query_map([sha256.as_bytes()], |row| {
                let outcome = row.get::<_, String>(3)?.parse().map_err(|problem: String| {
                    let text = rusqlite::types::Type::Text;
                    rusqlite::Error::FromSqlConversionFailure(3, text, problem.into())
                })?;
                let (url, deep, checked_at) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Check { sha256: *sha256, url, deep, checked_at, outcome })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn status(&self) -> Result<Status, HashDbError> {
        let (packages, package_bytes, digests) = self.with(|connection| {
            let transaction = connection.transaction()?;
            let (packages, bytes) = transaction.query_row(
                "SELECT count(*), coalesce(sum(size), 0) FROM packages",
                [],
                |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)),
            )?;
            // Grouping follows the primary key's order; count(DISTINCT) would build a copy.
            let digests = transaction.query_row(
                "SELECT count(*) FROM (SELECT 1 FROM files GROUP BY prefix)",
                [],
                |row| unsigned(row, 0),
            )?;
            Ok((packages, bytes, digests))
        })?;
        let bytes_of = |ending: &str| {
            let mut name = self.file.clone().into_os_string();
            name.push(ending);
            fs_err::metadata(name).map_or(0, |metadata| metadata.len())
        };
        Ok(Status {
            location: self.location.clone(),
            schema: schema::known_version(),
            packages,
            digests,
            package_bytes,
            disk_bytes: bytes_of("") + bytes_of("-wal"),
        })
    }
}
