//! Debian packages: an ar archive of `debian-binary`, `control.tar` and `data.tar`.
//!
//! Invariant: members are `control/...` and `data/...`; a package without either part is damaged.

mod control;
mod paragraphs;

use std::io::{self, Read};

pub use control::{control_end, control_members, own_name};
pub(crate) use paragraphs::{Paragraph, Paragraphs};

use super::content::Head;
use super::{Format, FormatError, Input, Visitor, tar};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{RelPath, Signature, escaped};

const FORMAT: &str = "deb";
const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The format.
pub(super) struct Deb;

impl Format for Deb {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".deb", ".udeb", ".ddeb"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        head.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(b"debian-binary"))
    }

    fn own_name(
        &self,
        input: Input<'_>,
        limits: &Limits,
    ) -> Result<Option<Signature>, FormatError> {
        let control = control_members(&mut *input.into_reader(), limits)?;
        own_name(&control).map(Some)
    }

    /// The older tool only unpacks the data.
    fn is_found_by_version_one(&self, path: &RelPath) -> bool {
        path.as_bytes().starts_with(b"data/")
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut archive = Ar::new(input.into_reader())?;
        check_version(&mut archive)?;
        for (part, prefix) in [("control.tar", b"control/".as_slice()), ("data.tar", b"data/")] {
            let name = find(&mut archive, part)?;
            visit_part(&mut archive, &name, limits, prefix, visitor)?;
        }
        // The remaining parts are not used, but reading them shows whether the file is complete.
        while archive.next()?.is_some() {}
        Ok(())
    }
}

fn check_version(archive: &mut Ar<'_>) -> Result<(), FormatError> {
    if archive.next()?.as_deref() != Some(b"debian-binary") {
        return Err(damaged("the first part is not debian-binary"));
    }
    let version = Head::read(archive, 64).map_err(reading)?.bytes;
    if version.starts_with(b"2.") {
        return Ok(());
    }
    let version = escaped(version.trim_ascii());
    Err(FormatError::Unsupported { format: FORMAT, problem: format!("version {version}") })
}

/// Advances to `part`, whatever its compression, and returns its full name. Parts that begin with `_` may
/// come before it.
fn find(archive: &mut Ar<'_>, part: &str) -> Result<String, FormatError> {
    while let Some(name) = archive.next()? {
        let extension = name.strip_prefix(part.as_bytes());
        if extension.is_some_and(|extension| extension.is_empty() || extension[0] == b'.') {
            return Ok(escaped(&name));
        }
        if !name.starts_with(b"_") {
            let name = escaped(&name);
            return Err(damaged(format!("found the part \"{name}\", expected {part}")));
        }
    }
    Err(damaged(format!("it has no {part}")))
}

fn visit_part(
    archive: &mut Ar<'_>,
    name: &str,
    limits: &Limits,
    prefix: &[u8],
    visitor: &mut dyn Visitor,
) -> Result<(), FormatError> {
    let mut packed: Box<dyn Read + '_> = Box::new(archive);
    if name.ends_with(".lzma") {
        packed = codec::decoder(Codec::Lzma, packed, limits, 1)
            .map_err(|error| FormatError::reading(FORMAT, error).in_part(name))?;
    }
    tar::visit_all(FORMAT, packed, limits, prefix, visitor).map_err(|error| error.in_part(name))
}

/// Reads an ar archive; after [`Ar::next`], the contents of that part.
struct Ar<'a> {
    reader: Box<dyn Read + 'a>,
    /// Unread bytes of the current part, and of the padding after it.
    left: u64,
    padding: u64,
}

impl<'a> Ar<'a> {
    fn new(mut reader: Box<dyn Read + 'a>) -> Result<Self, FormatError> {
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic).map_err(reading)?;
        if magic != MAGIC {
            return Err(damaged("it does not begin as an ar archive"));
        }
        Ok(Self { reader, left: 0, padding: 0 })
    }

    /// The name of the next part; `None` at the end.
    fn next(&mut self) -> Result<Option<Vec<u8>>, FormatError> {
        io::copy(self, &mut io::sink()).map_err(reading)?;
        // The padding of the last part may be missing.
        let padding = std::mem::take(&mut self.padding);
        io::copy(&mut self.reader.by_ref().take(padding), &mut io::sink()).map_err(reading)?;
        let header = Head::read(&mut self.reader, HEADER).map_err(reading)?.bytes;
        if header.is_empty() {
            return Ok(None);
        }
        if header.iter().all(|&byte| byte == 0) {
            return self.expect_zeros().map(|()| None);
        }
        if header.len() < HEADER || !header.ends_with(b"`\n") {
            return Err(damaged("the header of a part is cut off, or is none"));
        }
        let size = header[48..58].trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|size| size.parse::<u64>().ok());
        self.left = size.ok_or_else(|| {
            damaged(format!("a part has the size \"{}\"", escaped(&header[48..58])))
        })?;
        self.padding = self.left % 2;
        let name = header[..16].trim_ascii_end();
        Ok(Some(name.strip_suffix(b"/").unwrap_or(name).to_vec()))
    }

    /// Reads to the end of the file, of which only zeros may be left.
    fn expect_zeros(&mut self) -> Result<(), FormatError> {
        let mut buffer = [0; 4096];
        loop {
            match self.reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) if buffer[..count].iter().all(|&byte| byte == 0) => {}
                Ok(_) => return Err(damaged("something follows zeros after its last part")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(reading(error)),
            }
        }
    }
}

impl Read for Ar<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.by_ref().take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            let problem = "the file ends within a part";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
