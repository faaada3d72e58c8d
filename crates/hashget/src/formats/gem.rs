//! Ruby gems: a tar of `metadata.gz`, `data.tar.gz` and `checksums.yaml.gz`.
//!
//! Invariant: the outer members are visited as they are; after `data.tar.gz`, its members follow as
//! `data/...`.

use super::content::{spool, visit};
use super::{Format, FormatError, Input, Visitor, tar};
use crate::limits::Limits;
use crate::model::RelPath;

const FORMAT: &str = "gem";
const DATA: &[u8] = b"data.tar.gz";

/// The format.
pub(super) struct Gem;

impl Format for Gem {
    fn name(&self) -> &'static str {
        FORMAT
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".gem"]
    }

    fn recognises(&self, head: &[u8]) -> bool {
        let is_part = |head| {
            let name = tar::first_name(head)?;
            let part = name.strip_suffix(b".sig").unwrap_or(&name);
            Some([DATA, b"metadata.gz", b"checksums.yaml.gz"].contains(&part))
        };
        // If the data comes first, the second header is beyond the first bytes.
        is_part(head) == Some(true) && tar::second_header(head).and_then(is_part) != Some(false)
    }

    fn opens(&self, path: &RelPath) -> bool {
        path.as_bytes() == DATA
    }

    fn read(
        &self,
        input: Input<'_>,
        limits: &Limits,
        visitor: &mut dyn Visitor,
    ) -> Result<(), FormatError> {
        let mut archive = tar::open(input.into_reader(), limits)
            .map_err(|error| FormatError::reading(FORMAT, error))?;
        while let Some(mut entry) = archive.next().map_err(|error| error.of_format(FORMAT))? {
            let member = match tar::member(&mut entry, b"") {
                Ok(Some(member)) => member,
                Ok(None) => continue,
                Err(reason) => {
                    visitor.bad_member(&entry.path, &reason);
                    continue;
                }
            };
            if member.path.as_bytes() != DATA {
                visit(FORMAT, visitor, member, &mut entry)?;
                continue;
            }
            // The part is read twice: as it is, and unpacked.
            let file = spool(&mut entry).map_err(|error| error.explain(FORMAT))?;
            visit(FORMAT, visitor, member, &mut Input::File(&file).into_reader())?;
            let data = Input::File(&file).into_reader();
            tar::visit_all(FORMAT, data, limits, b"data/", visitor)
                .map_err(|error| error.in_part("data.tar.gz"))?;
        }
        Ok(())
    }
}
