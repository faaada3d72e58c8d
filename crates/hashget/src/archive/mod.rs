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
//! | Can it still be restored? | [`Verifier`] |
//! | What is in one file of a package? | [`PackageFiles`] |
//!
//! Restoring is built on this module: `package_plan` says what becomes of each member of a package, and
//! `stream` opens an archive.

pub(crate) mod directory;
mod error;
mod manifest;
mod origins;
mod package_file;
pub(crate) mod package_plan;
mod requirements;
pub(crate) mod stream;
mod survey;
mod verify;

pub use error::ArchiveError;
pub(crate) use manifest::parse_manifest;
pub use manifest::{manifest_path, read_folder_manifest, read_manifest};
pub use origins::{EntryOrigin, MembersOf, entry_origins, given_entries};
pub use package_file::{PackageFileError, PackageFiles};
pub use requirements::{RequiredPackage, Requirements, host_of};
pub use survey::{Folder, Subtree, Survey, SurveyError, SurveyedFile, SurveyedPackage, survey};
pub use verify::{
    AtMost, PackageState, Verified, VerifiedPackage, Verifier, VerifyError, VerifyOptions,
};

/// A length as it is counted in summaries.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
