//! Files that are put together out of byte ranges of package members and a rest of their own.
//!
//! Invariant: pure. Of checked pieces, the runs of a file lie one behind the other within its data, and no number that follows from
//! them overflows. No memory is allocated for a single run.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Encoded, EntryTable, Manifest, ManifestError, Package};
use crate::model::{
    Amount, Digest, Entry, Kind, PathList, RelPath, add_bytes, path_of, total_bytes,
};

/// The folder in an archive for the rests of files that are made of pieces.
pub const RESTS_NAME: &str = ".hashget-rest";

/// A manifest has no more runs. Each takes some 40 bytes of memory while files are put together.
const MOST_RUNS: usize = 1 << 24;

/// Files of a manifest that programs compress: each needs room for its decoded form.
const MOST_ENCODED: usize = 100;

/// Files that are made of pieces: columns, as `docs/format.md` defines them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Pieces {
    /// The files, sorted; each is an entry of `archived`.
    path: PathList,
    /// The number of each file's rest.
    rest: Vec<u32>,
    /// How many runs each file has.
    runs: Vec<u32>,
    /// Members, and the index of the package of each.
    member: PathList,
    package: Vec<u32>,
    /// Of each run: bytes between the run before and this one, ...
    gap: Vec<u64>,
    /// ... its bytes, ...
    length: Vec<u64>,
    /// ... the index of its member, ...
    #[serde(with = "super::differences")]
    of: Vec<u32>,
    /// ... and where it begins there.
    offset: Vec<u64>,
    /// How each file comes out of what is put together; empty if all are just that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    encoded: Vec<Option<Encoded>>,
}

/// A file that is made of pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiecedFile {
    /// Its index.
    pub index: usize,
    /// Its path in the tree.
    pub path: RelPath,
    /// The number of its rest.
    pub rest: u32,
    /// Its runs, by their numbers.
    pub runs: Range<usize>,
}

/// Some bytes of a file that are bytes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Bytes of the file's data, holes left out, between the run before and this one.
    pub gap: u64,
    /// Number of bytes.
    pub length: u64,
    /// The index of the member.
    pub member: u32,
    /// Where they begin in the member.
    pub offset: u64,
}

/// The path in an archive of the rest with this number.
pub fn rest_path(number: u32) -> RelPath {
    RelPath::new(format!("{RESTS_NAME}/{number}")).expect("two components")
}

