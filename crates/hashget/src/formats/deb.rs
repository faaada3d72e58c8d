//! Debian packages: an ar archive of `debian-binary`, `control.tar` and `data.tar`.
//!
//! Invariant: members are `control/...` and `data/...`; a package without either part is damaged.

mod control;
mod paragraphs;

use std::io::{self, Read};

pub use control::{control_end, control_members, own_name};
pub(crate) use paragraphs::{Paragraph, Paragraphs};

use super::ar::{ArHeader, ArReader, MAGIC};
use super::content::Head;
use super::{Format, FormatError, Input, Visitor, tar};
use crate::codec::{self, Codec};
use crate::limits::Limits;
use crate::model::{RelPath, Signature, escaped};

const FORMAT: &str = "deb";

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
        let mut archive = ArReader::new(input.into_reader(), FORMAT)?;
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

/// The name of the next part; `None` at the end.
fn next_part(archive: &mut ArReader<'_>) -> Result<Option<Vec<u8>>, FormatError> {
    let name = |header: ArHeader| {
        let name = header.name();
        name.strip_suffix(b"/").unwrap_or(name).to_vec()
    };
    Ok(archive.next()?.map(name))
}

fn check_version(archive: &mut ArReader<'_>) -> Result<(), FormatError> {
    if next_part(archive)?.as_deref() != Some(b"debian-binary") {
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
fn find(archive: &mut ArReader<'_>, part: &str) -> Result<String, FormatError> {
    while let Some(name) = next_part(archive)? {
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
    archive: &mut ArReader<'_>,
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

fn damaged(problem: impl Into<String>) -> FormatError {
    FormatError::Damaged { format: FORMAT, problem: problem.into() }
}

fn reading(error: io::Error) -> FormatError {
    FormatError::reading(FORMAT, error)
}
