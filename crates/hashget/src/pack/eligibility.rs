//! The first verdicts: which entries packages may give back at all, before the HashDB is asked.
//!
//! Invariant: pure; reasons that do not depend on packages are decided here and nowhere else.

use super::PackOptions;
use super::verdict::{Reason, Verdict, Verdicts};
use crate::model::manifest::own_name_of;
use crate::model::{Entry, Kind};
use crate::tree::{BadGlob, Globs, Scan};

/// The verdicts on a tree before any package is considered.
pub(super) fn first_verdicts(scan: &Scan, options: &PackOptions<'_>) -> Result<Verdicts, BadGlob> {
    let skip = Globs::for_tree(options.skip.iter().map(String::as_str), scan.root.given())?;
    let reason = |entry: &Entry| {
        let is_small = matches!(entry.kind, Kind::File { size } if size < options.min_size);
        match entry.kind {
            _ if own_name_of(entry.path.as_bytes()).is_some() => Reason::OwnManifest,
            _ if is_small => Reason::TooSmall,
            _ if skip.matches_within(scan.root.path(), &entry.path) => Reason::Skipped,
            _ if entry.extents.is_some() => Reason::Holes,
            Kind::File { size: 0 } => Reason::Empty,
            Kind::File { .. } => Reason::Unknown,
            _ => Reason::NoFile,
        }
    };
    let entries = &scan.entries;
    let verdicts =
        entries.iter().enumerate().map(|(index, entry)| match entries.first_name(index) {
            first if first != index => Verdict::Link { to: first },
            _ => Verdict::Archived(reason(entry)),
        });
    Ok(verdicts.collect())
}
