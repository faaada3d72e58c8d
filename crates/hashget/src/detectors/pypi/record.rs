//! A wheel's `RECORD` with the digests of its files, at the end of the wheel itself. The `RECORD` on this machine proves
//! nothing: that of a wheel which was patched and built again looks the same as that of the public one.
//!
//! Invariant: files that are changed or added during installation are not listed; a path that leads out of
//! the installation folder is skipped.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::detectors::{Declared, FileList, Listed, Parts};
use crate::limits::Limits;
use crate::model::{Algorithm, Checksum, RelPath};

/// Size limit of RECORD; of a larger one only the start is read.
const MAX_RECORD: u64 = 64 << 20;

/// Size of the first request, at the end of a wheel: it contains the directory, and for most wheels RECORD.
const TAIL: u64 = 32 << 10;

/// Size of further requests.
const PIECE: u64 = 16 << 10;

/// Files that installers write into a `dist-info`.
const OWN_FILES: &[&str] = &["RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "RECORD.jws"];

/// An installed wheel.
#[derive(Debug)]
pub(super) struct Record {
    /// `NAME-VERSION`, the prefix of the wheel's own folders.
    stem: String,
    /// The folder of the installation, and the path of site-packages below it.
    prefix: PathBuf,
    site: Vec<u8>,
}

impl Record {
    /// For the wheel with this `dist-info`.
    pub(super) fn new(folder: &Path) -> Self {
        let name = folder.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let site = folder.parent().unwrap_or(folder);
        // PREFIX/lib/pythonX.Y/site-packages; data files are installed below the prefix.
        let is_usual = site.ends_with("site-packages")
            && site.parent().and_then(Path::parent).is_some_and(|lib| lib.ends_with("lib"));
        let prefix = if is_usual { site.ancestors().nth(3).unwrap_or(site) } else { site };
        let below = site.strip_prefix(prefix).unwrap_or(Path::new(""));
        Self {
            stem: name.strip_suffix(".dist-info").unwrap_or(&name).to_owned(),
            prefix: prefix.to_owned(),
            site: below.as_os_str().as_bytes().to_owned(),
        }
    }

    /// The path relative to the prefix of `path`, which is relative to site-packages and may contain `..`.
    fn below_prefix(&self, path: &[u8]) -> Option<RelPath> {
        let mut names: Vec<&[u8]> =
            self.site.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        if path.starts_with(b"/") {
            return None;
        }
        for name in path.split(|&byte| byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()?),
                name => names.push(name),
            }
        }
        RelPath::new(names.join(&b'/')).ok()
    }

    /// A line of the RECORD within the wheel.
    fn of_wheel(&self, path: &[u8], checksum: Checksum) -> Option<Listed> {
        let member = RelPath::new(path).ok()?;
        let data = [self.stem.as_bytes(), b".data/"].concat();
        let place = match path.strip_prefix(&data[..]) {
            None => self.below_prefix(path)?,
            Some(rest) => {
                let (scheme, rest) = rest.split_at(rest.iter().position(|&byte| byte == b'/')?);
                match scheme {
                    b"purelib" | b"platlib" => self.below_prefix(&rest[1..])?,
                    b"data" => RelPath::new(&rest[1..]).ok()?,
                    b"scripts" => RelPath::new([b"bin", rest].concat()).ok()?,
                    _ => return None,
                }
            }
        };
        Some(Listed { member, path: place, checksum })
    }

    /// Lines `PATH,ALGORITHM=DIGEST,SIZE`.
    fn read(&self, record: &[u8]) -> Vec<Listed> {
        let understand = |text: &[u8]| {
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let mut fields = text.rsplitn(3, |&byte| byte == b',');
            let (_, checksum) = (fields.next()?, std::str::from_utf8(fields.next()?).ok()?);
            let (algorithm, digest) = checksum.split_once('=')?;
            let checksum = Checksum::from_base64(Algorithm::named(algorithm)?, digest)?;
            let path = unquoted(fields.next()?);
            let own = [self.stem.as_bytes(), b".dist-info/"].concat();
            let is_own = path
                .strip_prefix(&own[..])
                .is_some_and(|name| OWN_FILES.iter().any(|own| own.as_bytes() == name));
            if is_own || path.ends_with(b".pyc") {
                return None;
            }
            self.of_wheel(&path, checksum)
        };
        record.split(|&byte| byte == b'\n').filter_map(understand).collect()
    }
}

/// A field of a line, which is quoted if it contains a comma.
fn unquoted(field: &[u8]) -> Vec<u8> {
    let Some(inner) = field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return field.to_owned();
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut letters = inner.iter().peekable();
    while let Some(&letter) = letters.next() {
        plain.push(letter);
        if letter == b'"' && letters.peek() == Some(&&b'"') {
            letters.next();
        }
    }
    plain
}

impl FileList for Record {
    fn format(&self) -> &'static str {
        "zip"
    }

    fn root(&self) -> &Path {
        &self.prefix
    }

    fn declared(
        &self,
        part: &mut Parts<'_>,
        size: u64,
        _limits: &Limits,
    ) -> io::Result<Option<Declared>> {
        let mut archive = ZipArchive::new(Remote::new(part, size)).map_err(explain)?;
        let name = format!("{}.dist-info/RECORD", self.stem);
        let file = archive.by_name(&name).map_err(explain)?;
        let mut record = Vec::new();
        file.take(MAX_RECORD).read_to_end(&mut record)?;
        Ok(Some(self.read(&record).into()))
    }
}

fn explain(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// A remote wheel; only what is read is fetched, in pieces.
struct Remote<'a, 'b> {
    part: &'a mut Parts<'b>,
    size: u64,
    position: u64,
    /// The position of the current piece, and its bytes.
    start: u64,
    piece: Vec<u8>,
}

impl<'a, 'b> Remote<'a, 'b> {
    fn new(part: &'a mut Parts<'b>, size: u64) -> Self {
        Self { part, size, position: 0, start: 0, piece: Vec::new() }
    }
}

impl Read for Remote<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let end = self.start + self.piece.len() as u64;
        if !(self.start..end).contains(&self.position) {
            let tail = self.size.saturating_sub(TAIL);
            let first = if self.position >= tail { tail } else { self.position };
            let wanted = (buffer.len() as u64).max(if first == tail { TAIL } else { PIECE });
            self.piece = (self.part)(first, wanted.min(self.size - first))?;
            self.start = first;
        }
        let from = usize::try_from(self.position - self.start).map_err(io::Error::other)?;
        let here = self.piece.get(from..).unwrap_or_default();
        if here.is_empty() {
            return Err(io::Error::other("the server gave fewer bytes than the package has"));
        }
        let count = here.len().min(buffer.len());
        buffer[..count].copy_from_slice(&here[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Remote<'_, '_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position =
            position.ok_or_else(|| io::Error::other("a place before the package's start"))?;
        Ok(self.position)
    }
}
