//! Unpacking an archive by its segments: damage costs one, and a part takes only those that it needs.
//!
//! Invariant: what is not read is not spoken of: neither as whole nor as damaged.

use super::{Ended, Extracted, Extracting};
use crate::archive::directory::{Directory, Segment};
use crate::model::RelPath;
use crate::model::manifest::MANIFEST_NAME;
use crate::restore::RestoreError;
use crate::wording::one_line;

impl Extracting<'_> {
    /// Unpacks segment by segment.
    pub(super) fn extract_segments(
        mut self,
        directory: &Directory<'_>,
    ) -> Result<Extracted, RestoreError> {
        let progress = self.progress;
        let count = |bytes| progress.advance(bytes, 0);
        for segment in self.order(directory) {
            let (first, after) = (directory.first_entry(&segment), directory.entry_after(&segment));
            if first.is_some_and(|first| !self.wants_between(first, after)) {
                continue;
            }
            let problem = match self.entries(&mut directory.tar(&segment, &count))? {
                Ended::Whole => continue,
                Ended::AtOnce(error) => one_line(&error),
                Ended::Damaged(problem) => problem,
            };
            let name = |path: Option<&RelPath>, other: &str| {
                path.map_or_else(|| other.to_owned(), RelPath::to_string)
            };
            let (from, to) = (name(first, MANIFEST_NAME), name(after, "its end"));
            self.note_damage(format!(
                "the archive is damaged ({problem}): entries from {from} on may be missing, up to {to}"
            ));
        }
        Ok(self.found)
    }

    /// The order in which segments are read. A part is chosen by the manifest, and of two the last one counts.
    fn order(&self, directory: &Directory<'_>) -> Vec<Segment> {
        let mut segments: Vec<Segment> = directory.segments().collect();
        let is_manifest = |segment: &Segment| directory.first_entry(segment).is_none();
        if self.part.is_some()
            && let Some(last) = segments.iter().rposition(is_manifest)
        {
            let manifest = segments.remove(last);
            segments.retain(|segment| !is_manifest(segment));
            segments.insert(0, manifest);
        }
        segments
    }

    /// Is there something to unpack at `first` or behind it, and before `after`?
    fn wants_between(&self, first: &RelPath, after: Option<&RelPath>) -> bool {
        let Some(wanted) = &self.found.wanted else { return true };
        let next = wanted.partition_point(|path| path < first);
        wanted.get(next).is_some_and(|path| after.is_none_or(|after| path < after))
    }
}
