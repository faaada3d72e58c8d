//! Evidence without downloading the package: lists of digests, compared with the files in the tree.
//!
//! Invariant: the SHA-256 and size of the package are known, so that restoring can prove it. The members are
//! only those files in the tree that match the digest in the list, with the SHA-256 of exactly these bytes.
//! They may be only some of the package's members, and have no owner, mode and time. The evidence of a record is that of the
//! weakest list that one of its members comes from.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use super::question::Pages;
use super::record::Naming;
use super::{IndexError, Indexed, Indexer, candidate_reach, fetch};
use crate::detectors::{Candidate, Declared, FileList, Listed};
use crate::fetch::{FetchError, public_url, shown};
use crate::hashdb::{Check, CheckOutcome, now};
use crate::model::{
    Algorithm, Checksum, Digest, Evidence, HashingReader, Keeping, Kind, Member, MemberMetadata,
    Origin, PackageRecord, RelPath, escaped,
};
use crate::monitor::{Event, Interrupted, Monitor, ProblemKind};
use crate::tree::TreeRoot;

/// Records the package of `candidate` by the weakest evidence that is allowed. `None` if that is not
/// possible, so that the whole package is needed.
pub(super) fn index(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Option<Indexed>, IndexError> {
    let Some(first) = candidate.lists.first() else { return Ok(None) };
    let name = escaped(candidate.url.as_bytes());
    let (Some(sha256), Some(size)) = (candidate.sha256, size_of(indexer, candidate, monitor)?)
    else {
        let reason = "nothing gives its SHA-256 and size: it has to be downloaded";
        monitor.event(Event::Skipped { object: &name, reason });
        return Ok(None);
    };
    let mut members = Members::default();
    // Of several lists, the weakest decides: a member need not be in more than one of them.
    let mut evidence = Evidence::Declared;
    for list in &candidate.lists {
        let declared = match local(indexer, &**list, &name, monitor) {
            Some(listed) => {
                evidence = Evidence::Local;
                listed.into()
            }
            None => match declared(indexer, candidate, &**list, size, monitor) {
                Ok(Some(declared)) => declared,
                Ok(None) => return Ok(None),
                Err(error) => return elsewhere(indexer, candidate, error, pages, monitor),
            },
        };
        members.add_read(declared.members);
        members.add(&TreeRoot::open(list.root())?, &declared.files, monitor)?;
    }
    let record = record_of(indexer, candidate, first.format(), evidence, (sha256, size));
    if evidence == Evidence::Declared {
        // The list came from there, and every answer stated the right size.
        let check = Check::now(sha256, &record.url, false, CheckOutcome::Present);
        indexer.hashdb.put_check(&check)?;
    }
    let id = indexer.hashdb.put(&record, &members.found)?;
    let count = members.found.len();
    Ok(Some(Indexed::New { id, record: Box::new(record), members: count }))
}

/// Handles a list that could not be read: if the package was not found at its first URL, tries the place that
/// a further question names.
fn elsewhere(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    error: IndexError,
    pages: &Pages,
    monitor: &dyn Monitor,
) -> Result<Option<Indexed>, IndexError> {
    let further = match (error, &candidate.otherwise) {
        (IndexError::Fetch(error), Some(question)) if error.not_found().is_some() => {
            pages.answered(indexer, candidate, &**question, monitor)
        }
        (error, _) => Err(error),
    };
    match further {
        Ok(further) => index(indexer, &further, pages, monitor),
        Err(error @ IndexError::Interrupted(_)) => Err(error),
        Err(error) => {
            let name = escaped(candidate.url.as_bytes());
            let problem = format!("{}; trying to download it", crate::wording::one_line(&error));
            monitor.problem(ProblemKind::Note, &name, problem);
            Ok(None)
        }
    }
}

/// The package's size. Not every index and lock file has it, but the server reports it in answer to a request
/// for one byte.
fn size_of(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    monitor: &dyn Monitor,
) -> Result<Option<u64>, IndexError> {
    if candidate.size.is_some() || candidate.sha256.is_none() {
        return Ok(candidate.size);
    }
    match indexer
        .web
        .fetch_range(&candidate.url, candidate_reach(candidate), 0, 1, monitor)
        .map_err(fetch::explain)
    {
        Ok(part) => Ok(part.total),
        Err(error @ IndexError::Interrupted(_)) => Err(error),
        // Another place may have the complete package.
        Err(_) => Ok(None),
    }
}

/// The record for a package that was not downloaded.
fn record_of(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    format: &str,
    evidence: Evidence,
    (sha256, size): (Digest, u64),
) -> PackageRecord {
    let mut record = PackageRecord {
        url: public_url(indexer.mirrors, &candidate.url),
        also: candidate.also.iter().map(|url| public_url(indexer.mirrors, url)).collect(),
        sha256,
        size,
        format: format.to_owned(),
        signatures: candidate.signature.clone().into_iter().collect(),
        project: candidate.project.clone(),
        expires: None,
        indexed_at: now(),
        evidence,
        vouched: false,
        recursive: false,
        passed_over: 0,
        origin: Origin::Tree,
        trees: Vec::new(),
        keeping: Keeping::Unknown,
        publisher: None,
    };
    Naming::from_candidate(candidate).add_to(&mut record);
    record
}

/// The list kept on this machine, if that evidence is allowed and there is one.
fn local(
    indexer: &Indexer<'_>,
    list: &dyn FileList,
    name: &str,
    monitor: &dyn Monitor,
) -> Option<Vec<Listed>> {
    if indexer.evidence > Evidence::Local {
        return None;
    }
    list.local().unwrap_or_else(|problem| {
        monitor.problem(ProblemKind::Note, name, escaped(problem.as_bytes()));
        None
    })
}

/// The list inside the package; only the bytes of the list are fetched.
fn declared(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    list: &dyn FileList,
    size: u64,
    monitor: &dyn Monitor,
) -> Result<Option<Declared>, IndexError> {
    let url = &candidate.url;
    let mut part = |first: u64, count: u64| {
        let part = indexer
            .web
            .fetch_range(url, candidate_reach(candidate), first, count, monitor)
            .map_err(io::Error::other)?;
        match part.total.filter(|total| *total != size) {
            None => Ok(part.bytes),
            Some(found) => Err(io::Error::other(FetchError::Mismatch {
                from: shown(url),
                expected: format!("{size} bytes"),
                found: format!("{found} bytes"),
                file: None,
            })),
        }
    };
    list.declared(&mut part, size, indexer.limits).map_err(|error| {
        match error.downcast::<FetchError>() {
            Ok(error) => fetch::explain(error),
            Err(error) => match error.downcast::<Interrupted>() {
                Ok(interrupted) => interrupted.into(),
                Err(error) => IndexError::Io(error),
            },
        }
    })
}

/// Members proven by files in the tree, and those that were read with the list.
#[derive(Debug, Default)]
struct Members {
    found: Vec<Member>,
    known: BTreeSet<RelPath>,
}

impl Members {
    /// Adds members whose own bytes were read.
    fn add_read(&mut self, members: Vec<Member>) {
        for member in members {
            if self.known.insert(member.path.clone()) {
                self.found.push(member);
            }
        }
    }

    /// Adds the `listed` files whose bytes below `tree` have the listed digest.
    fn add(
        &mut self,
        tree: &TreeRoot,
        listed: &[Listed],
        monitor: &dyn Monitor,
    ) -> Result<(), Interrupted> {
        let mut buffer = vec![0; 1 << 17];
        for Listed { member, path, checksum } in listed {
            monitor.check_interrupted()?;
            if self.known.contains(member) {
                continue;
            }
            // A file that cannot be read cannot be left out anyway.
            let Some((found, sha256, size)) =
                digests(tree, path, checksum.algorithm(), &mut buffer)
            else {
                continue;
            };
            if found == *checksum && size > 0 {
                self.known.insert(member.clone());
                self.found.push(Member {
                    path: member.clone(),
                    kind: Kind::File { size },
                    metadata: MemberMetadata::default(),
                    sha256: Some(sha256),
                    extents: None,
                });
            }
        }
        Ok(())
    }
}

fn digests(
    tree: &TreeRoot,
    path: &RelPath,
    algorithm: Algorithm,
    buffer: &mut [u8],
) -> Option<(Checksum, Digest, u64)> {
    let file = tree.open_file_as_root(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut reader = HashingReader::new(file);
    let mut hasher = (algorithm != Algorithm::Sha256).then(|| algorithm.hasher());
    loop {
        match reader.read(buffer).ok()? {
            0 => break,
            count => {
                if let Some(hasher) = &mut hasher {
                    hasher.update(&buffer[..count]);
                }
            }
        }
    }
    let (sha256, size) = reader.finish();
    Some((hasher.map_or_else(|| sha256.into(), crate::model::Hasher::finish), sha256, size))
}
