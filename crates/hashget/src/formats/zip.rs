//! zip archives and formats based on them: wheels, jars, eggs.
//!
//! Invariant: only the central directory defines what is in the archive, and its order; contents have the
//! size in the directory and a valid CRC.

mod packed;
mod prefixed;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use ::zip::result::ZipError;
use ::zip::{ExtraField, SUPPORTED_COMPRESSION_METHODS, System, ZipArchive};

use super::content::visit;
use super::{Format, FormatError, Input, PartReader, RandomAccess, Visitor};
use crate::limits::Limits;
use crate::model::{Kind, Member, MemberMetadata, RelPath, Timestamp};

const FORMAT: &str = "zip";
/// Java, Python, .NET, Android, browsers and editors use different extensions for zip files.
const ENDINGS: &[&str] = &[
    ".aar", ".apk", ".crx", ".ear", ".egg", ".hpi", ".ipa", ".jar", ".jpi", ".nupkg", ".pex",
    ".pyz", ".snupkg", ".vsix", ".war", ".whl", ".xpi", ".zip", ".zipx",
];
/// Type bits of a Unix mode.
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const FIFO: u32 = 0o010_000;
/// The bit of a folder among the attributes of DOS.
const DOS_FOLDER: u32 = 0x10;
const SPECIAL: [u32; 3] = [0o020_000, 0o060_000, 0o140_000];

/// The format.
pub(super) struct Zip;

type Entry<'a, R> = ::zip::read::ZipFile<'a, R>;

impl Format for Zip {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        ENDINGS
    }

    fn readable_in_parts(&self) -> Option<&dyn PartReader> {
        Some(self)
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
    }

    fn may_end(&self, head: &[u8]) -> bool {
        prefixed::may_follow(head)
    }

    fn recognises_end(&self, file: &File) -> io::Result<bool> {
        prefixed::is_at_end(file)
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        input.with_file(limits.unpacked_bytes, FORMAT, |file| {
            read_members(BufReader::new(file), &|_| true, limits, visitor)
        })
    }
}

impl PartReader for Zip {
    fn read_members(
        &self,
        package: &mut dyn RandomAccess,
        wanted: &dyn Fn(&RelPath) -> bool,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        read_members(package, wanted, limits, visitor)
    }
}

fn read_members<R: Read + Seek>(
    bytes: R,
    wanted: &dyn Fn(&RelPath) -> bool,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let mut archive = ZipArchive::new(bytes).map_err(explain)?;
    if archive.len() as u64 > limits.entries {
        let what = "entries of a zip archive".into();
        return Err(FormatError::Limit { what, limit: limits.entries });
    }
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(explain)?;
        unpacked = unpacked.saturating_add(entry.size());
        if unpacked > limits.unpacked_bytes {
            let what = "unpacked bytes".into();
            return Err(FormatError::Limit { what, limit: limits.unpacked_bytes });
        }
        let ratio = entry.size() / entry.compressed_size().max(1);
        if entry.size() > Limits::RATIO_FLOOR && ratio > limits.ratio {
            let what = "unpacked bytes for each byte of a zip entry".into();
            return Err(FormatError::Limit { what, limit: limits.ratio });
        }
        visit_entry(&mut archive, index, wanted, limits, visitor)?;
    }
    Ok(())
}

fn visit_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    wanted: &dyn Fn(&RelPath) -> bool,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let directory_entry = archive.by_index_data(index).map_err(explain)?;
    let raw = directory_entry.name_raw().to_vec();
    if directory_entry.encrypted() {
        visitor.bad_member(&raw, "it is encrypted");
        return Ok(());
    }
    let path = match RelPath::normalise(&raw) {
        Ok(path) if path.is_root() && !directory_entry.is_dir() => {
            visitor.bad_member(&raw, "its name is empty");
            return Ok(());
        }
        Ok(path) if path.is_root() || !wanted(&path) => return Ok(()),
        Ok(path) => path,
        Err(error) => {
            visitor.bad_member(&raw, error.reason());
            return Ok(());
        }
    };
    let method = directory_entry.compression();
    let is_packed = packed::decodes(method);
    if !is_packed && !SUPPORTED_COMPRESSION_METHODS.contains(&method) {
        visitor.bad_member(&raw, &format!("it is compressed by a method we do not read: {method}"));
        return Ok(());
    }
    let entry = if is_packed { archive.by_index_raw(index) } else { archive.by_index(index) };
    let mut entry = entry.map_err(explain)?;
    let mode = unix_mode(&entry);
    // Without a mode, the name of a folder need not end in a slash.
    let is_dos_folder = entry.external_attributes() & DOS_FOLDER != 0 && entry.size() == 0;
    let file_type = mode.unwrap_or(if is_dos_folder { DIRECTORY } else { 0 });
    let metadata = MemberMetadata {
        mode: mode.map(|mode| mode & 0o7777),
        mtime: mtime(&entry),
        ..MemberMetadata::default()
    };
    let (size, crc) = (entry.size(), entry.crc32());
    let mut packed;
    let entry: &mut dyn Read = if is_packed {
        let decoder = packed::decoder(method, Box::new(&mut entry), (size, crc), limits);
        packed = decoder.map_err(|error| FormatError::reading(FORMAT, error))?;
        &mut packed
    } else {
        &mut entry
    };
    let mut content = Exact { left: size, entry, ended: false };
    let kind = match kind(&raw, file_type, &mut content, limits)? {
        Ok(kind) => kind,
        Err(reason) => {
            visitor.bad_member(&raw, reason);
            return Ok(());
        }
    };
    let is_file = matches!(kind, Kind::File { .. });
    let member = Member { path, kind, metadata, sha256: None, extents: None };
    if is_file {
        visit(FORMAT, visitor, member, &mut content)
    } else {
        visit(FORMAT, visitor, member, &mut io::empty())
    }
}

