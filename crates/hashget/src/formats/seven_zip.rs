//! 7z archives, read with `sevenz-rust2`: block by block, each once; encrypted ones are not read.
//!
//! Invariant: the archive's directory is read completely before the first member, so that the sizes in it are
//! checked against the limits before anything is decompressed; so is the memory of each decoder.

use std::io::{self, BufReader, Read};

use sevenz_rust2::{ArchiveEntry, ArchiveReader, Error, NtTime, Password};

use super::content::{FileReader, visit};
use super::{Format, FormatError, Input, Visitor};
use crate::codec::LimitExceeded;
use crate::limits::Limits;
use crate::model::{Kind, Member, MemberMetadata, RelPath, Timestamp};

const FORMAT: &str = "7z";
const MAGIC: &[u8] = b"7z\xbc\xaf\x27\x1c\0";
/// The attributes hold a Unix mode in their upper half.
const HAS_MODE: u32 = 0x8000;
/// Memory that a decoder needs besides its dictionary, in bytes.
const OVERHEAD: u64 = 2 << 20;
const TYPE: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// The format.
pub(super) struct SevenZip;

impl Format for SevenZip {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".7z"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        input.with_file(limits.unpacked_bytes, FORMAT, |file| read_file(file, limits, visitor))
    }
}

fn read_file(
    file: FileReader<'_>,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let length = file.length()?;
    let source = BufReader::new(file);
    let memory = limits.window_bytes.saturating_add(OVERHEAD) / 1024;
    let memory = usize::try_from(memory).unwrap_or(usize::MAX);
    let mut archive = ArchiveReader::new_with_memory_limit(source, Password::empty(), memory)
        .map_err(|error| explain(error, limits))?;
    // With several threads, each would take as much memory as the limit allows.
    archive.set_thread_count(1);
    check(&archive.archive().files, length, limits)?;
    let mut failure = None;
    let outcome = archive.for_each_entries(|entry, content| {
        visit_entry(entry, &mut Content(content), limits, visitor).map(|()| true).map_err(|error| {
            failure = Some(error);
            Error::FileNotFound
        })
    });
    match failure {
        Some(failure) => Err(failure),
        None => outcome.map_err(|error| explain(error, limits)),
    }
}

/// Checks the directory against the limits.
fn check(entries: &[ArchiveEntry], packed: u64, limits: &Limits) -> Result<(), FormatError> {
    let exceeded = |what: &str, limit| Err(FormatError::Limit { what: what.into(), limit });
    if entries.len() as u64 > limits.entries {
        return exceeded("entries of a 7z archive", limits.entries);
    }
    let unpacked = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size()));
    if unpacked > limits.unpacked_bytes {
        return exceeded("unpacked bytes", limits.unpacked_bytes);
    }
    if unpacked > Limits::RATIO_FLOOR && unpacked / packed.max(1) > limits.ratio {
        return exceeded("unpacked bytes for each byte of a 7z archive", limits.ratio);
    }
    Ok(())
}

fn visit_entry(
    entry: &ArchiveEntry,
    content: &mut dyn Read,
    limits: &Limits,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let raw = entry.name().as_bytes();
    let path = match RelPath::normalise(raw) {
        Ok(path) if path.is_root() && !entry.is_directory() => {
            visitor.bad_member(raw, "its name is empty");
            return Ok(());
        }
        Ok(path) if path.is_root() => return Ok(()),
        Ok(path) => path,
        Err(error) => {
            visitor.bad_member(raw, error.reason());
            return Ok(());
        }
    };
    if entry.is_anti_item() {
        visitor.bad_member(raw, "it says that a file is to be removed");
        return Ok(());
    }
    let attributes = entry.windows_attributes();
    let mode = Some(attributes >> 16).filter(|_| attributes & HAS_MODE != 0);
    let kind = match mode.unwrap_or(0) & TYPE {
        _ if entry.is_directory() => Kind::Directory,
        DIRECTORY => Kind::Directory,
        0 | FILE => Kind::File { size: entry.size() },
        SYMLINK => {
            let target = read_target(content, limits)?;
            if target.is_empty() || target.contains(&0) {
                visitor.bad_member(raw, "it is a link to no possible name");
                return Ok(());
            }
            Kind::Symlink { target: target.into() }
        }
        _ => {
            visitor.bad_member(raw, "it is a device, a pipe or a socket");
            return Ok(());
        }
    };
    let metadata = MemberMetadata {
        mode: mode.map(|mode| mode & 0o7777),
        mtime: entry.has_last_modified_date.then(|| timestamp(entry.last_modified_date())),
        ..MemberMetadata::default()
    };
    let is_file = matches!(kind, Kind::File { .. });
    let member = Member { path, kind, metadata, sha256: None, extents: None };
    let mut nothing = io::empty();
    visit(FORMAT, visitor, member, if is_file { content } else { &mut nothing })
}

/// Contents whose errors, unless they are errors of the disk, mean damage.
struct Content<'a>(&'a mut dyn Read);

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.raw_os_error() {
            None if error.kind() != io::ErrorKind::Interrupted => {
                io::Error::new(io::ErrorKind::InvalidData, error.to_string())
            }
            _ => error,
        })
    }
}

fn timestamp(time: NtTime) -> Timestamp {
    /// Number of 100 ns units in a second.
    const SECOND: i128 = 10_000_000;
    let since_1970 = i128::from(u64::from(time)) - i128::from(u64::from(NtTime::UNIX_EPOCH));
    let nanoseconds = u32::try_from(since_1970.rem_euclid(SECOND) * 100).unwrap_or(0);
    let seconds = i64::try_from(since_1970.div_euclid(SECOND)).unwrap_or(i64::MAX);
    Timestamp { seconds, nanoseconds }
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

fn explain(error: Error, limits: &Limits) -> FormatError {
    let damaged = |problem: String| FormatError::Damaged { format: FORMAT, problem };
    let unsupported = |problem: String| FormatError::Unsupported { format: FORMAT, problem };
    match error {
        Error::MaxMemLimited { .. } => {
            let what = "bytes of memory for a decoder".into();
            FormatError::Limit { what, limit: limits.window_bytes }
        }
        Error::Io(error, _) | Error::FileOpen(error, _) => match LimitExceeded::in_io(&error) {
            None if error.raw_os_error().is_none() => damaged(error.to_string()),
            _ => FormatError::reading(FORMAT, error),
        },
        Error::PasswordRequired | Error::MaybeBadPassword(_) => {
            unsupported("it is encrypted".into())
        }
        Error::UnsupportedCompressionMethod(method) => {
            let method = crate::model::escaped(method.as_bytes());
            unsupported(format!("it is compressed or encrypted by {method}"))
        }
        Error::Unsupported(problem) => unsupported(crate::model::escaped(problem.as_bytes())),
        Error::UnsupportedVersion { major, minor } => {
            unsupported(format!("version {major}.{minor}"))
        }
        other => damaged(crate::model::escaped(other.to_string().as_bytes())),
    }
}
