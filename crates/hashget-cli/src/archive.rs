//! An archive given by the user: a file, `-` for standard input, or a folder into which one was unpacked.
//!
//! Invariant: nothing is written, and an archive is never read from a terminal.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::Context as _;
use fs_err::File;
use hashget::archive::{read_folder_manifest, read_manifest};
use hashget::model::manifest::{AnyManifest, MANIFEST_NAME};
use hashget::storage::{ArchiveSource, StreamSource};

use crate::environment::Environment;
use crate::exit::UsageError;

/// What a command says that read nothing of an archive but its manifest.
pub(crate) fn unread(archive: &Path) -> Option<String> {
    let is_manifest = archive.is_dir() || archive.file_name() == Some(MANIFEST_NAME.as_ref());
    let line = "Only the manifest was read, not the rest of the archive: `hashget unpack` verifies all of it";
    (!is_manifest).then(|| line.to_owned())
}

/// Opens the file, or standard input for `-`. A folder is refused, with `for_a_folder` as advice.
pub(crate) fn open(archive: &Path, for_a_folder: &str) -> anyhow::Result<Box<dyn ArchiveSource>> {
    if archive == Path::new("-") {
        if std::io::stdin().is_terminal() {
            let wrong =
                "an archive cannot come from a terminal: redirect standard input, or give a FILE";
            return Err(UsageError(wrong.to_owned()).into());
        }
        return Ok(Box::new(StreamSource::new(std::io::stdin())));
    }
    let file = File::open(archive)?;
    if file.metadata()?.is_dir() {
        let name = archive.display();
        return Err(
            UsageError(format!("{name} is a folder, not an archive: {for_a_folder}")).into()
        );
    }
    Ok(Box::new(file))
}

/// The manifest of an archive, or of the folder into which one was unpacked.
pub(crate) fn manifest(
    archive: &Path,
    environment: &Environment<'_>,
) -> anyhow::Result<AnyManifest> {
    let name = archive.display().to_string();
    let context = || format!("cannot read the manifest of {name}");
    let is_folder = archive != Path::new("-") && archive.is_dir();
    let read = if is_folder {
        read_folder_manifest(archive, &environment.limits)
    } else {
        let mut bytes = open(archive, "").with_context(context)?;
        read_manifest(&mut *bytes, &name, &environment.limits, environment.console)
    };
    read.with_context(context)
}
