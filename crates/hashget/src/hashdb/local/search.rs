//! Looking for packages by parts of their names, and for what is new.
//!
//! Invariant: every answer is bounded, whatever is asked.

use rusqlite::{Connection, params};

use super::LocalHashDb;
use crate::hashdb::rows::prefix;
use crate::hashdb::{HashDbError, PackageId};
use crate::model::Digest;

/// A package that holds a file, or is it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub id: PackageId,
    /// The digest of its bytes.
    pub sha256: Digest,
}

impl LocalHashDb {
    /// The first `most` packages whose URL, or whose name in an ecosystem, contains the text, newest first. Upper and lower case
    /// of ASCII are the same. Reads all names: about 0.1 s for each million.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn search(&self, text: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        if text.contains('\0') {
            // SQLite would take it for the end of the pattern.
            return Ok(Vec::new());
        }
        let pattern = format!("%{}%", escaped_for_like(text));
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM packages WHERE url LIKE ?1 ESCAPE '\\' OR id IN \
                 (SELECT package FROM signatures WHERE value LIKE ?1 ESCAPE '\\') ORDER BY id DESC LIMIT ?2",
            )?;
            let ids = statement.query_map(params![pattern, most], id_of)?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// The `most` packages that were recorded last, the newest one first.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn newest(&self, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id FROM packages ORDER BY id DESC LIMIT ?1")?;
            let ids = statement.query_map([most], id_of)?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// For each digest, in order, the first `most` packages that [`Key::Content`](crate::hashdb::Key::Content) finds. Fastest if
    /// digests ascend.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn holders(&self, digests: &[Digest], most: u32) -> Result<Vec<Vec<Holder>>, HashDbError> {
        let query = "SELECT p.id, p.sha256 FROM files f JOIN packages p ON p.id = f.package \
                     WHERE f.prefix = ?1 ORDER BY f.package LIMIT ?2";
        self.with(|connection| {
            // One transaction avoids locking for each digest.
            let transaction = connection.transaction()?;
            let mut statement = transaction.prepare_cached(query)?;
            let mut all = Vec::with_capacity(digests.len());
            for digest in digests {
                let found = statement.query_map(params![prefix(digest), most], holder_of)?;
                all.push(found.collect::<rusqlite::Result<_>>()?);
            }
            Ok(all)
        })
    }

    /// The first `most` of the packages that [`Key::Content`](crate::hashdb::Key::Content) finds whose URL somebody vouches for.
    ///
    /// # Errors
    /// See [`HashDbError`].
    pub fn vouched_holders(
        &self,
        digest: &Digest,
        most: u32,
    ) -> Result<Vec<PackageId>, HashDbError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT p.id FROM files f JOIN packages p ON p.id = f.package \
                 WHERE f.prefix = ?1 AND p.vouched ORDER BY f.package LIMIT ?2",
            )?;
            let ids = statement.query_map(params![prefix(digest), most], id_of)?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// The first `most` packages with a signature of this kind whose value begins so, by value.
pub(super) fn named(
    connection: &Connection,
    kind: &str,
    beginning: &str,
    most: u32,
) -> rusqlite::Result<Vec<PackageId>> {
    // No text that begins so is greater.
    let last = format!("{beginning}\u{10FFFF}");
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT package FROM signatures WHERE kind = ?1 AND value BETWEEN ?2 AND ?3 \
         ORDER BY value, package LIMIT ?4",
    )?;
    statement.query_map(params![kind, beginning, last, most], id_of)?.collect()
}

fn id_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<PackageId> {
    row.get(0).map(PackageId::from_raw)
}

fn holder_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Holder> {
    Ok(Holder { id: id_of(row)?, sha256: Digest::from_bytes(row.get(1)?) })
}

/// The text with the characters that mean something to LIKE escaped.
fn escaped_for_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
