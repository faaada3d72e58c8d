//! Which candidates are worth indexing before a tree is packed.
//!
//! Invariant: a candidate is passed over only if every file around the place where it was found is
//! known already, so that passing over it costs nothing.

use crate::detectors::Candidate;
use crate::hashdb::{HashDb, HashDbError};
use crate::model::{Digest, Entry, Kind, RelPath};

/// Those candidates that could give something: the folder in which they were found holds a file that
/// no package in the HashDB has. (A kernel tree whose tarball was indexed from another address need not be
/// downloaded once more.)
pub(super) fn of_use(
    hashdb: &dyn HashDb,
    candidates: Vec<Candidate>,
    entries: &[Entry],
) -> Result<Vec<Candidate>, HashDbError> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let unknown = unknown_files(hashdb, entries)?;
    let holds_unknown = |folder: &RelPath| {
        let prefix = if folder.is_root() { Vec::new() } else { [folder.as_bytes(), b"/"].concat() };
        let first = unknown.partition_point(|path| path.as_bytes() < &prefix[..]);
        unknown.get(first).is_some_and(|path| path.as_bytes().starts_with(&prefix))
    };
    let of_use =
        |candidate: &Candidate| holds_unknown(&candidate.found_at.parent().unwrap_or_default());
    Ok(candidates.into_iter().filter(of_use).collect())
}

/// The files that no package in the HashDB has, sorted by path.
fn unknown_files<'a>(
    hashdb: &dyn HashDb,
    entries: &'a [Entry],
) -> Result<Vec<&'a RelPath>, HashDbError> {
    let mut digests: Vec<Digest> = entries.iter().filter_map(|entry| entry.sha256).collect();
    digests.sort_unstable();
    digests.dedup();
    let holders = hashdb.packages_with(&digests)?;
    let is_unknown = |entry: &&Entry| {
        let position = entry.sha256.and_then(|digest| digests.binary_search(&digest).ok());
        entry.kind != Kind::File { size: 0 }
            && position.is_some_and(|index| holders[index].is_empty())
    };
    Ok(entries.iter().filter(is_unknown).map(|entry| &entry.path).collect())
}
