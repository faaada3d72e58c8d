//! Compares a package with its record in the HashDB.
//!
//! Invariant: nothing is recorded; members are read by the same code as when indexing.

use std::collections::BTreeMap;
use std::fs::File;

use super::{IndexError, Request, read};
use crate::limits::Limits;
use crate::model::{Digest, Evidence, Member, PackageRecord, RelPath};
use crate::monitor::Monitor;

/// How the members in `file`, whose digest is already proven, differ from the recorded ones.
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
    let found = read::read(file, &request, None, limits, monitor)?;
    if record.evidence >= Evidence::Signed {
        let same = found.members == members;
        return Ok((!same).then(|| "its members are not the ones that are recorded".to_owned()));
    }
    // With weaker evidence only some members are known, and less about each.
    let found: BTreeMap<&RelPath, Option<Digest>> =
        found.members.iter().map(|member| (&member.path, member.sha256)).collect();
    let wrong = members
        .iter()
        .find(|member| member.sha256.is_some() && found.get(&member.path) != Some(&member.sha256));
    Ok(wrong.map(|member| format!("its member {} is not the one that is recorded", member.path)))
}
