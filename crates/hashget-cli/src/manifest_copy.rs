//! An archive whose manifest is damaged, read with the second copy that lies beside it.
//!
//! Invariant: whoever reads by a copy is told; what the copy is not of is read as it is.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use hashget::archive::{WithHead, is_head_damaged};
use hashget::classify::is_of_a_disk;
use hashget::monitor::{Monitor, ProblemKind};
use hashget::parity::{KnownArchive, head_with_parity};
use hashget::pending_file::behind_links;
use hashget::storage::SharedSource;
use hashget_backup::manifest_copy::{MOST_FILE_BYTES, ManifestCopy};
use hashget_backup::record::Record;
use hashget_backup::series::ArchiveName;
use hashget_backup::store::Store;

use crate::environment::Environment;
use crate::stores::classed;

/// How damage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All can be read.
    AsNote,
    /// Whoever asks how the archive is asks for this.
    AsDamage,
}

/// An archive, and whether its manifest is damaged in it and comes from the copy.
pub(crate) type Opened<'s> = (Box<dyn SharedSource + 's>, bool);

/// What lies in the file of the record of an archive on this machine, if there is one; with the archive's name, and where it lies.
fn record_beside(archive: &Path) -> Option<(Vec<u8>, ArchiveName, PathBuf)> {
    [archive.to_owned(), behind_links(archive)].into_iter().find_map(|archive| {
        let name = ArchiveName::of_path(&archive)?;
        let path = archive.with_file_name(name.record());
        let mut bytes = Vec::new();
        let file = fs_err::File::open(&path).ok()?;
        file.take(MOST_FILE_BYTES).read_to_end(&mut bytes).ok()?;
        Some((bytes, name, path))
    })
}

/// What the record of an archive on this machine says of all of it, with the copy of its first bytes if there is one; and where it
/// lies.
pub(crate) fn known(archive: &Path) -> Option<(KnownArchive, PathBuf)> {
    let (bytes, name, path) = record_beside(archive)?;
    let record = Record::parse(&bytes, &name).ok()?;
    let head = ManifestCopy::parse(&bytes, &name).map(|copy| copy.head).unwrap_or_default();
    let (bytes, sha256) = (record.bytes, record.sha256.parse().ok()?);
    Some((KnownArchive { head, bytes, sha256 }, path))
}

/// The archive, which is a file of this machine, with the copy of its manifest if that is damaged in it.
pub(crate) fn mended<'s>(
    source: Box<dyn SharedSource + 's>,
    archive: &Path,
    told: Told,
    environment: &Environment<'_>,
) -> Opened<'s> {
    let copy = record_beside(archive)
        .and_then(|(bytes, name, path)| Some((ManifestCopy::parse(&bytes, &name)?.head, path)))
        .or_else(|| head_with_parity(&behind_links(archive)));
    let Some((head, path)) = copy else { return (source, false) };
    // What a disk cannot give is damaged; what else kept us from reading says nothing.
    let is_damaged = is_head_damaged(&*source, &head, &environment.limits);
    if !is_damaged.unwrap_or_else(|error| is_of_a_disk(&error)) {
        return (source, false);
    }
    let heals = "`hashget repair` heals the archive";
    say(&archive.display().to_string(), &path.display().to_string(), heals, told, environment);
    (Box::new(WithHead::new(source, head)), true)
}

/// The same of an archive in a store.
pub(crate) fn mended_in_store<'s>(
    source: Box<dyn SharedSource + 's>,
    store: &dyn Store,
    name: &str,
    told: Told,
    environment: &Environment<'_>,
) -> Opened<'s> {
    let archive = ArchiveName::parse(name).filter(|name| !name.is_encrypted());
    let Some(archive) = archive.filter(|_| source.random().is_some()) else {
        return (source, false);
    };
    // What could not be read is not known.
    let copy = in_store(store, &archive, environment.console).ok().flatten();
    let is_damaged = |copy: &ManifestCopy| {
        is_head_damaged(&*source, &copy.head, &environment.limits).unwrap_or(false)
    };
    let Some(copy) = copy.filter(is_damaged) else { return (source, false) };
    let heals = "copy both into a folder, where `hashget repair` heals the archive";
    let shown = format!("{name} in {}", store.shown());
    say(&shown, &archive.record(), heals, told, environment);
    (Box::new(WithHead::new(source, copy.head)), true)
}

/// The copy of the manifest of an archive in a store; `None` if it has none, or that is damaged.
///
/// # Errors
/// It could not be read, which says nothing about it.
pub(crate) fn in_store(
    store: &dyn Store,
    name: &ArchiveName,
    monitor: &dyn Monitor,
) -> io::Result<Option<ManifestCopy>> {
    let mut bytes = Vec::new();
    let source = store.open(&name.record(), monitor).map_err(classed)?;
    source.take(MOST_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(ManifestCopy::parse(&bytes, name))
}

fn say(archive: &str, copy: &str, heals: &str, told: Told, environment: &Environment<'_>) {
    let kind = match told {
        Told::AsNote => ProblemKind::Note,
        Told::AsDamage => ProblemKind::Verification,
    };
    let what = format!("its manifest is damaged, and the copy in {copy} is used: {heals}");
    (environment.console as &dyn Monitor).problem(kind, archive, what);
}
