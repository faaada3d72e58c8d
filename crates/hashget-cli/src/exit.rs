//! Exit codes: one table for backups and one for everything else, computed in one place.
//!
//! Invariant: the code depends only on the class of the error that ended the command and on the problems
//! reported before.

use std::fmt;
use std::process::ExitCode;

use hashget::classify;
use hashget::error::ErrorClass;
use hashget::monitor::ProblemKind;
use hashget_backup::run::{HookError, RunError};
use hashget_backup::series::BadName;
use hashget_backup::store::{BadAddress, StoreError};
use hashget_published::{BadKey, BadStatement, PublishedError};

use crate::output::{Problems, print_usage_error};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Everything was done.
    Done,
    /// Failed.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Finished, but a file could not be read or was not restored.
    Incomplete,
    /// Something failed verification.
    Verification,
    /// A source could not be reached.
    Unreachable,
    /// Interrupted.
    Interrupted,
}

impl Code {
    /// The number passed to the shell.
    pub(crate) fn as_u8(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Verification => 4,
            Self::Unreachable => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.as_u8())
    }
}

/// The command line or the configuration is wrong.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// How a command ended about which its problems and the class of an error do not say enough.
#[derive(Debug)]
pub(crate) struct EndedAs {
    /// The code.
    pub(crate) code: Code,
    /// What is said.
    pub(crate) message: String,
}

impl fmt::Display for EndedAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EndedAs {}

/// The class of an error: that of the first cause that has one.
pub(crate) fn class(error: &anyhow::Error) -> Option<ErrorClass> {
    error.chain().find_map(|cause| match cause.downcast_ref::<UsageError>() {
        Some(_) => Some(ErrorClass::BadInput),
        None => classify::own_class(cause)
            .or_else(|| class_in_backup(cause))
            .or_else(|| class_in_published(cause)),
    })
}

