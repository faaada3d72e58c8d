//! Everything that lies within an error: its causes, and what its wrappers stand for.
//!
//! Invariant: the outermost error comes first. Exit codes and hints look here and nowhere else.

use std::error::Error;

use hashget::archive::{ArchiveError, PackageFileError, VerifyError};
use hashget::fetch::FetchError;
use hashget::formats::FormatError;
use hashget::index::IndexError;
use hashget::pack::PackError;
use hashget::restore::RestoreError;
use hashget::tree::ScanError;

/// Any error.
pub(crate) type AnyError = dyn Error + 'static;

/// The error, what it wraps, and their causes.
pub(crate) fn causes(error: &AnyError) -> Vec<&AnyError> {
    let mut found = vec![error];
    for inner in wrapped(error) {
        found.extend(causes(inner));
    }
    if let Some(source) = error.source() {
        found.extend(causes(source));
    }
    found
}

/// What a wrapper without a text of its own (`#[error(transparent)]`) or a list of errors holds:
/// `source` does not tell of these.
fn wrapped(error: &AnyError) -> Vec<&AnyError> {
    if let Some(error) = error.downcast_ref::<IndexError>() {
        return match error {
            IndexError::Fetch(inner) => vec![inner],
            IndexError::HashDb(inner) => vec![inner],
            IndexError::Io(inner) => vec![inner],
            IndexError::Interrupted(inner) => vec![inner],
            IndexError::Format { .. }
            | IndexError::Lookup { .. }
            | IndexError::NotAsked { .. }
            | IndexError::Unreliable { .. } => Vec::new(),
        };
    }
    if let Some(error) = error.downcast_ref::<PackError>() {
        return match error {
            PackError::HashDb(inner) => vec![inner],
            PackError::Index(inner) => vec![inner],
            PackError::Write(inner) => vec![inner],
            PackError::Interrupted(inner) => vec![inner],
            PackError::Scan(inner) => vec![inner],
            PackError::Glob(inner) => vec![inner],
            PackError::Replay(inner) => vec![inner],
            _ => Vec::new(),
        };
    }
    if let Some(error) = error.downcast_ref::<RestoreError>() {
        return match error {
            RestoreError::Archive(inner) => vec![inner],
            RestoreError::Interrupted(inner) => vec![inner],
            _ => Vec::new(),
        };
    }
    if let Some(ArchiveError::Interrupted(inner)) = error.downcast_ref::<ArchiveError>() {
        return vec![inner];
    }
    if let Some(error) = error.downcast_ref::<PackageFileError>() {
        return match error {
            PackageFileError::Fetch(inner) => vec![inner],
            PackageFileError::Write(inner) => vec![inner],
            PackageFileError::Interrupted(inner) => vec![inner],
            PackageFileError::Package { .. } | PackageFileError::NoSuchFile { .. } => Vec::new(),
        };
    }
    if let Some(error) = error.downcast_ref::<VerifyError>() {
        return match error {
            VerifyError::HashDb(inner) => vec![inner],
            VerifyError::Interrupted(inner) => vec![inner],
            VerifyError::Manifest(_) => Vec::new(),
        };
    }
    if let Some(ScanError::Interrupted(inner)) = error.downcast_ref::<ScanError>() {
        return vec![inner];
    }
    match (error.downcast_ref::<FetchError>(), error.downcast_ref::<FormatError>()) {
        (Some(FetchError::All { errors }), _) => {
            errors.iter().map(|error| -> &AnyError { error }).collect()
        }
        (Some(FetchError::Interrupted(inner)), _) => vec![inner],
        (_, Some(FormatError::Visitor(inner))) => vec![&**inner],
        _ => Vec::new(),
    }
}

/// The texts of the chain of causes, outermost first, without repetitions.
pub(crate) fn messages(error: &anyhow::Error) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        // A layer that quotes its cause has said it all.
        if messages.last().is_none_or(|last| !last.ends_with(&message)) {
            messages.push(message);
        }
    }
    messages
}
