//! The names of what packages give, as the archive keeps them.
//!
//! Invariant: they are kept only as far as the options say; whether they are depends on the tree and the packages alone.

use std::io;

use super::options::NamesKept;
use super::plan::Plan;
use super::verdict::Verdict;
use crate::archive::names::NamesColumns;
use crate::model::RelPath;
use crate::model::manifest::{EntryColumns, Link};
use crate::tree::Entries;

/// With the default, names may be this part of an archive.
const SHARE: u64 = 10;

/// The names for an archive that has `written` bytes without them; `None` if it keeps none.
///
/// # Errors
/// Compressing them failed: out of memory.
pub(super) fn names(
    entries: &Entries,
    plan: &Plan,
    kept: NamesKept,
    written: u64,
) -> io::Result<Option<Vec<u8>>> {
    let most = match kept {
        NamesKept::Auto => written / SHARE,
        NamesKept::All => u64::MAX,
        NamesKept::None => return Ok(None),
    };
    let mut chosen = vec![false; entries.len()];
    let (mut package_of, mut links) = (Vec::new(), Vec::new());
    for (index, verdict) in plan.verdicts.iter().enumerate() {
        let Verdict::Given { package } = verdict else { continue };
        let (path, first) = (&entries[index].path, entries.first_name(index));
        if first != index {
            links.push(Link { path: path.clone(), to: entries[first].path.clone() });
        } else if !is_listed(plan, package, path) {
            chosen[index] = true;
            package_of.push(u32::try_from(package).expect("fewer than 2^32 packages"));
        }
    }
    if package_of.is_empty() {
        return Ok(None);
    }
    NamesColumns::new(EntryColumns::new(entries, &chosen, false), &package_of, &links)
        .to_bytes(most)
}

/// Does the manifest have it by name?
fn is_listed(plan: &Plan, package: usize, path: &RelPath) -> bool {
    plan.packages[package].files.position(path).is_some()
}
