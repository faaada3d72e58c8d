//! Where a .deb comes from, cheapest first: this machine and pools, the archive's own server, and the
//! snapshots of Debian's archives last.
//!
//! Invariant: the recorded URL is a permanent one, under which these very bytes are: proven by the SHA-256
//! of a signed list, or by the SHA-1 that the snapshots give. A .deb that says to be another package is
//! refused.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::fetch::{self, Package};
use super::snapshot::{self, Place};
use super::{IndexError, Indexed, Indexer, Request, declared, known};
use crate::detectors::debian::archives::{self, SNAPSHOT};
use crate::detectors::{Candidate, DebPackage, DebPlace};
use crate::fetch::{FetchError, public_url};
use crate::formats::{FormatError, control_members, own_name};
use crate::model::{Algorithm, Evidence, Member, escaped};
use crate::monitor::{Monitor, ProblemKind};

/// A .deb and its permanent URLs.
struct Located {
    url: String,
    also: Vec<String>,
    package: Package,
}

/// Closes once the network seems to be gone: trying in vain takes minutes for each package.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    failures: AtomicUsize,
}

impl CircuitBreaker {
    /// So many packages in a row whose servers could not be reached are enough.
    const MOST: usize = 5;

    fn is_closed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= Self::MOST
    }

    fn failed(&self, error: &IndexError) {
        if let IndexError::Fetch(FetchError::Unreachable { .. }) = error {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}

/// Indexes the .deb of `candidate`, unless a package of its name is known at the evidence that is asked
/// for.
pub(super) fn index_deb(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    breaker: &CircuitBreaker,
    monitor: &dyn Monitor,
) -> Result<Indexed, IndexError> {
    if breaker.is_closed() {
        return Err(IndexError::NotAsked { package: name_of(deb) });
    }
    let looked_up = deb.look_up(&mut |note| {
        monitor.problem(ProblemKind::Note, &note.path, &note.problem);
    });
    let candidate = looked_up.as_ref().unwrap_or(candidate);
    let deb = candidate.deb.as_deref().unwrap_or(deb);
    if looked_up.is_some()
        && let Some(id) = known::known_by_name(indexer, candidate)?
    {
        return Ok(Indexed::Known(id));
    }
    if let DebPlace::Nowhere { origin } = &deb.place {
        let reason = format!("it is of the archive \"{origin}\", which keeps no old packages");
        return Err(unreliable(deb, reason));
    }
    if indexer.evidence < Evidence::Signed
        && let Some(indexed) = declared::index(indexer, candidate, deb, monitor)?
    {
        return Ok(indexed);
    }
    let located =
        locate(indexer, candidate, deb, monitor).inspect_err(|error| breaker.failed(error))?;
    breaker.open();
    let control = control_members(&mut &located.package.file, indexer.limits);
    check_name(control, deb, &located.url)?;
    let also = located.also.iter().map(|url| public_url(indexer.mirrors, url)).collect();
    let request = Request { url: located.url, also, ..indexer.request_of(candidate) };
    indexer.read_and_record(&request, &located.package, monitor)
}

fn locate(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    monitor: &dyn Monitor,
) -> Result<Located, IndexError> {
    let in_snapshots = candidate.url.starts_with(SNAPSHOT);
    let mut failure = None;
    if candidate.sha256.is_some() || !in_snapshots {
        match by_digest(indexer, candidate, deb, monitor) {
            Ok(located) => return Ok(located),
            Err(IndexError::Fetch(error)) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    if !in_snapshots {
        return Err(match failure {
            Some(FetchError::NotFound { .. }) => {
                unreliable(deb, "the archive does not have it".to_owned())
            }
            Some(error) => error.into(),
            None => unreliable(deb, "no archive is known to keep it".to_owned()),
        });
    }
    let places = ask(indexer, candidate, deb, monitor).map_err(|error| match (error, failure) {
        // Asking for another place was the last resort: why the first one failed tells more.
        (IndexError::Fetch(_) | IndexError::Unreliable { .. }, Some(failure)) => failure.into(),
        (error, _) => error,
    })?;
    by_places(indexer, candidate, &places, monitor)
}

/// By the SHA-256 of a signed list (or, where no list is at hand, from the one permanent URL).
fn by_digest(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    monitor: &dyn Monitor,
) -> Result<Located, IndexError> {
    let mut also = deb.mirrors.clone();
    let package = match fetch::local(candidate, monitor)? {
        Some(package) => package,
        None => {
            let mut places = deb.mirrors.clone();
            if deb.place == DebPlace::Known {
                places.push(candidate.url.clone());
            }
            if places.is_empty() {
                // Pools and the cache go by the digest.
                places.push(candidate.url.clone());
            }
            let request =
                Request { url: places.remove(0), also: places, ..indexer.request_of(candidate) };
            fetch::fetch(indexer.source, &request, monitor)?
        }
    };
    let Some(rest) = candidate.url.strip_prefix(SNAPSHOT) else {
        return Ok(Located { url: candidate.url.clone(), also, package });
    };
    let by_sha1 = archives::by_sha1(&sha1_of(&package)?);
    // That the snapshots have it at this moment of the archive is certain only if it came from there.
    let url = if package.from.as_deref().is_some_and(|from| from.ends_with(rest)) {
        also.insert(0, by_sha1);
        candidate.url.clone()
    } else {
        by_sha1
    };
    Ok(Located { url, also, package })
}

/// Asks the snapshots for the places of `deb`: one small request.
pub(super) fn ask(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    monitor: &dyn Monitor,
) -> Result<Vec<Place>, IndexError> {
    let question = archives::question(&deb.name, &deb.version);
    let most = snapshot::MAX_BYTES;
    let answer = match indexer.web.fetch_page(&question, "application/json", most, monitor) {
        Err(FetchError::NotFound { .. }) => {
            return Err(unreliable(deb, "the snapshots of Debian's archives do not have it"));
        }
        Err(error) => return Err(fetch::explain(error)),
        Ok(page) => page,
    };
    let places = snapshot::places(&answer, deb, candidate.size).map_err(|problem| {
        IndexError::Lookup { package: name_of(deb), problem: escaped(problem.as_bytes()) }
    })?;
    if places.is_empty() {
        let architecture = &deb.architecture;
        let reason =
            format!("the snapshots of Debian's archives do not have it for {architecture}");
        return Err(unreliable(deb, reason));
    }
    Ok(places)
}

/// From the places that the snapshots named, proven by the SHA-1 that they gave.
fn by_places(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    places: &[Place],
    monitor: &dyn Monitor,
) -> Result<Located, IndexError> {
    let place = &places[0];
    let by_sha1 = archives::by_sha1(&place.sha1);
    if let Some(file) = &candidate.local_file
        && let Ok(mut package) = fetch::open(file, monitor)
        && candidate.sha256.is_none_or(|sha256| sha256 == package.sha256)
    {
        let sha1 = sha1_of(&package)?;
        if let Some(place) = places.iter().find(|place| place.sha1 == sha1) {
            package.vouched = false;
            let also = vec![archives::by_sha1(&place.sha1)];
            return Ok(Located { url: place.url.clone(), also, package });
        }
    }
    let mut failure = None;
    for url in [&place.url, &by_sha1] {
        let request = Request {
            url: url.clone(),
            size: candidate.size.or(Some(place.size)),
            ..indexer.request_of(candidate)
        };
        match fetch::fetch(indexer.source, &request, monitor) {
            Ok(package) => {
                let found = sha1_of(&package)?;
                if found == place.sha1 {
                    let also = vec![by_sha1.clone()];
                    return Ok(Located { url: place.url.clone(), also, package });
                }
                failure = Some(FetchError::Mismatch {
                    from: package.from.unwrap_or_else(|| url.clone()),
                    expected: format!("sha1:{}", place.sha1),
                    found: format!("sha1:{found}"),
                    file: None,
                });
            }
            Err(IndexError::Fetch(error)) => {
                failure = Some(failure.unwrap_or(error));
            }
            Err(error) => return Err(error),
        }
    }
    Err(failure.expect("both places failed").into())
}

/// Refuses a package that is not the wanted one by its own control file.
pub(super) fn check_name(
    control: Result<Vec<(Member, Vec<u8>)>, FormatError>,
    deb: &DebPackage,
    url: &str,
) -> Result<Vec<(Member, Vec<u8>)>, IndexError> {
    let format = |error| IndexError::Format { url: escaped(url.as_bytes()), error };
    let damaged = |problem| format(FormatError::Damaged { format: "deb", problem });
    let members = control.map_err(format)?;
    let found = own_name(&members).map_err(format)?.value;
    let wanted = name_of(deb);
    if found != wanted {
        return Err(damaged(format!("it is the package {found}, expected {wanted}")));
    }
    Ok(members)
}

fn sha1_of(package: &Package) -> Result<String, IndexError> {
    Ok(hex::encode(package.checksum(Algorithm::Sha1)?.as_bytes()))
}

/// How a package is called in messages.
fn name_of(deb: &DebPackage) -> String {
    format!("{}_{}_{}", deb.name, deb.version, deb.architecture)
}

fn unreliable(deb: &DebPackage, reason: impl Into<String>) -> IndexError {
    IndexError::Unreliable { package: name_of(deb), reason: reason.into() }
}
