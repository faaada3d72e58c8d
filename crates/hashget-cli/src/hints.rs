//! What to do next after an error: one table.
//!
//! Invariant: a hint is one line that names a command, an option or an action; the first entry of
//! the table that knows a cause, the outermost cause first, gives it.

use std::error::Error;
use std::io;

use hashget::archive::ArchiveError;
use hashget::detectors::RuleError;
use hashget::fetch::FetchError;
use hashget::formats::FormatError;
use hashget::hashdb::HashDbError;
use hashget::model::manifest::ManifestError;
use hashget::monitor::Interrupted;

use crate::causes::{AnyError, causes};

/// What else a hint depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    /// `--offline` was given.
    pub(crate) offline: bool,
    /// What is kept when the command is interrupted, and how to go on.
    pub(crate) after_interruption: String,
}

type Hint = fn(&AnyError, &Situation) -> Option<String>;

/// Each entry knows one kind of cause.
const HINTS: &[Hint] = &[interrupted, fetch, hashdb, archive, manifest, format, rule, system];

/// The hint for `error`, if there is one.
pub(crate) fn hint(error: &anyhow::Error, situation: &Situation) -> Option<String> {
    causes(error.as_ref())
        .into_iter()
        .find_map(|cause| HINTS.iter().find_map(|hint| hint(cause, situation)))
}

fn interrupted(cause: &AnyError, situation: &Situation) -> Option<String> {
    cause.is::<Interrupted>().then(|| situation.after_interruption.clone())
}

fn fetch(cause: &AnyError, situation: &Situation) -> Option<String> {
    let text = match cause.downcast_ref::<FetchError>()? {
        FetchError::NotFound { .. }
        | FetchError::Unreachable { .. }
        | FetchError::Transient { .. }
        | FetchError::Refused { .. }
            if situation.offline =>
        {
            "with --offline only pools and the cache are asked: leave it out, or give a folder that \
             has the package with --pool"
        }
        FetchError::NotFound { .. } => {
            "check the URL; if you have the file elsewhere, give its folder with --pool, or index it \
             with --file"
        }
        FetchError::Unreachable { .. } | FetchError::Transient { .. } => {
            "check the network and try again (downloads go on where they stopped), or give a folder \
             that has the package with --pool"
        }
        FetchError::Mismatch { .. } => {
            "the file there is not the one that is wanted: give a folder that has the right one with \
             --pool"
        }
        FetchError::Disk { .. } => "free some space, or give a folder on another disk with --cache",
        _ => return None,
    };
    Some(text.to_owned())
}

fn hashdb(cause: &AnyError, _: &Situation) -> Option<String> {
    match cause.downcast_ref::<HashDbError>()? {
        HashDbError::Damaged { location, .. } => Some(format!(
            "move {location} away, or choose another folder with --db, and index again: no archive \
             needs the HashDB"
        )),
        HashDbError::TooNew { .. } => {
            Some("use a newer hashget, or another folder with --db".to_owned())
        }
        // Its text says what to do.
        HashDbError::Replaced => None,
        HashDbError::Failed { .. } => Some(
            "check that you may write there and that the disk is not full, or choose another folder \
             with --db"
                .to_owned(),
        ),
    }
}

fn archive(cause: &AnyError, _: &Situation) -> Option<String> {
    let text = match cause.downcast_ref::<ArchiveError>()? {
        ArchiveError::NotAnArchive { .. } => {
            "give a file that `hashget pack` has written, whole and as it was written"
        }
        ArchiveError::NoManifestInArchive => {
            "if it is a tar of another program, it is all there; if hashget wrote it, take another copy"
        }
        ArchiveError::NoManifest { .. } => {
            "unpack the archive there first; a folder that is all restored has no manifest any more"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

fn manifest(cause: &AnyError, _: &Situation) -> Option<String> {
    match cause.downcast_ref::<ManifestError>()? {
        ManifestError::Version { .. } => Some("use a newer hashget".to_owned()),
        _ => Some(
            "the manifest is damaged: take another copy of the archive, and if there is none, \
             `tar xf` still gives what the archive itself holds"
                .to_owned(),
        ),
    }
}

fn format(cause: &AnyError, _: &Situation) -> Option<String> {
    match cause.downcast_ref::<FormatError>()? {
        FormatError::Damaged { .. } | FormatError::Limit { .. } => Some(
            "nothing of it was recorded: download it by hand and look at it, or leave it out"
                .to_owned(),
        ),
        _ => None,
    }
}

fn rule(cause: &AnyError, _: &Situation) -> Option<String> {
    cause
        .is::<RuleError>()
        .then(|| "rules are the [[rule]] tables of the configuration file".to_owned())
}

fn system(cause: &AnyError, _: &Situation) -> Option<String> {
    let error = cause.downcast_ref::<io::Error>()?;
    let text = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or choose a place on another disk"
        }
        io::ErrorKind::PermissionDenied => "run it as a user who may do that, or as root",
        io::ErrorKind::ReadOnlyFilesystem => "choose a place that can be written to",
        io::ErrorKind::NotFound => "check the path",
        // An error that hides its cause, as those that name their path do.
        _ => {
            return error
                .get_ref()
                .and_then(Error::source)
                .and_then(|inner| system(inner, &Situation::default()));
        }
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use hashget::index::IndexError;

    use super::*;

    fn hint_for(error: impl Error + Send + Sync + 'static, offline: bool) -> Option<String> {
        hint(
            &anyhow::Error::new(error).context("cannot do it"),
            &Situation { offline, ..Situation::default() },
        )
    }

    fn not_found() -> FetchError {
        FetchError::NotFound { from: "x".to_owned(), url: "https://example.org/".to_owned() }
    }

    #[test]
    fn hints_find_their_cause_through_wrappers() {
        let hint = hint_for(IndexError::Fetch(not_found()), false).unwrap();
        assert!(hint.contains("check the URL"), "{hint}");
        let hint = hint_for(FetchError::All { errors: vec![not_found()] }, true).unwrap();
        assert!(hint.contains("--offline"), "{hint}");
        let damaged = HashDbError::Damaged { location: "/x/db".to_owned(), problem: String::new() };
        let hint = hint_for(IndexError::HashDb(damaged), false).unwrap();
        assert!(hint.contains("move /x/db away"), "{hint}");
    }

    #[test]
    fn system_errors_tell_by_their_kind() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(hint_for(full, false).unwrap().contains("free some space"));
        let missing = fs_err::File::open("/does/not/exist").unwrap_err();
        assert_eq!(hint_for(missing, false).unwrap(), "check the path");
        assert_eq!(hint_for(io::Error::other("?"), false), None);
    }

    #[test]
    fn a_hint_is_one_line() {
        let hint = hint_for(not_found(), false).unwrap();
        assert!(!hint.contains('\n') && !hint.contains("  "), "{hint}");
    }

    #[test]
    fn who_interrupts_is_told_how_that_command_goes_on() {
        let error =
            anyhow::Error::new(FetchError::Interrupted(Interrupted)).context("cannot do it");
        let situation = Situation { after_interruption: "go on".to_owned(), offline: true };
        assert_eq!(hint(&error, &situation).as_deref(), Some("go on"));
    }
}
