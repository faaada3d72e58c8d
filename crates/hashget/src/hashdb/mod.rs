//! The HashDB: which packages are known, what is in them, and which of them hold a given file.
//!
//! Invariant: a HashDB can be rebuilt by indexing again; no archive needs it. It contains a package completely (record,
//! members and look-up keys) or not at all.

mod blocks;
mod check;
mod cut_key;
mod export;
mod finder;
mod joined;
mod local;
pub mod member_list;
mod nothing;
mod open;
mod rows;
mod schema;
mod shared;
mod sqlite_file;

pub use blocks::{BLOCK_BYTES, BlockStore, BlockWriter, MemberBlocks, block_checksum};
pub use check::{Check, CheckOutcome, now};
pub use cut_key::CutKey;
pub use export::{ExportError, ExportReader, ExportedPackage, HashPackage, export, is_public_url};
pub use joined::JoinedHashDb;
pub use local::{Holder, KeysInMemory, LocalHashDb, Status};
pub use nothing::NoHashDb;
pub use shared::{AskHashes, LARGE, SharedHashDb};
pub use sqlite_file::{Identity, identity, set_durable};

use crate::error::ErrorClass;
use crate::model::{Digest, Evidence, Member, PackageRecord, Signature};

/// Identifies a package within one HashDB. It has no meaning in another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(i64);

impl PackageId {
    /// For implementations of [`HashDb`]: the id with this number of theirs.
    pub fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    /// For implementations of [`HashDb`]: the number of the id.
    pub fn to_raw(self) -> i64 {
        self.0
    }
}

/// What packages are looked up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'k> {
    /// The packages that hold a regular file with this digest, or that themselves have it.
    ///
    /// The answer may name a package that does neither (a HashDB may keep less than the whole digest, and such
    /// collisions can be made on purpose), but it never misses one that does: whoever relies on an answer compares
    /// whole digests with those of [`HashDb::members`].
    Content(Digest),
    /// The packages whose own bytes have this digest.
    Package(Digest),
    /// The package with this URL, then those that have it as one of their other URLs.
    Url(&'k str),
    /// The packages with this signature.
    Signature(&'k Signature),
}

/// Looks packages up. Every implementation passes the same conformance suite.
/// Calls may block on the disk or the network, and each may take a round trip, so ask many questions in one
/// call. Several threads may call at once.
pub trait HashDb: Send + Sync {
    /// For each key, in order, the packages that it finds, in ascending order unless the key says otherwise.
    /// Fastest if keys of one kind are adjacent and digests ascend.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn find(&self, keys: &[Key<'_>]) -> Result<Vec<Vec<PackageId>>, HashDbError>;

    /// For each package, in order, its record, or `None` if it is not (or no longer) known.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn records(&self, packages: &[PackageId]) -> Result<Vec<Option<PackageRecord>>, HashDbError>;

    /// Passes the members of a package to `visit`, in the package's own order; none if the package is not known. A
    /// package may have millions: they need not all be in memory at once. After an error, discard all members that
    /// were passed.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn each_member(
        &self,
        package: PackageId,
        visit: &mut dyn FnMut(Member),
    ) -> Result<(), HashDbError>;

    /// Announces that the members of these packages will be read, so that a HashDB on the network can get them in a
    /// few round trips. Does nothing if they are on this machine.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn prefetch_members(&self, packages: &[PackageId]) -> Result<(), HashDbError> {
        let _ = packages;
        Ok(())
    }

    /// The members of a package, as [`Self::each_member`] gives them, all at once.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn members(&self, package: PackageId) -> Result<Vec<Member>, HashDbError> {
        let mut members = Vec::new();
        self.each_member(package, &mut |member| members.push(member))?;
        Ok(members)
    }

    /// The first `most` packages with a signature of this kind whose value begins so, by value. None where nobody can look so.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn named(&self, kind: &str, beginning: &str, most: u32) -> Result<Vec<PackageId>, HashDbError> {
        let _ = (kind, beginning, most);
        Ok(Vec::new())
    }

    /// What a single key finds. For many keys, use [`Self::find`].
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn find_one(&self, key: Key<'_>) -> Result<Vec<PackageId>, HashDbError> {
        Ok(self.find(&[key])?.pop().unwrap_or_default())
    }

    /// The record of a single package. For many packages, use [`Self::records`].
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn record(&self, package: PackageId) -> Result<Option<PackageRecord>, HashDbError> {
        Ok(self.records(&[package])?.pop().flatten())
    }
}

/// A HashDB to which packages can be added. Every implementation passes the same conformance suite.
pub trait HashDbWriter: HashDb + Checks {
    /// Whether packages can be added at all. If not, because the disk is read-only or the file another user's, every
    /// change fails, and everything else works.
    fn is_writable(&self) -> bool {
        true
    }

    /// Where the blocks of packages are kept, if they are: whoever reads a package to record it adds them.
    fn blocks(&self) -> Option<&BlockStore> {
        None
    }

    /// Records a package and its members, replacing a package with the same URL (unless that has stronger evidence, or
    /// other bytes and a better [origin](PackageRecord::origin): then nothing changes). Durable and visible to other processes when it returns; atomic if the process dies.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn put(&self, record: &PackageRecord, members: &[Member]) -> Result<PackageId, HashDbError>;

