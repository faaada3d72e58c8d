//! The HashDB: which packages are known, what is in them, and which of them hold a given file.
//!
//! Invariant: the HashDB is knowledge that can be rebuilt by indexing again; no archive needs it. A
//! package is in it whole (record, members and look-up keys) or not at all.

mod check;
mod exchange;
mod local;
mod member_list;
mod rows;
mod schema;

pub use check::{Check, CheckOutcome};
pub use exchange::{ExchangeError, ExportReader, ExportedPackage, HashPackage, export};
pub use local::LocalHashDb;

use crate::error::ErrorClass;
use crate::model::{Digest, Evidence, Member, PackageRecord, Signature};

/// Names a package within one HashDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(pub i64);

/// What a HashDB can do. Every implementation passes the same conformance suite.
///
/// Calls may block on the disk or the network. They may come from several threads at once.
pub trait HashDb: Send + Sync {
    /// Records a package and its members, replacing what was known of the same URL (unless that was known
    /// at stronger evidence: then nothing changes). Durable and visible to other processes when it
    /// returns; atomic if the process dies.
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError>;

    /// For each digest, in order, the packages that hold a regular file with it, or that themselves
    /// have it (as a whole), ascending. Fastest when `digests` is sorted.
    ///
    /// It may name a package that does not hold the digest (look-up keys can be shorter than a
    /// digest, and such collisions can be made on purpose), but never misses one that does: whoever
    /// relies on an answer compares whole digests with those of [`Self::members`].
    fn packages_with(&self, digests: &[Digest]) -> Result<Vec<Vec<PackageId>>, HashDbError>;

    /// The record of a package, or `None` if it is not (or no longer) known.
    fn package(&self, id: PackageId) -> Result<Option<PackageRecord>, HashDbError>;

    /// Gives the members of a package to `visit`, in the package's own order; none when the package is
    /// not known. A package may have millions: not all of them need be in memory at once. When it ends
    /// with an error, nothing that was given counts.
    fn each_member(&self, id: PackageId, visit: &mut dyn FnMut(Member)) -> Result<(), HashDbError>;

    /// The members of a package, as [`Self::each_member`] gives them, all at once.
    fn members(&self, id: PackageId) -> Result<Vec<Member>, HashDbError> {
        let mut members = Vec::new();
        self.each_member(id, &mut |member| members.push(member))?;
        Ok(members)
    }

    /// The package with this URL, as its own or as one of its other URLs.
    fn by_url(&self, url: &str) -> Result<Option<PackageId>, HashDbError>;

    /// The packages whose bytes have this digest.
    fn by_sha256(&self, sha256: &Digest) -> Result<Vec<PackageId>, HashDbError>;

    /// The packages with this signature.
    fn by_signature(&self, signature: &Signature) -> Result<Vec<PackageId>, HashDbError>;

    /// Every package with its record, by URL.
    fn list(&self) -> Result<Vec<(PackageId, PackageRecord)>, HashDbError>;

    /// Forgets a package. `false` when it was not known.
    fn remove(&self, id: PackageId) -> Result<bool, HashDbError>;

    /// Keeps the answer of a place to the question for a package, which need not be known. Replaces an
    /// older one of the same digest, URL and depth.
    fn put_check(&self, check: &Check) -> Result<(), HashDbError>;

    /// The answers for a package, by URL, the shallow before the deep one.
    fn checks(&self, sha256: &Digest) -> Result<Vec<Check>, HashDbError>;

    /// How much is known.
    fn status(&self) -> Result<Status, HashDbError>;
}

/// All members of the package with this digest, if a HashDB knows them all: of weak evidence there are only
/// some.
///
/// # Errors
/// The HashDB failed.
pub fn complete_members(
    hashdb: &dyn HashDb,
    sha256: &Digest,
) -> Result<Option<Vec<Member>>, HashDbError> {
    for id in hashdb.by_sha256(sha256)? {
        if hashdb.package(id)?.is_some_and(|record| record.evidence >= Evidence::Signed) {
            return Ok(Some(hashdb.members(id)?));
        }
    }
    Ok(None)
}

/// How much a HashDB knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it is: a path or URL.
    pub location: String,
    /// Version of its schema.
    pub schema: u32,
    /// Packages known.
    pub packages: u64,
    /// Different digests of files known.
    pub digests: u64,
    /// Bytes of all packages together: what downloading them all would take.
    pub package_bytes: u64,
    /// Bytes it takes on disk.
    pub disk_bytes: u64,
}

/// What can go wrong with a HashDB.
#[derive(Debug, thiserror::Error)]
pub enum HashDbError {
    /// It is not a HashDB, or it is damaged.
    #[error(
        "{location} is not a whole HashDB: {problem}; what it knew comes back by indexing again \
         into another --db"
    )]
    Damaged {
        /// The file.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer hashget wrote it.
    #[error("{location} has schema version {found}; this hashget knows versions up to {known}")]
    TooNew {
        /// The file.
        location: String,
        /// Its schema version.
        found: u32,
        /// The newest version we know.
        known: u32,
    },
    /// The database, the disk or the network failed.
    #[error("HashDB {location}: {problem}")]
    Failed {
        /// The file or URL.
        location: String,
        /// What failed.
        problem: String,
    },
}

impl HashDbError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::HashDbDamaged,
            Self::TooNew { .. } => ErrorClass::HashDbTooNew,
            Self::Failed { .. } => ErrorClass::HashDbFailed,
        }
    }

    /// The file or URL of the HashDB.
    pub fn location(&self) -> &str {
        match self {
            Self::Damaged { location, .. }
            | Self::TooNew { location, .. }
            | Self::Failed { location, .. } => location,
        }
    }
}
