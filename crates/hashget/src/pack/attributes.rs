//! The attributes that fit into an archive.
//!
//! Invariant: no entry is written whose names and attributes need more than readers of archives accept; what is dropped
//! is reported.

use crate::archive::stream::HEADER_BYTES;
use crate::model::{Entry, Kind, Metadata, RelPath, Xattrs, total_bytes};
use crate::monitor::{Monitor, ProblemKind};
use crate::tree::Entries;

/// Bytes of an extended header besides the names and values of attributes, and for each attribute besides these.
const REST_BYTES: u64 = 4096;

/// Drops the attributes if they do not fit beside a path, and a link's target, of so many bytes. Returns whether they did
/// not.
pub(super) fn drop_too_large(names: u64, metadata: &mut Metadata) -> bool {
    let is_too_large = are_too_large(names, &metadata.xattrs);
    if is_too_large {
        metadata.xattrs = Xattrs::default();
    }
    is_too_large
}

fn are_too_large(names: u64, xattrs: &Xattrs) -> bool {
    // A name may be escaped, three bytes for each.
    let sizes = xattrs.iter().map(|(name, value)| {
        let size = (3 * name.len()).saturating_add(value.len());
        REST_BYTES / 64 + u64::try_from(size).unwrap_or(u64::MAX)
    });
    !xattrs.is_empty() && total_bytes(sizes.chain([names, REST_BYTES])) > HEADER_BYTES
}

/// The bytes of an entry's names: its path and, of a link, where it points.
pub(super) fn names_of(entry: &Entry) -> u64 {
    let target = match &entry.kind {
        Kind::Symlink { target } => target.len(),
        Kind::HardLink { target } => target.as_bytes().len(),
        _ => 0,
    };
    (entry.path.as_bytes().len() + target) as u64
}

/// Drops from all entries the attributes that do not fit into an archive.
pub(super) fn fit(entries: &mut Entries, monitor: &dyn Monitor) {
    for index in 0..entries.len() {
        let entry = &entries[index];
        if are_too_large(names_of(entry), &entry.metadata.xattrs) {
            report(&entry.path, monitor);
            let metadata = Metadata { xattrs: Xattrs::default(), ..entry.metadata.clone() };
            entries.set_metadata(index, metadata);
        }
    }
}

/// Reports that the attributes of `path` are not in the archive.
pub(super) fn report(path: &RelPath, monitor: &dyn Monitor) {
    let most = HEADER_BYTES >> 20;
    let problem = format!("kept without its attributes: they take more than {most} MiB");
    monitor.problem(ProblemKind::Incomplete, path, problem);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_fit_is_dropped() {
        let mut metadata = Metadata::default();
        for number in 0..1000_u32 {
            let name = format!("user.{number}").into_bytes();
            metadata.xattrs.insert(name.into(), vec![0; 65_000].into());
        }
        let mut few = metadata.clone();
        assert!(!drop_too_large(100, &mut few));
        assert_eq!(few, metadata);
        for number in 1000..1100_u32 {
            let name = format!("user.{number}").into_bytes();
            metadata.xattrs.insert(name.into(), vec![0; 65_000].into());
        }
        assert!(drop_too_large(100, &mut metadata));
        assert!(metadata.xattrs.is_empty());
    }
}
