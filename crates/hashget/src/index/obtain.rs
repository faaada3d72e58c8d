//! Third step: get the package of a candidate from the cheapest place that has it: this machine, pools,
//! servers that have it for the time being, its permanent URL; and, if a further question can name another
//! place, from there.
//!
//! Invariant: the recorded URL is permanent, and a package from elsewhere has the digest that the candidate
//! names. Bytes of this machine are used only if the URL was not said to lack them; bytes whose URL and digest nobody but a
//! file of the tree names come from the URL itself.

use super::fetch::{self, Package};
use super::question::Pages;
use super::{IndexError, Indexer, Request};
use crate::detectors::Candidate;
use crate::fetch::{FetchError, public_url, shown};
use crate::hashdb::{Check, CheckOutcome, now};
use crate::model::{Checksum, Digest, Origin, escaped};
use crate::monitor::Monitor;
use crate::places::{Asker, Known, is_strange_url, tail_of, was_lost_lately};

/// A package, with what is recorded about its URL.
pub(super) struct Obtained {
    pub(super) package: Package,
    pub(super) request: Request,
    /// The answer of the URL, if it was asked.
    pub(super) asked: Option<Check>,
    /// Did it come from elsewhere than the URL, which is only likely to have it?
    is_likely: bool,
}

/// The package of `candidate`, which has no open question.
pub(super) fn obtain(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    let failure = match from_named_places(indexer, candidate, pages, monitor) {
        // It could not be fetched, or its URL said that it does not have it.
        Err(failure @ (IndexError::Fetch(_) | IndexError::Unreliable { .. })) => failure,
        outcome => return outcome,
    };
    let Some(question) = &candidate.otherwise else { return Err(failure) };
    match pages.answered(indexer, candidate, &**question, monitor) {
        Ok(further) => from_named_places(indexer, &further, pages, monitor),
        // The last attempt failed, too; the error of the first place is more informative.
        Err(IndexError::Fetch(_) | IndexError::Unreliable { .. }) => Err(failure),
        Err(error) => Err(error),
    }
}

/// Tries the places that the candidate names.
fn from_named_places(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    let mut request = indexer.request_of(candidate);
    // What a server has for the time being, or serves inside a network only, is no place to restore from.
    request.also = candidate.also.iter().map(|url| public_url(indexer.mirrors, url)).collect();
    refuse_lost(indexer, candidate, &request)?;
    if candidate.origin > Origin::Tree
        && let Some(package) = fetch::local(candidate, monitor)?
    {
        let obtained = to_record(candidate, request, package)?;
        return asked(indexer, candidate, obtained, pages, monitor);
    }
    if candidate.local_file.is_some() {
        // The size may be that of the local file, which turned out to be a different one.
        request.size = None;
    }
    let package = fetched(indexer, candidate, &request, monitor);
    let package = package.inspect_err(|error| remember(indexer, candidate, error))?;
    let obtained = to_record(candidate, request, package)?;
    // Whoever wants to rely on it asks for it, with others.
    let obtained = if obtained.is_likely {
        in_bulk(indexer, candidate, obtained, pages, monitor)?
    } else {
        obtained
    };
    Ok(obtained)
}

fn fetched(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    request: &Request,
    monitor: &dyn Monitor,
) -> Result<Package, IndexError> {
    let by_checksum = candidate.checksum.as_ref().filter(|_| request.sha256.is_none());
    match by_checksum {
        _ if is_strange_url(candidate.origin, candidate.keeping, &request.url) => {
            from_itself(indexer, candidate, request, monitor)
        }
        Some(checksum) => by_checksum_alone(indexer, candidate, request, checksum, monitor),
        // Pools are asked by SHA-256 if it is known.
        None => by_sha256(indexer, candidate, request, monitor),
    }
}

/// Fails if the URLs said lately that they do not have the package: it would be asked for every time.
fn refuse_lost(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    request: &Request,
) -> Result<(), IndexError> {
    let Some(subject) = subject(candidate) else { return Ok(()) };
    let checks = indexer.hashdb.checks(&[subject])?.pop().unwrap_or_default();
    let mut urls = std::iter::once(&request.url).chain(&request.also);
    match urls.all(|url| was_lost_lately(&checks, url, now())) {
        true => {
            Err(unreliable(candidate, format!("{} lately did not have it", shown(&request.url))))
        }
        false => Ok(()),
    }
}

/// What answers about a candidate are kept under: its SHA-256, or, if that is not known, the digest of its checksum's text.
fn subject(candidate: &Candidate) -> Option<Digest> {
    let checksum = candidate.checksum.as_ref().map(|sum| Digest::of(sum.to_string().as_bytes()));
    candidate.sha256.or(checksum)
}

