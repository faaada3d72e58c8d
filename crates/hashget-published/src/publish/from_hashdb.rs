//! Packages of this machine's HashDB.
//!
//! Invariant: only what was downloaded and read here is published, from URLs that are public; never the word of others, and nothing
//! of the machine itself.

use hashget::hashdb::{Checks as _, HashDbError, LocalHashDb, PackageId};
use hashget::model::{Evidence, Origin, PackageRecord};

use super::{Head, Packages};
use crate::error::PublishedError;
use crate::record::{PublishedRecord, seen};

/// The packages of a HashDB that may be published.
pub struct FromHashDb<'h> {
    hashdb: &'h LocalHashDb,
    packages: Vec<(PackageId, PackageRecord)>,
    passed_over: u64,
}

impl<'h> FromHashDb<'h> {
    /// Those of `hashdb`; those whose URLs only files of trees named, too, if `of_trees`: such URLs may be nobody else's business.
    ///
    /// # Errors
    /// The HashDB failed.
    pub fn new(hashdb: &'h LocalHashDb, of_trees: bool) -> Result<Self, HashDbError> {
        let (mut packages, mut passed_over) = (Vec::new(), 0);
        for (id, record) in hashdb.list()? {
            let is_read_here = record.evidence == Evidence::Downloaded;
            let may_be_named = of_trees || record.origin > Origin::Tree;
            match is_read_here && may_be_named && record.urls().all(is_public) {
                true => packages.push((id, record)),
                false => passed_over += 1,
            }
        }
        Ok(Self { hashdb, packages, passed_over })
    }

    /// Number of packages that are not published.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

/// A URL of the whole world: no name or password in it, and a scheme of the web.
fn is_public(url: &str) -> bool {
    let web = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    web.is_some_and(|rest| !rest.split('/').next().unwrap_or_default().contains('@'))
}

impl Packages for FromHashDb<'_> {
    fn heads(&self) -> Result<Vec<Head>, PublishedError> {
        let mut heads = Vec::with_capacity(self.packages.len());
        for (handle, (_, record)) in (0..).zip(&self.packages) {
            let checks = self.hashdb.checks(&[record.sha256])?.pop().unwrap_or_default();
            let record = PublishedRecord::unread(record, seen(record, &checks));
            heads.push(Head { record, is_read: false, handle });
        }
        Ok(heads)
    }

    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError> {
        let package = usize::try_from(handle).ok().and_then(|at| self.packages.get(at));
        let list = package.map(|(id, _)| self.hashdb.stored_members(*id)).transpose()?.flatten();
        list.ok_or_else(|| HashDbError::Replaced.into())
    }
}
