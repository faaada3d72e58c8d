//! Removing what no recent edition is made of.
//!
//! Invariant: readers of the last 30 days' editions find every file; what is not a table or manifest is left alone.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use hashget::model::Digest;

use super::folder::OutputFolder;
use crate::error::PublishedError;
use crate::manifest::Manifest;

/// For how long an edition that is not the last one stays readable.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Removes manifests that are older and not the last one, and tables that no other manifest names.
pub(super) fn clean(folder: &OutputFolder) -> Result<(), PublishedError> {
    let last = folder.manifests().last();
    let mut needed: HashSet<String> = HashSet::new();
    for digest in folder.manifests() {
        let file = Manifest::file(digest);
        let path = folder.path().join(&file);
        let Ok(metadata) = fs_err::metadata(&path) else { continue };
        let is_old = age(&metadata).is_some_and(|age| age > KEPT_FOR);
        if is_old && Some(digest) != last {
            fs_err::remove_file(&path)?;
            continue;
        }
        let bytes = fs_err::read(&path)?;
        // What cannot be read names nothing; it was proven when it was written.
        if let Ok(manifest) = Manifest::parse(&bytes, &file) {
            needed.extend(manifest.tables().map(|table| table.sha256.to_string()));
        }
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

fn age(metadata: &std::fs::Metadata) -> Option<Duration> {
    SystemTime::now().duration_since(metadata.modified().ok()?).ok()
}
