//! Exit codes: one table, computed in one place.
//!
//! Invariant: the code follows from the error that ended the command and the problems that were heard,
//! and from nothing else.

use std::fmt;
use std::process::ExitCode;

use hashget::fetch::FetchError;
use hashget::formats::FormatError;
use hashget::index::IndexError;
use hashget::monitor::{Interrupted, ProblemKind};
use hashget::tree::BadGlob;

use crate::causes::{AnyError, causes};
use crate::output::{Problems, print_usage_error};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// All done.
    Done,
    /// Failed.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// Finished, but some file could not be read, or was not restored.
    Incomplete,
    /// Something failed verification.
    Verification,
    /// A source could not be reached.
    Unreachable,
    /// Interrupted.
    Interrupted,
}

impl Code {
    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
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
        Self::from(code.number())
    }
}

/// The command line or the configuration asks for something that cannot be.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

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
    match (of_error(error.as_ref()), from_problems) {
        // An error without a cause of its own ("nothing could be indexed") sums up the problems before it.
        (Code::Failed, Code::Verification | Code::Unreachable)
            if causes(error.as_ref()).len() == 1 =>
        {
            from_problems
        }
        (code, _) => code,
    }
}

/// The code for an error alone.
fn of_error(error: &AnyError) -> Code {
    let causes = causes(error);
    let any = |test: &dyn Fn(&AnyError) -> bool| causes.iter().any(|cause| test(*cause));
    let fetch = |test: fn(&FetchError) -> bool| {
        any(&|cause| cause.downcast_ref::<FetchError>().is_some_and(test))
    };
    if any(&|cause| cause.is::<Interrupted>()) {
        Code::Interrupted
    } else if any(&|cause| cause.is::<UsageError>() || cause.is::<BadGlob>()) {
        Code::Usage
    } else if fetch(|error| matches!(error, FetchError::Mismatch { .. }))
        || any(&|cause| cause.downcast_ref().is_some_and(is_bad_package))
    {
        Code::Verification
    } else if fetch(|error| {
        use FetchError::{NotFound, Refused, Transient, Unreachable};
        matches!(error, NotFound { .. } | Unreachable { .. } | Transient { .. } | Refused { .. })
    }) {
        Code::Unreachable
    } else {
        Code::Failed
    }
}

/// Is it the package that is wrong, and not the disk that it is read from?
fn is_bad_package(error: &IndexError) -> bool {
    matches!(error, IndexError::Format { error, .. } if !matches!(error, FormatError::Io(_)))
}

/// What kind of problem an error is when the command goes on without the thing that had it.
pub(crate) fn problem_kind(error: &AnyError) -> ProblemKind {
    match of_error(error) {
        Code::Verification => ProblemKind::Verification,
        Code::Unreachable => ProblemKind::Unreachable,
        _ => ProblemKind::Incomplete,
    }
}

/// Says what clap has to say: help and version to standard output, usage errors to standard error.
pub(crate) fn after_parsing(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        print_usage_error(error);
        return Code::Usage.into();
    }
    // A reader that has gone away has seen enough.
    let _ = error.print();
    Code::Done.into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use hashget::formats::FormatError;

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
