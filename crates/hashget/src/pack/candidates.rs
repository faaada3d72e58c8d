//! Which candidates are worth indexing before a tree is packed.
//!
//! Invariant: a candidate is passed over only if every file around the place where it was found is
//! known already, or may not be left out, so that passing over it costs nothing.

use super::contents::Contents;
use super::matching::look_up;
use crate::detectors::Candidate;
use crate::hashdb::{HashDb, HashDbError};
use crate::model::{Entry, RelPath};

/// Those candidates that could give something: the folder in which they were found holds a file that
/// no package in the HashDB has. (A kernel tree whose tarball was indexed from another address need not be
/// downloaded once more.)
pub(super) fn of_use(
    hashdb: &dyn HashDb,
    candidates: Vec<Candidate>,
    entries: &[Entry],
    contents: &Contents<'_>,
) -> Result<Vec<Candidate>, HashDbError> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    // Sorted as the entries are: by path.
    let mut unknown: Vec<usize> = Vec::new();
    look_up(hashdb, contents, |content, packages| {
        if packages.is_empty() {
            unknown.extend(contents.names(content));
        }
    })?;
    unknown.sort_unstable();
    let path = |file: usize| entries[file].path.as_bytes();
    let holds_unknown = |folder: &RelPath| {
        let prefix = if folder.is_root() { Vec::new() } else { [folder.as_bytes(), b"/"].concat() };
        let first = unknown.partition_point(|&file| path(file) < &prefix[..]);
        unknown.get(first).is_some_and(|&file| path(file).starts_with(&prefix))
    };
    let of_use =
        |candidate: &Candidate| holds_unknown(&candidate.found_at.parent().unwrap_or_default());
    Ok(candidates.into_iter().filter(of_use).collect())
}
