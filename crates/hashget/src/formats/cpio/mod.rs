//! cpio archives with any compression or none, and the file systems that Linux starts from: several archives, one behind
//! the other, with zeros between them; the last may be compressed alone.
//!
//! Invariant: every entry of every archive is a member or reported, as is what follows the last archive. Of hard links, the
//! name with the contents is the file, and the other names follow it.

mod header;
mod links;
mod plain;
mod reader;

use std::io::{self, BufRead, BufReader, Cursor, Read};

use rustix::fs::FileType;

pub(crate) use plain::end_of_plain_archives;
pub(super) use reader::{CpioReader, Entry};

use super::content::visit;
use super::file_type::file_type;
use super::{Format, FormatError, Input, Visitor};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{Kind, Member, MemberMetadata, RelPath, Timestamp};
use header::{Fields, Form, SMALLEST};
use links::Links;
use reader::NamedEntry;

const FORMAT: &str = "cpio";
/// Number of first decompressed bytes by which an archive is recognised: a header and the longest name of a file.
const FIRST_BYTES: usize = 4096 + SMALLEST;

/// The format.
pub(super) struct Cpio;

impl Format for Cpio {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[
            ".cpgz",
            ".cpio",
            ".cpio.bz2",
            ".cpio.gz",
            ".cpio.lz",
            ".cpio.lz4",
            ".cpio.lzma",
            ".cpio.xz",
            ".cpio.z",
            ".cpio.zst",
        ]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        match Codec::recognise(head) {
            Codec::None => begins_as_archive(head),
            codec => begins_as_archive(&codec::first_bytes(codec, head, FIRST_BYTES)),
        }
    }

    fn is_found_by_version_one(&self, _: &RelPath) -> bool {
        false
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut reading = Reading { limits, visitor, archives: 0, entries: 0 };
        // Not compressed: the limit on what comes out applies.
        let bytes = codec::decoder(Codec::None, input.into_reader(), limits, 1);
        let bytes = bytes.map_err(self::reading)?;
        reading.visit_archives(&mut BufReader::new(bytes), false)?;
        match reading.archives {
            0 => Err(damaged("it does not begin as a cpio archive")),
            _ => Ok(()),
        }
    }
}

/// Do these bytes begin with the header of an entry?
fn begins_as_archive(head: &[u8]) -> bool {
    let Some(form) = head.first_chunk().and_then(Form::recognise) else { return false };
    let Some(header) = head.get(..form.size()) else { return false };
    let Ok(fields) = Fields::parse(form, header) else { return false };
    match form {
        Form::Listed => false,
        Form::New { .. } | Form::Octal => true,
        // Two bytes are no proof.
        Form::Binary { .. } => {
            let is_known = file_type(fields.mode) != FileType::Unknown;
            let length = usize::try_from(fields.name_length).unwrap_or(usize::MAX);
            let name = head[form.size()..].get(..length);
            let end = name.and_then(|name| name.iter().position(|&byte| byte == 0));
            is_known && fields.links > 0 && length > 1 && end == Some(length - 1)
        }
    }
}

/// Visits the entries of archives.
struct Reading<'a> {
    limits: &'a Limits,
    visitor: &'a mut dyn Visitor,
    /// How many archives and entries there were.
    archives: u64,
    entries: u64,
}

