//! Last step: record the package in the HashDB.
//!
//! Invariant: only packages whose members have all been read are recorded here.

use std::time::{SystemTime, UNIX_EPOCH};

use super::fetch::Package;
use super::read::Contents;
use super::{IndexError, Indexed, Request};
use crate::hashdb::{HashDbWriter, Key, PackageId};
use crate::model::{Evidence, PackageRecord};

/// Records `package` with its contents.
pub(super) fn record(
    hashdb: &dyn HashDbWriter,
    request: &Request,
    package: &Package,
    contents: Contents,
) -> Result<Indexed, IndexError> {
    let record = PackageRecord {
        url: request.url.clone(),
        also: request.also.clone(),
        sha256: package.sha256,
        size: package.size,
        format: contents.format.to_owned(),
        signatures: request.signatures.clone(),
        project: request.project.clone(),
        expires: request.expires.clone(),
        indexed_at: now(),
        evidence: Evidence::Downloaded,
        vouched: package.vouched,
        recursive: request.recursive,
    };
    let id = hashdb.put(&record, &contents.members)?;
    forget_weaker(hashdb, id, &record)?;
    Ok(Indexed::New { id, record: Box::new(record), members: contents.members.len() })
}

/// Removes records of the same package under other URLs that have weaker evidence, with only some of its
/// members.
fn forget_weaker(
    hashdb: &dyn HashDbWriter,
    id: PackageId,
    record: &PackageRecord,
) -> Result<(), IndexError> {
    let mut others = hashdb.find_one(Key::Package(record.sha256))?;
    others.retain(|other| *other != id);
    let records = hashdb.records(&others)?;
    for (id, other) in others.into_iter().zip(records) {
        if other.is_some_and(|other| other.evidence < Evidence::Signed.min(record.evidence)) {
            hashdb.remove(id)?;
        }
    }
    Ok(())
}

/// Seconds since 1970 UTC; 0 if the clock is set to an earlier date.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
