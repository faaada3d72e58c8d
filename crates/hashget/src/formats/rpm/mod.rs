//! rpm packages: a lead, a header of signatures, a header, and a compressed cpio archive.
//!
//! Invariant: the archive decides which files there are, the header what they are. Of hard links, the name
//! with the contents becomes the file, and the other names follow it.

mod described;
mod files;
mod header;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

pub(crate) use described::{PackageHeader, RpmIdentity};
pub(crate) use files::{FileDigest, FileNotes};

use super::content::{Head, visit};
use super::cpio::{CpioReader, Entry};
use super::{Format, FormatError, Input, Visitor};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{Kind, Member, RelPath, escaped};
use files::{Files, Group};
use header::RpmHeader;

const FORMAT: &str = "rpm";
const MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
/// Size of the lead in bytes.
const LEAD: usize = 96;
/// Position of the signature type in the lead, and the only type since 1997.
const SIGNATURE_FORM: usize = 78;
const AS_HEADER: [u8; 2] = [0, 5];

const PAYLOAD_FORMAT: u32 = 1124;
const PAYLOAD_COMPRESSOR: u32 = 1125;

/// The format.
pub(super) struct Rpm;

impl Format for Rpm {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".rpm"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.starts_with(&MAGIC)
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut input = input.into_reader();
        let header = read_headers(&mut *input)?;
        let files = Files::read(&header, limits)?;
        let archive = payload(&header, input, limits)?;
        let archive = CpioReader::new(archive, FORMAT, limits.header_bytes);
        let (seen, links) = (HashSet::new(), HashMap::new());
        Reading { files, archive, seen, visitor, links }.read()
    }
}

/// Reads the package's header; afterwards `input` is at the archive.
fn read_headers(input: &mut dyn Read) -> Result<RpmHeader, FormatError> {
    let mut lead = [0; LEAD];
    input.read_exact(&mut lead).map_err(reading)?;
    if lead[SIGNATURE_FORM..].first_chunk() != Some(&AS_HEADER) {
        let problem = "a form of signatures from before 1997".into();
        return Err(FormatError::Unsupported { format: FORMAT, problem });
    }
    let (_, length) = RpmHeader::read(input).map_err(|error| error.in_part("signatures"))?;
    let padding = length.wrapping_neg() % 8;
    let skipped = io::copy(&mut (&mut *input).take(padding), &mut io::sink()).map_err(reading)?;
    if skipped != padding {
        return Err(damaged("it ends too early"));
    }
    Ok(RpmHeader::read(input).map_err(|error| error.in_part("header"))?.0)
}

/// The decompressed cpio archive after the header.
fn payload<'a>(
    header: &RpmHeader,
    packed: Box<dyn Read + 'a>,
    limits: &Limits,
) -> Result<Box<dyn Read + 'a>, FormatError> {
    let format = header.text(PAYLOAD_FORMAT).unwrap_or(b"cpio");
    if format != b"cpio" {
        let problem = format!("its files are in the form \"{}\"", escaped(format));
        return Err(FormatError::Unsupported { format: FORMAT, problem });
    }
    if header.text(PAYLOAD_COMPRESSOR) == Some(b"lzma") {
        return codec::decoder(Codec::Lzma, packed, limits, 1).map_err(reading);
    }
    let head = Head::read(packed, 16).map_err(reading)?;
    let codec = Codec::recognise(&head.bytes);
    codec::decoder(codec, Box::new(head.into_reader()), limits, limits.threads).map_err(reading)
}

/// Visits the files of a package.
struct Reading<'a, R> {
    files: Files<'a>,
    archive: CpioReader<R>,
    /// Indices of files that were in the archive.
    seen: HashSet<usize>,
    visitor: &'a mut dyn Visitor,
    /// The names seen of each hard-link group.
    links: HashMap<Group, Links>,
}

/// Names of one file.
enum Links {
    /// The contents have not been seen yet.
    Waiting(Vec<Member>),
    /// This name had the contents.
    Visited(RelPath),
}

impl<R: Read> Reading<'_, R> {
    fn read(mut self) -> Result<(), FormatError> {
        while let Some(entry) = self.archive.next()? {
            self.visit_entry(entry)?;
        }
        self.archive.skip_rest()?;
        if self.links.values().any(|links| matches!(links, Links::Waiting(_))) {
            return Err(damaged("a file with several names has its contents under none of them"));
        }
        Ok(())
    }

    fn visit_entry(&mut self, entry: Entry) -> Result<(), FormatError> {
        let (at, stored) = match entry {
            Entry::Named(entry) => {
                let name = &entry.name;
                let known = RelPath::normalise(name).map(|path| self.files.find(&path));
                match known {
                    Ok(Some(at)) => (at, entry.size()),
                    Ok(None) => {
                        self.visitor.bad_member(name, "the package's header does not name it");
                        return Ok(());
                    }
                    Err(error) => {
                        self.visitor.bad_member(name, error.reason());
                        return Ok(());
                    }
                }
            }
            Entry::Listed(at) => {
                let stored = self.files.stored_bytes(at)?;
                self.archive.begin(stored);
                (at, stored)
            }
        };
        if !self.seen.insert(at) {
            return Err(damaged(format!("its archive has file {at} twice")));
        }
        match self.files.member(at, stored)? {
            Ok(member) if member.path.is_root() => Ok(()),
            Ok(member) => self.visit_member(at, member),
            Err((name, reason)) => {
                self.visitor.bad_member(&name, &reason);
                Ok(())
            }
        }
    }

    fn visit_member(&mut self, at: usize, mut member: Member) -> Result<(), FormatError> {
        let Kind::File { size } = member.kind else {
            return visit(FORMAT, self.visitor, member, &mut io::empty());
        };
        let Some(group) = self.files.group(at) else {
            return visit(FORMAT, self.visitor, member, &mut self.archive);
        };
        let waiting = match self.links.get_mut(&group) {
            Some(Links::Visited(target)) if size == 0 => {
                member.kind = Kind::HardLink { target: target.clone() };
                return visit(FORMAT, self.visitor, member, &mut io::empty());
            }
            Some(Links::Visited(_)) => Vec::new(),
            Some(Links::Waiting(names)) if size == 0 && self.files.size(at) > 0 => {
                names.push(member);
                return Ok(());
            }
            Some(Links::Waiting(names)) => std::mem::take(names),
            None if size == 0 && self.files.size(at) > 0 => {
                self.links.insert(group, Links::Waiting(vec![member]));
                return Ok(());
            }
            None => Vec::new(),
        };
        let target = member.path.clone();
        self.links.insert(group, Links::Visited(target.clone()));
        visit(FORMAT, self.visitor, member, &mut self.archive)?;
        for mut name in waiting {
            name.kind = Kind::HardLink { target: target.clone() };
            visit(FORMAT, self.visitor, name, &mut io::empty())?;
        }
        Ok(())
    }
}

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
