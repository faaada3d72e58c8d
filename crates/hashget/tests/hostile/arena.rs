//! Where attacks are let loose: a target, secrets beside it, and a judge.

use std::path::{Path, PathBuf};

use hashget::archive::ArchiveError;
use hashget::fetch::{HttpOrigin, OriginOptions};
use hashget::limits::Limits;
use hashget::monitor::{ProblemKind, Recorder};
use hashget::restore::{RestoreError, RestoreOptions, Restorer, Summary};
use hashget_testkit::packages::TarBuilder;
use hashget_testkit::trees::{self, Snapshot, differences, snapshot};
use serde_json::{Value, json};

/// What must come of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not an archive, or not one of ours.
    NotAnArchive,
    NoManifest,
    /// The manifest is refused.
    Manifest,
    TooLong,
    /// Done, as far as it goes; the worst that was told.
    Told(ProblemKind),
    /// A user, unlike root, may not write to the target any more: the archive closed it.
    Closed,
    /// Done without a word.
    Harmless,
}

pub(crate) struct Arena {
    folder: tempfile::TempDir,
    before: Snapshot,
}

impl Arena {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        trees::file(folder.path(), "outside/secret", "secret");
        trees::mode(&trees::file(folder.path(), "secret", "secret"), 0o600);
        let before = snapshot(folder.path());
        Self { folder, before }
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Unpacks an archive.
    pub(crate) fn unpack(&self, archive: &[u8]) -> Outcome {
        self.run(|restorer, options, recorder| {
            restorer.unpack(&mut &*archive, &self.target(), options, recorder)
        })
    }

    /// Restores a folder that holds a manifest and a file.
    pub(crate) fn restore(&self, manifest: &[u8]) -> Outcome {
        trees::file(&self.target(), ".hashget-restore.json", manifest);
        trees::file(&self.target(), "x", "x");
        self.run(|restorer, options, recorder| restorer.restore(&self.target(), options, recorder))
    }

    fn run(
        &self,
        work: impl FnOnce(&Restorer<'_>, &RestoreOptions, &Recorder) -> Result<Summary, RestoreError>,
    ) -> Outcome {
        let limits = Limits { manifest_bytes: 1 << 17, ..Limits::default() };
        let source = HttpOrigin::new(OriginOptions::default());
        let restorer =
            Restorer { source: &source, web: &source, limits: &limits, jobs: 2, accepting: None };
        let recorder = Recorder::default();
        let outcome = work(&restorer, &RestoreOptions::default(), &recorder);
        self.assert_nothing_else_changed();
        let told = recorder.recorded();
        for (_, object, message) in &told.problems {
            assert_safe(object);
            assert_safe(message);
        }
        for (object, reason) in &told.skipped {
            assert_safe(object);
            assert_safe(reason);
        }
        match outcome {
            Ok(summary) => {
                for (_, why) in &summary.missing {
                    assert_safe(why);
                }
                let worst = told.problems.iter().map(|(kind, ..)| *kind).max();
                let quiet = summary.proven == Some(true) && summary.missing.is_empty();
                assert!(worst.is_some() || quiet, "{summary:?}");
                worst.map_or(Outcome::Harmless, Outcome::Told)
            }
            Err(error) => {
                let mut text = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(inner) = cause {
                    text = format!("{text}: {inner}");
                    cause = inner.source();
                }
                assert_safe(&text);
                match error {
                    RestoreError::Archive(ArchiveError::NotAnArchive { .. }) => {
                        Outcome::NotAnArchive
                    }
                    RestoreError::Archive(ArchiveError::NoManifestInArchive) => Outcome::NoManifest,
                    RestoreError::Archive(ArchiveError::Manifest(_)) => Outcome::Manifest,
                    RestoreError::Archive(ArchiveError::ManifestSize { .. }) => Outcome::TooLong,
                    RestoreError::Target { .. } if !trees::is_root() => Outcome::Closed,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn assert_nothing_else_changed(&self) {
        let mut after = snapshot(self.folder.path());
        after.retain(|path, _| path != b"target" && !path.starts_with(b"target/"));
        // The folder that holds the target has a new entry.
        after.get_mut(&b""[..]).unwrap().mtime = self.before[&b""[..]].mtime;
        assert_eq!(differences(&self.before, &after), [""; 0]);
        for name in ["/etc/hashget-escape", "/tmp/hashget-escape"] {
            assert!(fs_err::symlink_metadata(Path::new(name)).is_err(), "{name}");
        }
    }
}

fn assert_safe(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// The manifest of a tree with one file `x` that holds "x", as JSON to be made wrong.
pub(crate) fn manifest() -> Value {
    let sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    json!({
        "format": "hashget-restore",
        "version": 2,
        "tool": "hostile",
        "tree": {"sha256": "00".repeat(32), "entries": 1, "files": 1, "bytes": 1},
        "packages": [],
        "archived": {
            "path": ["x"], "type": "f", "mode": [420], "uid": [0], "gid": [0], "seconds": [0],
            "nanoseconds": [0], "size": [1], "sha256": [sha256]
        }
    })
}

/// A package for such a manifest, at an address that nobody answers at.
pub(crate) fn package() -> Value {
    json!({
        "url": "http://127.0.0.1:1/p.tar", "sha256": "11".repeat(32), "size": 10, "format": "tar",
        "evidence": "downloaded", "trees": [{"from": "", "to": ""}]
    })
}

/// An archive that begins with this manifest and holds `x`.
pub(crate) fn archive(manifest: &[u8]) -> TarBuilder {
    TarBuilder::new().file(".hashget-restore.json", manifest).file("x", b"x")
}

/// The file of testdata, written anew if that is wished.
pub(crate) fn stored(folder: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = testdata(folder).join(name);
    if std::env::var_os("HASHGET_WRITE_TESTDATA").is_some() {
        fs_err::write(&path, bytes).unwrap();
    }
    fs_err::read(&path).unwrap()
}

/// Every file of the folder has its attack.
pub(crate) fn assert_all_are_known(folder: &str, mut known: Vec<&str>) {
    let mut found: Vec<String> = fs_err::read_dir(testdata(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    known.sort_unstable();
    assert_eq!(found, known);
}

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/hostile").join(folder)
}