impl Reading<'_> {
    /// Visits the archives in `input`; what has been decompressed is not decompressed again.
    fn visit_archives(
        &mut self,
        input: &mut dyn BufRead,
        is_unpacked: bool,
    ) -> Result<(), FormatError> {
        while skip_zeros(input).map_err(reading)? {
            let mut start = Vec::new();
            input.take(SMALLEST as u64).read_to_end(&mut start).map_err(reading)?;
            let codec = Codec::recognise(&start);
            if start.first_chunk().is_some_and(|start| Form::recognise(start).is_some()) {
                self.visit_archive(Cursor::new(start).chain(&mut *input))?;
                self.archives += 1;
            } else if codec != Codec::None && !is_unpacked {
                let packed = Box::new(Cursor::new(start).chain(input));
                let unpacked = codec::decoder(codec, packed, self.limits, self.limits.threads);
                let mut unpacked = BufReader::new(unpacked.map_err(reading)?);
                return self.visit_archives(&mut unpacked, true);
            } else {
                if self.archives > 0 {
                    let reason = "it follows the trailer of an archive, and is no other archive";
                    self.visitor.bad_member(b"", reason);
                }
                io::copy(input, &mut io::sink()).map_err(reading)?;
            }
        }
        Ok(())
    }

    fn visit_archive(&mut self, bytes: impl Read) -> Result<(), FormatError> {
        let archive = CpioReader::new(bytes, FORMAT, self.limits.header_bytes);
        let mut archive = archive.verifying_sums();
        let mut links = Links::default();
        while let Some(entry) = archive.next()? {
            let Entry::Named(entry) = entry else {
                return Err(damaged("an entry has no name, as only those of rpm packages may"));
            };
            self.entries += 1;
            if self.entries > self.limits.entries {
                let what = "entries".into();
                return Err(FormatError::Limit { what, limit: self.limits.entries });
            }
            self.visit_entry(&mut archive, &entry, &mut links)?;
        }
        for member in links.without_contents() {
            visit(FORMAT, self.visitor, member, &mut io::empty())?;
        }
        Ok(())
    }

    fn visit_entry(
        &mut self,
        archive: &mut CpioReader<impl Read>,
        entry: &NamedEntry,
        links: &mut Links,
    ) -> Result<(), FormatError> {
        let kind = match kind(entry, archive, self.limits)? {
            Ok(kind) => kind,
            Err(reason) => {
                self.visitor.bad_member(&entry.name, reason);
                return Ok(());
            }
        };
        let path = match RelPath::normalise(&entry.name) {
            Ok(path) if path.is_root() && kind == Kind::Directory => return Ok(()),
            Ok(path) if path.is_root() => {
                self.visitor.bad_member(&entry.name, "its name is empty");
                return Ok(());
            }
            Ok(path) => path,
            Err(error) => {
                self.visitor.bad_member(&entry.name, error.reason());
                return Ok(());
            }
        };
        let is_file = matches!(kind, Kind::File { .. });
        let metadata = metadata(&entry.fields);
        let member = Member { path, kind, metadata, sha256: None, extents: None };
        if !is_file {
            return visit(FORMAT, self.visitor, member, &mut io::empty());
        }
        let Some(members) = links.resolve(member, entry)? else { return Ok(()) };
        for member in members {
            visit(FORMAT, self.visitor, member, archive)?;
        }
        Ok(())
    }
}

/// What an entry is, or why it cannot be a member.
fn kind(
    entry: &NamedEntry,
    content: &mut dyn Read,
    limits: &Limits,
) -> Result<Result<Kind, &'static str>, FormatError> {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (major, minor) = (small(entry.fields.node.0), small(entry.fields.node.1));
    Ok(Ok(match file_type(entry.fields.mode) {
        FileType::RegularFile => Kind::File { size: entry.size() },
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Fifo,
        FileType::CharacterDevice => Kind::CharDevice { major, minor },
        FileType::BlockDevice => Kind::BlockDevice { major, minor },
        FileType::Symlink => {
            if entry.size() > limits.header_bytes {
                let what = "bytes of a link's target".into();
                return Err(FormatError::Limit { what, limit: limits.header_bytes });
            }
            let mut target = Vec::new();
            content.read_to_end(&mut target).map_err(reading)?;
            // Some programs store the NUL after it, too.
            target.truncate(target.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
            match target {
                target if target.is_empty() => return Ok(Err("it is a link without a target")),
                target if target.contains(&0) => return Ok(Err("its target has a NUL byte")),
                target => Kind::Symlink { target: target.into() },
            }
        }
        FileType::Socket => return Ok(Err("it is a socket")),
        FileType::Unknown => return Ok(Err("it is of no known type")),
    }))
}

fn metadata(fields: &Fields) -> MemberMetadata {
    let small = |number: u64| u32::try_from(number).ok();
    MemberMetadata {
        mode: small(fields.mode & 0o7777),
        uid: small(fields.uid),
        gid: small(fields.gid),
        mtime: i64::try_from(fields.mtime).ok().map(Timestamp::from_seconds),
        ..MemberMetadata::default()
    }
}

/// Skips zeros. Does anything follow them?
fn skip_zeros(input: &mut dyn BufRead) -> io::Result<bool> {
    loop {
        let bytes = match input.fill_buf() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let is_end = zeros < bytes.len();
        input.consume(zeros);
        if is_end {
            return Ok(true);
        }
    }
}

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
