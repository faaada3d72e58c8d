//! Reading the manifest of an archive, or of a folder into which one was unpacked.
//!
//! Invariant: nothing is written, and no more of an archive is read than up to its first manifest.

use std::fs::File;
use std::io::{self, Read, Write as _};
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
    find_manifest(&mut { archive }, limits, &progress, monitor)
}

fn find_manifest(
    archive: &mut (dyn Read + Send),
    limits: &Limits,
    progress: &Running<'_>,
    monitor: &dyn Monitor,
) -> Result<AnyManifest, ArchiveError> {
    let head = stream::first_bytes(archive)?;
    if head.first() == Some(&b'{') {
        let whole = (&head[..]).chain(archive);
        return read_manifest_text(whole, limits);
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
                return read_manifest_text(&mut entry, limits);
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

/// Compressed bytes of a manifest's text that are kept before it is clear that all of it is needed.
const KEPT_BYTES: usize = 1 << 20;

/// Reads the manifest whose JSON is `json`, up to the limit. What says whether we can read a manifest may stand anywhere in it, so
/// that it is parsed twice, from a text that is kept compressed. A long one that begins with it, as ours do, is parsed while it
/// comes: its text may be as large as what it becomes.
///
/// # Errors
/// It cannot be read ([`ArchiveError::Read`]), is longer than the limit, or is no manifest that we can read.
pub(crate) fn read_manifest_text(
    json: impl Read,
    limits: &Limits,
) -> Result<AnyManifest, ArchiveError> {
    let limit = limits.manifest_bytes;
    let mut json = Limited { left: limit, is_longer: false, failure: None, json };
    let manifest = parse_once(&mut json);
    match json {
        Limited { failure: Some(error), .. } => Err(ArchiveError::Read { error }),
        Limited { is_longer: true, .. } => Err(ArchiveError::ManifestSize { limit }),
        _ => Ok(manifest?),
    }
}

/// Parses JSON that comes once.
fn parse_once(json: &mut impl Read) -> Result<AnyManifest, ManifestError> {
    let io = serde_json::Error::io;
    let mut text = Vec::new();
    if !compress(json, &mut text, KEPT_BYTES).map_err(io)? {
        if let Some(header) = ManifestHeader::at_beginning(decompressed(&text)?)? {
            return header.whole_from_reader(decompressed(&text)?.chain(json));
        }
        compress(json, &mut text, usize::MAX).map_err(io)?;
    }
    ManifestHeader::from_reader(decompressed(&text)?)?.whole_from_reader(decompressed(&text)?)
}

/// Adds what comes to `text`, compressed, until the end (then it is true) or until there are more than `most` bytes.
fn compress(json: &mut impl Read, text: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let mut encoder = Encoder::new(text, LEVEL)?;
    let mut buffer = vec![0; 64 << 10];
    let ends = loop {
        match json.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => encoder.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if encoder.get_ref().len() > most {
            break false;
        }
    };
    encoder.finish()?;
    Ok(ends)
}

fn decompressed(text: &[u8]) -> Result<impl Read, ManifestError> {
    Ok(Decoder::new(text).map_err(serde_json::Error::io)?)
}

/// JSON up to a limit; remembers why there is no more.
struct Limited<R> {
    json: R,
    left: u64,
    is_longer: bool,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.json.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                return Err(told);
            }
            other => other?,
        };
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.is_longer = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        Ok(count)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorClass;
    use crate::model::Digest;

    /// A manifest of as many files; with what is at its beginning and its end.
    fn json(files: u32, first: &str, last: &str) -> String {
        let list =
            |item: &dyn Fn(u32) -> String| (0..files).map(item).collect::<Vec<_>>().join(",");
        let paths = list(&|file| format!("\"file-{file:08}\""));
        let digests = list(&|file| format!("\"{}\"", Digest::of(&file.to_le_bytes())));
        let zeros = list(&|_| "0".to_owned());
        let (kinds, empty) = ("f".repeat(files as usize), Digest::of(b""));
        format!(
            r#"{{{first}"tool":"t","tree":{{"sha256":"{empty}","entries":1,"files":0,"bytes":0}},"packages":[],
            "archived":{{"path":[{paths}],"type":"{kinds}","mode":[{zeros}],"uid":[{zeros}],"gid":[{zeros}],
            "seconds":[{zeros}],"nanoseconds":[{zeros}],"size":[{zeros}],"sha256":[{digests}]}}{last}}}"#
        )
    }

    fn read(json: &str) -> Result<usize, ArchiveError> {
        match read_manifest_text(json.as_bytes(), &Limits::default())? {
            AnyManifest::V2(manifest) => Ok(manifest.archived.len()),
            AnyManifest::V1(_) => panic!("it has a version"),
        }
    }

    const HEADER: &str = r#""format":"hashget-restore","version":2"#;
    /// Of more, the text is long, compressed, too: a digest does not get smaller.
    const MANY: u32 = 40_000;

    #[test]
    fn a_manifest_is_read_whether_it_begins_with_its_header_or_not() {
        for files in [0, 10, MANY] {
            let (first, last) = (format!("{HEADER},"), format!(",{HEADER}"));
            assert_eq!(read(&json(files, &first, "")).unwrap(), files as usize);
            assert_eq!(read(&json(files, "", &last)).unwrap(), files as usize);
            let needs = format!(r#"{HEADER},"needs":{{}},"#);
            assert_eq!(read(&json(files, &needs, "")).unwrap(), files as usize);
        }
    }

    #[test]
    fn what_a_manifest_needs_is_said_wherever_it_stands() {
        let (needs, newer) = (r#""needs":{"time-travel":"9.7"}"#, r#""format":"f","version":3,"#);
        for files in [10, MANY] {
            let texts = [
                json(files, &format!("{HEADER},{needs},"), ""),
                json(files, &format!("{needs},{HEADER},"), ""),
                json(files, &format!("{HEADER},"), &format!(",{needs}")),
                json(files, "", &format!(",{needs},{HEADER}")),
                // What only a newer hashget can read is not looked at.
                json(files, &format!("{HEADER},{needs},"), ",\"packages\":7"),
                json(files, newer, ",\"packages\":7"),
            ];
            for (number, text) in texts.iter().enumerate() {
                let class = read(text).unwrap_err().class();
                assert_eq!(class, ErrorClass::NeedsNewer, "{number} of {files}");
            }
        }
    }

    #[test]
    fn a_damaged_one_and_one_that_is_too_long_are_errors() {
        for files in [10, MANY] {
            let text = json(files, &format!("{HEADER},"), "");
            let (short, more) = (&text[..text.len() - 1], format!("{text} x"));
            for damaged in [short, &more] {
                assert!(matches!(read(damaged), Err(ArchiveError::Manifest(_))));
            }
            let limited = |manifest_bytes| {
                let limits = Limits { manifest_bytes, ..Limits::default() };
                read_manifest_text(text.as_bytes(), &limits).map(drop)
            };
            let length = text.len() as u64;
            assert!(limited(length).is_ok());
            assert!(matches!(
                limited(length - 1),
                Err(ArchiveError::ManifestSize { limit }) if limit == length - 1
            ));
            let cut = text.as_bytes().chain(Broken);
            let error = read_manifest_text(cut, &Limits::default()).unwrap_err();
            assert!(matches!(error, ArchiveError::Read { error } if error.to_string() == "broken"));
        }
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
}