/// What an entry is, or why it cannot be a member.
fn kind(
    raw: &[u8],
    mode: u32,
    content: &mut Exact<'_>,
    limits: &Limits,
) -> Result<Result<Kind, &'static str>, FormatError> {
    Ok(Ok(match mode & TYPE {
        SYMLINK => {
            let target = read_target(content, limits)?;
            if target.contains(&0) {
                return Ok(Err("its target has a NUL byte"));
            }
            Kind::Symlink { target: target.into() }
        }
        DIRECTORY => Kind::Directory,
        // Some programs store what came out of a pipe, and keep its mode.
        FIFO if content.left == 0 => Kind::Fifo,
        special if SPECIAL.contains(&special) => return Ok(Err("it is a device or a socket")),
        _ if raw.ends_with(b"/") => Kind::Directory,
        _ => Kind::File { size: content.left },
    }))
}

/// The Unix mode, type bits included, if the archive was made on a system that has modes.
fn unix_mode<R: Read>(entry: &Entry<'_, R>) -> Option<u32> {
    let has_modes = matches!(entry.system(), System::Unix | System::OsDarwin);
    Some(entry.external_attributes() >> 16).filter(|&mode| has_modes && mode != 0)
}

/// The modification time in UTC if stored; otherwise the local time, read as UTC.
fn mtime<R: Read>(entry: &Entry<'_, R>) -> Option<Timestamp> {
    let in_utc = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    if let Some(seconds) = in_utc {
        // Signed, contrary to the crate's type: times before 1970.
        return Some(Timestamp::from_seconds(i64::from(seconds.cast_signed())));
    }
    let local = entry.last_modified()?;
    let year = i16::try_from(local.year()).ok()?;
    let (month, day) = (i8::try_from(local.month()).ok()?, i8::try_from(local.day()).ok()?);
    let hour = i8::try_from(local.hour()).ok()?;
    let (minute, second) = (i8::try_from(local.minute()).ok()?, i8::try_from(local.second()).ok()?);
    let local = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let in_utc = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_seconds(in_utc.timestamp().as_second()))
}

fn read_target(content: &mut dyn Read, limits: &Limits) -> Result<Vec<u8>, FormatError> {
    let limit = limits.header_bytes;
    let mut target = Vec::new();
    content
        .take(limit.saturating_add(1))
        .read_to_end(&mut target)
        .map_err(|error| FormatError::reading(FORMAT, error))?;
    if target.len() as u64 > limit {
        return Err(FormatError::Limit { what: "bytes of a link's target".into(), limit });
    }
    Ok(target)
}

/// Contents with exactly the size in the directory.
struct Exact<'e> {
    left: u64,
    entry: &'e mut dyn Read,
    ended: bool,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        if self.left == 0 {
            // The CRC is checked only once the end has been reached.
            let count = self.entry.read(&mut [0])?;
            self.ended = count == 0;
            return if self.ended { Ok(0) } else { Err(wrong_size("more")) };
        }
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.entry.read(&mut buffer[..length])?;
        if count == 0 {
            return Err(wrong_size("fewer"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn wrong_size(comparison: &str) -> io::Error {
    let problem = format!("an entry has {comparison} bytes than the directory says");
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn explain(error: ZipError) -> FormatError {
    match error {
        ZipError::Io(error) => FormatError::reading(FORMAT, error),
        ZipError::UnsupportedArchive(problem) => {
            FormatError::Unsupported { format: FORMAT, problem: problem.into() }
        }
        other => FormatError::Damaged { format: FORMAT, problem: other.to_string() },
    }
}
