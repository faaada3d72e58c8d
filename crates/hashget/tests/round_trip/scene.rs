//! A machine to pack and restore on: a tree, packages on a scripted server, a HashDB that knows them.
//!
//! Invariant: whatever is restored goes into a new folder, is compared with the tree as it was before it
//! was packed, and must have been proven without a word of trouble.

#![allow(dead_code, reason = "each test program uses its part")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hashget::archive::{Verifier, VerifyOptions, verify_contents};
use hashget::codec::Codec;
use hashget::derived::Derive;
use hashget::fetch::{HttpOrigin, Offline, OriginOptions};
use hashget::hashdb::LocalHashDb;
use hashget::index::{Indexer, Request};
use hashget::limits::Limits;
use hashget::model::{Evidence, RelPath};
use hashget::monitor::{Monitor, ProblemKind, Recorder, Silent};
use hashget::pack::{Output, PackError, PackOptions, Packer, Summary as Packed};
use hashget::programs::Programs;
use hashget::restore::{Rehearser, RestoreOptions, Restorer, Summary as Restored};
use hashget::storage::StreamSink;
use hashget_testkit::origin::Origin;
use hashget_testkit::packages::{TarBuilder, TarEntry};
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};

pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) origin: Origin,
    pub(crate) hashdb: LocalHashDb,
    pub(crate) source: HttpOrigin,
    pub(crate) limits: Limits,
    restored: Cell<u32>,
}

/// Options for tests: small packages are worth their download.
pub(crate) fn options() -> PackOptions<'static> {
    PackOptions { max_fetch_ratio: f64::INFINITY, codec: Codec::None, ..PackOptions::default() }
}

impl Scene {
    /// With an empty tree.
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir) -> Self {
        fs_err::create_dir(folder.path().join("tree")).unwrap();
        let hashdb = LocalHashDb::open(&folder.path().join("db")).unwrap();
        Self {
            origin: Origin::start(),
            hashdb,
            source: HttpOrigin::new(OriginOptions::default()),
            limits: Limits::default(),
            restored: Cell::new(0),
            folder,
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Serves and indexes a package.
    pub(crate) fn index(&self, name: &str, bytes: &[u8]) {
        self.origin.serve(&format!("/{name}"), bytes);
        let indexer = Indexer {
            hashdb: &self.hashdb,
            source: &self.source,
            web: &self.source,
            shared: None,
            mirrors: &[],
            limits: &self.limits,
            jobs: 1,
            evidence: Evidence::Downloaded,
        };
        let url = self.origin.url(&format!("/{name}"));
        indexer.index(&Request { url, recursive: true, ..Request::default() }, &Silent).unwrap();
    }

    pub(crate) fn packer(&self) -> Packer<'_> {
        Packer {
            hashdb: &self.hashdb,
            source: &self.source,
            web: &self.source,
            shared: None,
            mirrors: &[],
            limits: &self.limits,
            jobs: 2,
        }
    }

    /// Packs the tree.
    pub(crate) fn pack(
        &self,
        options: &PackOptions<'_>,
        monitor: &dyn Monitor,
    ) -> Result<(Vec<u8>, Packed), PackError> {
        let mut archive = Vec::new();
        let output = Output::Sink(Box::new(StreamSink::new(&mut archive)));
        let packed = self.packer().pack(&self.tree(), output, options, monitor)?;
        Ok((archive, packed))
    }

    /// Packs a tree that nothing is wrong with.
    #[track_caller]
    pub(crate) fn pack_well(&self, options: &PackOptions<'_>) -> (Vec<u8>, Packed) {
        let recorder = Recorder::default();
        let packed = self.pack(options, &recorder).unwrap();
        assert_eq!(problems(&recorder), "");
        packed
    }

    pub(crate) fn restorer(&self) -> Restorer<'_> {
        Restorer {
            source: &self.source,
            web: &self.source,
            limits: &self.limits,
            jobs: 2,
            accepting: None,
        }
    }

    /// A new name to restore at.
    pub(crate) fn target(&self) -> PathBuf {
        self.restored.set(self.restored.get() + 1);
        self.path(&format!("restored{}", self.restored.get()))
    }

    pub(crate) fn unpack(&self, archive: &[u8]) -> (PathBuf, Restored, Recorder) {
        let (target, recorder) = (self.target(), Recorder::default());
        let restored = self
            .restorer()
            .unpack(&mut &*archive, &target, &RestoreOptions::default(), &recorder)
            .unwrap();
        (target, restored, recorder)
    }

    /// Unpacks and compares.
    #[track_caller]
    pub(crate) fn unpack_well(&self, archive: &[u8], expected: &Snapshot) -> Restored {
        let (target, restored, recorder) = self.unpack(archive);
        self.judge(&target, &restored, &recorder, expected);
        self.rehearse_well(archive, &restored);
        restored
    }

    /// Rehearses the restore, which comes to the same end as the real one did.
    #[track_caller]
    pub(crate) fn rehearse_well(&self, archive: &[u8], restored: &Restored) {
        self.rehearse_with(archive, restored, Derive::default(), None);
    }

    /// The same with other recipes.
    #[track_caller]
    pub(crate) fn rehearse_with(
        &self,
        archive: &[u8],
        restored: &Restored,
        derive: Derive,
        programs: Option<Programs>,
    ) {
        let (limits, recorder) = (&self.limits, Recorder::default());
        let (manifest, read) =
            verify_contents(&mut &*archive, "archive", limits, &recorder).unwrap();
        let hashdb = LocalHashDb::open(&self.path("rehearsal-db")).unwrap();
        let verifier = Verifier {
            supplements: &BTreeMap::new(),
            network: &self.source,
            web: &self.source,
            local: &Offline,
            checks: &hashdb,
            hashdb: &hashdb,
            jobs: 2,
        };
        let name = Path::new("archive");
        let options = VerifyOptions { derive, ..VerifyOptions::default() };
        let contents = read.map(|(_, contents)| contents);
        let accepting = None;
        let rehearser = Rehearser { verifier: &verifier, options, limits, accepting, programs };
        let rehearsed = rehearser.rehearse(&manifest, contents, name, &recorder).unwrap();
        assert_eq!(problems(&recorder), "");
        let found = &rehearsed.summary;
        let figures = |of: &Restored| {
            (of.proven, of.entries, of.files, of.bytes, of.files_from_packages, of.packages)
        };
        assert_eq!(figures(found), figures(restored));
        assert!(rehearsed.is_all && found.missing.is_empty(), "{found:?}");
    }

    /// Unpacks by GNU tar, restores, and compares.
    #[track_caller]
    pub(crate) fn gnu_tar_and_restore_well(&self, archive: &[u8], expected: &Snapshot) {
        let target = self.target();
        gnu_tar(archive, &target);
        let recorder = Recorder::default();
        let restored =
            self.restorer().restore(&target, &RestoreOptions::default(), &recorder).unwrap();
        self.judge(&target, &restored, &recorder, expected);
    }

    /// Everything is as it was, and proven.
    #[track_caller]
    pub(crate) fn judge(
        &self,
        target: &Path,
        restored: &Restored,
        told: &Recorder,
        expected: &Snapshot,
    ) {
        assert_eq!(problems(told), "");
        assert_eq!(restored.missing, []);
        assert_same(expected, &snapshot(target));
        assert_eq!(restored.proven, Some(true));
        fs_err::remove_dir_all(target).unwrap();
    }
}

