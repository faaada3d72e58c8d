//! Files that are put together out of byte ranges of package members and a rest of their own.
//!
//! Invariant: pure. Of checked pieces, the runs of a file lie one behind the other within its data, and no number that follows from
//! them overflows. No memory is allocated for a single run.

mod check;
mod of_manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Encoded, ManifestError, Package};
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

    /// Does a program compress any of the files?
    pub fn has_encoded(&self) -> bool {
        self.encoded.iter().any(Option::is_some)
    }

    /// The files that a program compresses, with how.
    pub fn encoded_files(&self) -> impl Iterator<Item = (PiecedFile, &Encoded)> + '_ {
        let files = self.files().take_while(|_| !self.encoded.is_empty());
        files.filter_map(|file| {
            let encoded = self.encoding(file.index)?;
            Some((file, encoded))
        })
    }

    /// These files, and their bytes that come from packages, by the names of the encoders. `size_of` knows the size of each file.
    pub fn encoded_amounts(&self, size_of: &dyn Fn(&RelPath) -> u64) -> BTreeMap<String, Amount> {
        let mut amounts: BTreeMap<String, Amount> = BTreeMap::new();
        for (file, encoded) in self.encoded_files() {
            let bytes = self.left_out_of(&file, size_of(&file.path));
            amounts.entry(encoded.recipe.clone()).or_default().add(1, bytes);
        }
        amounts
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

fn field(column: &str, problem: impl Into<String>) -> ManifestError {
    ManifestError::field(format!("pieces.{column}"), problem)
}
