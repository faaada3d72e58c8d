//! Which installed package owns a file that no known package has, and why that package is not known.
//!
//! Invariant: owners are looked up only for files that no known package has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hashget::detectors::{Owner, owners};
use hashget::hashdb::{HashDb, HashDbError, Key};
use hashget::pack::{Explanation, Reason, Verdict};

use crate::output::safe;

/// The owners of the files that no known package has, by entry.
pub(super) fn of_unknown(
    explanation: &Explanation,
    folder: &Path,
    files: impl Iterator<Item = usize>,
) -> HashMap<usize, Owner> {
    let is_unknown =
        |&entry: &usize| explanation.verdict(entry) == Verdict::Archived(Reason::Unknown);
    let folder = if folder == Path::new("") { Path::new(".") } else { folder };
    let Ok(folder) = fs_err::canonicalize(folder) else { return HashMap::new() };
    let unknown: Vec<(usize, PathBuf)> = files
        .filter(is_unknown)
        .map(|entry| (entry, explanation.entries[entry].path.below(&folder)))
        .collect();
    let paths: Vec<PathBuf> = unknown.iter().map(|(_, path)| path.clone()).collect();
    let mut owners = owners(&paths);
    unknown.into_iter().filter_map(|(entry, path)| Some((entry, owners.remove(&path)?))).collect()
}

/// Why the owner is not known, and what to do.
///
/// # Errors
/// The HashDB failed.
pub(super) fn why(owner: &Owner, hashdb: &dyn HashDb) -> Result<String, HashDbError> {
    let Owner { signature, root } = owner;
    let name = safe(&signature.to_string());
    Ok(if hashdb.find_one(Key::Signature(signature))?.is_empty() {
        let root = match root.to_str() {
            Some("/") => ":debian".to_owned(),
            _ => safe(&root.display().to_string()),
        };
        format!(
            "it belongs to {name}, which the HashDB does not know: `hashget index --tree {root}` indexes it, or says \
             why it cannot"
        )
    } else {
        format!(
            "it belongs to {name}, but the package has no file with these contents: it was changed or made later"
        )
    })
}
