//! What the tests of the restore stage stand on: sources in memory, and archives of real placements whose
//! manifests are made here, by other code than pack's.

use std::collections::{BTreeMap, HashMap};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::fetch::{FetchError, Fetched, Offline, Source, Wanted, Web};
use hashget::formats::{self, Input, Visitor, VisitorError};
use hashget::limits::Limits;
use hashget::model::manifest::{
    EntryTable, Link, MANIFEST_NAME, Manifest, Needs, Package, Placement, PlacementCursor, Prefix,
    TreeSummary,
};
use hashget::model::{Digest, Entry, Evidence, Kind, Member, RelPath};
use hashget::monitor::{Monitor, Recorder, Silent, Step, Total};
use hashget::restore::{RestoreError, RestoreOptions, Restorer, Summary};
use hashget::tree::{Scan, ScanOptions, scan};
use hashget_testkit::packages::compress;

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::try_from(text).unwrap()
}

pub(crate) fn prefix(text: &str) -> Prefix {
    Prefix(text.as_bytes().into())
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Packages by URL, in memory; can be told to give wrong bytes or nothing.
#[derive(Default)]
pub(crate) struct MemorySource {
    packages: HashMap<String, Vec<u8>>,
}

impl MemorySource {
    pub(crate) fn with(mut self, url: &str, bytes: &[u8]) -> Self {
        self.packages.insert(url.to_owned(), bytes.to_vec());
        self
    }
}

impl Source for MemorySource {
    fn fetch(&self, wanted: &Wanted, monitor: &dyn Monitor) -> Result<Fetched, FetchError> {
        let (from, url) = ("memory".to_owned(), wanted.url.clone());
        let Some(bytes) = self.packages.get(&wanted.url) else {
            return Err(FetchError::NotFound { from, url });
        };
        drop(monitor.begin(Step::Download, wanted.url.as_str(), Total::UNKNOWN));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        let sha256 = Digest::of(bytes);
        if wanted.sha256.is_some_and(|expected| expected != sha256) {
            return Err(FetchError::Mismatch {
                from,
                expected: wanted.sha256.unwrap().to_string(),
                found: sha256.to_string(),
                file: Some(file),
            });
        }
        Ok(Fetched { file, sha256, size: bytes.len() as u64, from })
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str], folder: &Path) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
}

pub(crate) fn scan_of(folder: &Path) -> Scan {
    scan(folder, &ScanOptions::default(), &Silent).unwrap()
}

/// A package of the manifest with one tree.
pub(crate) fn package(
    url: &str,
    bytes: &[u8],
    format: &str,
    placements: Vec<Placement>,
) -> Package {
    Package {
        url: url.to_owned(),
        also: Vec::new(),
        sha256: Digest::of(bytes),
        size: bytes.len() as u64,
        format: format.to_owned(),
        evidence: Evidence::Downloaded,
        signatures: Vec::new(),
        expires: None,
        unasked: false,
        derived: Vec::new(),
        placements,
        files: EntryTable::default(),
    }
}

pub(crate) fn tree(from: &str, to: &str) -> Placement {
    Placement { from: prefix(from), to: prefix(to), ..Placement::default() }
}

struct Collect(Vec<Member>);

impl Visitor for Collect {
    fn visit(
        &mut self,
        member: Member,
        _content: &mut dyn std::io::Read,
    ) -> Result<(), VisitorError> {
        self.0.push(member);
        Ok(())
    }
}

/// All members of a package.
pub(crate) fn members(bytes: &[u8]) -> Vec<Member> {
    let mut collect = Collect(Vec::new());
    let mut bytes = bytes;
    let input = Input::Stream(&mut bytes);
    formats::read_package(input, &|_| true, &Limits::default(), &mut collect).unwrap();
    collect.0
}

/// A tree on disk, the packages that give parts of it, and its manifest.
pub(crate) struct Fixture {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) packages: BTreeMap<String, Vec<u8>>,
    pub(crate) manifest: Manifest,
    /// Paths that the tar holds, folders above them included.
    pub(crate) in_tar: Vec<RelPath>,
}

