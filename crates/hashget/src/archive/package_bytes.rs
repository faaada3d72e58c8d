//! What was downloaded in place of a package.
//!
//! Invariant: bytes are called proven only if they have the digest of the package.

use std::fs::File;

use crate::fetch::FetchError;
use crate::wording::one_line;

/// The bytes of a package.
#[derive(Debug)]
pub enum PackageBytes {
    /// They are the right ones.
    Proven(File),
    /// They are other bytes than those that were packed; why.
    Other(File, String),
    /// There are none; why.
    Nothing(String),
}

impl PackageBytes {
    /// What there is although fetching failed.
    pub(crate) fn of_error(error: FetchError) -> Self {
        let message = one_line(&error);
        match other_bytes(error) {
            Some(file) => Self::Other(file, format!("wrong bytes: {message}")),
            None => Self::Nothing(message),
        }
    }

    /// Whichever of two is more useful.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Nothing(_), Self::Other(..)) | (_, Self::Proven(_)) => other,
            _ => self,
        }
    }
}

/// The bytes with which some source answered, if they are of use.
fn other_bytes(error: FetchError) -> Option<File> {
    match error {
        FetchError::Mismatch { file, .. } => file,
        FetchError::All { errors } => errors.into_iter().find_map(other_bytes),
        _ => None,
    }
}