/// Keeps the answer that a URL does not have the candidate.
fn remember(indexer: &Indexer<'_>, candidate: &Candidate, error: &IndexError) {
    let (IndexError::Fetch(error), Some(subject)) = (error, subject(candidate)) else { return };
    let errors = match error {
        FetchError::All { errors } => &errors[..],
        error => std::slice::from_ref(error),
    };
    for error in errors {
        let (url, outcome) = match error {
            FetchError::NotFound { url, .. } | FetchError::Denied { url, .. } => {
                (url, CheckOutcome::Gone)
            }
            FetchError::Mismatch { from, .. } => (from, CheckOutcome::Differs),
            _ => continue,
        };
        let check = Check::now(subject, &public_url(indexer.mirrors, url), true, outcome);
        // Only knowledge: without it, the URL is asked again.
        drop(indexer.hashdb.put_check(&check));
    }
}

fn unreliable(candidate: &Candidate, reason: String) -> IndexError {
    IndexError::Unreliable { package: escaped(candidate.name().as_bytes()), reason }
}

/// Asks the question that answers for many packages, if there is one.
fn in_bulk(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    obtained: Obtained,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    match &candidate.bulk {
        Some(bulk) if pages.holds(indexer, candidate, bulk, monitor)? => {
            let asked = Some(present(&obtained.package, &obtained.request.url));
            Ok(Obtained { asked, ..obtained })
        }
        _ => Ok(obtained),
    }
}

/// The answer that `url` has the package.
fn present(package: &Package, url: &str) -> Check {
    let check = Check::now(package.sha256, url, false, CheckOutcome::Present);
    Check { tail: tail_of(&package.file, package.size), ..check }
}

/// Asks the URL under which a package of this machine is to be recorded, and that of its contents.
fn asked(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    obtained: Obtained,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Obtained, IndexError> {
    if candidate.vouched.is_some() {
        return Ok(obtained);
    }
    let obtained = in_bulk(indexer, candidate, obtained, pages, monitor)?;
    if obtained.asked.is_some() {
        return Ok(obtained);
    }
    let (package, request) = (&obtained.package, &obtained.request);
    let checks = indexer.hashdb.checks(&[package.sha256])?.pop().unwrap_or_default();
    let asker = Asker { web: indexer.web };
    let by_content = request.also.first().filter(|_| obtained.is_likely);
    let mut reason = String::new();
    for url in std::iter::once(&request.url).chain(by_content) {
        if was_lost_lately(&checks, url, now()) {
            reason = format!("{} lately did not have it", shown(url));
            continue;
        }
        let (size, known) = (Some(package.size), Known::File(&package.file));
        let answer = asker.ask(url, request.reach, size, known, monitor)?;
        match answer.outcome {
            Some(CheckOutcome::Gone | CheckOutcome::Differs | CheckOutcome::Moves) => {
                let check = answer.check(package.sha256, url);
                check.map_or(Ok(()), |check| indexer.hashdb.put_check(&check))?;
                reason = format!("{} does not have it ({})", shown(url), answer.details);
            }
            // Whoever wants to rely on it asks again.
            None | Some(CheckOutcome::Unreachable) => return Ok(obtained),
            Some(CheckOutcome::Present) => {
                let asked = Some(present(package, url));
                let (url, mut also) = (url.clone(), request.also.clone());
                also.retain(|other| *other != url);
                let request = Request { url, also, ..request.clone() };
                return Ok(Obtained { request, asked, ..obtained });
            }
        }
    }
    Err(unreliable(candidate, reason))
}

/// From the URL itself, without pools and caches, which may have the bytes from elsewhere.
fn from_itself(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    request: &Request,
    monitor: &dyn Monitor,
) -> Result<Package, IndexError> {
    // Sources that find packages by their digest are not asked without one.
    let anonymous = Request { sha256: None, ..request.clone() };
    let package = fetch::fetch(indexer.source, &anonymous, monitor)?;
    if let Some(sha256) = candidate.sha256 {
        package.check(&sha256.into())?;
    }
    if let Some(checksum) = &candidate.checksum {
        package.check(checksum)?;
    }
    Ok(package)
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
    let mut is_likely = false;
    if let Some(address) = &candidate.by_content {
        let by_content = address.url(&package.checksum(address.algorithm)?);
        // A mirror of the archive has it at the same path.
        let path = url::Url::parse(&candidate.url).ok().map(|url| url.path().to_owned());
        let is_from = |from: &String| path.is_some_and(|path| from.ends_with(&path));
        if package.from.as_ref().is_some_and(is_from) {
            request.also.insert(0, by_content);
        } else if candidate.vouched.is_some() {
            // The archive had it, but perhaps not at that moment.
            request.url = by_content;
        } else {
            request.also.insert(0, by_content);
            is_likely = true;
        }
    }
    Ok(Obtained { package, request, asked: None, is_likely })
}
