//! Why something could not be fetched.
//!
//! Invariant: each error says whether it came from an answer of the server, and whether its host is given up.

use std::fs::File;
use std::time::Duration;

use crate::error::ErrorClass;
use crate::model::counted;
use crate::monitor::Interrupted;
use crate::wording;

/// A host that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// The host.
    pub host: String,
    /// Number of requests that failed in a row.
    pub failures: usize,
    /// Time until it is asked again.
    pub again: Duration,
}

/// The error for a URL whose host is given up, because of `problem`.
pub(super) fn not_asked(url: &str, given_up: GivenUp, problem: String) -> FetchError {
    let GivenUp { host, failures, again } = given_up;
    FetchError::NotAsked { url: super::fetch_url::shown(url), host, failures, again, problem }
}

/// Why something could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The source does not have it (404, or not in the pool).
    #[error("{from} does not have {url}")]
    NotFound {
        /// Which source.
        from: String,
        /// What was wanted.
        url: String,
    },
    /// The server refuses access: it wants a login or a payment, or withholds it (401, 402, 403, 451).
    #[error("{from} refuses access to {url} ({status})")]
    Denied {
        /// Which server.
        from: String,
        /// The URL.
        url: String,
        /// The status.
        status: String,
    },
    /// The source has something else than what was requested.
    #[error("{from} gave other bytes: expected {expected}, found {found}")]
    Mismatch {
        /// Which source.
        from: String,
        /// The wanted digest or size.
        expected: String,
        /// What was received.
        found: String,
        /// The bytes, which are not proven, from the start: files in them may still be proven one by one.
        /// `None` if too few arrived to be useful.
        file: Option<File>,
    },
    /// The source could not be reached, or failed repeatedly.
    #[error("cannot fetch {url}: {problem}")]
    Unreachable {
        /// The URL that was tried.
        url: String,
        /// What happened, and the number of tries.
        problem: String,
        /// Did the server answer the last request, with whatever status?
        answered: bool,
        /// If its host is given up now.
        given_up: Option<Box<GivenUp>>,
    },
    /// Its host was given up for a while, because the latest requests to it all failed. Among them may be one for this
    /// URL: then it is not tried again before the host is back.
    #[error(
        "{url} is not asked for now: {} in a row to {host} failed ({problem})",
        counted(*failures, "request", "requests")
    )]
    NotAsked {
        /// The URL.
        url: String,
        /// The host.
        host: String,
        /// Number of requests that failed in a row.
        failures: usize,
        /// Time until the host is asked again.
        again: Duration,
        /// How the latest request failed.
        problem: String,
    },
    /// A temporary failure; a retry may help. [`Retry`](super::Retry) retries, and finally turns it into
    /// [`Unreachable`](Self::Unreachable).
    #[error("cannot fetch {url}: {problem}")]
    Transient {
        /// The URL that was tried.
        url: String,
        /// What happened.
        problem: String,
        /// How long the server asked to wait before the next try.
        retry_after: Option<Duration>,
        /// Bytes from the start that are kept for the next try.
        kept: u64,
        /// Did the server answer, with whatever status?
        answered: bool,
        /// If the host is given up now, so that no retry helps before it is back.
        given_up: Option<Box<GivenUp>>,
    },
    /// The server sends no parts, and the part that was wanted lies too far behind the start.
    #[error("{url} cannot be read in parts")]
    NoParts {
        /// The URL.
        url: String,
    },
    /// The URL must not be fetched.
    #[error("will not fetch {url}: {problem}")]
    Refused {
        /// The URL.
        url: String,
        /// Why.
        problem: String,
    },
    /// Writing the downloaded bytes failed (the disk is full, ...).
    #[error("cannot keep what was fetched from {url}")]
    Disk {
        /// The URL.
        url: String,
        /// What failed.
        #[source]
        error: std::io::Error,
    },
    /// Several sources were tried, in turn; each with its own error.
    #[error("{} sources failed: {}", errors.len(), wording::several(errors))]
    All {
        /// One for each source, in the order of the tries.
        errors: Vec<FetchError>,
    },
    /// The monitor asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl FetchError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Denied { .. } => ErrorClass::Denied,
            Self::Mismatch { .. } => ErrorClass::WrongBytes,
            Self::Unreachable { .. }
            | Self::Transient { .. }
            | Self::NotAsked { .. }
            | Self::NoParts { .. } => ErrorClass::Unreachable,
            Self::Refused { .. } => ErrorClass::Refused,
            Self::Disk { .. } => ErrorClass::DownloadNotKept,
            Self::All { errors } => ErrorClass::of_several(errors.iter().map(Self::class))
                .unwrap_or(ErrorClass::NotFound),
            Self::Interrupted(interrupted) => interrupted.class(),
        }
    }

    /// Could this machine not keep what came, so that nothing is known of the package?
    pub fn is_not_kept(&self) -> bool {
        self.class() == ErrorClass::DownloadNotKept
    }

    /// The host that was given up, if no other host was asked.
    pub fn not_asked(&self) -> Option<&str> {
        match self {
            Self::NotAsked { host, .. } => Some(host),
            Self::All { errors } => {
                let first = errors.first()?.not_asked();
                first.filter(|_| errors.iter().all(|error| error.not_asked().is_some()))
            }
            _ => None,
        }
    }

    /// The host that was given up, before it was asked for this package or because of it, if there is no other reason.
    pub fn given_up(&self) -> Option<&str> {
        match self {
            Self::NotAsked { host, .. } => Some(host),
            Self::Unreachable { given_up, .. } => Some(&given_up.as_ref()?.host),
            Self::All { errors } => {
                let first = errors.first()?.given_up();
                first.filter(|_| errors.iter().all(|error| error.given_up().is_some()))
            }
            _ => None,
        }
    }

    /// The time until all hosts that were given up are asked again, if any of them might still have it.
    pub fn again(&self) -> Option<Duration> {
        match self {
            Self::NotAsked { again, .. } => Some(*again),
            Self::All { errors } => errors.iter().filter_map(Self::again).max(),
            _ => None,
        }
    }

    /// Does a server have it, but send no parts of it?
    pub fn has_no_parts(&self) -> bool {
        match self {
            Self::NoParts { .. } => true,
            Self::All { errors } => errors.iter().any(Self::has_no_parts),
            _ => false,
        }
    }

    /// Was it forbidden to ask for it, by our own rules or by the user who works offline, and did every source that was asked
    /// answer that it does not have it?
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::All { errors } => {
                let is_absent = |error: &Self| error.is_refused() || error.not_found().is_some();
                errors.iter().any(Self::is_refused) && errors.iter().all(is_absent)
            }
            _ => false,
        }
    }

    /// Did a server refuse access, and no source fail otherwise?
    pub fn is_denied(&self) -> bool {
        match self {
            Self::Denied { .. } => true,
            Self::All { errors } => {
                self.not_found().is_some() && errors.iter().any(Self::is_denied)
            }
            _ => false,
        }
    }

    /// The source that answered that it does not have it, or gives it to nobody without a login
    /// ([`is_denied`](Self::is_denied)), if no source failed otherwise. Hosts that were given up count less than an
    /// answer.
    pub fn not_found(&self) -> Option<&str> {
        match self {
            Self::NotFound { from, .. } | Self::Denied { from, .. } => Some(from),
            Self::All { errors } => {
                let absent = |error: &Self| error.not_found().or(error.given_up()).is_some();
                let absent = errors.iter().all(absent);
                errors.iter().rev().find_map(Self::not_found).filter(|_| absent)
            }
            _ => None,
        }
    }

    /// The same error for another caller that needs the same; without the bytes of a mismatch.
    pub(crate) fn copied(&self) -> Self {
        match self {
            Self::NotFound { from, url } => Self::NotFound { from: from.clone(), url: url.clone() },
            Self::Denied { from, url, status } => {
                let (from, url, status) = (from.clone(), url.clone(), status.clone());
                Self::Denied { from, url, status }
            }
            Self::Mismatch { from, expected, found, .. } => {
                let (from, expected, found) = (from.clone(), expected.clone(), found.clone());
                Self::Mismatch { from, expected, found, file: None }
            }
            Self::Unreachable { url, problem, answered, given_up }
            | Self::Transient { url, problem, answered, given_up, .. } => {
                let (url, problem, answered) = (url.clone(), problem.clone(), *answered);
                Self::Unreachable { url, problem, answered, given_up: given_up.clone() }
            }
            Self::NotAsked { url, host, failures, again, problem } => {
                let (url, host, problem) = (url.clone(), host.clone(), problem.clone());
                Self::NotAsked { url, host, failures: *failures, again: *again, problem }
            }
            Self::NoParts { url } => Self::NoParts { url: url.clone() },
            Self::Refused { url, problem } => {
                Self::Refused { url: url.clone(), problem: problem.clone() }
            }
            Self::Disk { url, error } => {
                let error = std::io::Error::new(error.kind(), error.to_string());
                Self::Disk { url: url.clone(), error }
            }
            Self::All { errors } => Self::All { errors: errors.iter().map(Self::copied).collect() },
            Self::Interrupted(interrupted) => Self::Interrupted(*interrupted),
        }
    }
}
