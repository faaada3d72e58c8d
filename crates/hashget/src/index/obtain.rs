//! Third step: get the package of a candidate from the cheapest place that has it: this machine, pools,
//! servers that have it for the time being, its permanent URL; and, if a further question can name another
//! place, from there.
//!
//! Invariant: the recorded URL is permanent, and a package from elsewhere has the digest that the candidate
//! names.

use super::fetch::{self, Package};
use super::question::Pages;
use super::{IndexError, Indexer, Request};
use crate::detectors::Candidate;
use crate::fetch::{FetchError, public_url};
use crate::model::Checksum;
use crate::monitor::Monitor;

/// A package, with what is recorded about its URL.
pub(super) struct Obtained {
    pub(super) package: Package,
    pub(super) request: Request,
}

/// The package of `candidate`, which has no open question.
pub(super) fn obtain(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    let failure = match from_named_places(indexer, candidate, monitor) {
        Err(IndexError::Fetch(failure)) => failure,
        outcome => return outcome,
    };
    let Some(question) = &candidate.otherwise else { return Err(failure.into()) };
    match pages.answered(indexer, candidate, &**question, monitor) {
        Ok(further) => from_named_places(indexer, &further, monitor),
        // The last attempt failed, too; the error of the first place is more informative.
        Err(IndexError::Fetch(_) | IndexError::Unreliable { .. }) => Err(failure.into()),
        Err(error) => Err(error),
    }
}

/// Tries the places that the candidate names.
fn from_named_places(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    let mut request = indexer.request_of(candidate);
    // What a server has for the time being, or serves inside a network only, is no place to restore from.
    request.also = candidate.also.iter().map(|url| public_url(indexer.mirrors, url)).collect();
    if let Some(package) = fetch::local(candidate, monitor)? {
        return to_record(candidate, request, package);
    }
    if candidate.local_file.is_some() {
        // The size may be that of the local file, which turned out to be a different one.
        request.size = None;
    }
    let by_checksum = candidate.checksum.as_ref().filter(|_| request.sha256.is_none());
    let package = match by_checksum {
        Some(checksum) => by_checksum_alone(indexer, candidate, &request, checksum, monitor)?,
        // Pools are asked by SHA-256 if it is known.
        None => by_sha256(indexer, candidate, &request, monitor)?,
    };
    to_record(candidate, request, package)
}

/// By SHA-256; if it is not known, whatever the only permanent URL serves.
fn by_sha256(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    request: &Request,
    monitor: &dyn Monitor,
) -> Result<Package, IndexError> {
    let mut places = match request.sha256 {
        Some(_) => candidate.mirrors.clone(),
        None => Vec::new(),
    };
    places.push(request.url.clone());
    places.extend(candidate.also.iter().cloned());
    let request = Request { url: places.remove(0), also: places, ..request.clone() };
    let package = fetch::fetch(indexer.source, &request, monitor)?;
    if let Some(checksum) = &candidate.checksum {
        package.check(checksum)?;
    }
    Ok(package)
}

/// By another checksum, which sources do not prove: the places are tried one after the other, until one has
/// the right bytes.
fn by_checksum_alone(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    request: &Request,
    checksum: &Checksum,
    monitor: &dyn Monitor,
) -> Result<Package, IndexError> {
    if let Some(package) = fetch::at_hand(indexer.source, request, checksum, monitor)? {
        return Ok(package);
    }
    let mut failure: Option<FetchError> = None;
    for url in std::iter::once(&request.url).chain(&candidate.also) {
        let request = Request { url: url.clone(), also: Vec::new(), ..request.clone() };
        let fetched = fetch::fetch(indexer.source, &request, monitor);
        match fetched.and_then(|package| package.check(checksum).map(|()| package)) {
            Ok(package) => return Ok(package),
            // Wrong bytes are the more important error.
            Err(IndexError::Fetch(error @ FetchError::Mismatch { .. })) => failure = Some(error),
            Err(IndexError::Fetch(error)) => {
                // An answer says more than a host that was not asked.
                let known = failure.filter(|known| known.not_asked().is_none());
                failure = Some(known.unwrap_or(error));
            }
            Err(error) => return Err(error),
        }
    }
    Err(failure.expect("each place failed").into())
}

/// Decides which URL is recorded: the candidate's, unless that is only likely and the bytes came from
/// elsewhere.
fn to_record(
    candidate: &Candidate,
    mut request: Request,
    package: Package,
) -> Result<Obtained, IndexError> {
    request.size = candidate.size;
    if let Some(address) = &candidate.by_content {
        let by_content = address.url(&package.checksum(address.algorithm)?);
        // A mirror of the archive has it at the same path.
        let path = url::Url::parse(&candidate.url).ok().map(|url| url.path().to_owned());
        let is_from = |from: &String| path.is_some_and(|path| from.ends_with(&path));
        if package.from.as_ref().is_some_and(is_from) {
            request.also.insert(0, by_content);
        } else {
            request.url = by_content;
        }
    }
    Ok(Obtained { package, request })
}
