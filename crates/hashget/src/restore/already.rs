//! Is the whole tree in its place already? Then restoring has nothing to do.
//!
//! Invariant: everything is read, and nothing but the manifest and the top folder's time is changed.

use std::path::Path;

use super::finish::{finish_last, owns_the_name, stop};
use super::place::TargetFolder;
use super::{RestoreError, RestoreOptions, Summary, count};
use crate::archive::manifest_path;
use crate::model::Kind;
use crate::model::manifest::Manifest;
use crate::monitor::{Interrupted, Monitor, Quiet};
use crate::tree::{self, ScanOptions};

/// Is the whole tree there already, and right? Then nothing needs to be fetched.
pub(super) fn all_done(
    target: &TargetFolder,
    manifest: &Manifest,
    options: &RestoreOptions,
    jobs: usize,
    monitor: &dyn Monitor,
) -> Result<Option<Summary>, RestoreError> {
    let expected = manifest.tree.entries;
    if owns_the_name(manifest) || !has_entries(target.path(), expected.saturating_add(1)) {
        return Ok(None);
    }
    // What a look at an unfinished tree finds is no problem yet.
    let quiet = Quiet(monitor);
    let scanning = ScanOptions { jobs, ..ScanOptions::default() };
    let scan = match tree::scan(target.path(), &scanning, &quiet) {
        Ok(scan) => scan,
        Err(tree::ScanError::Interrupted(Interrupted)) => return Err(Interrupted.into()),
        Err(_) => return Ok(None),
    };
    let mut entries = scan.entries;
    let own = entries.position(&manifest_path());
    entries.retain(|index| Some(index) != own);
    if entries.tree_digest() != manifest.tree.sha256 {
        return Ok(None);
    }
    let mut summary = Summary {
        regenerable: manifest.regenerable.clone(),
        entries: expected,
        files: manifest.tree.files,
        bytes: manifest.tree.bytes,
        kept_files: manifest.tree.files,
        packages: count(manifest.packages.len()),
        manifest_version: 2,
        proven: Some(true),
        ..Summary::default()
    };
    if !options.keep_manifest {
        // What another program has put here is durable before nothing says any more what is to be here.
        for folder in entries.iter().filter(|entry| entry.kind == Kind::Directory) {
            target.folder(&folder.path).map_err(|error| stop(target, error))?;
        }
        target.sync().map_err(|error| stop(target, error))?;
        target.remove(&manifest_path()).map_err(|error| stop(target, error))?;
        if let Some(top) = entries.first().filter(|top| top.path.is_root()) {
            finish_last(target, &top.path, &top.metadata, monitor, &mut summary);
        }
        target.sync().map_err(|error| stop(target, error))?;
    }
    Ok(Some(summary))
}

/// Are there exactly `expected` entries at and below `folder`?
fn has_entries(folder: &Path, expected: u64) -> bool {
    let mut found = 1_u64;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { return false };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            found += 1;
            if found > expected {
                return false;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    found == expected
}
