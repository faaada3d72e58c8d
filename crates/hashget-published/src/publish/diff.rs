//! What two editions say differently.
//!
//! Invariant: pure, but for reading. A contradiction is two statements of one package, by the same rules, one of which must be
//! wrong.

use std::collections::HashMap;

use hashget::model::Digest;

use super::{Head, Packages};
use crate::error::PublishedError;
use crate::record::PublishedRecord;

/// How two editions differ, in the order of the packages' digests.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// Packages that only the first one has.
    pub only_first: Vec<PublishedRecord>,
    /// Packages that only the second one has.
    pub only_second: Vec<PublishedRecord>,
    /// Packages of which both have the same list, but other names, URLs or claims.
    pub other_records: Vec<(PublishedRecord, PublishedRecord)>,
    /// Packages of which they say that other things are in them.
    pub contradictions: Vec<(PublishedRecord, PublishedRecord)>,
}

/// Compares what two editions say.
///
/// # Errors
/// See [`PublishedError`].
pub fn diff(first: &dyn Packages, second: &dyn Packages) -> Result<Difference, PublishedError> {
    let by_digest = |heads: Vec<Head>| -> HashMap<Digest, PublishedRecord> {
        heads.into_iter().map(|head| (head.record.sha256, head.record)).collect()
    };
    let (first, mut second) = (by_digest(first.heads()?), by_digest(second.heads()?));
    let mut difference = Difference::default();
    for (digest, one) in first {
        let Some(other) = second.remove(&digest) else {
            difference.only_first.push(one);
            continue;
        };
        let (said, said_there) = (one.statement(), other.statement());
        if said.is_comparable(&said_there) && said != said_there {
            difference.contradictions.push((one, other));
        } else if one != other {
            difference.other_records.push((one, other));
        }
    }
    difference.only_second = second.into_values().collect();
    difference.only_first.sort_by_key(|one| one.sha256);
    difference.only_second.sort_by_key(|one| one.sha256);
    difference.other_records.sort_by_key(|(one, _)| one.sha256);
    difference.contradictions.sort_by_key(|(one, _)| one.sha256);
    Ok(difference)
}
