//! Supplements of archives: those that the user names, and those that lie beside an archive.
//!
//! Invariant: one that the user names must be one; one that lies beside an archive and cannot be used is named, and nothing fails for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hashget::error::{ErrorClass, LayerError};
use hashget::model::manifest::AnyManifest;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::pending_file::behind_links;
use hashget::supplement::{ArchiveOf, Supplement, Supplements, is_supplement};
use hashget::wording::{self, one_line};
use hashget_backup::series::ArchiveName;

use crate::archive;
use crate::commands::without_ending;
use crate::environment::Environment;

/// Bytes that are copied at a time.
const PIECE: usize = 256 << 10;

/// The supplements that the user names, and those beside the archives that were opened.
pub(crate) fn offered(
    also: &[PathBuf],
    environment: &Environment<'_>,
) -> anyhow::Result<Supplements> {
    let mut supplements = Supplements::new(environment.limits.clone());
    for path in also {
        add(path, &mut supplements, environment)
            .with_context(|| format!("--also {}", path.display()))?;
    }
    for archive in environment.opened_archives() {
        add_beside(&archive, &mut supplements, environment)?;
    }
    Ok(supplements)
}

/// The archive at a path, as supplements name it.
pub(crate) fn archive_of(path: &Path, manifest: &AnyManifest) -> ArchiveOf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ArchiveOf::new(name, manifest)
}

/// Adds what lies beside an archive.
pub(crate) fn add_beside(
    archive: &Path,
    supplements: &mut Supplements,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    for path in beside(archive) {
        if let Err(error) = add(&path, supplements, environment) {
            let monitor: &dyn Monitor = environment.console;
            monitor.check_interrupted()?;
            let why = wording::messages(error.as_ref()).join(": ");
            monitor.problem(ProblemKind::Note, path.display().to_string(), why);
        }
    }
    Ok(())
}

/// The supplements beside an archive: they are called as the archive, or its series, is.
pub(crate) fn beside(archive: &Path) -> Vec<PathBuf> {
    // One file may be reached in two ways.
    let mut found: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for archive in [archive.to_owned(), behind_links(archive)] {
        let Some(name) = archive.file_name() else { continue };
        let stem = without_ending(name.as_bytes()).unwrap_or(name.as_bytes());
        let series = ArchiveName::of_path(&archive);
        let series = series.map(|name| format!("{}_", name.series()));
        let is_its = |name: &[u8]| {
            let rest = name.strip_prefix(stem);
            is_supplement(name)
                && (rest.is_some_and(|rest| rest.first() == Some(&b'.'))
                    || series.as_ref().is_some_and(|series| name.starts_with(series.as_bytes())))
        };
        let folder = archive.parent().filter(|folder| *folder != Path::new(""));
        let entries = fs_err::read_dir(folder.unwrap_or(Path::new(".")));
        let entries = entries.into_iter().flatten().flatten();
        for entry in entries.filter(|entry| is_its(entry.file_name().as_bytes())) {
            let path = folder.map_or_else(|| entry.file_name().into(), |_| entry.path());
            let real = fs_err::canonicalize(&path).unwrap_or_else(|_| path.clone());
            found.entry(real).or_insert(path);
        }
    }
    found.into_values().collect()
}

/// Adds a supplement that lies elsewhere.
pub(crate) fn add_source(
    mut source: impl io::Read,
    name: &str,
    supplements: &mut Supplements,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let file = copied(&mut source)?;
    Ok(supplements.add(file, name.to_owned(), environment.console)?)
}

/// Opens a supplement, and decrypts it if it is encrypted.
fn add(
    path: &Path,
    supplements: &mut Supplements,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let (name, console) = (path.display().to_string(), environment.console);
    if archive::is_remote(path) || archive::is_encrypted(path) {
        let source = archive::open_alone(path, environment)?;
        return add_source(source, &name, supplements, environment);
    }
    let file = fs_err::File::open(path)?.into_parts().0;
    Ok(supplements.add(file, name, console)?)
}

/// Reads a supplement of a store to its end: is it whole?
///
/// # Errors
/// It is not, or could not be read.
pub(crate) fn verify(
    mut source: impl io::Read,
    name: &str,
    environment: &Environment<'_>,
) -> anyhow::Result<()> {
    let file = copied(&mut source)?;
    Ok(Supplement::verify(&file, name, &environment.limits, environment.console)?)
}

/// A copy in a file without a name, at its start. What this machine has no room for is not taken for damage of the source.
fn copied(source: &mut dyn io::Read) -> io::Result<File> {
    let not_kept = |error: io::Error| {
        let message = format!("it cannot be kept in a temporary file: {}", one_line(&error));
        io::Error::from(LayerError::new(ErrorClass::of_io(&error), message))
    };
    let mut copy = tempfile::tempfile().map_err(not_kept)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => copy.write_all(&buffer[..count]).map_err(not_kept)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    copy.rewind().map_err(not_kept)?;
    Ok(copy)
}
