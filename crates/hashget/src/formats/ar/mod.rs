//! ar archives: static libraries. Names longer than a header's 16 bytes are stored as GNU or as BSD does it.
//!
//! Invariant: every part is a member, or reported, or one of the tables that the names of others are in.

mod reader;

use std::io::Read;

pub(super) use reader::{ArHeader, ArReader, HEADER, MAGIC};

use super::content::visit;
use super::{Format, FormatError, Input, Visitor};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{Kind, Member, MemberMetadata, RelPath, Timestamp, escaped};

const FORMAT: &str = "ar";
/// A thin archive only names files that lie beside it.
const THIN: &[u8] = b"!<thin>\n";
/// The table of long names of GNU's archives.
const LONG_NAMES: &[u8] = b"//";
/// Tables of symbols: those of GNU, with wide numbers too, and those of BSD.
const SYMBOLS: [&[u8]; 5] = [b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED", b"__.SYMDEF_64"];
/// In BSD's archives, a long name comes before the contents; its length follows these bytes.
const BSD_LONG: &[u8] = b"#1/";

/// The format.
pub(super) struct Ar;

impl Format for Ar {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".a", ".ar"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.starts_with(MAGIC) || head.starts_with(THIN)
    }

    /// Packages are full of static libraries, whose objects no tree has as files.
    fn is_opened_within(&self) -> bool {
        false
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
        // Not compressed: the limit on what comes out applies.
        let input = codec::decoder(Codec::None, input.into_reader(), limits, 1);
        let mut input = input.map_err(reading)?;
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(reading)?;
        if magic == THIN {
            let problem = "a thin archive, which has names of other files and no contents".into();
            return Err(FormatError::Unsupported { format: FORMAT, problem });
        }
        let mut archive = ArReader::new(Box::new(magic.chain(input)), FORMAT)?;
        let mut names = Names { limits, table: None };
        let mut seen = 0;
        while let Some(header) = archive.next()? {
            seen += 1;
            if seen > limits.entries {
                return Err(FormatError::Limit { what: "entries".into(), limit: limits.entries });
            }
            visit_part(&mut archive, &header, &mut names, visitor)?;
        }
        Ok(())
    }
}

fn visit_part(
    archive: &mut ArReader<'_>,
    header: &ArHeader,
    names: &mut Names<'_>,
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let stored = header.name();
    if stored == LONG_NAMES {
        return names.read_table(archive);
    }
    let name = match SYMBOLS.contains(&stored) {
        true => stored.to_vec(),
        false => names.name(stored, archive)?,
    };
    if SYMBOLS.contains(&&name[..]) {
        visitor.bad_member(&name, "it is a table of symbols, not a file");
        return Ok(());
    }
    let path = match RelPath::normalise(&name) {
        Ok(path) if path.is_root() => {
            visitor.bad_member(&name, "its name is empty");
            return Ok(());
        }
        Ok(path) => path,
        Err(error) => {
            visitor.bad_member(&name, error.reason());
            return Ok(());
        }
    };
    let mtime = header.mtime().and_then(|seconds| i64::try_from(seconds).ok());
    let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    let metadata = MemberMetadata {
        mode: small(header.mode()).map(|mode| mode & 0o7777),
        uid: small(header.uid()),
        gid: small(header.gid()),
        mtime: mtime.map(Timestamp::from_seconds),
        ..MemberMetadata::default()
    };
    let kind = Kind::File { size: archive.left() };
    let member = Member { path, kind, metadata, sha256: None, extents: None };
    visit(FORMAT, visitor, member, archive)
}

/// Finds the names of parts.
struct Names<'l> {
    limits: &'l Limits,
    /// The table of long names, once read.
    table: Option<Vec<u8>>,
}

impl Names<'_> {
    fn read_table(&mut self, archive: &mut ArReader<'_>) -> Result<(), FormatError> {
        if self.table.is_some() {
            return Err(damaged("it has two tables of long names"));
        }
        self.table =
            Some(self.bytes(archive, archive.left(), "bytes of the table of long names")?);
        Ok(())
    }

    /// The name of the current part, of which the header has `stored`. One before the contents is read.
    fn name(&self, stored: &[u8], archive: &mut ArReader<'_>) -> Result<Vec<u8>, FormatError> {
        let digits = |bytes: &[u8]| -> Option<u64> {
            let text = std::str::from_utf8(bytes).ok()?;
            text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        if let Some(length) = stored.strip_prefix(BSD_LONG).and_then(digits) {
            if length > archive.left() {
                return Err(damaged("a name is longer than its part"));
            }
            let mut name = self.bytes(archive, length, "bytes of a name")?;
            let end = name.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            name.truncate(end);
            return Ok(name);
        }
        if let Some(offset) = stored.strip_prefix(b"/").and_then(digits) {
            let rest = usize::try_from(offset).ok().zip(self.table.as_ref());
            let rest = rest.and_then(|(offset, table)| table.get(offset..));
            let end = rest.and_then(|rest| rest.iter().position(|&byte| matches!(byte, b'\n' | 0)));
            let Some(name) = rest.zip(end).map(|(rest, end)| &rest[..end]) else {
                let stored = escaped(stored);
                return Err(damaged(format!("no long name belongs to \"{stored}\"")));
            };
            return Ok(name.strip_suffix(b"/").unwrap_or(name).to_vec());
        }
        Ok(stored.strip_suffix(b"/").unwrap_or(stored).to_vec())
    }

    fn bytes(
        &self,
        archive: &mut ArReader<'_>,
        count: u64,
        what: &str,
    ) -> Result<Vec<u8>, FormatError> {
        // The table has the names of all parts.
        let limit = self.limits.header_bytes.saturating_mul(16);
        if count > limit {
            return Err(FormatError::Limit { what: what.into(), limit });
        }
        let mut bytes = Vec::new();
        archive.take(count).read_to_end(&mut bytes).map_err(reading)?;
        Ok(bytes)
    }
}

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: std::io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
