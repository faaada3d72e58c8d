//! The class of any error of this library.
//!
//! Invariant: the only place that knows all error types; each of them says its own class.

use std::error::Error;
use std::io;

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
