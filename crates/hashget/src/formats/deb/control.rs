//! Only the control members of a .deb: they come first, so a few kilobytes are enough.
//!
//! Invariant: the data of the package is neither needed nor read.

use std::io::Read;

use super::super::ar::{ArHeader, ArReader, HEADER, MAGIC};
use super::super::{FormatError, Visitor, VisitorError};
use super::paragraphs::Paragraphs;
use super::{FORMAT, check_version, damaged, find, visit_part};
use crate::limits::Limits;
use crate::model::{Digest, Kind, Member, Signature, escaped};

/// Size limit of all control members together.
const MAX_BYTES: u64 = 64 << 20;

/// Maximum number of part headers read to find the control part.
const MOST_PARTS: usize = 16;

/// The control members of the .deb that begins with the bytes of `start`; each regular file with its digest
/// and its contents.
///
/// # Errors
/// It is not a .deb, or it is damaged before the end of its control part.
pub fn control_members(
    start: &mut dyn Read,
    limits: &Limits,
) -> Result<Vec<(Member, Vec<u8>)>, FormatError> {
    let mut archive = ArReader::new(Box::new(start), FORMAT)?;
    check_version(&mut archive)?;
    let name = find(&mut archive, "control.tar")?;
    let mut collector = Collector { members: Vec::new(), bytes: 0 };
    visit_part(&mut archive, &name, limits, b"control/", &mut collector)?;
    Ok(collector.members)
}

/// The end of the control part in the .deb that begins with `head`; `None` if `head` is too short.
///
/// # Errors
/// It does not begin like a .deb.
pub fn control_end(head: &[u8]) -> Result<Option<u64>, FormatError> {
    let begin = &head[..head.len().min(MAGIC.len())];
    if !MAGIC.starts_with(begin) {
        return Err(damaged("it does not begin as an ar archive"));
    }
    let mut at = MAGIC.len() as u64;
    for _ in 0..MOST_PARTS {
        let header = usize::try_from(at).ok().and_then(|at| head.get(at..)?.first_chunk());
        let Some(header) = header else { return Ok(None) };
        let header = ArHeader::new(*header);
        let size = header.size();
        let size = size.ok_or_else(|| damaged("the header of a part is cut off, or is none"))?;
        let end = at.saturating_add(HEADER as u64).saturating_add(size);
        if header.name().starts_with(b"control.tar") {
            return Ok(Some(end));
        }
        at = end.saturating_add(size % 2);
    }
    Err(damaged("it has no control.tar"))
}

/// The name, version and architecture in the control file among `control`.
///
/// # Errors
/// There is no such file, or its values cannot form a signature.
pub fn own_name(control: &[(Member, Vec<u8>)]) -> Result<Signature, FormatError> {
    let file = |(member, _): &&(Member, Vec<u8>)| member.path.as_bytes() == b"control/control";
    let fields = control
        .iter()
        .find(file)
        .and_then(|(_, text)| Paragraphs::new(&text[..]).next().ok().flatten());
    let name = fields.and_then(|fields| {
        let (name, version) = (fields.get("Package")?, fields.get("Version")?);
        Some(format!("{name}_{version}_{}", fields.get("Architecture")?))
    });
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:~_".contains(&byte);
    match name {
        Some(value) if value.bytes().all(plain) => Ok(Signature { kind: FORMAT.to_owned(), value }),
        Some(name) => Err(damaged(format!("it calls itself \"{}\"", escaped(name.as_bytes())))),
        None => Err(damaged("it has no control file with a name")),
    }
}

struct Collector {
    members: Vec<(Member, Vec<u8>)>,
    bytes: u64,
}

impl Visitor for Collector {
    fn visit(&mut self, mut member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let mut bytes = Vec::new();
        if let Kind::File { size } = member.kind {
            content.take(MAX_BYTES - self.bytes).read_to_end(&mut bytes)?;
            self.bytes += bytes.len() as u64;
            if bytes.len() as u64 != size {
                return Err(format!("{}: expected {size} bytes", member.path).into());
            }
            member.sha256 = Some(Digest::of(&bytes));
        }
        self.members.push((member, bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hashget_testkit::packages::{TarBuilder, deb};

    use super::*;

    #[test]
    fn the_start_is_enough_and_less_is_not() {
        let data = TarBuilder::new().file("./big", &[7; 100_000]).finish();
        for compression in ["none", "gzip", "xz", "zstd"] {
            let package =
                deb(&[("control", b"Package: a\n"), ("md5sums", b"")], &data, compression);
            let end = control_end(&package).unwrap().unwrap();
            let end = usize::try_from(end).unwrap();
            assert!(end < package.len() - 100, "{compression}");
            let members = control_members(&mut &package[..end], &Limits::default()).unwrap();
            let paths: Vec<String> =
                members.iter().map(|(member, _)| member.path.to_string()).collect();
            assert_eq!(paths, ["control/control", "control/md5sums"]);
            assert_eq!(members[0].1, b"Package: a\n");
            assert_eq!(members[0].0.sha256, Some(Digest::of(b"Package: a\n")));
            for cut in 0..132 {
                assert!(control_members(&mut &package[..cut], &Limits::default()).is_err());
                assert_eq!(control_end(&package[..cut]).unwrap(), None);
            }
        }
        assert!(control_end(b"<html>").is_err());
        let endless = [MAGIC, &[b' '; 600]].concat();
        assert!(control_end(&endless).is_err());
    }
}
