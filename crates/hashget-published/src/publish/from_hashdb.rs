//! Packages of this machine's HashDB.
//!
//! Invariant: only what was downloaded and read here is published, never the word of others; nothing of the machine itself, and no URL
//! for whose host a client of it has credentials.

use hashget::hashdb::{Check, Checks as _, HashDbError, LocalHashDb, PackageId};
use hashget::model::{Digest, Evidence, Origin, PackageRecord};
use hashget::places::Private;

use super::{Head, Packages};
use crate::error::PublishedError;
use crate::record::{PublishedRecord, is_publishable, seen};

/// The packages of a HashDB that may be published.
pub struct FromHashDb<'h> {
    hashdb: &'h LocalHashDb,
    packages: Vec<(PackageId, PackageRecord)>,
    passed_over: u64,
}

impl<'h> FromHashDb<'h> {
    /// Those of `hashdb` without URLs that are `private`; those whose URLs only files of trees named, too, if `of_trees`: such URLs
    /// may be nobody else's business.
    ///
    /// # Errors
    /// The HashDB failed.
    pub fn new(
        hashdb: &'h LocalHashDb,
        private: &Private,
        of_trees: bool,
    ) -> Result<Self, HashDbError> {
        let may_publish = |url: &str| is_publishable(url) && !private.has(url);
        let (mut packages, mut passed_over) = (Vec::new(), 0);
        for (id, record) in hashdb.list()? {
            let is_read_here = record.evidence == Evidence::Downloaded;
            let may_be_named = of_trees || record.origin > Origin::Tree;
            match is_read_here && may_be_named && record.urls().all(may_publish) {
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

impl Packages for FromHashDb<'_> {
    fn heads(&self) -> Result<Vec<Head>, PublishedError> {
        let digests: Vec<Digest> = self.packages.iter().map(|(_, record)| record.sha256).collect();
        let checks = self.hashdb.checks(&digests)?;
        let head = |(handle, ((_, record), checks)): (u64, (&(_, PackageRecord), Vec<Check>))| {
            let record = PublishedRecord::unread(record, seen(record, &checks));
            Head { record, is_read: false, handle }
        };
        Ok((0..).zip(self.packages.iter().zip(checks)).map(head).collect())
    }

    fn list(&self, handle: u64) -> Result<Vec<u8>, PublishedError> {
        let package = usize::try_from(handle).ok().and_then(|at| self.packages.get(at));
        let list = package.map(|(id, _)| self.hashdb.stored_members(*id)).transpose()?.flatten();
        list.ok_or_else(|| HashDbError::Replaced.into())
    }
}
