//! Evidence without the .deb: what its own list of MD5s says of the files in the tree.
//!
//! Invariant: a package gets here only if a signed list gives its SHA-256 and size; only files in the tree
//! that have the MD5 that the list says are members, with the SHA-256 of the very bytes that matched. Such
//! members are not all that the package has, and say nothing of owner, mode and time.

use std::io::Read as _;

use super::fetch;
use super::listed::{Members, record_of};
use super::locate::{self, check_name};
use super::{IndexError, Indexed, Indexer};
use crate::detectors::debian::status;
use crate::detectors::{Candidate, DebPackage, DebPlace, Listed};
use crate::fetch::{FetchError, public_url};
use crate::formats::{control_end, control_members};
use crate::model::{Algorithm, Checksum, Evidence, Member, MemberMetadata, PackageRecord, RelPath};
use crate::monitor::{Event, Monitor, ProblemKind};
use crate::tree::TreeRoot;

/// How much of a .deb is asked for at first: four of five control parts are smaller.
const FIRST_BYTES: u64 = 4096;

/// More bytes than this has no control part.
const MOST_BYTES: u64 = 64 << 20;

/// More bytes than this are no list of MD5s.
const MAX_LIST: u64 = 64 << 20;

/// Records the package of `candidate` by the weakest evidence that is allowed. `None` when that is not
/// possible, and it must be downloaded.
pub(super) fn index(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    monitor: &dyn Monitor,
) -> Result<Option<Indexed>, IndexError> {
    let (Some(sha256), Some(size), DebPlace::Known) =
        (candidate.sha256, candidate.size, &deb.place)
    else {
        monitor.event(Event::Skipped {
            object: &deb.name,
            reason: "no signed list gives its SHA-256: it has to be downloaded",
        });
        return Ok(None);
    };
    let tree = TreeRoot::open(&deb.root)?;
    let (members, evidence, url) = match local_members(indexer, deb, &tree, monitor)? {
        Some(members) => (members, Evidence::Local, candidate.url.clone()),
        None => match declared_members(indexer, candidate, deb, size, &tree, monitor) {
            Ok((members, url)) => (members, Evidence::Declared, url),
            Err(error @ (IndexError::HashDb(_) | IndexError::Interrupted(_))) => return Err(error),
            Err(error) => {
                let problem =
                    format!("{}; trying to download it", crate::wording::one_line(&error));
                monitor.problem(ProblemKind::Note, &candidate.url, problem);
                return Ok(None);
            }
        },
    };
    let record = PackageRecord {
        url,
        also: deb.mirrors.iter().map(|url| public_url(indexer.mirrors, url)).collect(),
        ..record_of(indexer, candidate, "deb", evidence, (sha256, size))
    };
    let id = indexer.hashdb.put(&record, &members)?;
    Ok(Some(Indexed::New { id, record: Box::new(record), members: members.len() }))
}

/// By dpkg's own list, where that is allowed and there is one.
fn local_members(
    indexer: &Indexer<'_>,
    deb: &DebPackage,
    tree: &TreeRoot,
    monitor: &dyn Monitor,
) -> Result<Option<Vec<Member>>, IndexError> {
    if indexer.evidence > Evidence::Local {
        return Ok(None);
    }
    let mut list = Vec::new();
    let read = tree
        .open_file_as_root(&deb.md5sums)
        .and_then(|file| file.take(MAX_LIST).read_to_end(&mut list));
    if read.is_err() {
        return Ok(None);
    }
    let mut expected = md5sums(&list);
    expected.extend(deb.conffiles.iter().cloned());
    Ok(Some(matching(&expected, deb, tree, monitor)?))
}

/// By the list in the .deb, of which only the head is fetched.
fn declared_members(
    indexer: &Indexer<'_>,
    candidate: &Candidate,
    deb: &DebPackage,
    size: u64,
    tree: &TreeRoot,
    monitor: &dyn Monitor,
) -> Result<(Vec<Member>, String), IndexError> {
    let mut url = candidate.url.clone();
    let head = match head(indexer, &url, size, monitor) {
        Err(IndexError::Fetch(FetchError::NotFound { .. }))
            if url.starts_with(crate::detectors::debian::archives::SNAPSHOT) =>
        {
            let places = locate::ask(indexer, candidate, deb, monitor)?;
            url.clone_from(&places[0].url);
            head(indexer, &url, size, monitor)?
        }
        head => head?,
    };
    let control = check_name(control_members(&mut &head[..], indexer.limits), deb, &url)?;
    let list = control.iter().find(|(member, _)| member.path.as_bytes() == b"control/md5sums");
    let expected = list.map(|(_, list)| md5sums(list)).unwrap_or_default();
    let mut members: Vec<Member> = control.into_iter().map(|(member, _)| member).collect();
    for member in &mut members {
        member.metadata = MemberMetadata::default();
    }
    members.extend(matching(&expected, deb, tree, monitor)?);
    Ok((members, url))
}

/// The .deb at `url` up to the end of its control part.
fn head(
    indexer: &Indexer<'_>,
    url: &str,
    size: u64,
    monitor: &dyn Monitor,
) -> Result<Vec<u8>, IndexError> {
    let part =
        |first, count| indexer.web.fetch_range(url, first, count, monitor).map_err(fetch::explain);
    let format = |error| IndexError::Format { url: url.to_owned(), error };
    let first = part(0, FIRST_BYTES.min(size))?;
    if let Some(found) = first.total.filter(|total| *total != size) {
        return Err(IndexError::Fetch(FetchError::Mismatch {
            from: url.to_owned(),
            expected: format!("{size} bytes"),
            found: format!("{found} bytes"),
            file: None,
        }));
    }
    let mut head = first.bytes;
    let end = control_end(&head).map_err(format)?.unwrap_or(0).min(size).min(MOST_BYTES);
    if let Some(missing) = end.checked_sub(head.len() as u64).filter(|missing| *missing > 0) {
        head.extend(part(head.len() as u64, missing)?.bytes);
    }
    Ok(head)
}

/// Lines of an MD5 and a path. Others are passed over: their files are archived.
fn md5sums(list: &[u8]) -> Vec<(RelPath, [u8; 16])> {
    let understand = |line: &[u8]| {
        let (digest, path) = line.split_at_checked(32)?;
        let path = path.strip_prefix(b"  ").or_else(|| path.strip_prefix(b" *"))?;
        Some((RelPath::normalise(path).ok()?, status::md5(digest)?))
    };
    list.split(|&byte| byte == b'\n').filter_map(understand).collect()
}

/// Those of the `expected` files whose bytes in the tree have the MD5.
fn matching(
    expected: &[(RelPath, [u8; 16])],
    deb: &DebPackage,
    tree: &TreeRoot,
    monitor: &dyn Monitor,
) -> Result<Vec<Member>, IndexError> {
    let listed = |(path, md5): &(RelPath, [u8; 16])| {
        let place = match deb.diversions.get(path) {
            Some((to, owner)) if owner.as_deref() != Some(&deb.name) => to,
            _ => path,
        };
        let member = RelPath::new([b"data/", path.as_bytes()].concat()).ok()?;
        let checksum = Checksum::new(Algorithm::Md5, md5)?;
        Some(Listed { member, path: place.clone(), checksum })
    };
    let listed: Vec<Listed> = expected.iter().filter_map(listed).collect();
    let mut members = Members::default();
    members.add(tree, &listed, monitor)?;
    Ok(members.found)
}
