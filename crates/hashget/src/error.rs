//! What an error means to whoever has to react to it: an exit code, a hint and the kind of a problem follow from its class.
//!
//! Invariant: each error type states its class beside its variants, without a wildcard arm: a new variant does not
//! compile without one. How an error of the system is classed is written here, once.

use std::error::Error;
use std::io;

use crate::monitor::{Interrupted, ProblemKind};

/// The class of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The monitor asked to stop.
    Interrupted,
    /// An option, a pattern or a value is wrong.
    BadInput,
    /// A rule of the configuration is wrong.
    BadRule,
    /// No source has the package.
    NotFound,
    /// A server gives the package only to those who have a login, or to nobody.
    Denied,
    /// A server could not be reached, or kept failing.
    Unreachable,
    /// The URL is not one that may be fetched.
    Refused,
    /// A source gave other bytes than those that were wanted.
    WrongBytes,
    /// An index or archive gave an answer that makes no sense.
    BadAnswer,
    /// What was downloaded could not be written.
    DownloadNotKept,
    /// The package is damaged.
    DamagedPackage,
    /// The package exceeds a limit.
    LimitExceeded,
    /// The package uses a variant of its format that is not supported.
    UnsupportedPackage,
    /// Nothing promises that the package's URL stays valid.
    NoPermanentUrl,
    /// The HashDB is damaged, or is none.
    HashDbDamaged,
    /// A newer hashget wrote the HashDB.
    HashDbTooNew,
    /// The HashDB could not be read or written.
    HashDbFailed,
    /// The HashDB says something else of a package than the package itself.
    HashDbOutdated,
    /// An export of a HashDB is damaged, or is none.
    ExportDamaged,
    /// The file is not an archive.
    NotAnArchive,
    /// The archive is damaged, or is not what its manifest says.
    ArchiveDamaged,
    /// The archive has no parity to heal it from.
    NoParity,
    /// The parity is damaged too much, or is none.
    ParityUnusable,
    /// The parity is for another archive.
    ParityOfAnother,
    /// More of the archive is damaged than its parity can heal.
    NotHealed,
    /// The archive has no manifest.
    NoManifestInArchive,
    /// The folder has no manifest.
    NoManifestInFolder,
    /// The manifest is damaged.
    ManifestDamaged,
    /// The manifest is longer than the limit.
    ManifestTooLong,
    /// A newer hashget is needed.
    NeedsNewer,
    /// The archive is encrypted, and no identity that was given opens it.
    WrongKey,
    /// Another process is at work in the same folder.
    Busy,
    /// The tree has something that cannot be packed in this way.
    CannotPack,
    /// A check of our own work failed.
    Internal,
    /// The disk or a quota is full.
    DiskFull,
    /// The system does not permit it.
    PermissionDenied,
    /// A file would be larger than the process or the file system allows.
    FileTooLarge,
    /// The file system is read-only.
    ReadOnly,
    /// A file or folder does not exist.
    MissingFile,
    /// Any other error of the system.
    Io,
}

impl ErrorClass {
    /// The kind of problem that such an error is if everything else goes on without the object that had it.
    pub fn problem_kind(self) -> ProblemKind {
        match self {
            Self::NoPermanentUrl => ProblemKind::Note,
            Self::NotFound | Self::Denied | Self::Unreachable | Self::Refused => {
                ProblemKind::Unreachable
            }
            Self::WrongBytes
            | Self::ArchiveDamaged
            | Self::ParityUnusable
            | Self::ParityOfAnother
            | Self::NotHealed
            | Self::BadAnswer
            | Self::DamagedPackage
            | Self::LimitExceeded
            | Self::UnsupportedPackage => ProblemKind::Verification,
            Self::Interrupted
            | Self::BadInput
            | Self::BadRule
            | Self::DownloadNotKept
            | Self::HashDbDamaged
            | Self::HashDbTooNew
            | Self::HashDbFailed
            | Self::HashDbOutdated
            | Self::ExportDamaged
            | Self::NotAnArchive
            | Self::NoParity
            | Self::NoManifestInArchive
            | Self::NoManifestInFolder
            | Self::ManifestDamaged
            | Self::ManifestTooLong
            | Self::NeedsNewer
            | Self::WrongKey
            | Self::Busy
            | Self::CannotPack
            | Self::Internal
            | Self::DiskFull
            | Self::PermissionDenied
            | Self::FileTooLarge
            | Self::ReadOnly
            | Self::MissingFile
            | Self::Io => ProblemKind::Incomplete,
        }
    }

