//! What is asked for a package when everything else has failed.
//!
//! Invariant: an error is always that of what was asked before, which is about where the package belongs; what came from elsewhere
//! is told.

use super::{FetchError, Fetched, Source, Wanted, shown};
use crate::model::escaped;
use crate::monitor::{Monitor, ProblemKind};

/// Does this error say something of the package's places? Not if the user has stopped it, or this machine could not keep what came.
pub(crate) fn is_of_its_places(error: &FetchError) -> bool {
    !matches!(error, FetchError::Interrupted(_)) && !error.is_not_kept()
}

/// What a package is called, if this is one of its URLs.
pub(super) fn name_of(wanted: &Wanted, url: &str) -> String {
    wanted.name.as_deref().map_or_else(|| shown(url), |name| escaped(name.as_bytes()))
}

/// The package that could not be had, because of `error`, from `source` by these URLs; `why` it comes from there is told.
///
/// # Errors
/// It cannot be had there, either: `error`. The user has stopped it, or it cannot be kept.
pub(crate) fn from_elsewhere(
    error: FetchError,
    wanted: &Wanted,
    (source, urls): (&dyn Source, Vec<String>),
    why: &str,
    monitor: &dyn Monitor,
) -> Result<Fetched, FetchError> {
    let mut urls = urls.into_iter();
    let Some(url) = urls.next() else { return Err(error) };
    let name = name_of(wanted, &url);
    let elsewhere = Wanted { url, also: urls.collect(), name: wanted.name.clone(), ..*wanted };
    match source.fetch(&elsewhere, monitor) {
        Ok(fetched) => {
            let problem = format!("{why}: from {}", shown(&fetched.from));
            monitor.problem(ProblemKind::Note, name, problem);
            Ok(fetched)
        }
        Err(FetchError::Interrupted(interrupted)) => Err(interrupted.into()),
        Err(FetchError::Disk { url, error }) => Err(FetchError::Disk { url, error }),
        Err(_) => Err(error),
    }
}
