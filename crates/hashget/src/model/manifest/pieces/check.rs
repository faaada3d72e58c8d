//! What has to be true of pieces before anything is read by them.
//!
//! Invariant: every column of a manifest is compared with the others here, before anybody uses one.

use std::collections::HashSet;

use super::super::{EntryTable, ManifestError};
use super::{MOST_ENCODED, MOST_RUNS, PiecedFile, Pieces, data_bytes, field};
use crate::model::{Kind, path_of};

impl Pieces {
    /// Do the columns fit one another, the entries of `archived`, and so many packages?
    ///
    /// # Errors
    /// They do not.
    pub(in super::super) fn check(
        &self,
        archived: &EntryTable,
        packages: usize,
    ) -> Result<(), ManifestError> {
        self.check_columns(packages)?;
        let encoded = self.encoded.iter().flatten().count();
        if encoded > MOST_ENCODED {
            let problem = format!("has {encoded} objects, expected at most {MOST_ENCODED}");
            return Err(field("encoded", problem));
        }
        for file in self.files() {
            let wrong = |problem: &str| field("path", format!("{}: {problem}", file.path));
            let Some(entry) = archived.position(&file.path) else {
                return Err(wrong("it is no entry of archived"));
            };
            let entry = archived.entry(entry)?;
            if !matches!(entry.kind, Kind::File { .. }) || entry.sha256.is_none() {
                return Err(wrong("expected a regular file with size and sha256"));
            }
            let encoded = self.encoding(file.index);
            if let Some(problem) = encoded.and_then(|encoded| encoded.problem(&entry)) {
                return Err(field("encoded", format!("{}: {problem}", file.path)));
            }
            let data = encoded.map_or_else(|| data_bytes(&entry), |encoded| encoded.size);
            self.check_runs(&file, data)?;
        }
        Ok(())
    }

    fn check_columns(&self, packages: usize) -> Result<(), ManifestError> {
        let (files, members, runs) = (self.path.len(), self.package.len(), self.gap.len());
        let columns = [
            ("rest", self.rest.len(), files),
            ("runs", self.runs.len(), files),
            ("member", self.member.len(), members),
            ("length", self.length.len(), runs),
            ("of", self.of.len(), runs),
            ("offset", self.offset.len(), runs),
            ("encoded", self.encoded.len(), if self.encoded.is_empty() { 0 } else { files }),
        ];
        if let Some((name, length, expected)) = columns.into_iter().find(|(_, a, b)| a != b) {
            return Err(field(name, format!("has {length} values, expected {expected}")));
        }
        if runs > MOST_RUNS {
            return Err(field("gap", format!("has {runs} values, expected at most {MOST_RUNS}")));
        }
        let counted: u64 = self.runs.iter().map(|&count| u64::from(count)).sum();
        if counted != runs as u64 {
            return Err(field("runs", format!("is {counted} together, expected {runs}")));
        }
        if !self.path.iter().is_sorted_by(|a, b| a < b) {
            return Err(field("path", "paths must be sorted and each occur once"));
        }
        if !self.rest.is_sorted_by(|a, b| a < b) {
            return Err(field("rest", "numbers must ascend"));
        }
        let is_package = |&index: &u32| usize::try_from(index).is_ok_and(|index| index < packages);
        if let Some(index) = self.package.iter().find(|index| !is_package(index)) {
            return Err(field("package", format!("has {index}, expected less than {packages}")));
        }
        // What is inside a package in the package, or derived, is no member that a run may name.
        let is_inside = |path: &[u8]| path.windows(2).any(|pair| pair == b"!/");
        if let Some(path) = self.member.iter().find(|path| path.is_empty() || is_inside(path)) {
            let path = path_of(path);
            return Err(field(
                "member",
                format!("{path}: expected a member of the package itself"),
            ));
        }
        let mut seen = HashSet::with_capacity(members);
        for (package, path) in self.package.iter().zip(self.member.iter()) {
            if !seen.insert((package, path)) {
                return Err(field("member", format!("{}: expected once", path_of(path))));
            }
        }
        let is_member = |&index: &u32| usize::try_from(index).is_ok_and(|index| index < members);
        match self.of.iter().find(|index| !is_member(index)) {
            Some(index) => Err(field("of", format!("has {index}, expected less than {members}"))),
            None => Ok(()),
        }
    }

    fn check_runs(&self, file: &PiecedFile, data: u64) -> Result<(), ManifestError> {
        let mut end = 0_u64;
        for number in file.runs.clone() {
            let run = self.run(number);
            let wrong = |problem: &str| {
                Err(field("length", format!("run {number} of {}: {problem}", file.path)))
            };
            if run.length == 0 {
                return wrong("it is empty");
            }
            let next = end.checked_add(run.gap).and_then(|at| at.checked_add(run.length));
            match next.filter(|&next| next <= data) {
                Some(next) => end = next,
                None => return wrong(&format!("it leaves the {data} bytes of the file's data")),
            }
            if run.offset.checked_add(run.length).is_none() {
                return wrong("its end in the member is no number");
            }
        }
        Ok(())
    }
}
