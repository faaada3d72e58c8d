//! The program that restores an archive without hashget, where `tar xf` has unpacked it beside the manifest.
//!
//! Invariant: a file of that name which is the tree's own stays.

use super::RestoreError;
use super::finish::stop;
use super::place::TargetFolder;
use super::target::Target as _;
use crate::model::RelPath;
use crate::model::manifest::{Manifest, RESTORER_NAME};

/// Removes the restorer that `tar xf` has unpacked: it is no part of the tree. What is the tree's own stays.
pub(super) fn remove(target: &TargetFolder, manifest: &Manifest) -> Result<(), RestoreError> {
    if !manifest.has_restorer() {
        return Ok(());
    }
    let path = RelPath::new(RESTORER_NAME).expect("it is one component");
    let own = manifest.renamed.iter().find(|renamed| renamed.name == path);
    // An own one that is not stored elsewhere any more has come to its place.
    let is_own = own.is_some_and(|own| !target.holds(&own.stored));
    let found = target.find(&path).map_err(|error| stop(target, error))?;
    match found.is_some_and(|found| found.file_type().is_file()) && !is_own {
        true => target.remove(&path).map_err(|error| stop(target, error)),
        false => Ok(()),
    }
}
