//! Is a package still what the HashDB says of it?
//!
//! Invariant: nothing is recorded; members are read by the same code that indexes them.

use std::collections::BTreeMap;
use std::fs::File;

use super::{IndexError, Request, read};
use crate::limits::Limits;
use crate::model::{Digest, Evidence, Member, PackageRecord, RelPath};
use crate::monitor::Monitor;

/// How the members in `file`, whose own digest is right, differ from those that are recorded.
///
/// # Errors
/// The package cannot be read, or the monitor asked to stop.
pub fn differences(
    record: &PackageRecord,
    members: &[Member],
    file: &File,
    limits: &Limits,
    monitor: &dyn Monitor,
) -> Result<Option<String>, IndexError> {
    let request =
        Request { url: record.url.clone(), recursive: record.recursive, ..Request::default() };
    let found = read::read(file, &request, limits, monitor)?;
    if record.evidence >= Evidence::Signed {
        let same = found.members == members;
        return Ok((!same).then(|| "its members are not the ones that are recorded".to_owned()));
    }
    // Of weaker evidence only some members are known, and less of each.
    let found: BTreeMap<&RelPath, Option<Digest>> =
        found.members.iter().map(|member| (&member.path, member.sha256)).collect();
    let wrong = members
        .iter()
        .find(|member| member.sha256.is_some() && found.get(&member.path) != Some(&member.sha256));
    Ok(wrong.map(|member| format!("its member {} is not the one that is recorded", member.path)))
}
