//! Looking up packages by keys, within one transaction on the local HashDB.
//!
//! Invariant: each kind of key has one prepared statement, which returns each package once.

use rusqlite::{CachedStatement, Params, Transaction};

use super::rows::prefix;
use super::{Key, PackageId};

/// The prepared statements for look-ups.
pub(super) struct Finder<'t> {
    content: CachedStatement<'t>,
    package: CachedStatement<'t>,
    own_url: CachedStatement<'t>,
    other_url: CachedStatement<'t>,
    signature: CachedStatement<'t>,
}

impl<'t> Finder<'t> {
    pub(super) fn new(transaction: &'t Transaction<'_>) -> rusqlite::Result<Self> {
        let prepared = |query| transaction.prepare_cached(query);
        Ok(Self {
            content: prepared("SELECT package FROM files WHERE prefix = ?1 ORDER BY package")?,
            package: prepared("SELECT id FROM packages WHERE sha256 = ?1 ORDER BY id")?,
            own_url: prepared("SELECT id FROM packages WHERE url = ?1")?,
            other_url: prepared(
                "SELECT package FROM package_urls WHERE url = ?1 ORDER BY package",
            )?,
            signature: prepared(
                "SELECT package FROM signatures WHERE kind = ?1 AND value = ?2 ORDER BY package",
            )?,
        })
    }

    /// The packages that a key finds, as [`Key`] says.
    pub(super) fn find(&mut self, key: &Key<'_>) -> rusqlite::Result<Vec<PackageId>> {
        match key {
            Key::Content(digest) => ids(&mut self.content, [prefix(digest)]),
            Key::Package(digest) => ids(&mut self.package, [digest.as_bytes()]),
            Key::Url(url) => {
                let mut found = ids(&mut self.own_url, [url])?;
                let others = ids(&mut self.other_url, [url])?;
                let own = found.first().copied();
                found.extend(others.into_iter().filter(|id| own != Some(*id)));
                Ok(found)
            }
            Key::Signature(signature) => {
                ids(&mut self.signature, [&signature.kind, &signature.value])
            }
        }
    }
}

fn ids(statement: &mut CachedStatement<'_>, key: impl Params) -> rusqlite::Result<Vec<PackageId>> {
    let mut rows = statement.query(key)?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(PackageId::from_raw(row.get(0)?));
    }
    Ok(ids)
}