    /// The class of an error of the system.
    pub fn of_io(error: &io::Error) -> Self {
        if matches!(error.get_ref(), Some(inner) if inner.is::<Interrupted>()) {
            return Self::Interrupted;
        }
        if let Some(layer) = error.get_ref().and_then(|inner| inner.downcast_ref::<LayerError>()) {
            return layer.class();
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::FileTooLarge => Self::FileTooLarge,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::NotFound => Self::MissingFile,
            _ => Self::Io,
        }
    }

    /// The class of what a visitor of a package's members stopped with: it was asked to stop, or a member is
    /// not as the package says.
    pub(crate) fn of_visitor(error: &(dyn Error + 'static)) -> Self {
        if error.is::<Interrupted>() { Self::Interrupted } else { Self::DamagedPackage }
    }

    /// The class of several sources' failures together: that of the one that tells most. A source that lied is
    /// the graver news. If this machine has no room for what comes, the others' answers say little; a server that may work again
    /// tomorrow is the more useful news than a server that has no such file.
    pub(crate) fn of_several(classes: impl Iterator<Item = Self>) -> Option<Self> {
        const FIRST: [ErrorClass; 7] = [
            ErrorClass::Interrupted,
            ErrorClass::WrongBytes,
            ErrorClass::DownloadNotKept,
            ErrorClass::Unreachable,
            ErrorClass::Denied,
            ErrorClass::NotFound,
            ErrorClass::Refused,
        ];
        classes.min_by_key(|class| {
            FIRST.iter().position(|first| first == class).unwrap_or(FIRST.len())
        })
    }
}

/// An error of a layer around this library, such as encryption or a store, that travels through its readers and writers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LayerError {
    class: ErrorClass,
    message: String,
}

impl LayerError {
    /// An error of this class, with its text.
    pub fn new(class: ErrorClass, message: impl ToString) -> Self {
        Self { class, message: message.to_string() }
    }

    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        self.class
    }
}

impl From<LayerError> for io::Error {
    fn from(error: LayerError) -> Self {
        Self::other(error)
    }
}

impl Interrupted {
    /// What it means.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Interrupted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_classed_by_kind() {
        let missing = fs_err::metadata("/does/not/exist").unwrap_err();
        assert_eq!(ErrorClass::of_io(&missing), ErrorClass::MissingFile);
        assert_eq!(ErrorClass::of_io(&io::Error::from_raw_os_error(28)), ErrorClass::DiskFull);
        assert_eq!(ErrorClass::of_io(&io::Error::from_raw_os_error(27)), ErrorClass::FileTooLarge);
        assert_eq!(ErrorClass::of_io(&io::Error::other("?")), ErrorClass::Io);
        let interrupted = io::Error::other(Interrupted);
        assert_eq!(ErrorClass::of_io(&interrupted), ErrorClass::Interrupted);
    }

    #[test]
    fn of_several_failures_the_one_that_tells_most_counts() {
        use ErrorClass::{DownloadNotKept, NotFound, Refused, Unreachable, WrongBytes};
        for (classes, expected) in [
            (vec![NotFound, WrongBytes, Unreachable], Some(WrongBytes)),
            (vec![NotFound, Unreachable, Refused], Some(Unreachable)),
            (vec![Refused, NotFound], Some(NotFound)),
            (vec![NotFound, Unreachable, DownloadNotKept], Some(DownloadNotKept)),
            (vec![DownloadNotKept, WrongBytes], Some(WrongBytes)),
            (vec![], None),
        ] {
            assert_eq!(ErrorClass::of_several(classes.into_iter()), expected);
        }
    }
}
