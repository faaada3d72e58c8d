//! What an archive says, what it depends on, and whether that is still there.
//!
//! Invariant: an archive, its folder and its packages are only read. What is written goes to the output
//! that the caller passes in; answers of `verify` go to the HashDB.
//!
//! Each question about an archive has one entry point:
//!
//! | question | entry point |
//! |---|---|
//! | What does its manifest say? | [`read_manifest`], or [`read_folder_manifest`] for an unpacked archive |
//! | What is needed to restore it? | [`Requirements`] |
//! | Where does a path come from? | [`entry_origins`] |
//! | What is it made of? | [`survey()`] |
//! | Is what it holds whole? | [`verify_stored`] |
//! | Can it still be restored? | [`Verifier`] |
//! | What do many archives rely on, and for how long? | [`Audit`] |
//! | Which files cannot be had? | [`missing_files`] |
//! | What is in one file of a package? | [`PackageFiles`] |
//! | Which entries has its tree? | [`Listing`] |
//! | How does it differ from another tree? | [`differences()`] |
//! | What are its own entries? | [`read_archive`] |
//! | Where is its manifest, as it lies there? | [`head_of`] |
//! | How does a file system show it? | [`open_archive`]: an [`ArchiveTree`] and [`Contents`] |
//!
//! Restoring is built on this module: `package_plan` says what becomes of each member of a package, and
//! `stream` opens an archive.

pub(crate) mod assembly;
mod audit;
mod contents;
mod difference;
pub(crate) mod directory;
mod error;
mod head;
pub(crate) mod kept_contents;
mod listing;
mod manifest;
mod missing;
pub(crate) mod names;
mod opened;
mod origins;
mod other_packages;
mod package_bytes;
mod package_file;
mod package_members;
pub(crate) mod package_plan;
pub(crate) mod path_map;
pub(crate) mod placed;
mod reading;
mod relied_on;
mod remote;
mod requirements;
pub(crate) mod reusable;
mod selection;
mod shared_for_lost;
pub(crate) mod stream;
mod survey;
mod tree;
mod verify;

pub use audit::{
    Asked, Audit, Auditor, Cadence, Endangered, Figures, Judge, Outlook, Risk, SeriesFigures,
    ToAudit, within,
};
pub use contents::{Contents, ContentsAccess, ContentsError, Unreadable};
pub use difference::{Aspect, Change, Difference, differences};
pub use error::ArchiveError;
pub use head::{MOST_HEAD_BYTES, WithHead, head_of, is_head_damaged};
pub use listing::{Holder, Listed, ListedEntry, Listing, StoredEntries, Unnamed, read_for_listing};
pub use manifest::{manifest_path, read_folder_manifest, read_manifest};
pub(crate) use manifest::{parse_manifest, read_manifest_text};
pub use missing::{MissingFile, MissingFiles, missing_files};
pub use opened::{OpenError, open_archive};
pub use origins::{EntryOrigin, MembersOf, entry_origins, given_entries};
pub use other_packages::OtherPackages;
pub use package_bytes::PackageBytes;
pub use package_file::{PackageFileError, PackageFiles};
pub use package_members::{KnownMembers, KnowsMembers, MembersError, PackageMembers};
pub use reading::{ArchiveVisitor, StoredEntry, read_archive};
pub(crate) use relied_on::together_of;
pub use relied_on::{ReliedOn, Together, relied_on};
pub use remote::RemoteArchive;
pub use requirements::{RequiredPackage, Requirements, derived_amounts, host_of};
pub use selection::Selection;
pub use shared_for_lost::{Elsewhere, SharedForLost};
pub use survey::{Folder, Subtree, Survey, SurveyError, SurveyedFile, SurveyedPackage, survey};
pub use tree::{ArchiveTree, Node, NodeId};
pub use verify::{
    AtMost, PackageState, StoredContents, StoredVerified, Verified, VerifiedPackage, Verifier,
    VerifyError, VerifyOptions, verify_contents, verify_stored,
};
pub(crate) use verify::{Received, StoredThing};

/// A length as it is counted in summaries.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
