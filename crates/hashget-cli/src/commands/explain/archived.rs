//! `explain --archive`: where the entries of an existing archive come from.
//!
//! Invariant: paths are those of the packed tree; the disk is not accessed.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use hashget::archive::{EntryOrigin, Requirements, entry_origins};
use hashget::hashdb::{HashDb, complete_members};
use hashget::model::{RelPath, display_name, escaped};
use serde_json::json;

use crate::archive;
use crate::environment::Environment;
use crate::exit::UsageError;
use crate::output::{safe, size};

/// Reports for each path where the archive gets it from.
pub(super) fn explain(
    archive: &Path,
    paths: &[PathBuf],
    hashdb: &dyn HashDb,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let console = environment.console;
    let manifest = archive::manifest(archive, environment)?;
    let requirements = Requirements::from_manifest(&manifest)?;
    let normalised = |path: &PathBuf| {
        let bytes = path.as_os_str().as_bytes();
        let below = bytes.iter().position(|&byte| byte != b'/').map_or(&b""[..], |at| &bytes[at..]);
        RelPath::normalise(below)
            .map_err(|error| UsageError(format!("{}: {error}", escaped(bytes))))
    };
    let paths: Vec<RelPath> = paths.iter().map(normalised).collect::<Result<_, _>>()?;
    let found = entry_origins(&manifest, &paths, &|sha256| -> anyhow::Result<_> {
        Ok(complete_members(hashdb, sha256)?)
    })?;
    let mut missing = 0_u64;
    for (path, origin) in paths.iter().zip(found) {
        let (fate, why) = match &origin {
            EntryOrigin::Archived => ("archived", "the archive holds it".to_owned()),
            EntryOrigin::Packages(_) => {
                ("left_out", "left out: a package gives it back".to_owned())
            }
            EntryOrigin::Link(to) => ("link", format!("a hard link to {to}")),
            EntryOrigin::Unknown => (
                "unknown",
                "not in the archive itself. Some of its packages are not in the HashDB: one of them may give it back"
                    .to_owned(),
            ),
            EntryOrigin::Nowhere => {
                missing += 1;
                ("absent", "not in this archive".to_owned())
            }
        };
        let indices =
            if let EntryOrigin::Packages(indices) = origin { indices } else { Vec::new() };
        let packages = indices.iter().map(|&index| &requirements.packages[index]);
        let urls: Vec<&String> = packages.clone().map(|package| &package.url).collect();
        let record = json!({ "path": path, "fate": fate, "reason": why, "packages": urls });
        console.data(|| format!("{path}: {why}"), "explained", || record)?;
        for package in packages.filter(|_| !console.is_json()) {
            let bytes = package.size.map_or(String::new(), |bytes| format!(", {}", size(bytes)));
            let level = package.evidence.map_or(String::new(), |level| format!(", {level}"));
            let name = display_name(&package.signatures, &package.url);
            console.line(&format!("    {}{bytes}{level}", safe(name)))?;
            console.line(&format!("        {}", safe(&package.url)))?;
        }
    }
    console.summary("explain", json!({ "absent": missing }), &[])?;
    Ok(())
}
