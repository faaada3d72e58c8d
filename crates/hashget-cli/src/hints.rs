//! What to do after an error: one table, by the class of the error.
//!
//! Invariant: a hint is one line with a command, an option or an action.

use hashget::error::ErrorClass;
use hashget::hashdb::HashDbError;

use crate::exit;

/// What a hint depends on besides the error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    /// Was `--offline` given?
    pub(crate) offline: bool,
    /// What is kept after an interruption, and how to continue.
    pub(crate) after_interruption: String,
}

/// The hint for an error that does not end the command.
pub(crate) fn for_error(error: &anyhow::Error) -> Option<String> {
    hint(error, &Situation::default())
}

/// With `--offline`, most failures have this reason.
const OFFLINE: &str = "with --offline only pools and the cache are asked: leave it out, or give a folder that has the \
                       package with --pool";

const FILE_TOO_LARGE: &str =
    "raise the limit on the size of files (ulimit -f), or choose a folder on another file system";

const NOT_KEPT: &str = "free some space, or give folders on another disk: --cache for what is kept, TMPDIR for what is looked at \
                        and not kept, which needs less room with --jobs 1";

/// The hint for `error`, if there is one.
pub(crate) fn hint(error: &anyhow::Error, situation: &Situation) -> Option<String> {
    let class = exit::class(error)?;
    match class {
        ErrorClass::Interrupted => Some(situation.after_interruption.clone()),
        ErrorClass::HashDbDamaged => Some(format!(
            "move {} away, or choose another folder with --db, and index again: no archive needs the HashDB",
            hashdb_location(error).unwrap_or("it")
        )),
        class if situation.offline && is_of_sources(class) => Some(OFFLINE.to_owned()),
        class => of_class(class).map(str::to_owned),
    }
}

/// The location of the HashDB that failed.
fn hashdb_location(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| Some(cause.downcast_ref::<HashDbError>()?.location()))
}

/// Could another source, with the network, have it?
fn is_of_sources(class: ErrorClass) -> bool {
    use ErrorClass::{Denied, NotFound, Refused, Unreachable};
    matches!(class, NotFound | Denied | Unreachable | Refused)
}

/// The hint for an archive that is none, is damaged, or cannot be healed.
fn of_archive(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::NotAnArchive | ErrorClass::ArchiveDamaged => {
            "give a file that `hashget pack` has written, complete and unchanged"
        }
        ErrorClass::WrongKey => "give what opens it with --identity FILE (or HASHGET_IDENTITY)",
        ErrorClass::NoManifestInArchive => {
            "a tar file of another program is complete without it; if hashget wrote this one, take another copy"
        }
        ErrorClass::NoManifestInFolder => {
            "unpack the archive there first; a folder that is fully restored has no manifest any more"
        }
        ErrorClass::ManifestDamaged => {
            "the manifest is damaged: take another copy of the archive; if there is none, `tar xf` still \
             extracts what the archive itself holds"
        }
        ErrorClass::NoParity => {
            "`hashget verify` says what is damaged, and `hashget unpack` restores the rest; `hashget pack --parity 5%` writes \
             parity beside an archive"
        }
        ErrorClass::ParityUnusable => {
            "`hashget verify` says whether the archive is whole: if it is, make new parity for it by `par2 create`, or pack \
             again with --parity"
        }
        ErrorClass::ParityOfAnother => {
            "move the parity away; to see what it would make of this archive, give another file with -o"
        }
        ErrorClass::NotHealed => {
            "take another copy of the archive; if there is none, `hashget unpack` restores what is not damaged"
        }
        _ => return None,
    })
}

fn of_class(class: ErrorClass) -> Option<&'static str> {
    Some(match class {
        ErrorClass::NotFound => {
            "check the URL; if you have the file elsewhere, give its folder with --pool, or index it with --file"
        }
        ErrorClass::Denied => {
            "only what everybody can download is a package; if you have the file, give its folder with --pool, or \
             leave it out"
        }
        ErrorClass::Unreachable => {
            "check the network and try again (downloads continue where they stopped), or give a folder \
             that has the package with --pool"
        }
        ErrorClass::WrongBytes => {
            "the server has another file under this URL: give a folder that has the right one with --pool"
        }
        ErrorClass::DownloadNotKept => NOT_KEPT,
        ErrorClass::HashDbTooNew => "use a newer hashget, or another folder with --db",
        ErrorClass::HashDbFailed => {
            "check that the disk is not full and that you may write there, or choose another folder with --db"
        }
        ErrorClass::NeedsNewer => "use a newer hashget",
        ErrorClass::DamagedPackage | ErrorClass::LimitExceeded => {
            "nothing of it was recorded: download it by hand and look at it, or leave it out"
        }
        ErrorClass::HashDbOutdated => "index the package again with `hashget index URL`",
        ErrorClass::BadRule => "rules are the [[rule]] tables of the configuration file",
        ErrorClass::DiskFull => "free some space there, or choose a folder on another disk",
        ErrorClass::FileTooLarge => FILE_TOO_LARGE,
        ErrorClass::PermissionDenied => "run it as a user who has that permission, or as root",
        ErrorClass::ReadOnly => "choose a folder that can be written to",
        ErrorClass::MissingFile => "check the path",
        ErrorClass::NotAnArchive
        | ErrorClass::ArchiveDamaged
        | ErrorClass::NoManifestInArchive
        | ErrorClass::NoManifestInFolder
        | ErrorClass::ManifestDamaged
        | ErrorClass::NoParity
        | ErrorClass::ParityUnusable
        | ErrorClass::ParityOfAnother
        | ErrorClass::NotHealed
        | ErrorClass::WrongKey => return of_archive(class),
        // Handled above.
        ErrorClass::Interrupted | ErrorClass::HashDbDamaged => return None,
        // Their messages are sufficient, or nothing can be done.
        ErrorClass::BadInput
        | ErrorClass::Refused
        | ErrorClass::BadAnswer
        | ErrorClass::UnsupportedPackage
        | ErrorClass::NoPermanentUrl
        | ErrorClass::ExportDamaged
        | ErrorClass::ManifestTooLong
        | ErrorClass::Busy
        | ErrorClass::CannotPack
        | ErrorClass::Internal
        | ErrorClass::Io => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use hashget::fetch::FetchError;
    use hashget::index::IndexError;
    use hashget::monitor::Interrupted;

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
