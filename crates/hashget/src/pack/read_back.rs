//! Reading the archive back while it is written.
//!
//! Invariant: an archive is finished only if a reader of archives, which got the same bytes, found each entry as it was
//! to be written and the manifest as a restore would accept it. Frames that are copied from an earlier archive were read
//! back when that was written.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read, Write};
use std::rc::Rc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::PackError;
use super::tar_writer::{Next, Reused, TarOutput};
use crate::archive::stream::tar_of_archive;
use crate::error::ErrorClass;
use crate::formats::FormatError;
use crate::formats::tar::{RawKind, TarEntry};
use crate::limits::Limits;
use crate::model::manifest::{AnyManifest, MANIFEST_NAME, ManifestError, ManifestHeader};
use crate::model::{Digest, Entry, Extent, Kind, MemberMetadata, RelPath, effective_mode, escaped};
use crate::parallel;

/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for the reader.
const CHUNKS: usize = 8;
/// Size limit of a manifest that is read completely. Larger ones would take as much memory as packing itself; of these
/// only the beginning is interpreted, and the JSON is read to its end.
const WHOLE_MANIFEST_BYTES: u64 = 32 << 20;

/// Why an archive would not come back.
#[derive(Debug, thiserror::Error)]
pub enum ReadBackError {
    /// It cannot be read.
    #[error("the archive could not be read again")]
    Format(#[from] FormatError),
    /// An entry is different.
    #[error("the archive would not give back {name}: {problem}")]
    Entry {
        /// Its name in the archive.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its manifest is refused.
    #[error("the manifest could not be read again")]
    Manifest(#[from] ManifestError),
}

impl ReadBackError {
    /// What it means: hashget wrote something that it does not read.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Format(_) | Self::Entry { .. } | Self::Manifest(_) => ErrorClass::Internal,
        }
    }
}

/// Some bytes of the archive, with the entries whose headers are among them or follow.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    entries: Vec<u64>,
}

/// Writes an archive through `write` and reads it back on another thread. `write` gets an output that passes everything
/// on to `inner`.
///
/// # Errors
/// Those of `write`, or [`PackError::ReadBack`]: what was written would not come back.
pub(super) fn with_reader<W: TarOutput, R>(
    inner: W,
    limits: &Limits,
    write: impl FnOnce(Tee<W>) -> Result<R, PackError>,
) -> Result<R, PackError> {
    let (sender, receiver) = bounded(CHUNKS);
    let tee = Tee { inner, sender, chunk: Chunk::default() };
    let (written, read) = parallel::beside(|| write(tee), || read_back(receiver, limits));
    match (written, read) {
        (Ok(written), Ok(())) => Ok(written),
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(PackError::Write(stopped)), Err(error)) if is_stopped(&stopped) => Err(error.into()),
        // An archive that was not written to its end cannot be read to its end.
        (Err(error), _) => Err(error),
    }
}

/// The reader has found a fault and reads no further.
#[derive(Debug, thiserror::Error)]
#[error("the archive would not come back")]
struct Stopped;

fn is_stopped(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Stopped>())
}

/// The output of a tar: everything goes to the archive and to the reader.
pub(super) struct Tee<W> {
    inner: W,
    sender: Sender<Chunk>,
    chunk: Chunk,
}

impl<W> Tee<W> {
    fn pass_on(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        self.sender.send(chunk).map_err(|_| io::Error::other(Stopped))
    }

    /// The output below, when all has been passed on.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.pass_on()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Tee<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.chunk.bytes.extend_from_slice(&buffer[..count]);
        if self.chunk.bytes.len() >= CHUNK_BYTES {
            self.pass_on()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: TarOutput> TarOutput for Tee<W> {
    fn announce(&mut self, name: &[u8], entry: &Entry, head: &[u8]) -> io::Result<()> {
        self.inner.announce(name, entry, head)?;
        let kind = match &entry.kind {
            Kind::File { size } => RawKind::File { size: *size },
            Kind::Directory => RawKind::Directory,
            Kind::Symlink { target } => RawKind::Symlink { target: target.to_vec() },
            Kind::HardLink { target } => RawKind::HardLink { target: target.as_bytes().to_vec() },
            Kind::CharDevice { major, minor } => {
                RawKind::CharDevice { major: *major, minor: *minor }
            }
            Kind::BlockDevice { major, minor } => {
                RawKind::BlockDevice { major: *major, minor: *minor }
            }
            Kind::Fifo | Kind::Socket => RawKind::Fifo,
        };
        let metadata = &entry.metadata;
        let metadata = MemberMetadata {
            mode: Some(effective_mode(&entry.kind, metadata.mode)),
            uid: Some(metadata.uid),
            gid: Some(metadata.gid),
            mtime: Some(metadata.mtime),
            xattrs: metadata.xattrs.clone(),
        };
        let name = RelPath::normalise(name);
        let name = name.as_ref().map_or(&b""[..], RelPath::as_bytes);
        self.chunk.entries.push(fingerprint(name, &kind, &metadata, entry.extents.as_deref()));
        Ok(())
    }

    fn digested(&mut self, sha256: &Digest) {
        self.inner.digested(sha256);
    }

    fn reuse(&mut self, next: Next<'_>) -> io::Result<Option<Reused>> {
        // What an earlier archive has was read back when that was written.
        self.inner.reuse(next)
    }

    fn announce_end(&mut self) -> io::Result<()> {
        self.inner.announce_end()
    }
}

/// Stands for all that the header of an entry says.
fn fingerprint(
    name: &[u8],
    kind: &RawKind,
    metadata: &MemberMetadata,
    extents: Option<&[Extent]>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, kind, metadata).hash(&mut hasher);
    extents.hash(&mut hasher);
    hasher.finish()
}

/// Fingerprints of entries that were announced and not read yet.
type Announced = Rc<RefCell<VecDeque<u64>>>;

/// The bytes of the archive, as the reader gets them.
struct Chunks {
    receiver: Receiver<Chunk>,
    bytes: io::Cursor<Vec<u8>>,
    announced: Announced,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.bytes.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Ok(chunk) = self.receiver.recv() else { return Ok(0) };
            self.bytes = io::Cursor::new(chunk.bytes);
            self.announced.borrow_mut().extend(chunk.entries);
        }
    }
}

