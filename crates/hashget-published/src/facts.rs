//! Facts: everything that is published of one package, in one line, made by whoever reads the package and kept by nobody else.
//!
//! Invariant: a package has the facts that a HashDB would publish of it. Nothing is written to this machine.

use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hashget::hashdb::{
    Check, Checks, HashDb, HashDbError, HashDbWriter, Key, NoHashDb, PackageId, member_list,
};
use hashget::model::{Digest, Member, PackageRecord};
use serde::Serialize;

use crate::record::{PublishedRecord, seen};

/// What is published of a package, and what this is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The record as it is published.
    #[serde(flatten)]
    pub record: PublishedRecord,
    /// The digest of the statement of what is in the package.
    pub statement: Digest,
    /// The member list, as it is stored, in base64.
    pub member_list: String,
    /// The regular files in it.
    pub files: Vec<FileFacts>,
}

/// A regular file in a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Its path, for people: bytes that are not UTF-8 are escaped.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// Their digest.
    pub sha256: Digest,
}

impl Facts {
    fn of(record: &PackageRecord, checks: &[Check], members: &[Member]) -> Result<Self, String> {
        let mut published = PublishedRecord::unread(record, seen(record, checks));
        (published.members, published.list) = (members.len() as u64, member_list::digest(members));
        let file = |member: &Member| {
            let (path, size) = (member.path.to_string(), member.size());
            Some(FileFacts { path, size, sha256: member.sha256? })
        };
        Ok(Self {
            statement: published.statement().digest(),
            member_list: BASE64_STANDARD.encode(member_list::encode(members)?),
            files: members.iter().filter_map(file).collect(),
            record: published,
        })
    }
}

/// A HashDB that knows nothing, and keeps the facts of the package that was put into it last.
#[derive(Debug, Default)]
pub struct FactsOfOne(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    checks: Vec<Check>,
    facts: Option<Facts>,
}

impl FactsOfOne {
    /// The facts of the package that was put last.
    pub fn into_facts(self) -> Option<Facts> {
        self.0.into_inner().expect("keeping does not panic").facts
    }
}

impl HashDb for FactsOfOne {
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError> {
        NoHashDb.find(keys)
    }

    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError> {
        NoHashDb.records(packages)
    }

    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError> {
        NoHashDb.each_member(package, visit)
    }
}

impl Checks for FactsOfOne {
    fn put_check(&self, check: &Check) -> Result<(), HashDbError> {
        self.0.lock().expect("keeping does not panic").checks.push(check.clone());
        Ok(())
    }

    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError> {
        NoHashDb.checks(packages)
    }
}

impl HashDbWriter for FactsOfOne {
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError> {
        let mut kept = self.0.lock().expect("keeping does not panic");
        let facts = Facts::of(record, &kept.checks, members)
            .map_err(|problem| HashDbError::Failed { location: record.url.clone(), problem })?;
        kept.facts = Some(facts);
        Ok(PackageId::from_raw(0))
    }

    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError> {
        NoHashDb.amend(package, change)
    }

    fn remove(&self, package: PackageId) -> Result<bool, HashDbError> {
        NoHashDb.remove(package)
    }
}
