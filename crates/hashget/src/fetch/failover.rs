//! Several sources: each is tried in turn until one has the right bytes.
//!
//! Invariant: after any failure except an interruption the next source is tried.

use super::fetch_url::shown;
use super::{FetchError, Fetched, Source, Wanted};
use crate::model::Checksum;
use crate::monitor::{Interrupted, Monitor, ProblemKind};

/// Tries its sources in order.
pub struct Failover {
    sources: Vec<Box<dyn Source>>,
}

impl Failover {
    /// These sources, in this order.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self { sources }
    }
}

impl Source for Failover {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let mut errors = Vec::new();
        for (position, source) in self.sources.iter().enumerate() {
            match source.fetch(wanted, monitor) {
                Err(FetchError::Interrupted(interrupted)) => return Err(interrupted.into()),
                Err(error) => {
                    if position + 1 < self.sources.len() {
                        tell_mismatch(&error, wanted, monitor);
                    }
                    errors.push(error);
                }
                fetched => return fetched,
            }
        }
        if errors.is_empty() {
            let from = "no source at all".to_owned();
            return Err(FetchError::NotFound { from, url: shown(&wanted.url) });
        }
        Err(combine(errors))
    }

    fn at_hand_by_checksum(
        &self,
        checksum: &Checksum,
        wanted: &Wanted,
        monitor: &dyn Monitor,
    ) -> Result<Option<Fetched>, Interrupted> {
        for source in &self.sources {
            if let Some(fetched) = source.at_hand_by_checksum(checksum, wanted, monitor)? {
                return Ok(Some(fetched));
            }
        }
        Ok(None)
    }

    fn is_at_hand(&self, wanted: &Wanted, monitor: &dyn Monitor) -> bool {
        self.sources.iter().any(|source| source.is_at_hand(wanted, monitor))
    }
}

/// Reports a source that gave wrong bytes before the next one is tried.
pub(super) fn tell_mismatch(error: &FetchError, wanted: &Wanted, monitor: &dyn Monitor) {
    match error {
        FetchError::Mismatch { .. } => {
            monitor.problem(
                ProblemKind::Note,
                shown(&wanted.url),
                format!("{error}; trying the next source"),
            );
        }
        FetchError::All { errors } => {
            errors.iter().for_each(|error| tell_mismatch(error, wanted, monitor));
        }
        _ => {}
    }
}

/// Combines the errors of several sources. Bytes whose files may still be proven one by one come first;
/// `NotFound` and `Denied` are reported only if no source failed otherwise. Beside it, a host that was given up is
/// reported too: it may have what the others do not have.
pub(super) fn combine(errors: Vec<FetchError>) -> FetchError {
    let mut flat = Vec::new();
    flatten(errors, &mut flat);
    let with_file =
        flat.iter().position(|error| matches!(error, FetchError::Mismatch { file: Some(_), .. }));
    if let Some(position) = with_file {
        return flat.swap_remove(position);
    }
    let (mut absent, mut errors): (Vec<_>, Vec<_>) =
        flat.into_iter().partition(|error| error.not_found().is_some());
    if errors.iter().all(|error| error.given_up().is_some()) {
        // What one server refuses, another login might get.
        let denied = absent.iter().rposition(FetchError::is_denied);
        errors.extend(denied.map(|position| absent.swap_remove(position)).or_else(|| absent.pop()));
    }
    match errors.len() {
        1 => errors.remove(0),
        _ => FetchError::All { errors },
    }
}

fn flatten(errors: Vec<FetchError>, flat: &mut Vec<FetchError>) {
    for error in errors {
        match error {
            FetchError::All { errors } => flatten(errors, flat),
            error => flat.push(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_found(from: &str) -> FetchError {
        FetchError::NotFound { from: from.to_owned(), url: "u".to_owned() }
    }

    fn unreachable(problem: &str) -> FetchError {
        let (url, problem) = ("u".to_owned(), problem.to_owned());
        FetchError::Unreachable { url, problem, answered: false, given_up: None }
    }

    fn not_asked() -> FetchError {
        let (url, host, problem) = ("u".to_owned(), "h".to_owned(), "gone".to_owned());
        let again = std::time::Duration::ZERO;
        FetchError::NotAsked { url, host, failures: 5, again, problem }
    }

    fn mismatch(file: bool) -> FetchError {
        let file = file.then(|| tempfile::tempfile().unwrap());
        FetchError::Mismatch { from: "f".into(), expected: "e".into(), found: "f".into(), file }
    }

    #[test]
    fn the_error_that_helps_is_the_one_told() {
        let table = [
            (vec![not_found("pool"), not_found("origin")], "origin does not have u"),
            (vec![not_found("pool"), unreachable("gone")], "cannot fetch u: gone"),
            (vec![unreachable("gone"), not_found("origin")], "cannot fetch u: gone"),
            (
                vec![
                    FetchError::All { errors: vec![unreachable("a"), not_found("m")] },
                    unreachable("b"),
                ],
                "2 sources failed: cannot fetch u: a; cannot fetch u: b",
            ),
            (
                vec![not_asked(), unreachable("b"), not_found("m")],
                "2 sources failed: u is not asked for now: 5 requests in a row to h failed (gone); cannot fetch u: b",
            ),
            (vec![mismatch(true), unreachable("b")], "f gave other bytes: expected e, found f"),
        ];
        for (errors, text) in table {
            assert_eq!(combine(errors).to_string(), text);
        }
        assert!(combine(vec![not_asked(), unreachable("b")]).not_found().is_none());
        let without_file = combine(vec![mismatch(false), mismatch(true)]);
        assert!(matches!(without_file, FetchError::Mismatch { file: Some(_), .. }));
    }

    #[test]
    fn an_answer_counts_more_than_a_host_that_was_not_asked() {
        for errors in
            [vec![not_asked(), not_found("origin")], vec![not_found("origin"), not_asked()]]
        {
            let error = combine(errors);
            assert_eq!((error.not_found(), error.not_asked()), (Some("origin"), None), "{error:?}");
            assert!(error.again().is_some(), "the host that was not asked may have it");
        }
        let error = combine(vec![not_asked(), not_asked()]);
        assert_eq!((error.not_found(), error.not_asked()), (None, Some("h")), "{error:?}");
    }
}