/// What the packages give: paths and kinds.
fn given_by(packages: &[(Package, Vec<u8>)]) -> BTreeMap<RelPath, Kind> {
    let mut given = BTreeMap::new();
    for (package, bytes) in packages {
        for tree in &package.placements {
            let mut cursor = PlacementCursor::new(tree);
            for member in members(bytes) {
                if let Some(entry) = cursor.next(&member).unwrap() {
                    given.insert(entry.path, entry.kind);
                }
            }
        }
        for name in package.files.paths() {
            given.insert(RelPath::new(name).unwrap(), Kind::Fifo);
        }
    }
    given
}

impl Fixture {
    /// Makes the manifest of the tree at `folder/tree`; `packages` with their bytes.
    pub(crate) fn new(folder: tempfile::TempDir, packages: Vec<(Package, Vec<u8>)>) -> Self {
        let scan = scan_of(&folder.path().join("tree"));
        let given = given_by(&packages);
        // The name of each hard-link group under which its file comes: a given one, or else the first.
        let mut names: BTreeMap<RelPath, Vec<RelPath>> = BTreeMap::new();
        for entry in &scan.entries {
            let first =
                if let Kind::HardLink { target } = &entry.kind { target } else { &entry.path };
            names.entry(first.clone()).or_default().push(entry.path.clone());
        }
        let comes_as = |first: &RelPath| {
            let is_given = |name: &&RelPath| {
                given.get(*name).is_some_and(|kind| !matches!(kind, Kind::HardLink { .. }))
            };
            names[first].iter().find(is_given).unwrap_or(first).clone()
        };
        let (mut archived, mut links, mut in_tar) = (Vec::new(), Vec::new(), Vec::new());
        for entry in scan.entries.iter().filter(|entry| !given.contains_key(&entry.path)) {
            let first =
                if let Kind::HardLink { target } = &entry.kind { target } else { &entry.path };
            let to = comes_as(first);
            if !given.contains_key(&to) {
                in_tar.push(entry.path.clone());
            }
            if to == entry.path {
                archived.push(entry);
            } else {
                links.push(Link { path: entry.path.clone(), to });
            }
        }
        in_tar.sort();
        let files = |entry: &&Entry| matches!(entry.kind, Kind::File { .. });
        let manifest = Manifest {
            format: Manifest::FORMAT.to_owned(),
            version: 2,
            needs: Needs::default(),
            tool: "test".to_owned(),
            expires: None,
            tree: TreeSummary {
                sha256: scan.tree_digest(),
                entries: scan.entries.len() as u64,
                files: scan.entries.iter().filter(files).count() as u64,
                bytes: scan.entries.iter().filter(files).map(size).sum(),
            },
            packages: packages.iter().map(|(package, _)| package.clone()).collect(),
            archived: EntryTable::new(archived),
            links,
            renamed: Vec::new(),
            regenerable: Vec::new(),
            pieces: None,
        };
        let packages = packages.into_iter().map(|(package, bytes)| (package.url, bytes)).collect();
        Self { folder, packages, manifest, in_tar }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    pub(crate) fn source(&self) -> MemorySource {
        let mut source = MemorySource::default();
        for (url, bytes) in &self.packages {
            source = source.with(url, bytes);
        }
        source
    }

    /// The archive, written by GNU tar.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let folder = self.folder.path();
        let first = folder.join("first");
        fs_err::create_dir_all(&first).unwrap();
        fs_err::write(first.join(MANIFEST_NAME), self.manifest.to_json()).unwrap();
        let list = self.in_tar.iter().flat_map(|path| {
            let name = if path.is_root() { b"." } else { path.as_bytes() };
            [b"./", name, b"\0"].concat()
        });
        fs_err::write(folder.join("list"), list.collect::<Vec<u8>>()).unwrap();
        let tree = self.tree();
        let arguments = [
            "--create",
            "--file=archive.tar",
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--numeric-owner",
            "--no-recursion",
            "-C",
            first.to_str().unwrap(),
            MANIFEST_NAME,
            "-C",
            tree.to_str().unwrap(),
            "--null",
            "--verbatim-files-from",
            "-T",
            "list",
        ];
        let arguments = arguments.map(|argument| {
            if argument == "list" {
                folder.join("list").display().to_string()
            } else {
                argument.into()
            }
        });
        run("tar", &arguments.each_ref().map(String::as_str), folder);
        fs_err::read(folder.join("archive.tar")).unwrap()
    }

    pub(crate) fn unpack(&self) -> (Summary, Recorder) {
        let recorder = Recorder::default();
        let summary = unpack(&self.source(), &self.archive(), &self.target(), &recorder).unwrap();
        (summary, recorder)
    }

