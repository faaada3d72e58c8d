//! Removing what no recent edition is made of.
//!
//! Invariant: whoever reads an edition that was the last one within 30 days finds every file; what is not a table or manifest is left
//! alone, but for what runs that were killed have left.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hashget::model::Digest;

use super::folder::OutputFolder;
use crate::error::PublishedError;
use crate::manifest::Manifest;

/// For how long an edition that is not the last one stays readable.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes manifests that have not been the last one for long, and tables that no other manifest names.
pub(super) fn clean(folder: &OutputFolder) -> Result<(), PublishedError> {
    let manifests = folder.manifests();
    let path = |digest: &Digest| folder.path().join(Manifest::file(digest));
    // An edition was the last one until its successor came. Later ones may be the same again.
    let is_read = |number: usize| {
        let next = manifests.get(number + 1);
        next.is_none_or(|next| age(&path(next)).is_some_and(|age| age <= KEPT_FOR))
    };
    let (read, others): (Vec<_>, Vec<_>) = (0..manifests.len()).partition(|at| is_read(*at));
    let read: HashSet<&Digest> = read.into_iter().map(|at| &manifests[at]).collect();
    for digest in others.into_iter().map(|at| &manifests[at]).filter(|one| !read.contains(one)) {
        if path(digest).exists() {
            fs_err::remove_file(path(digest))?;
        }
    }
    let mut needed: HashSet<String> = HashSet::new();
    for digest in read {
        // It was proven when it was written; if it cannot be read any more, nothing may be removed.
        let manifest = Manifest::parse(&fs_err::read(path(digest))?, &Manifest::file(digest))?;
        needed.extend(manifest.tables().map(|table| table.sha256.to_string()));
    }
    for entry in fs_err::read_dir(folder.tables())? {
        let entry = entry?;
        let name = entry.file_name();
        let digest = name.to_str().and_then(|name| name.strip_suffix(".parquet"));
        let is_table = digest.is_some_and(|digest| digest.parse::<Digest>().is_ok());
        if is_table && digest.is_some_and(|digest| !needed.contains(digest)) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// For how long a file has been there; `None` if it is not there any more. One from the future has just come.
fn age(file: &Path) -> Option<Duration> {
    let modified = fs_err::metadata(file).ok()?.modified().ok()?;
    Some(SystemTime::now().duration_since(modified).unwrap_or_default())
}
