//! Shows what an archive needs and what it holds, from its manifest alone.
//!
//! `cargo run -p hashget --example look_into_an_archive [ARCHIVE]`; without an argument, one of the frozen archives of
//! the test data.
//!
//! Invariant: nothing is written, and nothing is fetched.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::{Path, PathBuf};

use hashget::archive::{Requirements, read_manifest};
use hashget::limits::Limits;
use hashget::model::manifest::AnyManifest;
use hashget::monitor::Silent;

/// The lines that describe an archive.
pub(crate) fn described(archive: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut file = std::fs::File::open(archive)?;
    // Limits bound what a hostile archive can cost; these are the defaults of the program.
    let name = archive.display().to_string();
    let manifest = read_manifest(&mut file, &name, &Limits::default(), &Silent)?;
    let requirements = Requirements::from_manifest(&manifest)?;
    let mut lines = vec![format!("version {}", requirements.version)];
    for (host, packages, bytes) in requirements.hosts() {
        lines.push(format!("{packages} packages, {bytes} bytes from {host}"));
    }
    for package in &requirements.packages {
        lines.push(format!("package {} {}", package.sha256, package.url));
    }
    // Version 1, the older Python tool's, has no table of what is archived.
    if let AnyManifest::V2(manifest) = &manifest {
        for entry in manifest.archived.entries() {
            let (entry, _) = entry?;
            lines.push(format!("archived {}", entry.path));
        }
    }
    Ok(lines)
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen/v2.tar.zst");
    let archive = std::env::args_os().nth(1).map_or(frozen, PathBuf::from);
    for line in described(&archive)? {
        println!("{line}");
    }
    Ok(())
}
