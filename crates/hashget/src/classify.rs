//! The class of any error of this library.
//!
//! Invariant: the only place that knows all error types; each of them says its own class.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use crate::archive::{
    ArchiveError, ContentsError, MembersError, OpenError, PackageFileError, SurveyError,
    VerifyError,
};
use crate::detectors::{RuleError, UnknownDetector};
use crate::error::{ErrorClass, LayerError};
use crate::fetch::{AddError, BadOption, BadProxy, BadTemplate, FetchError, PoolError};
use crate::formats::FormatError;
use crate::hashdb::{ExportError, HashDbError};
use crate::index::IndexError;
use crate::model::manifest::ManifestError;
use crate::monitor::Interrupted;
use crate::pack::{PackError, ReadBackError, ReplayError};
use crate::parity::RepairError;
use crate::restore::RestoreError;
use crate::supplement::{HealError, SupplementError};
use crate::tree::{BadGlob, BadSelection, ScanError};

/// The class of `error`, or of the first of its causes that has one. Values that could not be parsed have none: what
/// that means depends on where the text came from.
pub fn class_of(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(class) = own_class(cause) {
            return Some(class);
        }
        next = cause.source();
    }
    None
}

/// The class of `error` by itself, without its causes.
pub fn own_class(error: &(dyn Error + 'static)) -> Option<ErrorClass> {
    macro_rules! first_of {
        ($($error:ty),* $(,)?) => {
            $(if let Some(error) = error.downcast_ref::<$error>() {
                return Some(error.class());
            })*
        };
    }
    first_of!(
        Interrupted,
        LayerError,
        FetchError,
        AddError,
        BadOption,
        BadTemplate,
        PoolError,
        BadProxy,
        FormatError,
        HashDbError,
        ExportError,
        ManifestError,
        MembersError,
        ScanError,
        BadGlob,
        BadSelection,
        UnknownDetector,
        RuleError,
        IndexError,
        PackError,
        ReplayError,
        ReadBackError,
        ArchiveError,
        ContentsError,
        OpenError,
        PackageFileError,
        RestoreError,
        VerifyError,
        RepairError,
        SupplementError,
        HealError,
        SurveyError,
    );
    let error = error.downcast_ref::<io::Error>()?;
    // An error of ours may have been handed through a reader.
    let inner = error.get_ref().and_then(|inner| class_of(inner));
    Some(inner.unwrap_or_else(|| ErrorClass::of_io(error)))
}

/// Does it say that a disk cannot give what it had, or that a file ended early? Whatever else keeps us from reading, such as a missing
/// right or a server of the file system that is away, says nothing about the file.
pub fn is_of_a_disk(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let is_damage = |code| {
                [Errno::IO, Errno::UCLEAN, Errno::BADMSG].contains(&Errno::from_raw_os_error(code))
            };
            let is_short = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_short || error.raw_os_error().is_some_and(is_damage) {
                return true;
            }
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_disk_says_of_a_file_is_damage() {
        let raw = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
        for code in [Errno::IO, Errno::UCLEAN, Errno::BADMSG] {
            assert!(is_of_a_disk(&raw(code)), "{code}");
        }
        for code in [
            Errno::ACCESS,
            Errno::TIMEDOUT,
            Errno::STALE,
            Errno::NOTCONN,
            Errno::HOSTDOWN,
            Errno::NETUNREACH,
            Errno::REMOTEIO,
            Errno::CONNABORTED,
            Errno::MFILE,
        ] {
            assert!(!is_of_a_disk(&raw(code)), "{code}");
        }
        assert!(is_of_a_disk(&io::Error::from(io::ErrorKind::UnexpectedEof)));
        // Within what names the file.
        let folder = tempfile::tempdir().unwrap();
        let missing = fs_err::File::open(folder.path().join("none")).unwrap_err();
        assert!(!is_of_a_disk(&missing));
    }
}