    /// Is the target exactly the tree, without any complaint?
    pub(crate) fn assert_restored(&self, summary: &Summary, recorder: &Recorder) {
        assert_same_trees(&self.tree(), &self.target());
        assert_eq!(problems(recorder), "");
        assert_eq!((summary.proven, &*summary.missing), (Some(true), &[][..]));
        assert!(!self.target().join(MANIFEST_NAME).exists() || !self.manifest.renamed.is_empty());
    }
}

fn size(entry: &Entry) -> u64 {
    if let Kind::File { size } = entry.kind { size } else { 0 }
}

/// Compares two placements entry by entry, as scans see them.
pub(crate) fn assert_same_trees(expected: &Path, found: &Path) {
    let (expected, mut found) = (scan_of(expected), scan_of(found));
    let is_manifest = |entry: &Entry| entry.path.as_bytes() == MANIFEST_NAME.as_bytes();
    if !expected.entries.iter().any(is_manifest) {
        let own = found.entries.iter().position(is_manifest);
        found.entries.retain(|index| Some(index) != own);
    }
    for (one, other) in expected.entries.iter().zip(&found.entries) {
        assert_eq!(one, other);
    }
    assert_eq!(expected.entries.len(), found.entries.len());
    assert_eq!(expected.tree_digest(), found.tree_digest());
}

pub(crate) fn unpack(
    source: &dyn Source,
    archive: &[u8],
    target: &Path,
    monitor: &dyn Monitor,
) -> Result<Summary, RestoreError> {
    unpack_with_web(source, &Offline, archive, target, monitor)
}

/// As [`unpack`]; small questions go to `web`.
pub(crate) fn unpack_with_web(
    source: &dyn Source,
    web: &dyn Web,
    archive: &[u8],
    target: &Path,
    monitor: &dyn Monitor,
) -> Result<Summary, RestoreError> {
    let limits = Limits::default();
    let restorer = Restorer { source, web, limits: &limits, jobs: 2, accepting: None };
    let mut archive = archive;
    restorer.unpack(&mut archive, target, &RestoreOptions::default(), monitor)
}

pub(crate) fn restore(
    source: &dyn Source,
    target: &Path,
    monitor: &dyn Monitor,
) -> Result<Summary, RestoreError> {
    let limits = Limits::default();
    let restorer = Restorer { source, web: &Offline, limits: &limits, jobs: 2, accepting: None };
    restorer.restore(target, &RestoreOptions::default(), monitor)
}

/// The problems that were told, one a line.
pub(crate) fn problems(recorder: &Recorder) -> String {
    let recorded = recorder.recorded();
    recorded
        .problems
        .iter()
        .map(|(kind, object, message)| format!("{kind:?} {object}: {message}\n"))
        .collect()
}

pub(crate) const ONE: &str = "http://packages.example/one.tar";
pub(crate) const TWO: &str = "http://packages.example/two.tar.gz";

/// A tree that two packages give: `one/` and `two/`, of 50 files each.
pub(crate) fn two_packages() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let mut packages = Vec::new();
    for (name, url) in [("one", ONE), ("two", TWO)] {
        let at = folder.path().join("tree").join(name);
        fs_err::create_dir_all(&at).unwrap();
        for number in 0..50_u8 {
            // Something that does not compress.
            let digests = (0..313_u16)
                .map(|at| *Digest::of(&[&[number][..], &at.to_le_bytes()].concat()).as_bytes());
            let content: Vec<u8> = digests.flatten().collect();
            fs_err::write(at.join(format!("{number:02}")), content).unwrap();
        }
        let arguments = ["--create", "--format=posix", "--sort=name", "--file=../package", name];
        run("tar", &arguments, &folder.path().join("tree"));
        let tar = fs_err::read(folder.path().join("package")).unwrap();
        let bytes = if name == "two" { compress("gzip", &tar) } else { tar };
        packages.push((package(url, &bytes, "tar", vec![tree("", "")]), bytes));
    }
    Fixture::new(folder, packages)
}

pub(crate) fn assert_no_leftovers(folder: &Path) {
    let left = scan_of(folder)
        .entries
        .into_iter()
        .filter(|entry| entry.path.file_name().ends_with(b".part"));
    assert_eq!(left.count(), 0);
}
