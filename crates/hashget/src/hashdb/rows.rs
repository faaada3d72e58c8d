//! The rows of the local HashDB: how its tables store records, members and look-up keys.
//!
//! Invariant: a package has one list of members, and the keys of exactly these members and of itself.

use std::str::FromStr;

use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::{Check, member_list};
use crate::model::{Digest, Evidence, Member, Origin, PackageRecord, Signature};

/// Selects records for [`record_of`].
pub(super) const RECORD: &str = "SELECT id, url, sha256, size, format, project, expires, indexed_at, evidence, vouched, recursive, origin, keeping, passed_over, publisher FROM packages";

/// Length of a look-up key: a prefix of the digest, in bytes.
pub(super) const PREFIX: usize = 16;

/// Why an operation on a connection failed, without the location of the HashDB.
pub(super) enum Problem {
    /// An error of SQLite.
    Sqlite(rusqlite::Error),
    /// The contents of the database contradict each other.
    Damaged(String),
    /// The database cannot represent the value.
    Impossible(String),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The look-up key of a digest.
pub(super) fn prefix(digest: &Digest) -> &[u8] {
    &digest.as_bytes()[..PREFIX]
}

/// The keys of a package: its own digest and those of its regular members, sorted, each once.
pub(super) fn look_up_keys<'a>(record: &'a PackageRecord, members: &'a [Member]) -> Vec<&'a [u8]> {
    let digests = members.iter().filter_map(|member| member.sha256.as_ref());
    let mut keys: Vec<&[u8]> = digests.chain([&record.sha256]).map(prefix).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Inserts a package without its members and look-up keys; returns its id.
pub(super) fn insert_record(
    transaction: &Transaction<'_>,
    record: &PackageRecord,
) -> Result<i64, Problem> {
    let size = i64::try_from(record.size)
        .map_err(|_| Problem::Impossible(format!("no package has {} bytes", record.size)))?;
    transaction
        .prepare_cached(
            "INSERT INTO packages (url, sha256, size, format, project, expires, indexed_at, evidence, \
             vouched, recursive, origin, keeping, passed_over, publisher) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            record.url,
            record.sha256.as_bytes(),
            size,
            record.format,
            record.project,
            record.expires,
            record.indexed_at,
            record.evidence.to_string(),
            record.vouched,
            record.recursive,
            record.origin.to_string(),
            record.keeping.to_string(),
            i64::try_from(record.passed_over).unwrap_or(i64::MAX),
            record.publisher,
        ])?;
    let id = transaction.last_insert_rowid();
    insert_names(transaction, id, record)?;
    Ok(id)
}

/// Writes the fields of `record` that [`PackageRecord::amended`] may have changed.
pub(super) fn update_record(
    transaction: &Transaction<'_>,
    id: i64,
    record: &PackageRecord,
) -> Result<(), Problem> {
    transaction
        .prepare_cached(
            "UPDATE packages SET project = ?1, expires = ?2, vouched = ?3, origin = ?4, keeping = ?5 \
             WHERE id = ?6",
        )?
        .execute(params![
            record.project,
            record.expires,
            record.vouched,
            record.origin.to_string(),
            record.keeping.to_string(),
            id
        ])?;
    for table in ["package_urls", "signatures", "package_trees"] {
        transaction
            .prepare_cached(&format!("DELETE FROM {table} WHERE package = ?1"))?
            .execute([id])?;
    }
    insert_names(transaction, id, record)
}

/// Inserts the other URLs, the signatures and the trees of a package.
fn insert_names(
    transaction: &Transaction<'_>,
    id: i64,
    record: &PackageRecord,
) -> Result<(), Problem> {
    let mut urls = transaction.prepare_cached(
        "INSERT OR IGNORE INTO package_urls (url, package, position) VALUES (?1, ?2, ?3)",
    )?;
    for (position, url) in (0i64..).zip(&record.also) {
        urls.execute(params![url, id, position])?;
    }
    let mut signatures = transaction.prepare_cached(
        "INSERT OR IGNORE INTO signatures (kind, value, package, position) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, signature) in (0i64..).zip(&record.signatures) {
        signatures.execute(params![signature.kind, signature.value, id, position])?;
    }
    let mut trees = transaction
        .prepare_cached("INSERT OR IGNORE INTO package_trees (package, tree) VALUES (?1, ?2)")?;
    for tree in &record.trees {
        trees.execute(params![id, tree])?;
    }
    Ok(())
}

/// The member list of a package as it is stored; `None` if the package is not known.
pub(super) fn stored_members(
    transaction: &Transaction<'_>,
    id: i64,
) -> Result<Option<Vec<u8>>, Problem> {
    let list = transaction
        .prepare_cached("SELECT list FROM members WHERE package = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(list)
}

/// Passes the members of a package to `visit`, as [`super::HashDb::each_member`] says.
pub(super) fn each_member(
    transaction: &Transaction<'_>,
    id: i64,
    visit: &mut dyn FnMut(Member),
) -> Result<(), Problem> {
    // Every package has a list; without the join, a missing list would look like an empty one.
    let row: Option<Option<i64>> = transaction
        .prepare_cached(
            "SELECT package FROM packages LEFT JOIN members ON package = id WHERE id = ?1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    match row {
        None => Ok(()),
        Some(None) => Err(Problem::Damaged("a package has lost its members".to_owned())),
        Some(Some(row)) => {
            let list = transaction.blob_open("main", "members", "list", row, true)?;
            member_list::decode(list, visit).map_err(Problem::Damaged)
        }
    }
}

/// Removes a package and its keys. `false` if it was not known.
pub(super) fn forget(transaction: &Transaction<'_>, id: i64) -> Result<bool, Problem> {
    let own: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT sha256 FROM packages WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(own) = own else { return Ok(false) };
    let mut keys: Vec<[u8; PREFIX]> = own.first_chunk().copied().into_iter().collect();
    let mut add = |member: Member| {
        keys.extend(member.sha256.and_then(|sha256| prefix(&sha256).first_chunk().copied()));
    };
    match each_member(transaction, id, &mut add) {
        Ok(()) => {
            keys.sort_unstable();
            keys.dedup();
            let mut delete = transaction
                .prepare_cached("DELETE FROM files WHERE prefix = ?1 AND package = ?2")?;
            for key in keys {
                delete.execute(params![key, id])?;
            }
        }
        // The list is damaged. This query is slow, but such packages must be removable.
        Err(Problem::Damaged(_)) => {
            transaction.execute("DELETE FROM files WHERE package = ?1", [id])?;
        }
        Err(problem) => return Err(problem),
    }
    transaction.prepare_cached("DELETE FROM packages WHERE id = ?1")?.execute([id])?;
    Ok(true)
}

/// A count or size; SQLite stores them as signed integers.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A value that is stored as a word.
fn word<T: FromStr<Err = String>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get::<_, String>(column)?.parse().map_err(|problem: String| {
        let text = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(column, text, problem.into())
    })
}

/// The record in a row of [`RECORD`], without the columns of other tables.
pub(super) fn record_of(row: &Row<'_>) -> rusqlite::Result<(i64, PackageRecord)> {
    let evidence: Evidence = word(row, 8)?;
    let record = PackageRecord {
        url: row.get(1)?,
        also: Vec::new(),
        sha256: Digest::from_bytes(row.get(2)?),
        size: unsigned(row, 3)?,
        format: row.get(4)?,
        signatures: Vec::new(),
        project: row.get(5)?,
        expires: row.get(6)?,
        indexed_at: row.get(7)?,
        evidence,
        vouched: row.get(9)?,
        recursive: row.get(10)?,
        origin: word(row, 11)?,
        trees: Vec::new(),
        keeping: word(row, 12)?,
        passed_over: unsigned(row, 13)?,
        publisher: row.get(14)?,
    };
    Ok((row.get(0)?, record))
}

/// Adds the other URLs, the signatures and the trees to a record.
pub(super) fn complete(
    transaction: &Transaction<'_>,
    id: i64,
    mut record: PackageRecord,
) -> Result<PackageRecord, Problem> {
    let mut urls = transaction
        .prepare_cached("SELECT url FROM package_urls WHERE package = ?1 ORDER BY position")?;
    record.also = urls.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut signatures = transaction.prepare_cached(
        "SELECT kind, value FROM signatures WHERE package = ?1 ORDER BY position",
    )?;
    record.signatures = signatures
        .query_map([id], |row| Ok(Signature { kind: row.get(0)?, value: row.get(1)? }))?
        .collect::<rusqlite::Result<_>>()?;
    if record.origin == Origin::Tree {
        let mut trees = transaction
            .prepare_cached("SELECT tree FROM package_trees WHERE package = ?1 ORDER BY tree")?;
        record.trees = trees.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    }
    Ok(record)
}

/// The check in a row of `url, deep, checked_at, outcome, seen_at, tail, nanoseconds, published_at`.
pub(super) fn check_of(sha256: Digest, row: &Row<'_>) -> rusqlite::Result<Check> {
    let outcome = word(row, 3)?;
    let (url, deep, checked_at) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (seen_at, tail, nanoseconds) = (row.get(4)?, row.get(5)?, row.get(6)?);
    let published_at = row.get(7)?;
    Ok(Check { sha256, url, deep, checked_at, nanoseconds, outcome, seen_at, tail, published_at })
}
