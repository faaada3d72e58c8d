//! The manifest of a backup that is not made, for inspection.
//!
//! Invariant: it is the manifest that packing would write; nothing is written.

use std::path::Path;

use super::eligibility::first_verdicts;
use super::{ManifestVersion, PackError, PackOptions, Packer, Summary, write};
use crate::monitor::Monitor;

impl Packer<'_> {
    /// Plans a backup of the tree at `tree` like [`Packer::pack`], and returns its manifest, version 2, as
    /// JSON that [`AnyManifest::parse`](crate::model::manifest::AnyManifest::parse) reads.
    ///
    /// # Errors
    /// As for [`Packer::pack`].
    pub fn draft(
        &self,
        tree: &Path,
        mut options: PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<u8>, PackError> {
        options.manifest_version = ManifestVersion::Two;
        let scan = self.scan(tree, Vec::new(), &options, monitor)?;
        let mut planned = self.plan(
            &scan,
            first_verdicts(&scan, &options)?,
            &options,
            false,
            &mut Summary::default(),
            monitor,
        )?;
        let mut json = Vec::new();
        write::with_manifest(&scan, &mut planned.plan, &options, |write| write(&mut json))?
            .map_err(PackError::Write)?;
        Ok(json)
    }
}
