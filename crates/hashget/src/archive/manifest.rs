//! Reading the manifest of an archive, or of a folder into which one was unpacked.
//!
//! Invariant: nothing is written, and no more of an archive is read than up to its first manifest.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use super::{ArchiveError, stream};
use crate::formats::tar::RawKind;
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, MANIFEST_NAME, ManifestError, ManifestHeader};
use crate::model::{RelPath, escaped};
use crate::monitor::{Monitor, Running, Step, Total};
use crate::storage::ArchiveSource;
use crate::tree::TreeRoot;

/// The level at which a manifest's text is kept: the fastest.
const LEVEL: i32 = 1;

/// The path of the manifest in an archive, and in a folder into which one was unpacked.
pub fn manifest_path() -> RelPath {
    RelPath::new(MANIFEST_NAME).expect("it is one component")
}

/// Reads the first manifest of an archive (of any compression), or what is a manifest itself.
///
/// # Errors
/// See [`ArchiveError`].
pub fn read_manifest(
    archive: &mut dyn ArchiveSource,
    name: &str,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<AnyManifest, ArchiveError> {
    let progress = monitor.begin(Step::Read, escaped(name.as_bytes()), Total::UNKNOWN);
    let text = find_manifest(&mut { archive }, limits, &progress, monitor);
    drop(progress);
    Ok(text?.parse()?)
}

fn find_manifest(
    archive: &mut (dyn Read + Send),
    limits: &Limits,
    progress: &Running<'_>,
    monitor: &dyn Monitor,
) -> Result<ManifestText, ArchiveError> {
    let head = stream::first_bytes(archive)?;
    if head.first() == Some(&b'{') {
        let whole = (&head[..]).chain(archive);
        return ManifestText::read(whole, limits);
    }
    let mut tar = stream::open_tar(head, archive, limits)?;
    let mut first = true;
    loop {
        monitor.check_interrupted()?;
        let error = match tar.next() {
            Ok(Some(mut entry)) => {
                first = false;
                let path = RelPath::normalise(&entry.path).ok();
                let bytes = match entry.kind {
                    RawKind::File { size } => size,
                    _ => 0,
                };
                if path.is_none_or(|path| path.as_bytes() != MANIFEST_NAME.as_bytes()) {
                    progress.advance(bytes, 1);
                    continue;
                }
                return ManifestText::read(&mut entry, limits);
            }
            Ok(None) => return Err(ArchiveError::NoManifestInArchive),
            Err(error) => error,
        };
        return Err(match error {
            error if first => ArchiveError::NotAnArchive { error },
            error => ArchiveError::Read { error: io::Error::other(error) },
        });
    }
}

/// Reads the manifest that lies in a folder.
///
/// # Errors
/// See [`ArchiveError`].
pub fn read_folder_manifest(folder: &Path, limits: &Limits) -> Result<AnyManifest, ArchiveError> {
    let failed = |error| ArchiveError::Folder { folder: folder.to_path_buf(), error };
    let root = TreeRoot::open(folder).map_err(failed)?;
    let file = match root.open_file(&manifest_path()) {
        Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => file,
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => return Err(ArchiveError::NoManifest { folder: folder.to_path_buf() }),
    };
    parse_manifest(&file, None, limits, failed)
}

/// The text of a manifest that comes once and is read twice. It is kept compressed: it may be as large as what it becomes.
pub(crate) struct ManifestText(Vec<u8>);

impl ManifestText {
    /// Reads a manifest's JSON up to the limit.
    ///
    /// # Errors
    /// It cannot be read ([`ArchiveError::Read`]), or is longer.
    pub(crate) fn read(reader: impl Read, limits: &Limits) -> Result<Self, ArchiveError> {
        let limit = limits.manifest_bytes;
        let failed = |error| ArchiveError::Read { error };
        let mut encoder = Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        let bytes = io::copy(&mut reader.take(limit.saturating_add(1)), &mut encoder);
        if bytes.map_err(failed)? > limit {
            return Err(ArchiveError::ManifestSize { limit });
        }
        Ok(Self(encoder.finish().map_err(failed)?))
    }

    /// The manifest.
    ///
    /// # Errors
    /// As [`AnyManifest::read`].
    pub(crate) fn parse(&self) -> Result<AnyManifest, ManifestError> {
        let json = || Decoder::new(&*self.0).map_err(serde_json::Error::io);
        ManifestHeader::from_reader(json()?)?.whole_from_reader(json()?)
    }
}

/// The manifest in an open file, if that is not longer than the limit. Its header need not be read again.
pub(crate) fn parse_manifest(
    file: &File,
    header: Option<&ManifestHeader>,
    limits: &Limits,
    failed: impl FnOnce(io::Error) -> ArchiveError,
) -> Result<AnyManifest, ArchiveError> {
    let limit = limits.manifest_bytes;
    if file.metadata().map_err(failed)?.len() > limit {
        return Err(ArchiveError::ManifestSize { limit });
    }
    match header {
        Some(header) => Ok(header.read_all(file, limit)?),
        None => Ok(AnyManifest::read(file, limit)?),
    }
}
