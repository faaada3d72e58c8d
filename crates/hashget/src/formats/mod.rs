//! Package readers: one file a format, behind one trait, recognised by content and never by name.
//!
//! Invariant: a reader sees bytes and [`Limits`] only — no network, no path to write to, no database —
//! and gives each member to the visitor in the package's own order, contents at most once.

mod apk;
mod conda;
mod content;
mod deb;
mod gem;
mod package;
mod rpm;
mod seven_zip;
pub mod tar;
mod zip;

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;

pub use deb::{control_end, control_members};
pub use package::read_package;
pub(crate) use rpm::{FileDigest, PackageHeader, RpmIdentity};
pub use zip::read_zip_members;

use crate::error::ErrorClass;
use crate::limits::Limits;
use crate::model::{Member, RelPath};
use crate::monitor::Interrupted;

/// All formats, in the order in which they are tried: a gem and an apk are tars too, and a package of
/// conda is a zip.
pub const FORMATS: &[&dyn Format] = &[
    &deb::Deb,
    &rpm::Rpm,
    &seven_zip::SevenZip,
    &apk::Apk,
    &gem::Gem,
    &tar::Tar,
    &conda::Conda,
    &zip::Zip,
];

/// The name of the format of a package that is no archive: the file itself is the package.
pub const FILE: &str = "file";

/// What stands between a package's path and the path of a member in it, for packages within packages.
pub const PATH_SEPARATOR: &str = "!/";

/// The format of a package that begins with `head` (up to [`HEAD_BYTES`], fewer if it is shorter).
/// `None`: the file itself is the package.
pub fn recognise(head: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.recognises(head))
}

/// The bytes of a package.
pub enum Input<'a> {
    /// A regular file, read from its start whatever its cursor; a format that needs to seek does so.
    File(&'a File),
    /// The same, and how far it was read is kept there.
    Watched(&'a File, &'a AtomicU64),
    /// Bytes that come once, such as a member of another package.
    Stream(&'a mut dyn Read),
}

/// Takes the members of a package, one after the other.
pub trait Visitor {
    /// `member` is next; for a regular file `content` gives its bytes (holes as zeros), for anything
    /// else it is empty. What is left unread of it is skipped by the reader.
    ///
    /// # Errors
    /// Any error stops the reading and comes out of [`Format::read`] as [`FormatError::Visitor`].
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError>;

    /// There is a member that cannot be one of ours: its name leads out of the package, it is
    /// encrypted, ... It is not visited. `raw` is its name as stored, after the path of the package
    /// that it is in; `reason` is safe for a terminal.
    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        let _ = (raw, reason);
    }

    /// The member at `path` is a package whose members could not all be read; those that could have
    /// been visited, and so was the member itself.
    fn nested_problem(&mut self, path: &RelPath, error: &FormatError) {
        let _ = (path, error);
    }
}

/// Why a visitor stopped the reading.
pub type VisitorError = Box<dyn std::error::Error + Send + Sync>;

/// A package format.
pub trait Format: Sync {
    /// Its name in the HashDB and in manifests: `deb`, `tar`, `zip`, ...
    fn name(&self) -> &'static str;

    /// Do these first bytes (up to [`HEAD_BYTES`] of the package, fewer if it is shorter) begin a
    /// package of this format? Compressed tars are recognised by looking inside the compression.
    fn recognises(&self, head: &[u8]) -> bool;

    /// Does [`Format::read`] visit, besides the member at `path`, also what is in it? Then it is not
    /// read as a package within the package once more.
    fn opens(&self, path: &RelPath) -> bool {
        let _ = path;
        false
    }

    /// Reads all members in order. Folders and other members come with normalised paths; the top folder
    /// (`./`) is no member.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong with the package; members visited before stay visited.
    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError>;
}

/// How many first bytes of a package [`Format::recognises`] is shown.
///
/// A bzip2 block comes out whole or not at all, and has up to 900,000 bytes.
pub const HEAD_BYTES: usize = 1 << 20;

/// What is wrong with a package.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes break the format's rules or end too early.
    #[error("damaged {format}: {problem}")]
    Damaged {
        /// The format's name.
        format: &'static str,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A limit was exceeded: hostile, or larger than the user allows.
    #[error("{what} is more than the limit of {limit}")]
    Limit {
        /// What is too much.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The format has variants that we do not read.
    #[error("unsupported {format}: {problem}")]
    Unsupported {
        /// The format's name.
        format: &'static str,
        /// The variant.
        problem: String,
    },
    /// The package's bytes could not be read.
    #[error("cannot read the package")]
    Io(#[source] io::Error),
    /// The visitor stopped.
    #[error(transparent)]
    Visitor(VisitorError),
}

impl FormatError {
    /// What it means to whoever has to react to it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::DamagedPackage,
            Self::Limit { .. } => ErrorClass::LimitExceeded,
            Self::Unsupported { .. } => ErrorClass::UnsupportedPackage,
            Self::Io(error) => ErrorClass::of_io(error),
            // A visitor stops because of what it was given, or because it was asked to.
            Self::Visitor(error) => match error.downcast_ref::<Interrupted>() {
                Some(interrupted) => interrupted.class(),
                None => ErrorClass::DamagedPackage,
            },
        }
    }
}