/// Is this the folder of rests, or something in it?
pub fn is_of_rests(path: &RelPath) -> bool {
    let rest = path.as_bytes().strip_prefix(RESTS_NAME.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The number of the rest at this path of an archive.
pub(crate) fn rest_number(path: &RelPath) -> Option<u32> {
    let number = path.as_bytes().strip_prefix(RESTS_NAME.as_bytes())?.strip_prefix(b"/")?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    // Only one way to write a number names it.
    (rest_path(number) == *path).then_some(number)
}

/// The number of bytes of a regular file without its holes.
pub fn data_bytes(entry: &Entry) -> u64 {
    match (&entry.extents, &entry.kind) {
        (Some(extents), _) => {
            extents.iter().fold(0, |sum, extent| sum.saturating_add(extent.length))
        }
        (None, Kind::File { size }) => *size,
        (None, _) => 0,
    }
}

impl Pieces {
    /// Is there room for so many more runs?
    pub(crate) fn has_room_for(&self, runs: usize) -> bool {
        self.gap.len().saturating_add(runs) <= MOST_RUNS
    }

    /// Adds a member; its index.
    pub fn add_member(&mut self, package: u32, path: &RelPath) -> u32 {
        self.member.push(path);
        self.package.push(package);
        u32::try_from(self.package.len() - 1).expect("fewer than 2^32 members")
    }

    /// Adds a file, whose path comes after those of all before it.
    pub fn add_file(&mut self, path: &RelPath, rest: u32, runs: &[Run], encoded: Option<Encoded>) {
        if encoded.is_some() || !self.encoded.is_empty() {
            self.encoded.resize(self.path.len(), None);
            self.encoded.push(encoded);
        }
        self.path.push(path);
        self.rest.push(rest);
        self.runs.push(u32::try_from(runs.len()).expect("fewer than 2^32 runs"));
        for run in runs {
            self.gap.push(run.gap);
            self.length.push(run.length);
            self.of.push(run.member);
            self.offset.push(run.offset);
        }
    }

    /// The same for those of the files alone for which `keep` gives a path. The numbers of the rests stay.
    #[must_use]
    pub(crate) fn chosen(&self, keep: impl Fn(&PiecedFile) -> Option<RelPath>) -> Self {
        let mut kept: Vec<(RelPath, PiecedFile, Option<&Encoded>)> = Vec::new();
        for file in self.files() {
            let encoded = self.encoding(file.index);
            kept.extend(keep(&file).map(|path| (path, file, encoded)));
        }
        kept.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        kept.dedup_by(|(later, ..), (first, ..)| later == first);
        let mut chosen =
            Self { member: self.member.clone(), package: self.package.clone(), ..Self::default() };
        for (path, file, encoded) in kept {
            let runs: Vec<Run> = file.runs.map(|run| self.run(run)).collect();
            chosen.add_file(&path, file.rest, &runs, encoded.cloned());
        }
        chosen
    }

    /// The same with other indices of packages.
    #[must_use]
    pub(crate) fn with_packages(mut self, index: impl Fn(u32) -> u32) -> Self {
        self.package.iter_mut().for_each(|package| *package = index(*package));
        self
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.path.len()
    }

    /// Is there no file?
    pub fn is_empty(&self) -> bool {
        self.path.is_empty()
    }

    /// The files, by their paths.
    pub fn files(&self) -> impl Iterator<Item = PiecedFile> + '_ {
        let rows = self.path.iter().zip(&self.rest).zip(self.ranges()).enumerate();
        rows.map(|(index, ((path, &rest), runs))| {
            let path = path_of(path);
            PiecedFile { index, path, rest, runs }
        })
    }

    /// The file at `path`.
    pub fn file(&self, path: &RelPath) -> Option<PiecedFile> {
        let index = self.position(path)?;
        let (rest, runs) = (self.rest[index], self.runs_of(index)?);
        Some(PiecedFile { index, path: path.clone(), rest, runs })
    }

    /// The runs of the file with this index, by their numbers.
    pub(crate) fn runs_of(&self, index: usize) -> Option<Range<usize>> {
        self.ranges().nth(index)
    }

    /// The number of the rest of the file with this index.
    pub(crate) fn rest_of(&self, index: usize) -> Option<u32> {
        self.rest.get(index).copied()
    }

    /// The runs of each file, by their numbers.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.runs.iter().scan(0_usize, |end, count| {
            let first = *end;
            *end += usize::try_from(*count).unwrap_or(usize::MAX);
            Some(first..*end)
        })
    }

    /// How the file with this index is compressed, if it is.
    pub fn encoding(&self, index: usize) -> Option<&Encoded> {
        self.encoded.get(index)?.as_ref()
    }

    /// The files that a program compresses, with how.
    pub fn encoded_files(&self) -> impl Iterator<Item = (RelPath, &Encoded)> + '_ {
        let rows = self.path.iter().zip(&self.encoded);
        rows.filter_map(|(path, encoded)| Some((path_of(path), encoded.as_ref()?)))
    }

    /// The index of the file at `path`.
    pub fn position(&self, path: &RelPath) -> Option<usize> {
        self.path.position_in_sorted(path.as_bytes())
    }

    /// The index of the file whose rest has this number.
    pub(crate) fn position_of_rest(&self, number: u32) -> Option<usize> {
        self.rest.iter().position(|&rest| rest == number)
    }

    /// How many runs there are.
    pub(crate) fn run_count(&self) -> usize {
        self.gap.len()
    }

    /// The run with this number.
    pub fn run(&self, number: usize) -> Run {
        Run {
            gap: self.gap[number],
            length: self.length[number],
            member: self.of[number],
            offset: self.offset[number],
        }
    }

    /// How many members there are.
    pub(crate) fn member_count(&self) -> usize {
        self.package.len()
    }

    /// The index of a member's package, and the bytes of its path there.
    pub fn member(&self, index: u32) -> (usize, &[u8]) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        (usize::try_from(self.package[index]).unwrap_or(usize::MAX), self.member.get(index))
    }

    /// The bytes of all files that come from each of these packages; those of a compressed file from the package of the program.
    /// `size_of` knows the size of each file.
    pub fn bytes_of_packages(
        &self,
        packages: &[Package],
        size_of: &dyn Fn(&RelPath) -> u64,
    ) -> Vec<u64> {
        let mut bytes = vec![0_u64; packages.len()];
        for file in self.files() {
            if let Some(encoded) = self.encoding(file.index) {
                let is_first = |one: &Package| Some(&one.sha256) == encoded.tool.first();
                if let Some(first) = packages.iter().position(is_first) {
                    add_bytes(&mut bytes[first], self.left_out_of(&file, size_of(&file.path)));
                }
                continue;
            }
            for run in file.runs {
                add_bytes(&mut bytes[self.member(self.of[run]).0], self.length[run]);
            }
        }
        bytes
    }

    /// Which of `packages` packages something comes from.
    pub(crate) fn uses_packages(&self, packages: usize) -> Vec<bool> {
        let mut uses = vec![false; packages];
        self.of.iter().for_each(|member| uses[self.member(*member).0] = true);
        uses
    }

    /// The bytes of what is put together for a file that come from packages.
    pub fn run_bytes(&self, file: &PiecedFile) -> u64 {
        total_bytes(self.length[file.runs.clone()].iter().copied())
    }

    /// The bytes of a file of this size that come from packages: of a compressed one, the same share as of its decoded form.
    pub fn left_out_of(&self, file: &PiecedFile, size: u64) -> u64 {
        let bytes = self.run_bytes(file);
        let Some(encoded) = self.encoding(file.index) else { return bytes };
        let share = u128::from(bytes) * u128::from(size) / u128::from(encoded.size.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// The files, and their bytes that come from packages. `size_of` knows the size of each file.
    pub fn amount(&self, size_of: &dyn Fn(&RelPath) -> u64) -> Amount {
        let bytes = self.files().map(|file| self.left_out_of(&file, size_of(&file.path)));
        Amount { files: u64::try_from(self.len()).unwrap_or(u64::MAX), bytes: total_bytes(bytes) }
    }

    /// The packages of which something comes into a file, by their indices.
    pub fn packages_of(&self, file: &PiecedFile) -> Vec<usize> {
        let packages = file.runs.clone().map(|run| self.member(self.of[run]).0);
        let packages: BTreeSet<usize> = packages.collect();
        packages.into_iter().collect()
    }

    /// The files of which something comes from the package with this index and digest, or that a program compresses which consists
    /// of it.
    pub fn files_of_package(&self, package: usize, sha256: &Digest) -> Vec<RelPath> {
        let is_of = |run: usize| self.member(self.of[run]).0 == package;
        let is_encoded = |index| self.encoding(index).is_some_and(|one| one.tool.contains(sha256));
        let needs = |file: &PiecedFile| is_encoded(file.index) || file.runs.clone().any(is_of);
        self.files().filter(needs).map(|file| file.path).collect()
    }
}

/// The checks.
impl Pieces {
    /// Do the columns fit one another, the entries of `archived`, and so many packages?
    ///
    /// # Errors
    /// They do not.
    pub(super) fn check(
        &self,
        archived: &EntryTable,
        packages: usize,
    ) -> Result<(), ManifestError> {
        self.check_columns(packages)?;
        let encoded = self.encoded_files().count();
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

fn field(column: &str, problem: impl Into<String>) -> ManifestError {
    ManifestError::field(format!("pieces.{column}"), problem)
}

impl Manifest {
    /// Has the archive rests, so that what is below their folder is no part of the tree?
    pub(crate) fn has_pieces(&self) -> bool {
        self.needs.has(&super::PIECES)
    }

    /// The files that are made of pieces; none if the manifest has none.
    pub fn pieces(&self) -> Option<&Pieces> {
        self.pieces.as_ref().filter(|pieces| !pieces.is_empty())
    }

    /// The files that are made of pieces, and their bytes that come from packages.
    pub fn amount_of_pieces(&self) -> Amount {
        self.pieces().map(|pieces| pieces.amount(&|path| self.size_of(path))).unwrap_or_default()
    }

    /// The bytes of these files that come from each package.
    pub(crate) fn bytes_of_pieces(&self) -> Vec<u64> {
        let packages = &self.packages;
        let bytes =
            self.pieces().map(|one| one.bytes_of_packages(packages, &|path| self.size_of(path)));
        bytes.unwrap_or_else(|| vec![0; packages.len()])
    }

    /// The size of the archived file at `path`.
    pub(crate) fn size_of(&self, path: &RelPath) -> u64 {
        let row = self.archived.position(path);
        row.and_then(|row| self.archived.entry(row).ok()).map_or(0, |entry| entry.size())
    }

    /// The entries of the files that are made of pieces, in the order of these.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub fn pieced_entries(&self) -> Result<Vec<Entry>, ManifestError> {
        let Some(pieces) = self.pieces() else { return Ok(Vec::new()) };
        let entry = |file: PiecedFile| {
            let row = self.archived.position(&file.path);
            let missing = || field("path", format!("{}: it is no entry of archived", file.path));
            self.archived.entry(row.ok_or_else(missing)?)
        };
        pieces.files().map(entry).collect()
    }

    /// The same of what is put together for them: of a compressed file, its decoded form.
    ///
    /// # Errors
    /// The manifest contradicts the format.
    pub(crate) fn assembled_entries(&self) -> Result<Vec<Entry>, ManifestError> {
        let Some(pieces) = self.pieces() else { return Ok(Vec::new()) };
        let entries = self.pieced_entries()?.into_iter().enumerate();
        let assembled = |(index, entry)| match pieces.encoding(index) {
            Some(encoded) => encoded.decoded(&entry),
            None => entry,
        };
        Ok(entries.map(assembled).collect())
    }
}
