//! What of the newest archive could not be restored today, by what is known already.
//!
//! Invariant: no place of a package is asked. What nobody has asked about is not said to be gone.

use hashget::archive::{Requirements, read_manifest};
use hashget::fetch::name_beside;
use hashget::hashdb::Check;
use hashget::places::Standing;
use hashget_backup::run::Destination;
use hashget_backup::series::ArchiveName;

use crate::environment::Environment;

/// The packages of an archive, by their names, all of whose places are known not to have them.
///
/// # Errors
/// The manifest of the archive, or what is known, cannot be read.
pub(super) fn packages(
    archive: &ArchiveName,
    destination: &Destination,
    environment: &Environment<'_>,
) -> anyhow::Result<Vec<String>> {
    let (name, console) = (archive.to_string(), environment.console);
    let mut source = destination.store.open(&name, console)?;
    let manifest = read_manifest(&mut *source, &name, &environment.limits, console)?;
    let required = Requirements::from_manifest(&manifest)?.packages;
    let digests: Vec<_> = required.iter().map(|package| package.sha256).collect();
    let known = environment.checks()?.checks(&digests)?;
    let is_lost = |checks: &[Check], url: &str| {
        name_beside(url).is_none() && Standing::new(checks, url).lost_at.is_some()
    };
    let lost = required
        .iter()
        .zip(&known)
        .filter(|(package, checks)| package.urls().all(|url| is_lost(checks, url)));
    Ok(lost.map(|(package, _)| package.shown_name()).collect())
}