    /// Changes what is not read from the package itself: its other URLs, signatures, project, expiry day, who named or vouches
    /// for its URL, and how long it is kept. `change` gets
    /// the record as it is at that moment, so that nothing is lost that somebody else has just added; what it does to
    /// other fields is ignored. It may be called more than once, and must not use the HashDB. Returns the record as it is
    /// afterwards, or `None` if the package is not (or no longer) known: then nothing is written. The package keeps its id
    /// and its members. As durable, visible and atomic as [`Self::put`].
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn amend(
        &self,
        package: PackageId,
        change: &dyn Fn(&mut PackageRecord),
    ) -> Result<Option<PackageRecord>, HashDbError>;

    /// Removes a package. `false` if it was not known.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn remove(&self, package: PackageId) -> Result<bool, HashDbError>;
}

/// Keeps the results of checking URLs for packages. Every implementation passes the same conformance suite.
pub trait Checks: Send + Sync {
    /// Keeps the result of a check. The package need not be known. Replaces an older result of the same digest, URL
    /// and depth, unless that is [`CheckOutcome::Moves`], which stays, or this one is [`CheckOutcome::Unreachable`], which says nothing of what was
    /// answered before. The times at which the package was last there, and at which it was published, stay, too.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn put_check(&self, check: &Check) -> Result<(), HashDbError>;

    /// For each package, in order, its results: by URL, the shallow one before the deep one.
    ///
    /// # Errors
    /// See [`HashDbError`].
    fn checks(&self, packages: &[Digest]) -> Result<Vec<Vec<Check>>, HashDbError>;
}

/// For each digest, in order, a package with that digest of which all members are known, if only by a publisher's word: with
/// weaker evidence only some are.
///
/// # Errors
/// The HashDB failed.
pub fn complete_packages(
    hashdb: &dyn HashDb,
    packages: &[Digest],
) -> Result<Vec<Option<PackageId>>, HashDbError> {
    complete_packages_by(hashdb, packages, Evidence::Signed)
}

/// The same, known by `least` or better.
///
/// # Errors
/// The HashDB failed.
pub fn complete_packages_by(
    hashdb: &dyn HashDb,
    packages: &[Digest],
    least: Evidence,
) -> Result<Vec<Option<PackageId>>, HashDbError> {
    let keys: Vec<Key<'_>> = packages.iter().map(|sha256| Key::Package(*sha256)).collect();
    let found = hashdb.find(&keys)?;
    let mut records = hashdb.records(&found.concat())?.into_iter();
    let first_complete = |ids: Vec<PackageId>| {
        let mut complete = None;
        // Continues after the first complete one, to keep the records in step.
        for (id, record) in ids.into_iter().zip(records.by_ref()) {
            let is_complete = record.is_some_and(|record| record.evidence >= least);
            complete = complete.or_else(|| is_complete.then_some(id));
        }
        complete
    };
    Ok(found.into_iter().map(first_complete).collect())
}

/// All members of the package with this digest, if a HashDB knows them all, if only by a publisher's word.
///
/// # Errors
/// The HashDB failed.
pub fn complete_members(
    hashdb: &dyn HashDb,
    sha256: &Digest,
) -> Result<Option<Vec<Member>>, HashDbError> {
    complete_members_by(hashdb, sha256, Evidence::Signed)
}

/// The same, known by `least` or better.
///
/// # Errors
/// The HashDB failed.
pub fn complete_members_by(
    hashdb: &dyn HashDb,
    sha256: &Digest,
    least: Evidence,
) -> Result<Option<Vec<Member>>, HashDbError> {
    let Some(id) = complete_packages_by(hashdb, &[*sha256], least)?.pop().flatten() else {
        return Ok(None);
    };
    Ok(whole(hashdb, id)?.map(|(_, members)| members))
}

/// The record and the members of a package; `None` if it is not, or no longer, known. Members that are read alone seem to
/// be none if another process has just replaced the package.
///
/// # Errors
/// The HashDB failed.
pub fn whole(
    hashdb: &dyn HashDb,
    package: PackageId,
) -> Result<Option<(PackageRecord, Vec<Member>)>, HashDbError> {
    let members = hashdb.members(package)?;
    // An id is never used twice: if the package is still there, it was there before.
    Ok(hashdb.record(package)?.map(|record| (record, members)))
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
        /// The newest version that this program knows.
        known: u32,
    },
    /// A package was replaced by another process while its members were read.
    #[error("a package was replaced in the HashDB while it was read; run the command again")]
    Replaced,
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
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::HashDbDamaged,
            Self::TooNew { .. } => ErrorClass::HashDbTooNew,
            Self::Replaced => ErrorClass::Busy,
            Self::Failed { .. } => ErrorClass::HashDbFailed,
        }
    }

    /// The file or URL of the HashDB.
    pub fn location(&self) -> &str {
        match self {
            Self::Damaged { location, .. }
            | Self::TooNew { location, .. }
            | Self::Failed { location, .. } => location,
            Self::Replaced => "the HashDB",
        }
    }
}