fn read_back(receiver: Receiver<Chunk>, limits: &Limits) -> Result<(), ReadBackError> {
    let announced = Announced::default();
    let bytes = io::Cursor::default();
    let mut tar =
        tar_of_archive(Chunks { receiver, bytes, announced: Rc::clone(&announced) }, limits);
    while let Some(mut entry) = tar.next()? {
        let wrong = |problem: &str| {
            let (name, problem) = (escaped(&entry.path), problem.to_owned());
            Err(ReadBackError::Entry { name, problem })
        };
        let Ok(path) = RelPath::normalise(&entry.path) else {
            return wrong("its name would be refused");
        };
        let name = path.as_bytes();
        let found = fingerprint(name, &entry.kind, &entry.metadata, entry.extents.as_deref());
        match announced.borrow_mut().pop_front() {
            Some(expected) if expected == found => {}
            Some(_) => return wrong("another entry would come back"),
            None => return wrong("nobody wrote it"),
        }
        if name == MANIFEST_NAME.as_bytes() {
            check_manifest(&mut entry, limits)?;
        }
    }
    match announced.borrow().len() {
        0 => Ok(()),
        missing => {
            let problem = format!("{missing} entries are not in it");
            Err(ReadBackError::Entry { name: "everything".to_owned(), problem })
        }
    }
}

fn check_manifest(entry: &mut TarEntry<'_, Chunks>, limits: &Limits) -> Result<(), ReadBackError> {
    let RawKind::File { size } = entry.kind else { return Ok(()) };
    if size > limits.manifest_bytes {
        let what = "bytes of a manifest".to_owned();
        return Err(FormatError::Limit { what, limit: limits.manifest_bytes }.into());
    }
    if size > WHOLE_MANIFEST_BYTES {
        ManifestHeader::from_reader(entry)?;
        return Ok(());
    }
    let mut json = Vec::new();
    entry.read_to_end(&mut json).map_err(FormatError::Io)?;
    AnyManifest::parse(&json)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Metadata;
    use crate::pack::tar_writer::TarWriter;

    impl TarOutput for Vec<u8> {
        fn announce(&mut self, _name: &[u8], _entry: &Entry, _head: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn digested(&mut self, _sha256: &Digest) {}

        fn reuse(&mut self, _next: Next<'_>) -> io::Result<Option<Reused>> {
            Ok(None)
        }

        fn announce_end(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn entry(path: &str) -> Entry {
        let (kind, metadata) = (Kind::Directory, Metadata { mode: 0o755, ..Metadata::default() });
        Entry { path: RelPath::new(path).unwrap(), kind, metadata, sha256: None, extents: None }
    }

    /// Writes entries, with `names` in the archive, through an output that `spoil` makes of the plain one.
    fn written(
        names: &[&str],
        spoil: impl Fn(&mut Tee<Vec<u8>>),
        limits: &Limits,
    ) -> Result<Vec<u8>, PackError> {
        with_reader(Vec::new(), limits, |tee| {
            let mut tar = TarWriter::new(tee);
            for name in names {
                tar.entry(name.as_bytes(), &entry("a"), &mut io::empty())
                    .map_err(PackError::Write)?;
            }
            let mut tee = tar.finish().map_err(PackError::Write)?;
            spoil(&mut tee);
            tee.finish().map_err(PackError::Write)
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let archive = written(&["a", "b/c"], |_| {}, &Limits::default()).unwrap();
        assert_eq!(archive.len(), 20 * 512);
    }

    #[test]
    fn what_would_not_come_back_is_an_error() {
        let limits = Limits::default();
        let refused = written(&["a", "b/../c"], |_| {}, &limits).unwrap_err();
        assert!(matches!(refused, PackError::ReadBack(ReadBackError::Entry { .. })), "{refused:?}");
        let missing = |tee: &mut Tee<Vec<u8>>| tee.announce(b"d", &entry("d"), b"").unwrap();
        let missing = written(&["a"], missing, &limits).unwrap_err();
        assert!(matches!(missing, PackError::ReadBack(ReadBackError::Entry { .. })), "{missing:?}");
        let other = |tee: &mut Tee<Vec<u8>>| tee.chunk.entries[0] ^= 1;
        let other = written(&["a"], other, &limits).unwrap_err();
        assert!(matches!(other, PackError::ReadBack(ReadBackError::Entry { .. })), "{other:?}");
        let damage = |tee: &mut Tee<Vec<u8>>| tee.chunk.bytes[3] ^= 1;
        let damage = written(&["a"], damage, &limits).unwrap_err();
        assert!(matches!(damage, PackError::ReadBack(ReadBackError::Format(_))), "{damage:?}");
    }

    #[test]
    fn an_error_of_the_output_is_that_error() {
        let failed = with_reader(Vec::new(), &Limits::default(), |mut tee| {
            tee.write_all(&[1; 1000]).map_err(PackError::Write)?;
            Err::<(), _>(PackError::Write(io::ErrorKind::StorageFull.into()))
        });
        let Err(PackError::Write(error)) = failed else { panic!("{failed:?}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
