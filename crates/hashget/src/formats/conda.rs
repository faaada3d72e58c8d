//! Conda packages: a zip of `metadata.json` and two compressed tars, one of the files and one of their
//! metadata. (The older `.tar.bz2` is a tar.)
//!
//! Invariant: members are `pkg/...` and `info/...`, and the members of the zip that are not such a tar.

use std::io::Read;

use super::{Format, FormatError, Input, Visitor, VisitorError, tar, zip};
use crate::limits::Limits;
use crate::model::{Kind, Member};

const FORMAT: &str = "conda";
const METADATA: &[u8] = b"metadata.json";
const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
/// Bytes of a local header before the name, and the position of the name's length.
const FIXED: usize = 30;
const NAME_LENGTH: usize = 26;

/// The format.
pub(super) struct Conda;

impl Format for Conda {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".conda"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let Some(name) = local_name(head) else { return false };
        if name != METADATA {
            return prefix(name).is_some();
        }
        // The metadata is a line or two, so the second entry is near.
        let second = head.windows(4).skip(FIXED).position(|bytes| bytes == LOCAL_HEADER);
        let second = second.and_then(|at| local_name(&head[FIXED + at..]));
        second.is_some_and(|name| prefix(name).is_some())
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut parts = Parts { limits, visitor, failure: None };
        let outcome = zip::Zip.read(input, limits, &mut parts);
        match parts.failure {
            Some(failure) => Err(failure),
            None => outcome.map_err(|error| error.of_format(FORMAT)),
        }
    }
}

/// The name in the local header at the start of these bytes.
fn local_name(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.strip_prefix(LOCAL_HEADER).and(bytes.get(NAME_LENGTH..FIXED))?;
    bytes.get(FIXED..)?.get(..usize::from(u16::from_le_bytes([length[0], length[1]])))
}

/// The path prefix for the members of the tar with this name; `None` if it is not a part of the package.
fn prefix(name: &[u8]) -> Option<&'static [u8]> {
    let name = name.strip_suffix(b".tar.zst")?;
    match name {
        _ if name.starts_with(b"pkg-") => Some(b"pkg/"),
        _ if name.starts_with(b"info-") => Some(b"info/"),
        _ => None,
    }
}

/// Visits what is in the tars of a package.
struct Parts<'a> {
    limits: &'a Limits,
    visitor: &'a mut dyn Visitor,
    /// The error that stopped reading.
    failure: Option<FormatError>,
}

impl Visitor for Parts<'_> {
    fn visit(&mut self, member: Member, content: &mut dyn Read) -> Result<(), VisitorError> {
        let prefix = prefix(member.path.as_bytes());
        let Some(prefix) = prefix.filter(|_| matches!(member.kind, Kind::File { .. })) else {
            return self.visitor.visit(member, content);
        };
        let outcome = tar::visit_all(FORMAT, Box::new(content), self.limits, prefix, self.visitor);
        outcome.map_err(|error| {
            self.failure = Some(error.in_part(&member.path.to_string()));
            "a part of the package cannot be read".into()
        })
    }

    fn bad_member(&mut self, raw: &[u8], reason: &str) {
        self.visitor.bad_member(raw, reason);
    }
}