#[track_caller]
pub(crate) fn assert_same(expected: &Snapshot, found: &Snapshot) {
    let differences = differences(expected, found);
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// `tar xf`, plain.
pub(crate) fn gnu_tar(archive: &[u8], target: &Path) {
    fs_err::create_dir(target).unwrap();
    let file = target.with_extension("archive");
    fs_err::write(&file, archive).unwrap();
    let output = Command::new("tar").arg("-C").arg(target).arg("-xf").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs_err::remove_file(file).unwrap();
}

/// Everything that was wrong, a line each, worst first.
pub(crate) fn problems(recorder: &Recorder) -> String {
    let mut problems = recorder.recorded().problems;
    problems.sort_by_key(|(kind, ..)| std::cmp::Reverse(*kind));
    let lines: Vec<_> =
        problems.iter().map(|(kind, object, why)| format!("{kind:?} {object}: {why}")).collect();
    lines.join("\n")
}

/// The problems worse than a note, by kind and object.
pub(crate) fn serious(recorder: &Recorder) -> Vec<(ProblemKind, String)> {
    let problems = recorder.recorded().problems.into_iter();
    problems
        .filter(|(kind, ..)| *kind != ProblemKind::Note)
        .map(|(kind, object, _)| (kind, object))
        .collect()
}

/// Who we are.
pub(crate) fn own_ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// A member of a package that also stands in a tree.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) path: Vec<u8>,
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) mtime: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Folder,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    /// To the member of this path.
    HardLink(Vec<u8>),
}

impl Part {
    pub(crate) fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self::new(path, What::File(content.into()), 0o644)
    }

    pub(crate) fn folder(path: &str) -> Self {
        Self::new(path, What::Folder, 0o755)
    }

    pub(crate) fn new(path: &str, what: What, mode: u32) -> Self {
        Self { path: path.into(), what, mode, mtime: 1_600_000_000 }
    }
}

/// A tar of the parts, all owned by us.
pub(crate) fn tar(parts: &[Part]) -> Vec<u8> {
    let (uid, gid) = own_ids();
    let entries = parts.iter().fold(TarBuilder::new(), |tar, part| {
        let (kind, link, content): (u8, &[u8], &[u8]) = match &part.what {
            What::Folder => (b'5', b"", b""),
            What::File(content) => (b'0', b"", content),
            What::Symlink(target) => (b'2', target, b""),
            What::HardLink(target) => (b'1', target, b""),
        };
        tar.entry(&TarEntry {
            name: &part.path,
            kind,
            link,
            content,
            mode: part.mode,
            mtime: part.mtime,
            uid: uid.into(),
            gid: gid.into(),
            ..TarEntry::default()
        })
    });
    entries.finish()
}

/// Lays parts down below `folder` as tar would; `finish_folders` gives folders their metadata.
pub(crate) fn lay_down(folder: &Path, parts: &[Part]) {
    let at = |path: &[u8]| RelPath::normalise(path).unwrap().below(folder);
    fs_err::create_dir_all(folder).unwrap();
    for part in parts {
        let path = at(&part.path);
        match &part.what {
            What::Folder => fs_err::create_dir_all(&path).unwrap(),
            What::File(content) => {
                trees::file(folder, &part.path, content);
            }
            What::Symlink(target) => {
                trees::symlink(folder, &part.path, target);
            }
            What::HardLink(target) => {
                trees::hard_link(folder, &part.path, &at(target));
                continue;
            }
        }
        if matches!(part.what, What::File(_)) {
            trees::mode(&path, part.mode);
        }
        trees::mtime(&path, part.mtime, 0);
    }
    finish_folders(folder, parts);
}

pub(crate) fn finish_folders(folder: &Path, parts: &[Part]) {
    for part in parts.iter().rev().filter(|part| part.what == What::Folder) {
        let path = RelPath::normalise(&part.path).unwrap().below(folder);
        trees::mode(&path, part.mode);
        trees::mtime(&path, part.mtime, 0);
    }
}
