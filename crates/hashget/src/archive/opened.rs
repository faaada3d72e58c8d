//! An archive that is open to be looked into: its tree, and the contents of its files.
//!
//! Invariant: opening it reads no more than `list` does.

use std::sync::Arc;

use super::tree::ArchiveTree;
use super::{
    ArchiveError, Contents, ContentsAccess, Listed, Listing, MembersError, PackageMembers,
    read_for_listing,
};
use crate::error::ErrorClass;
use crate::model::escaped;
use crate::model::manifest::{AnyManifest, ManifestError};
use crate::monitor::{Monitor, ProblemKind};
use crate::storage::SharedSource;

/// Why an archive cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It cannot be found out what is in its packages.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// Its manifest contradicts the format.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl OpenError {
    /// The class of the error, from which exit code and hint follow.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Archive(error) => error.class(),
            Self::Members(error) => error.class(),
            Self::Manifest(error) => error.class(),
        }
    }
}

/// Opens an archive that can be read at random, which messages call `name`. What packages give is in the tree if the archive keeps the names
/// or `members` knows them; what is not is reported.
///
/// # Errors
/// See [`OpenError`].
pub fn open_archive<'a>(
    mut archive: Box<dyn SharedSource + 'a>,
    name: &str,
    members: &PackageMembers<'_>,
    access: ContentsAccess<'a>,
) -> Result<Contents<'a>, OpenError> {
    let monitor = access.monitor;
    let (manifest, stored) = read_for_listing(&mut *archive, name, access.limits, monitor)?;
    let shown = escaped(name.as_bytes());
    let listing =
        Listing::new(Listed { manifest: &manifest, stored }, members, &|_| true, monitor)?;
    report_unnamed(&listing, &manifest, &shown, monitor);
    let tree = ArchiveTree::new(&listing)?;
    drop(listing);
    if tree.left_out() > 0 {
        let message = match tree.left_out() {
            1 => "1 entry cannot be shown".to_owned(),
            several => format!("{several} entries cannot be shown"),
        };
        let why = "the name is too long, or the file that it is a name of is not known";
        monitor.problem(ProblemKind::Incomplete, shown, format!("{message}: {why}"));
    }
    Ok(Contents::new(archive, name, manifest, Arc::new(tree), access))
}

/// Says which packages give files whose names are not known.
fn report_unnamed(
    listing: &Listing<'_>,
    manifest: &AnyManifest,
    name: &str,
    monitor: &dyn Monitor,
) {
    let AnyManifest::V2(manifest) = manifest else { return };
    let mut packages: Vec<usize> = listing.unnamed().iter().map(|one| one.package).collect();
    packages.dedup();
    for package in packages.into_iter().filter_map(|index| manifest.packages.get(index)) {
        let object = format!("{} in {name}", package.shown_name());
        let message = "its files are not shown: neither the archive nor the HashDB has their names";
        monitor.problem(ProblemKind::Incomplete, object, message);
    }
}