/// The class of an error of the crate of backups.
fn class_in_backup(error: &(dyn std::error::Error + 'static)) -> Option<ErrorClass> {
    let of_run = error.downcast_ref::<RunError>().map(RunError::class);
    let of_store = || error.downcast_ref::<StoreError>().map(StoreError::class);
    let is_name = || error.is::<BadName>().then_some(ErrorClass::BadInput);
    let of_address = || error.downcast_ref::<BadAddress>().map(BadAddress::class);
    let of_hook = || error.downcast_ref::<HookError>().map(HookError::class);
    of_run.or_else(of_hook).or_else(of_store).or_else(is_name).or_else(of_address)
}

/// The class of an error of the crate of published HashDBs.
fn class_in_published(error: &(dyn std::error::Error + 'static)) -> Option<ErrorClass> {
    let of_published = error.downcast_ref::<PublishedError>().map(PublishedError::class);
    let is_input = error.is::<BadKey>() || error.is::<BadStatement>();
    of_published.or_else(|| is_input.then_some(ErrorClass::BadInput))
}

/// The code for a command that ended with `error`, or without one, and had `problems`.
pub(crate) fn code(error: Option<&anyhow::Error>, problems: &Problems) -> Code {
    let from_problems = if problems.verification > 0 {
        Code::Verification
    } else if problems.unreachable > 0 {
        Code::Unreachable
    } else if problems.incomplete > 0 {
        Code::Incomplete
    } else {
        Code::Done
    };
    let Some(error) = error else {
        return from_problems;
    };
    if let Some(ended) = error.downcast_ref::<EndedAs>() {
        return ended.code;
    }
    match (class(error), from_problems) {
        (Some(class), _) => of_class(class),
        // An error without a class ("nothing could be indexed") summarises the problems before it.
        (None, Code::Verification | Code::Unreachable) => from_problems,
        (None, _) => Code::Failed,
    }
}

/// The code for a command that makes a backup, and ended with `error` or without one. It says what is true of the backup:
/// whole (0), without something of the folder (3), with more in it than necessary (5), or none.
pub(crate) fn of_backup(error: Option<&anyhow::Error>, problems: &Problems) -> Code {
    match error {
        Some(error) if error.is::<EndedAs>() => code(Some(error), problems),
        Some(error) => match class(error).map(of_class) {
            Some(code @ (Code::Usage | Code::Interrupted)) => code,
            _ => Code::Failed,
        },
        None if problems.incomplete > 0 => Code::Incomplete,
        // Damaged packages, too, were only not relied on.
        None if problems.unreachable > 0 || problems.verification > 0 => Code::Unreachable,
        None => Code::Done,
    }
}

/// The code for an error of this class.
fn of_class(class: ErrorClass) -> Code {
    match class {
        ErrorClass::Interrupted => Code::Interrupted,
        ErrorClass::BadInput | ErrorClass::BadRule => Code::Usage,
        class => match class.problem_kind() {
            ProblemKind::Verification => Code::Verification,
            ProblemKind::Unreachable => Code::Unreachable,
            ProblemKind::Incomplete | ProblemKind::Note => Code::Failed,
        },
    }
}

/// Prints what clap returns: help and version on standard output, usage errors on standard error.
pub(crate) fn after_parsing(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        print_usage_error(error, Code::Usage.as_u8());
        return Code::Usage.into();
    }
    // If the reader has closed the pipe, it needs no more output.
    let _ = error.print();
    Code::Done.into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use hashget::fetch::FetchError;
    use hashget::formats::FormatError;
    use hashget::index::IndexError;
    use hashget::monitor::Interrupted;

    use super::*;

    fn not_found() -> FetchError {
        FetchError::NotFound { from: "a pool".to_owned(), url: "https://example.org/a".to_owned() }
    }

    fn mismatch() -> FetchError {
        FetchError::Mismatch {
            from: "https://example.org/a".to_owned(),
            expected: "x".to_owned(),
            found: "y".to_owned(),
            file: None,
        }
    }

    fn failed<T>(error: impl std::error::Error + Send + Sync + 'static) -> anyhow::Result<T> {
        Err(error).context("cannot do it")
    }

    #[test]
    fn errors_by_table() {
        let damaged = FormatError::Damaged { format: "zip", problem: "it ends early".to_owned() };
        let damaged = IndexError::Format { url: "u".to_owned(), error: damaged };
        let table: [(anyhow::Result<()>, Code); 9] = [
            (failed(damaged), Code::Verification),
            (failed(std::io::Error::other("disk")), Code::Failed),
            (failed(UsageError("no".to_owned())), Code::Usage),
            (failed(not_found()), Code::Unreachable),
            (failed(IndexError::Fetch(not_found())), Code::Unreachable),
            (failed(mismatch()), Code::Verification),
            (
                failed(FetchError::All { errors: vec![not_found(), mismatch(), not_found()] }),
                Code::Verification,
            ),
            (failed(Interrupted), Code::Interrupted),
            (failed(IndexError::Fetch(FetchError::Interrupted(Interrupted))), Code::Interrupted),
        ];
        for (outcome, expected) in table {
            let error = outcome.unwrap_err();
            assert_eq!(code(Some(&error), &Problems::default()), expected, "{error:#}");
        }
    }

    #[test]
    fn problems_by_table() {
        let table = [
            ((0, 0, 0, 0), Code::Done),
            ((7, 0, 0, 0), Code::Done),
            ((0, 1, 0, 0), Code::Incomplete),
            ((0, 1, 1, 0), Code::Unreachable),
            ((0, 1, 1, 1), Code::Verification),
            ((0, 1, 0, 1), Code::Verification),
        ];
        for ((notes, incomplete, unreachable, verification), expected) in table {
            let problems = Problems { notes, incomplete, unreachable, verification };
            assert_eq!(code(None, &problems), expected, "{problems:?}");
        }
    }

    #[test]
    fn of_a_backup_by_table() {
        let table = [
            ((0, 0, 0, 0), Code::Done),
            ((7, 0, 0, 0), Code::Done),
            ((0, 1, 0, 0), Code::Incomplete),
            ((0, 0, 1, 0), Code::Unreachable),
            ((0, 0, 0, 1), Code::Unreachable),
            ((7, 0, 1, 1), Code::Unreachable),
            ((0, 1, 1, 1), Code::Incomplete),
        ];
        for ((notes, incomplete, unreachable, verification), expected) in table {
            let problems = Problems { notes, incomplete, unreachable, verification };
            assert_eq!(of_backup(None, &problems), expected, "{problems:?}");
        }
        let trouble = Problems { incomplete: 1, unreachable: 1, verification: 1, notes: 1 };
        let errors: [(anyhow::Result<()>, Code); 5] = [
            (failed(mismatch()), Code::Failed),
            (failed(not_found()), Code::Failed),
            (failed(std::io::Error::other("disk")), Code::Failed),
            (failed(UsageError("no".to_owned())), Code::Usage),
            (failed(Interrupted), Code::Interrupted),
        ];
        for (outcome, expected) in errors {
            let error = outcome.unwrap_err();
            for problems in [Problems::default(), trouble] {
                assert_eq!(of_backup(Some(&error), &problems), expected, "{error:#}");
            }
        }
    }

    #[test]
    fn an_error_says_more_than_problems_unless_it_says_nothing() {
        let problems = Problems { unreachable: 1, ..Problems::default() };
        let plain = anyhow::anyhow!("nothing could be indexed");
        assert_eq!(code(Some(&plain), &problems), Code::Unreachable);
        let interrupted = anyhow::Error::new(Interrupted);
        assert_eq!(code(Some(&interrupted), &problems), Code::Interrupted);
        let incomplete = Problems { incomplete: 1, ..Problems::default() };
        assert_eq!(code(Some(&plain), &incomplete), Code::Failed);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = anyhow::Error::new(full).context("cannot pack");
        assert_eq!(code(Some(&full), &problems), Code::Failed);
    }
}
